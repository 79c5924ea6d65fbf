"""A small FastAPI application with the request models of webui.md §2.1 and §2.2 (webui.md §9).

Debian's FastAPI 0.92, pydantic 1.10 and uvicorn 0.17 are nearly the WebUI's own pins, so its 404, 405, 422,
307 and echo bodies are the genuine ones. Run: python3 oracle.py [--auth user:password]; it prints its port.
"""

import secrets
import socket
import sys
import time
from typing import Any, Dict, List, Optional

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel, create_model
from starlette.middleware.gzip import GZipMiddleware

STRICT = "an explicit null is refused"

COMMON = [
    ("prompt", str, ""), ("negative_prompt", str, ""), ("styles", List[str], None), ("seed", int, -1),
    ("subseed", int, -1), ("subseed_strength", float, 0), ("seed_resize_from_h", int, -1),
    ("seed_resize_from_w", int, -1), ("sampler_name", str, None), ("scheduler", str, None), ("batch_size", int, 1),
    ("n_iter", int, 1), ("steps", int, 50), ("cfg_scale", float, 7.0), ("width", int, 512), ("height", int, 512),
    ("restore_faces", bool, None), ("tiling", bool, None), ("do_not_save_samples", bool, False),
    ("do_not_save_grid", bool, False), ("eta", float, None), ("denoising_strength", float, None),
    ("s_min_uncond", float, None), ("s_churn", float, None), ("s_tmax", float, None), ("s_tmin", float, None),
    ("s_noise", float, None), ("override_settings", Dict[str, Any], None),
    ("override_settings_restore_afterwards", bool, True), ("refiner_checkpoint", str, None),
    ("refiner_switch_at", float, None), ("disable_extra_networks", bool, False), ("firstpass_image", str, None),
    ("comments", dict, None),
]
HIRES = [
    ("enable_hr", bool, False), ("firstphase_width", int, 0), ("firstphase_height", int, 0), ("hr_scale", float, 2.0),
    ("hr_upscaler", str, None), ("hr_second_pass_steps", int, 0), ("hr_resize_x", int, 0), ("hr_resize_y", int, 0),
    ("hr_checkpoint_name", str, None), ("hr_sampler_name", str, None), ("hr_scheduler", str, None),
    ("hr_prompt", str, ""), ("hr_negative_prompt", str, ""),
]
INIT_IMAGES = [
    ("init_images", list, None), ("resize_mode", int, 0), ("image_cfg_scale", float, None), ("mask", str, None),
    ("mask_blur_x", int, 4), ("mask_blur_y", int, 4), ("mask_blur", int, None), ("mask_round", bool, True),
    ("inpainting_fill", int, 0), ("inpaint_full_res", bool, True), ("inpaint_full_res_padding", int, 0),
    ("inpainting_mask_invert", int, 0), ("initial_noise_multiplier", float, None), ("latent_mask", str, None),
]
TASK = [("force_task_id", str, None), ("sampler_index", str, "Euler", STRICT)]
API = [
    ("script_name", str, None), ("script_args", list, [], STRICT), ("send_images", bool, True, STRICT),
    ("save_images", bool, False, STRICT), ("alwayson_scripts", dict, {}, STRICT), ("infotext", str, None),
]


def request_model(name, rows):
    fields = {}
    for field, kind, default, *strict in rows:
        fields[field] = (kind if strict else Optional[kind], default)
    return create_model(name, **fields)


def with_default_strength(rows):
    return [("denoising_strength", float, 0.75, STRICT) if row[0] == "denoising_strength" else row for row in rows]


Txt2Img = request_model("Txt2Img", COMMON + HIRES + TASK + API)
Img2Img = request_model("Img2Img", with_default_strength(COMMON) + INIT_IMAGES + TASK
                        + [("include_init_images", bool, False, STRICT)] + API)


class PngInfo(BaseModel):
    image: str


class ProgressQuery(BaseModel):
    skip_current_image: bool = False


def describe(failure):
    """The four keys of the WebUI's error bodies (webui.md §2.6)."""
    return {"error": type(failure).__name__, "detail": getattr(failure, "detail", ""), "body": "",
            "errors": str(failure)}


def add_middleware(app):
    app.add_middleware(GZipMiddleware, minimum_size=1000)

    @app.middleware("http")
    async def measure(request: Request, go_on):
        began = time.time()
        response = await go_on(request)
        response.headers["X-Process-Time"] = str(round(time.time() - began, 4))
        return response

    @app.middleware("http")
    async def catch(request: Request, go_on):
        try:
            return await go_on(request)
        except Exception as failure:  # whatever a handler lets through
            return JSONResponse(status_code=500, content=jsonable_encoder(describe(failure)))

    @app.exception_handler(HTTPException)
    async def business_error(request: Request, failure: HTTPException):
        return JSONResponse(status_code=failure.status_code, content=jsonable_encoder(describe(failure)))


def echo(request, img2img=False):
    parameters = dict(vars(request))
    if img2img and not request.include_init_images:
        parameters["init_images"] = parameters["mask"] = None
    return {"images": [], "parameters": parameters, "info": "{}"}


def login(account):
    def check(credentials: HTTPBasicCredentials = Depends(HTTPBasic())):
        user, password = account.split(":")
        right = secrets.compare_digest(credentials.username, user)
        if right and secrets.compare_digest(credentials.password, password):
            return True
        raise HTTPException(status_code=401, detail="Incorrect username or password",
                            headers={"WWW-Authenticate": "Basic"})

    return check


def build(account=None):
    app = FastAPI()
    add_middleware(app)
    guards = [Depends(login(account))] if account else []

    def route(method, path):
        return app.api_route(f"/sdapi/v1/{path}", methods=[method], dependencies=guards)

    @route("POST", "txt2img")
    def txt2img(request: Txt2Img):
        return echo(request)

    @route("POST", "img2img")
    def img2img(request: Img2Img):
        if request.init_images is None:
            raise HTTPException(status_code=404, detail="Init image not found")
        return echo(request, img2img=True)

    @route("POST", "png-info")
    def png_info(request: PngInfo):
        raise HTTPException(status_code=500, detail="Invalid encoded image")

    @route("GET", "progress")
    def progress(query: ProgressQuery = Depends()):
        return {}

    @route("GET", "sd-models")
    def models():
        return []

    @route("GET", "options")
    def get_options():
        return {}

    @route("POST", "options")
    def set_options(wanted: Dict[str, Any]):
        for key in wanted:
            raise KeyError(key)

    @route("POST", "interrupt")
    def interrupt():
        return {}

    @route("POST", "skip")
    def skip():
        pass

    return app


def main():
    account = sys.argv[2] if sys.argv[1:2] == ["--auth"] else None
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(64)
    print(f"oracle listening on 127.0.0.1:{door.getsockname()[1]}", flush=True)
    config = uvicorn.Config(build(account), http="h11", lifespan="off", log_level="error")
    uvicorn.Server(config).run(sockets=[door])


if __name__ == "__main__":
    main()

"""The simulator answers as genuine FastAPI, pydantic and uvicorn do (webui.md §2.6, §2.8, §9).

Each row of the table is sent, byte for byte, to the simulator and to simulator/oracle.py; status, header
names in their order, header values and bodies must be the same."""

import os
import re
import socket
import sys
import unittest

from support.process import Process
from support.programs import Simulator
from support.waiting import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
JSON = {"Content-Type": "application/json"}
TINY = '"steps":1,"width":64,"height":64'


def job(more):
    """A body whose generation takes no time."""
    return "{" + (f"{more}," if more else "") + TINY + "}"


def post(path, body, headers=None):
    return ("POST", f"/sdapi/v1/{path}", JSON if headers is None else headers, body)


def get(path, headers=None, method="GET"):
    return (method, f"/sdapi/v1/{path}", headers or {}, "")


# --- requests whose whole answers must be equal ---

REFUSALS = {
    "route missing": get("nope"),
    "root path missing": ("GET", "/sdapi", {}, ""),
    "route missing with a body": post("nope", "{}"),
    "GET on a POST route": get("txt2img"),
    "DELETE on a POST route": get("txt2img", method="DELETE"),
    "POST on a GET route": post("sd-models", ""),
    "HEAD on a GET route": get("sd-models", method="HEAD"),
    "DELETE where GET and POST exist": get("options", method="DELETE"),
    "OPTIONS without CORS": get("txt2img", method="OPTIONS"),
    "trailing slash": get("sd-models/"),
    "trailing slash with a query": get("progress/?skip_current_image=true"),
    "trailing slash on the other method": get("txt2img/"),
    "two trailing slashes": get("sd-models//"),
    "integer expected": post("txt2img", '{"steps":"many"}'),
    "integer from a float in a string": post("txt2img", '{"steps":"20.0"}'),
    "integer from a list": post("txt2img", '{"steps":[1]}'),
    "float expected": post("txt2img", '{"cfg_scale":"high"}'),
    "float from an object": post("txt2img", '{"cfg_scale":{}}'),
    "boolean expected": post("txt2img", '{"tiling":"perhaps"}'),
    "boolean from a number": post("txt2img", '{"tiling":2}'),
    "string expected": post("txt2img", '{"prompt":["a"]}'),
    "string from an object": post("txt2img", '{"prompt":{"a":1}}'),
    "list expected": post("txt2img", '{"script_args":"x"}'),
    "list of strings expected": post("txt2img", '{"styles":"x"}'),
    "object within a list of strings": post("txt2img", '{"styles":["a",{},null]}'),
    "null within a list of strings": post("txt2img", '{"styles":[null]}'),
    "object expected": post("txt2img", '{"override_settings":"x"}'),
    "object from a list": post("txt2img", '{"alwayson_scripts":[1]}'),
    "null refused": post("txt2img", '{"sampler_index":null,"send_images":null,"script_args":null}'),
    "null strength refused by img2img": post("img2img", '{"denoising_strength":null}'),
    "several errors in the model's order": post("txt2img", '{"width":"w","steps":"s","prompt":[],"cfg_scale":"c"}'),
    "init images are no list": post("img2img", '{"init_images":"AA"}'),
    "init images missing": post("img2img", "{}"),
    "required field missing": post("png-info", "{}"),
    "required field null": post("png-info", '{"image":null}'),
    "bad query flag": get("progress?skip_current_image=perhaps"),
    "empty body": post("txt2img", ""),
    "null body": post("txt2img", "null"),
    "list body": post("txt2img", "[1]"),
    "string body": post("txt2img", '"text"'),
    "number body": post("options", "5"),
    "false body": post("txt2img", "false"),
    "plain text": post("txt2img", '{"prompt":"x"}', {"Content-Type": "text/plain"}),
    "form": post("txt2img", "prompt=x", {"Content-Type": "application/x-www-form-urlencoded"}),
    "nonsense type": post("txt2img", "{}", {"Content-Type": "json"}),
    "missing type, bad JSON": post("txt2img", "{", {}),
    "not UTF-8": post("txt2img", b'{"prompt":"\xff"}'),
    "unknown option": post("options", '{"no_such_option":1}'),
    "unknown option with quotes": post("options", '{"it\'s":1}'),
}

BAD_JSON = [
    "{", "[", "[1", "[1,]", "[1 2]", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1 "b":2}', "{a:1}", '"abc', '"a\\qb"',
    '"\\u12"', '"a\nb"', "1 2", "-", "01", "1.", "+1", "nul", "True", "{'a':1}", '{"prompt":"\u00e9\u00e9",}',
    '{\n  "steps": 20,\n  "width" 5\n}', '  \n\t}', '{"a":"\\ud83d"', "//x", "",
]

# --- requests that run, whose echo must be equal ---

ECHOES = {
    "defaults": post("txt2img", job("")),
    "strings become numbers": post("txt2img", job('"seed":"7","cfg_scale":"6.5","n_iter":" 1 "')),
    "floats become integers": post("txt2img", job('"seed":20.7,"batch_size":1.0')),
    "numbers become strings": post("txt2img", job('"prompt":12,"negative_prompt":1.5')),
    "booleans become numbers and strings": post("txt2img", job('"seed":true,"eta":false,"prompt":true')),
    "words become booleans": post("txt2img", job('"tiling":"yes","restore_faces":"off","save_images":0')),
    "floats as Python writes them": post("txt2img", job('"cfg_scale":1e22,"eta":1e-7,"s_churn":0.1,"s_noise":1e16')),
    "defaulted strength stays an integer": post("txt2img", job('"subseed_strength":0')),
    "nulls": post("txt2img", job('"prompt":"a","styles":null,"override_settings":null,"seed":1,"tiling":null')),
    "unknown fields are dropped": post("txt2img", job('"nonsense":{"a":[1]}')),
    "settings and scripts are kept as sent": post("txt2img", job(
        '"override_settings":{"CLIP_stop_at_last_layers":2,"sd_model_checkpoint":"nobody"},"comments":{"a":{"b":[]}}')),
    "text beyond ASCII": post("txt2img", job('"prompt":"caf\u00e9 \U0001F408 \\u00fc \\"q\\" \\\\ \\n\\t\\u0001"')),
    "duplicate keys: the last one counts": post("txt2img", job('"seed":1,"seed":2')),
    "JSON with a suffix type": post("txt2img", job(""), {"Content-Type": "application/problem+json; charset=utf-8"}),
    "no type at all": post("txt2img", job('"seed":3'), {}),
    "an object out of pairs": post("txt2img", '[["seed",4],["steps",1],["width",64],["height",64]]'),
    "empty pairs for settings": post("txt2img", job('"override_settings":[]')),
    "nothing shown of the images": post("img2img", job('"init_images":["%s"],"cfg_scale":7')),
    "images shown on request": post("img2img", job('"init_images":["%s"],"include_init_images":true')),
}

PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def exchange(port, method, path, headers, body):
    """One request over a connection of its own: status line, header lines, body."""
    body = body if isinstance(body, bytes) else body.encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: webui.test:7861", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection(("127.0.0.1", port), timeout=20 * PATIENCE) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        received = b""
        while block := connection.recv(65536):
            received += block
    head, _, content = received.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return status, [tuple(field.split(": ", 1)) for field in fields], content


def comparable(headers):
    """Headers without what the clock decides."""
    return [(name, "…" if name in ("date", "x-process-time") else value) for name, value in headers]


def echoed(body):
    return re.search(rb'"parameters":(.*),"info":', body, re.DOTALL).group(1).decode()


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.oracle, cls.oracle_port = cls.start_oracle()
        cls.simulator = Simulator(speed=1000, boot_s=0)

    @classmethod
    def tearDownClass(cls):
        cls.simulator.stop()
        cls.oracle.stop()

    @staticmethod
    def start_oracle(*arguments):
        oracle = Process([sys.executable, "-B", os.path.join(HERE, "simulator", "oracle.py"), *arguments], "oracle")
        port = oracle.wait_for_line(lambda line: re.search(r"listening on 127\.0\.0\.1:(\d+)", line), 30)
        return oracle, int(port.group(1))

    def both(self, request):
        return exchange(self.oracle_port, *request), exchange(self.simulator.port, *request)

    def check_equal(self, request):
        expected, got = self.both(request)
        self.assertEqual(got[0], expected[0])
        self.assertEqual(comparable(got[1]), comparable(expected[1]))
        self.assertEqual(got[2].decode(), expected[2].decode())

    def test_refusals_are_those_of_fastapi(self):
        for name, request in REFUSALS.items():
            with self.subTest(name):
                self.check_equal(request)

    def test_bad_json_is_located_as_python_does(self):
        for text in BAD_JSON:
            with self.subTest(text):
                self.check_equal(post("txt2img", text))

    def test_parameters_echo_what_pydantic_made_of_the_request(self):
        for name, (method, path, headers, body) in ECHOES.items():
            with self.subTest(name):
                request = (method, path, headers, body.replace("%s", PIXEL))
                expected, got = self.both(request)
                self.assertEqual(got[0], expected[0], got[2][:300])
                self.assertEqual([h for h, _ in got[1]], [h for h, _ in expected[1]])
                self.assertEqual(echoed(got[2]), echoed(expected[2]))

    def test_bodies_without_content_are_null_and_braces(self):
        for path in ("skip", "interrupt"):
            with self.subTest(path):
                self.check_equal(post(path, ""))

    def test_gzip_only_when_asked_for_and_large_enough(self):
        for accept in ("gzip", "identity", "br, gzip;q=0.5"):
            with self.subTest(accept):
                request = post("txt2img", job(""), {**JSON, "Accept-Encoding": accept})
                expected, got = self.both(request)
                self.assertEqual([h for h, _ in got[1]], [h for h, _ in expected[1]])
                self.assertEqual(dict(got[1]).get("content-encoding"), dict(expected[1]).get("content-encoding"))

    def test_nan_in_an_echo_is_an_error_of_the_server(self):
        expected, got = self.both(post("txt2img", job('"eta":NaN')))
        self.assertEqual(got[0], expected[0])
        self.assertEqual(comparable(got[1]), comparable(expected[1]))
        self.assertEqual(got[2], expected[2])


class Login(Contract):
    """The same with --api-auth, and the answers to wrong logins."""

    LOGINS = {
        "none": {},
        "wrong password": {"Authorization": "Basic dXNlcjp3cm9uZw=="},
        "another scheme": {"Authorization": "Bearer abc"},
        "no base64": {"Authorization": "Basic ???"},
        "no colon": {"Authorization": "Basic dXNlcg=="},
        "right": {"Authorization": "Basic dXNlcjpzZWNyZXQ="},
    }

    @classmethod
    def setUpClass(cls):
        cls.oracle, cls.oracle_port = cls.start_oracle("--auth", "user:secret")
        cls.simulator = Simulator(speed=1000, boot_s=0, api_auth="user:secret")

    def both(self, request):
        method, path, headers, body = request
        headers = {"Authorization": self.LOGINS["right"]["Authorization"], **headers}
        return super().both((method, path, headers, body))

    def test_logins_are_answered_as_fastapi_does(self):
        for name, headers in self.LOGINS.items():
            for method, path in (("POST", "interrupt"), ("GET", "txt2img"), ("GET", "nope")):
                with self.subTest(f"{name}: {method} {path}"):
                    request = (method, f"/sdapi/v1/{path}", headers, "")
                    expected = exchange(self.oracle_port, *request)
                    got = exchange(self.simulator.port, *request)
                    self.assertEqual(got[0], expected[0])
                    self.assertEqual(comparable(got[1]), comparable(expected[1]))
                    self.assertEqual(got[2], expected[2])


if __name__ == "__main__":
    unittest.main()

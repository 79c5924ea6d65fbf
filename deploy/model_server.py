#!/usr/bin/python3
"""Makes small valid model files and serves them over HTTP on 127.0.0.1, for deploy/quickstart.

    model_server.py FOLDER NAME=KIND:MIB…     e.g. landscape=lora:2   (KIND: checkpoint or lora)

Prints "listening 127.0.0.1:PORT" when it can be asked, then a line per request. Ends with its parent."""

import ctypes
import functools
import http.server
import json
import os
import random
import signal
import struct
import sys

# Tensor names as the WebUI's loaders look for them; the values are noise.
TENSORS = {
    "checkpoint": ["model.diffusion_model.input_blocks.0.0.weight",
                   "model.diffusion_model.middle_block.1.proj_in.weight",
                   "model.diffusion_model.out.2.weight",
                   "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
                   "first_stage_model.decoder.conv_in.weight"],
    "lora": ["lora_unet_mid_block_attentions_0_proj_in.alpha",
             "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight",
             "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight"],
}


def safetensors(name, kind="checkpoint", mib=1.0):
    """A valid safetensors file of about that size; the same for the same arguments."""
    names = TENSORS[kind]
    rows = max(int(mib * 1024 * 1024 / len(names) / 2 / 64), 1)
    header = {"__metadata__": {"format": "pt", "modelspec.title": name}}
    for place, tensor in enumerate(sorted(names)):
        size = rows * 64 * 2
        header[tensor] = {"dtype": "F16", "shape": [rows, 64], "data_offsets": [place * size, (place + 1) * size]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    noise = random.Random(f"{kind} {name}").randbytes(rows * 64 * 2 * len(names))
    return struct.pack("<Q", len(text)) + text + noise


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, form, *arguments):
        print(form % arguments, flush=True)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for wanted in sys.argv[2:]:
        name, _, about = wanted.partition("=")
        kind, _, mib = about.partition(":")
        with open(os.path.join(folder, f"{name}.safetensors"), "wb") as file:
            file.write(safetensors(name, kind, float(mib)))
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        print(f"listening 127.0.0.1:{server.server_address[1]}", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server.serve_forever()


if __name__ == "__main__":
    main()

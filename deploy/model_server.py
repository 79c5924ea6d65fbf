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
import re
import signal
import struct
import sys
import time

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
    """Serves the folder, with ranges, and prints a JSON line for each file, or part of one, that was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            return self.send_error(404)
        size = os.path.getsize(path)
        first, last = self.range_asked_for(size)
        if first >= size:
            return self.send_error(416)
        whole = (first, last) == (0, size - 1)
        self.send_response(200 if whole else 206)
        if not whole:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{size:x}"')
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        begun = time.time()
        with open(path, "rb") as file:
            self.connection.sendfile(file, first, last - first + 1)
        told = {"file": os.path.basename(path), "size": size, "begun": begun, "ended": time.time()}
        print(json.dumps(told), flush=True)

    def range_asked_for(self, size):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return 0, size - 1
        return int(asked[1]), min(int(asked[2] or size), size - 1)

    def log_request(self, *_):
        pass


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

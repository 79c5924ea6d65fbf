"""Servers that the gateway talks to, run inside the test: model files with faults, and webhooks."""

import hashlib
import http.server
import json
import os
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field

from .waiting import wait_until

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(_HERE, "../../../deploy"), os.path.join(_HERE, "../../support")]
from model_server import safetensors  # noqa: E402  the files that the quickstart serves, too
from shaping_proxy import ShapingProxy  # noqa: E402

__all__ = ["Fault", "FileServer", "ShapingProxy", "WebhookReceiver", "safetensors"]


@dataclass
class Fault:
    """How a file is answered wrongly. Fields not set leave that part right."""

    status: int = 0  # this status and a short JSON body instead of the file
    html: bool = False  # 200 with a login page
    redirect: str = ""  # 302 to there
    headers: dict = field(default_factory=dict)  # added to the answer
    bytes_per_second: int = 0  # slow
    stall_after: int = -1  # so many bytes, then nothing until the client leaves or the server stops
    truncate_after: int = -1  # so many bytes, then a clean end of the connection
    reset_after: int = -1  # so many bytes, then a TCP reset
    length_off_by: int = 0  # Content-Length is wrong by so much
    cut_file: int = 0  # the file itself is that much shorter than its own header says
    no_ranges: bool = False  # Range is ignored, as by servers that cannot
    times: int = 0  # only so many requests, then all is well; 0: always


@dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes
    time: float = field(default_factory=time.monotonic)


class _Server:
    """A threaded HTTP server on a free port that remembers every request."""

    def __init__(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, socket.timeout, ValueError):
                    self.close_connection = True

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                with owner._lock:
                    owner.requests.append(request)
                owner.answer(self, request)

            do_GET = do_HEAD = do_POST = _serve

            def log_message(self, *_):
                pass

        self.requests = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def answer(self, handler, request):
        raise NotImplementedError

    @staticmethod
    def send(handler, status, body=b"", kind="application/json", headers=None):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)


class FileServer(_Server):
    """Serves files made by add(), whole or by range, with a strong ETag; each path can have a fault."""

    LOGIN_PAGE = b"<!DOCTYPE html><html><body>Please log in to download this model.</body></html>"

    def __init__(self):
        self.files = {}
        self.faults = {}
        super().__init__()

    def add(self, name, content=None, fault=None, **about):
        """Puts a file there; a small valid safetensors (see `safetensors`) when no content is given.
        Returns (url, sha256)."""
        content = safetensors(name, **about) if content is None else content
        self.files["/" + name] = content
        if fault:
            self.faults["/" + name] = fault
        return f"{self.url}/{name}", hashlib.sha256(content).hexdigest()

    def fetched(self, name):
        """The requests for that file."""
        with self._lock:
            return [r for r in self.requests if r.path.split("?")[0] == "/" + name]

    def _fault_for(self, path):
        with self._lock:
            fault = self.faults.get(path, Fault())
            if fault.times:
                fault.times -= 1
                if fault.times == 0:
                    del self.faults[path]
        return fault

    def answer(self, handler, request):
        path = request.path.split("?")[0]
        fault = self._fault_for(path)
        content = self.files.get(path)
        if fault.status or content is None:
            status = fault.status or 404
            return self.send(handler, status, json.dumps({"error": f"status {status}"}).encode(),
                             headers=fault.headers)
        if fault.html:
            return self.send(handler, 200, self.LOGIN_PAGE, "text/html; charset=utf-8", fault.headers)
        if fault.redirect:
            return self.send(handler, 302, headers={"Location": fault.redirect, **fault.headers})
        return self._send_file(handler, request, content[: len(content) - fault.cut_file], fault)

    def _send_file(self, handler, request, content, fault):
        total, first, last = len(content), 0, len(content) - 1
        wanted = request.headers.get("range", "") if not fault.no_ranges else ""
        if wanted.startswith("bytes=") and "," not in wanted:
            begin, _, end = wanted[6:].partition("-")
            first = int(begin) if begin else max(total - int(end), 0)
            last = min(int(end), total - 1) if begin and end else total - 1
            if first >= total:
                return self.send(handler, 416, headers={"Content-Range": f"bytes */{total}"})
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Type", "application/octet-stream")
        handler.send_header("Content-Length", str(last - first + 1 + fault.length_off_by))
        if not fault.no_ranges:
            handler.send_header("Accept-Ranges", "bytes")
        handler.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        for name, value in fault.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            self._send_body(handler, content[first : last + 1], fault)

    def _send_body(self, handler, body, fault):
        ends = [end for end in (fault.stall_after, fault.truncate_after, fault.reset_after) if end >= 0]
        end = min([len(body), *ends])
        step = max(fault.bytes_per_second // 20, 1) if fault.bytes_per_second else 256 * 1024
        for begin in range(0, end, step):
            handler.wfile.write(body[begin : min(begin + step, end)])
            if fault.bytes_per_second and self.stopping.wait(0.05):
                break
        handler.wfile.flush()
        if fault.stall_after >= 0:
            self._until_client_leaves(handler.connection)
        if fault.reset_after >= 0:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if ends or fault.length_off_by > 0:
            handler.close_connection = True
            handler.connection.close() if fault.reset_after >= 0 else handler.connection.shutdown(socket.SHUT_RDWR)

    def _until_client_leaves(self, connection):
        connection.settimeout(0.1)
        while not self.stopping.is_set():
            try:
                if connection.recv(1) == b"":
                    return
            except (socket.timeout, TimeoutError):
                continue
            except OSError:
                return


class WebhookReceiver(_Server):
    """Takes webhooks. Answers with the codes of `codes` one after the other, then with 200."""

    def __init__(self, codes=()):
        self.codes = list(codes)
        super().__init__()

    def answer(self, handler, request):
        with self._lock:
            code = self.codes.pop(0) if self.codes else 200
        self.send(handler, code, b"{}")

    def bodies(self):
        with self._lock:
            return [json.loads(request.body) for request in self.requests]

    def wait_for(self, count=1, timeout=10.0):
        """The first `count` requests, once they are here."""
        wait_until(lambda: len(self.requests) >= count, timeout, f"{count} webhooks have come")
        return self.requests[:count]

"""Servers that the gateway talks to, run inside the test: model files with faults, and webhooks."""

import http.server
import json
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field

from .waiting import wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../support"))
from fault_server import LOGIN_PAGE, Content, Fault, FileServer, Reply, certificate, safetensors  # noqa: E402
from model_hubs import Civitai, HuggingFace  # noqa: E402
from shaping_proxy import Link, ShapingProxy  # noqa: E402

__all__ = ["LOGIN_PAGE", "Civitai", "Content", "Fault", "FileServer", "HuggingFace", "Link", "Reply", "ShapingProxy",
           "WebhookReceiver", "certificate", "safetensors"]


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

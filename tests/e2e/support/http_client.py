"""HTTP as a test wants it: one call, the whole answer, a bounded wait, nothing retried."""

import http.client
import json
from urllib.parse import urlsplit

from .waiting import PATIENCE


class Answer:
    def __init__(self, method, target, response, body):
        self.method = method
        self.target = target
        self.status = response.status
        self.reason = response.reason
        self.headers = response.headers  # names are found in any case
        self.body = body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise AssertionError(f"no JSON in {self}") from None

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def __str__(self):
        return f"{self.method} {self.target} -> {self.status} {self.text[:500]}"


class Client:
    """Sends requests to one origin, each on a connection of its own. on_answer sees every answer."""

    def __init__(self, url, headers=None, timeout=10.0, on_answer=None):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80
        self.prefix = parts.path.rstrip("/")
        self.headers = headers or {}
        self.timeout = timeout
        self.on_answer = on_answer

    def request(self, method, target, body=None, headers=None, timeout=None):
        """body: bytes or text as it is; anything else is sent as JSON."""
        sent = {**self.headers, **(headers or {})}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=(timeout or self.timeout) * PATIENCE)
        try:
            connection.request(method, self.prefix + target, body, sent)
            response = connection.getresponse()
            answer = Answer(method, target, response, response.read())
        finally:
            connection.close()
        if self.on_answer:
            self.on_answer(answer)
        return answer

    def get(self, target, **more):
        return self.request("GET", target, **more)

    def post(self, target, body=None, **more):
        return self.request("POST", target, body, **more)

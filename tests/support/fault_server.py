"""A server of model files that does what it is told, right or wrong: over HTTP or TLS, whole or by range, with
faults by path, request and offset. It remembers every request and how many bytes of it went out."""

import gzip
import hashlib
import http.client
import json
import os
import random
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../deploy"))
from model_server import TENSORS, safetensors  # noqa: E402  the files that the quickstart serves, too

STEP = 256 * 1024
# Prime, so that no two places of a file that a downloader could mix up hold the same bytes.
PERIOD = 1_048_583
LOGIN_PAGE = b"<!DOCTYPE html><html><body>Please log in to download this model.</body></html>"
EXPIRED = b'<?xml version="1.0"?><Error><Code>ExpiredRequest</Code><Message>Request has expired</Message></Error>'
TWO_KEYS = b'<?xml version="1.0"?><Error><Code>InvalidArgument</Code><Message>Only one auth mechanism</Message></Error>'


class Content:
    """Bytes of any size that need neither disk nor memory: `head`, then noise of that seed."""

    def __init__(self, head, size=None, seed=0):
        self.head, self.size, self.seed = head, len(head) if size is None else size, seed
        self._noise = self._sha256 = None
        if size is not None:
            noise = random.Random(seed).randbytes(PERIOD)
            self._noise = memoryview(noise + noise[:STEP])

    @staticmethod
    def model(size, seed=0, kind="checkpoint"):
        """A valid safetensors file of exactly that size; at least 2 KiB."""
        names = sorted(TENSORS[kind])
        cuts = [(size - 1024) * place // len(names) for place in range(len(names) + 1)]
        header = {name: {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
                  for name, begin, end in zip(names, cuts, cuts[1:])}
        text = json.dumps(header, separators=(",", ":")).encode().ljust(1016)
        return Content(struct.pack("<Q", len(text)) + text, size, f"{kind} {seed}")

    def pieces(self, begin, end):
        """Its bytes from begin to end, at most STEP at a time."""
        head = memoryview(self.head)
        while begin < end:
            if begin < len(head):
                piece = head[begin : min(end, begin + STEP)]
            else:
                at = (begin - len(head)) % PERIOD
                piece = self._noise[at : at + min(end - begin, STEP)]
            yield piece
            begin += len(piece)

    def bytes(self, begin=0, end=None):
        return b"".join(self.pieces(begin, self.size if end is None else end))

    @property
    def sha256(self):
        if self._sha256 is None:
            digest = hashlib.sha256()
            for piece in self.pieces(0, self.size):
                digest.update(piece)
            self._sha256 = digest.hexdigest()
        return self._sha256

    @property
    def etag(self):
        """Strong; 64 hex digits that are not the sha256, as of some storage (downloads.md §0 rule 3)."""
        about = f"{self.size} {self.seed}".encode() + self.head
        return f'"{hashlib.sha256(about).hexdigest()}"'


@dataclass
class Fault:
    """How a file is answered wrongly. Fields not set leave that part right."""

    # When: the first `skip` requests pass, the next `times` are answered so (0: all), if `when` agrees.
    skip: int = 0
    times: int = 0
    when: Optional[Callable] = None

    # Instead of the file.
    status: int = 0  # this status
    body: bytes = b""  # with this body; none: a short JSON
    kind: str = "application/json"
    html: bool = False  # 200 with a login page
    redirect: str = ""  # 302 to there
    content: Optional[Content] = None  # another file

    # The header.
    headers: dict = field(default_factory=dict)  # added, or put in place of ours; None: taken away
    length_off_by: int = 0  # Content-Length is wrong by so much
    no_ranges: bool = False  # Range is ignored, as by servers that cannot
    range_off_by: int = 0  # Content-Range begins and ends so much later than was asked
    range_total: str = ""  # what Content-Range says the size is
    multipart: bool = False  # 206 as multipart/byteranges
    gzip: bool = False  # with Content-Encoding: gzip
    chunked: bool = False  # Transfer-Encoding: chunked, no length
    http10: bool = False  # HTTP/1.0: no length, the end of the connection is the end of the file
    header_after: float = 0  # seconds of silence before the header
    header_pause: float = 0  # seconds between its bytes

    # The body.
    bytes_per_second: float = 0  # slow
    stall_after: int = -1  # so many bytes, then nothing until the client leaves or the server stops
    truncate_after: int = -1  # so many bytes, then the connection ends (under TLS without a goodbye)
    reset_after: int = -1  # so many bytes, then a TCP reset
    truncate_at: list = field(default_factory=list)  # places in the file where the connection ends, each once
    stall_at: int = -1  # a place in the file: nothing of what is behind it is sent
    extra: bytes = b""  # after the last byte
    cut_file: int = 0  # the file itself is that much shorter than its own header says


@dataclass
class Request:
    method: str
    path: str  # with its query
    headers: dict  # names in lower case
    connection: int  # counted from 1
    wall: float = field(default_factory=time.time)
    time: float = field(default_factory=time.monotonic)
    status: int = 0
    begin: int = 0  # of the file, the first byte of the answer
    sent: int = 0  # bytes of the file

    @property
    def range(self):
        """What was asked for: (first, last), (first, None), or None."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        return (int(asked[1]), int(asked[2]) if asked[2] else None) if asked else None


@dataclass
class Reply:
    status: int
    headers: dict
    content: Content
    begin: int = 0
    end: int = 0

    @staticmethod
    def of(status, body=b"", kind="application/json", **headers):
        """Underscores in the names of headers stand for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status, {"Content-Type": kind, "Content-Length": str(len(body)), **named}, Content(body), 0,
                     len(body))

    @staticmethod
    def json(status, value, **headers):
        return Reply.of(status, json.dumps(value).encode(), **headers)


class Pacer:
    """A rate that several connections share. A quarter of a second may be saved up, so that a late turn of this
    process does not lower it."""

    def __init__(self, rate):
        self.rate, self._free, self._lock = rate, 0.0, threading.Lock()

    def pause(self, size):
        """Seconds until so many bytes more may leave."""
        if not self.rate:
            return 0.0
        now = time.monotonic()
        with self._lock:
            self._free = max(self._free or now, now - 0.25) + size / self.rate
            return self._free - now

    def step(self):
        return max(1, min(STEP, int(self.rate / 50))) if self.rate else STEP


def certificate(folder, *hosts):
    """A key and a certificate that vouches for itself, in one file, for these hosts and 127.0.0.1."""
    path = os.path.join(folder, "certificate.pem")
    names = ",".join([*(f"DNS:{host}" for host in hosts), "IP:127.0.0.1"])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=a test", "-addext", f"subjectAltName={names}", "-keyout", path + ".key",
                    "-out", path], check=True, capture_output=True)
    with open(path, "a", encoding="ascii") as whole, open(path + ".key", encoding="ascii") as key:
        whole.write(key.read())
    return path


class FileServer:
    """Serves what add() and route() put there. A thread for each connection; `requests` is the record."""

    def __init__(self, certificate=None, rate=0, send_buffer=0):
        """certificate: of certificate(), for https. rate: bytes per second of all connections together."""
        self.requests = []
        self.files, self.faults, self.routes = {}, {}, {}
        self.expired_status = 403  # of signed links; some storage says 400
        self.stopping = threading.Event()
        self.total = Pacer(rate)
        self._lock = threading.Lock()
        self._connections = {}
        self._accepted = 0
        self._links = {}
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        if send_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if certificate else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        with self._lock:
            open_now = list(self._connections.items())
        for connection in [self._listener, *(c for _, c in open_now)]:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(timeout=5)
        for thread, _ in open_now:
            thread.join(timeout=5)
        self._listener.close()

    # --- what there is ---

    def add(self, name, content=None, fault=None, **about):
        """Puts a file there: bytes, a Content, or a small valid safetensors (see `safetensors`).
        fault: one, or a list of which the first that applies is used. Returns (url, sha256)."""
        content = safetensors(name, **about) if content is None else content
        content = content if isinstance(content, Content) else Content(content)
        self.files["/" + name] = content
        if fault:
            self.faults["/" + name] = fault if isinstance(fault, list) else [fault]
        return f"{self.url}/{name}", content.sha256

    def route(self, path, answer):
        """answer(request) gives the Reply for that path."""
        self.routes[path] = answer

    def signed_link(self, name, requests=0, seconds=0.0):
        """A presigned link to the file: no key may come with it, and it ends after that."""
        with self._lock:
            number = len(self._links) + 1
            ends = time.monotonic() + seconds if seconds else None
            self._links[number] = [name, requests or None, ends]
        expires = int(seconds) or 3600
        return f"{self.url}/signed/{number}/{name}?X-Amz-Expires={expires}&X-Amz-Signature=feedc0de{number}"

    # --- what was asked ---

    def fetched(self, name):
        """The requests for that file."""
        with self._lock:
            return [r for r in self.requests if r.path.split("?")[0] == "/" + name]

    def asked(self, text):
        """The requests whose path has this in it."""
        with self._lock:
            return [r for r in self.requests if text in r.path]

    def bytes_sent(self, name):
        return sum(request.sent for request in self.fetched(name))

    def open_connections(self):
        with self._lock:
            return len(self._connections)

    # --- connections ---

    def _accept(self):
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            with self._lock:
                self._accepted += 1
                self._connections[thread] = connection
            thread.start()

    def _converse(self, connection):
        number = self._accepted
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(30)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._connections[threading.current_thread()] = connection
            with connection:
                received = b""
                while not self.stopping.is_set():
                    request, received = self._read_request(connection, received, number)
                    if request is None or not self._serve(connection, request):
                        return
        except (OSError, ValueError):
            pass  # the client has left, or speaks no HTTP
        finally:
            connection.close()
            with self._lock:
                self._connections.pop(threading.current_thread(), None)

    def _read_request(self, connection, received, number):
        while b"\r\n\r\n" not in received:
            more = connection.recv(65536)
            if not more:
                return None, b""
            received += more
        text, _, rest = received.partition(b"\r\n\r\n")
        lines = text.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            rest += connection.recv(65536)
        request = Request(method, path, headers, number)
        with self._lock:
            self.requests.append(request)
        return request, rest[length:]

    # --- answers ---

    def _fault_for(self, path, request):
        with self._lock:
            for fault in self.faults.get(path, []):
                if fault.when and not fault.when(request):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.times == 1:
                    self.faults[path].remove(fault)
                fault.times -= 1 if fault.times else 0
                return fault
        return Fault()

    def _serve(self, connection, request):
        """True when the connection can be used again."""
        path = request.path.split("?")[0]
        if path.startswith("/signed/"):
            refused, path = self._use_link(path, request)
        else:
            refused = None
        fault = self._fault_for(path, request)
        reply = refused or self._reply(path, request, fault)
        for name, value in fault.headers.items():
            reply.headers[name] = value
        request.status, request.begin = reply.status, reply.begin
        return Sending(self, connection, request, reply, fault).send()

    def _use_link(self, path, request):
        _, _, number, name = path.split("/", 3)
        with self._lock:
            link = self._links[int(number)]
            over = link[1] == 0 or (link[2] is not None and time.monotonic() > link[2])
            if link[1]:
                link[1] -= 1
        if over:
            return Reply.of(self.expired_status, EXPIRED, "application/xml"), path
        if "authorization" in request.headers:
            return Reply.of(400, TWO_KEYS, "application/xml"), path
        return None, "/" + name

    def _reply(self, path, request, fault):
        content = fault.content or self.files.get(path)
        if fault.redirect:
            return Reply.of(302, Location=fault.redirect)
        if fault.html:
            return Reply.of(200, LOGIN_PAGE, "text/html; charset=utf-8")
        if fault.status or fault.body:
            status = fault.status or 200
            return Reply.of(status, fault.body or json.dumps({"error": f"status {status}"}).encode(), fault.kind)
        if path in self.routes:
            return self.routes[path](request)
        if content is None:
            return Reply.json(404, {"error": "status 404"})
        return self._file(request, content, fault)

    def _file(self, request, content, fault):
        total = content.size - fault.cut_file
        first, last, status = 0, total - 1, 200
        headers = {"Content-Type": "application/octet-stream", "ETag": content.etag}
        if not fault.no_ranges:
            headers["Accept-Ranges"] = "bytes"
            if request.range:
                first, last, status = request.range[0], min(request.range[1] or total, total - 1), 206
                if first >= total:
                    return Reply.of(416, Content_Range=f"bytes */{total}")
                said = fault.range_total or total
                headers["Content-Range"] = f"bytes {first + fault.range_off_by}-{last + fault.range_off_by}/{said}"
        if request.headers.get("if-match", content.etag) != content.etag:
            return Reply.of(412)
        if fault.multipart:
            part = (b"--part\r\nContent-Range: bytes %d-%d/%d\r\n\r\n" % (first, last, total)
                    + content.bytes(first, last + 1) + b"\r\n--part--\r\n")
            return Reply.of(206, part, "multipart/byteranges; boundary=part")
        if fault.gzip:
            packed = gzip.compress(content.bytes(first, last + 1), 1)
            return Reply.of(status, packed, "application/octet-stream", Content_Encoding="gzip")
        headers["Content-Length"] = str(last - first + 1 + fault.length_off_by)
        return Reply(status, headers, content, first, last + 1)


class Sending:
    """One answer on its way."""

    def __init__(self, server, connection, request, reply, fault):
        self._server, self._connection, self._request = server, connection, request
        self._reply, self._fault = reply, fault
        self._own = Pacer(fault.bytes_per_second)

    def send(self):
        """True when the connection can be used again."""
        fault, reply = self._fault, self._reply
        if self._wait(fault.header_after):
            return False
        self._send_header()
        if self._request.method == "HEAD":
            return True
        limits = [limit for limit in (fault.stall_after, fault.truncate_after, fault.reset_after) if limit >= 0]
        end = min([reply.end, *(reply.begin + limit for limit in limits)])
        stalls = fault.stall_after >= 0 or 0 <= fault.stall_at < reply.end
        if stalls and fault.stall_at >= 0:
            end = min(end, max(fault.stall_at, reply.begin))
        cuts = [place for place in fault.truncate_at if reply.begin < place <= end]
        if cuts:
            end = min(cuts)
            fault.truncate_at.remove(end)
        self._send_body(end)
        if stalls:
            self._until_client_leaves()
        if fault.reset_after >= 0:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if limits or cuts or stalls:
            return False
        if fault.chunked:
            self._connection.sendall(b"0\r\n\r\n")
        if fault.extra:
            self._connection.sendall(fault.extra)
        if fault.http10 and self._server._tls:
            self._connection.unwrap()  # a proper end
        return not (fault.http10 or fault.extra or fault.length_off_by > 0)

    def _send_header(self):
        fault, reply = self._fault, self._reply
        headers = {name: value for name, value in reply.headers.items() if value is not None}
        if fault.chunked or fault.http10:
            headers.pop("Content-Length", None)
        if fault.chunked:
            headers["Transfer-Encoding"] = "chunked"
        if fault.http10:
            headers["Connection"] = "close"
        version, reason = "1.0" if fault.http10 else "1.1", http.client.responses.get(reply.status, "")
        lines = [f"HTTP/{version} {reply.status} {reason}", *(f"{n}: {value}" for n, value in headers.items()), "", ""]
        header = "\r\n".join(lines).encode("latin-1")
        if not fault.header_pause:
            return self._connection.sendall(header)
        for at in range(len(header)):
            self._connection.sendall(header[at : at + 1])
            if self._wait(fault.header_pause):
                raise ConnectionError("the server stops")

    def _send_body(self, end):
        step = min(self._own.step(), self._server.total.step())
        for piece in self._reply.content.pieces(self._reply.begin, end):
            for at in range(0, len(piece), step):
                part = piece[at : at + step]
                if self._wait(max(self._own.pause(len(part)), self._server.total.pause(len(part)))):
                    raise ConnectionError("the server stops")
                if self._fault.chunked:
                    self._connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
                else:
                    self._connection.sendall(part)
                self._request.sent += len(part)

    def _wait(self, seconds):
        return seconds > 0 and self._server.stopping.wait(seconds)

    def _until_client_leaves(self):
        self._connection.settimeout(0.1)
        while not self._server.stopping.is_set():
            try:
                if self._connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return

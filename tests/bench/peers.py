"""What the gateway is measured beside and with: nginx in one process, wrk, pinned cores, rounds."""

import dataclasses
import glob
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
from support.process import Process  # noqa: E402
from support.waiting import wait_until  # noqa: E402

SERVER_CORE, LOAD_CORE = "0", "1"
CONFIGURATION = """
daemon off; master_process off; worker_processes 1; error_log stderr warn; pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_timeout 600s; keepalive_requests 1000000000; client_max_body_size 32m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{port};
        location = /fixed {{ default_type application/json; return 200 '{body}'; }}
        location /files/ {{ alias {files}/; default_type application/json; sendfile on; tcp_nopush on; }}
        {proxy}
    }}
}}
"""


def pinned(core):
    return ("taskset", "-c", core)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Nginx(Process):
    """One process; answers /fixed with `body` and /files/ from a folder, hands everything else to upstream_port with
    keep-alive."""

    def __init__(self, body="{}", upstream_port=None, files="/nonexistent", core=SERVER_CORE):
        self._folder = tempfile.TemporaryDirectory(prefix="bench-nginx-")
        self.port = free_port()
        upstream = proxy = ""
        if upstream_port:
            upstream = f"upstream behind {{ server 127.0.0.1:{upstream_port}; keepalive 64; }}"
            proxy = ('location / { proxy_pass http://behind; proxy_http_version 1.1; '
                     'proxy_set_header Connection ""; } '
                     'location /behind/ { proxy_pass http://behind/files/; proxy_http_version 1.1; '
                     'proxy_set_header Connection ""; }')
        path = os.path.join(self._folder.name, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(folder=self._folder.name, port=self.port, body=body, upstream=upstream,
                                            proxy=proxy, files=files))
        super().__init__([*pinned(core), "/usr/sbin/nginx", "-c", path, "-p", self._folder.name], "nginx")
        wait_until(lambda: accepts(self.port) or self.exit_code is not None, 10, "nginx listens")

    def stop(self, timeout=15.0):
        code = super().stop(timeout)
        self._folder.cleanup()
        return code


def on_cpu_seconds(process):
    """Time that all its threads have spent on a core, to the nanosecond."""
    total = 0
    for path in glob.glob(f"/proc/{process.pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


@dataclasses.dataclass
class Load:
    """What wrk saw."""

    requests: int
    bytes_read: float
    p99: float  # seconds

    @classmethod
    def from_report(cls, text):
        value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", text).groups()
        seconds = float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]
        count, size, prefix = re.search(r"(\d+) requests in .*, ([\d.]+)([KMG]?)B read", text).groups()
        return cls(int(count), float(size) * 1024 ** " KMG".index(prefix or " "), seconds)


def wrk(url, seconds, connections=64, body=None):
    """GETs, or POSTs of one JSON body, for that time, all answered with 2xx."""
    script = []
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if body is not None:
            file.write(f"wrk.method = 'POST'\nwrk.body = [==[{body}]==]\n"
                       "wrk.headers['Content-Type'] = 'application/json'\n")
            file.flush()
            script = ["-s", file.name]
        done = subprocess.run([*pinned(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                               "--timeout", "30s", *script, url],
                              capture_output=True, text=True, timeout=seconds + 60, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise AssertionError(f"wrk saw errors at {url}:\n{done.stdout}")
    return Load.from_report(done.stdout)


def interleaved(rounds, *measurements):
    """Runs the measurements in turn, so many rounds, each round beginning with another one; a row each."""
    table = []
    for number in range(rounds):
        row = [None] * len(measurements)
        for place in range(len(measurements)):
            at = (number + place) % len(measurements)
            row[at] = measurements[at]()
        table.append(row)
        if number % max(rounds // 10, 1) == 0:
            print(".", end="", file=sys.stderr, flush=True)
    return table


def median(values):
    return statistics.median(values)


def histogram(gateway, name):
    """The buckets of a histogram of /metrics: {upper bound: count}."""
    text = gateway.client.get("/metrics").text
    found = re.findall(rf'^{name}_bucket{{.*?le="([^"]+)".*?}} (\S+)$', text, re.MULTILINE)
    return {float(bound): float(count) for bound, count in found}


def quantile_bound(buckets, share):
    """The least upper bound in a histogram under which at least that share lies; None when it is empty."""
    total = max(buckets.values(), default=0)
    if total == 0:
        return None
    return min(bound for bound, count in buckets.items() if count >= share * total)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    version = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=False).stderr
    return (f"{model.group(1).strip() if model else os.uname().machine}, {os.cpu_count()} cores, "
            f"Linux {os.uname().release}, {version.strip().rpartition(' ')[2]}")

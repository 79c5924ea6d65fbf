"""The gateway and the simulator as real processes on free ports of 127.0.0.1, with folders of their own."""

import json
import os
import re
import shutil
import tempfile

from . import contract
from .http_client import Client
from .process import Process
from .servers import safetensors
from .waiting import wait_until

TERMINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}
# {"msg":"listening","address":"127.0.0.1:8000",…} · simulate: a1111-1.10 on http://127.0.0.1:7861
_LISTENING = re.compile(r'(?:"msg":\s*"listening".*"127\.0\.0\.1:|simulate: .* on http://127\.0\.0\.1:)(\d+)')


def nobody():
    """The URL of a WebUI that does not exist: jobs stay queued."""
    return "http://127.0.0.1:9"


def add_model(models_dir, name, kind="checkpoint", mib=0.1):
    """Puts a valid model file where a WebUI looks for it."""
    folder = os.path.join(models_dir, {"checkpoint": "Stable-diffusion", "lora": "Lora"}[kind])
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{name}.safetensors")
    with open(path, "wb") as file:
        file.write(safetensors(name, kind, mib))
    return path


def program():
    """The binary under test."""
    path = os.environ.get("GATEWAY_PROGRAM", "")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"GATEWAY_PROGRAM names no program: '{path}'")
    return path


def _listening(line):
    """The port in the line with which a program says where it listens, else None."""
    found = _LISTENING.search(line)
    return int(found.group(1)) if found else None


class _Server(Process):
    def __init__(self, arguments, name, environment=None, startup=20.0, prefix=()):
        super().__init__([*prefix, program(), *arguments], name, environment)
        try:
            self.port = self.wait_for_line(_listening, startup, "where it listens")
        except BaseException:
            self.kill()
            raise
        self.url = f"http://127.0.0.1:{self.port}"

    def log(self, **wanted):
        """Its JSON log lines, those with these fields only."""
        found = []
        for line in list(self.lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and all(entry.get(name) == value for name, value in wanted.items()):
                found.append(entry)
        return found


class Simulator(_Server):
    """`webui-gateway simulate`, fast and with one checkpoint, "base", unless told otherwise.
    options: {"dialect": "forge", "fault": "…", "no_hashing": True}."""

    def __init__(self, port=0, models_dir=None, prefix=(), **options):
        self._own_dir = None if models_dir else tempfile.mkdtemp(prefix="simulator-")
        self.models_dir = models_dir or self._own_dir
        if self._own_dir:
            add_model(self.models_dir, "base")
        options = {"speed": 100, **options}
        arguments = ["simulate", "--listen", f"127.0.0.1:{port}", "--models-dir", self.models_dir]
        for name, value in options.items():
            flag = f"--{name.replace('_', '-')}"
            if value is True:
                arguments += [flag]
            elif value is not False:
                arguments += [flag, str(value)]
        super().__init__(arguments, "simulator", prefix=prefix)
        self.client = Client(self.url)

    def stop(self, timeout=15.0):
        code = super().stop(timeout)
        if self._own_dir:
            shutil.rmtree(self._own_dir, ignore_errors=True)
        return code


class Gateway(_Server):
    """`webui-gateway serve`. Every answer to its client is held against proto/openapi.yaml.

    webuis: URLs; simulate: how many simulators it starts itself; settings: {"retry.interval": "50ms"};
    prefix: a command that runs it, as taskset does. Its simulators are fast and have a checkpoint, "base".
    The data folder outlives restart() and goes with close() or the with statement."""

    def __init__(self, webuis=(), simulate=0, settings=None, flags=(), data_dir=None, port=0, environment=None,
                 check_contract=True, prefix=()):
        self._own_dir = None if data_dir else tempfile.mkdtemp(prefix="gateway-")
        self.data_dir = data_dir or os.path.join(self._own_dir, "data")
        self._made_with = {"webuis": webuis, "simulate": simulate, "settings": settings, "flags": flags,
                           "environment": environment, "check_contract": check_contract, "prefix": prefix}
        arguments = ["serve", "--listen", f"127.0.0.1:{port}", "--data-dir", self.data_dir]
        for url in webuis:
            arguments += ["--webui", url]
        self.models_dir = os.path.join(os.path.dirname(self.data_dir), "models")
        defaults = {"models.dir": self.models_dir}
        if simulate:
            arguments += [f"--simulate={simulate}"]
            defaults["simulate.speed"] = 20
            if not os.path.exists(self.models_dir):
                add_model(self.models_dir, "base")
        for key, value in {**defaults, **(settings or {})}.items():
            arguments += ["--set", f"{key}={value}"]
        super().__init__([*arguments, *flags], "gateway", environment, prefix=prefix)
        self.client = Client(self.url, on_answer=contract.check if check_contract else None)

    def __exit__(self, *_):
        self.close()

    def close(self):
        code = self.stop()
        if self._own_dir:
            shutil.rmtree(self._own_dir, ignore_errors=True)
        return code

    def restarted(self, **changed):
        """A new process over the same data, on the same port; this one must have ended."""
        assert self.exit_code is not None, "stop() or kill() it first"
        again = Gateway(**{**self._made_with, **changed}, data_dir=self.data_dir, port=self.port)
        again._own_dir, self._own_dir = self._own_dir, None
        return again

    def wait_until_ready(self, timeout=30.0):
        """Until some backend can take a job."""

        def a_worker_is_ready():
            workers = self.client.get("/health").json["workers"]
            return workers["idle"] + workers["ready"] + workers["running"] > 0

        wait_until(a_worker_is_ready, timeout)
        return self

    def run(self, job_input, **more):
        """Submits a job; returns its id."""
        answer = self.client.post("/run", {"input": job_input, **more})
        assert answer.status == 200, str(answer)
        return answer.json["id"]

    def status(self, job_id):
        answer = self.client.get(f"/status/{job_id}")
        assert answer.status == 200, str(answer)
        return answer.json

    def wait_for(self, job_id, states=TERMINAL, timeout=30.0):
        """Polls until the job is in one of these states; returns its whole view."""
        last = {}

        def it_is_there():
            last.update(self.status(job_id))
            return last["status"] in states

        try:
            wait_until(it_is_there, timeout, interval=0.05)
        except AssertionError as failure:
            raise AssertionError(f"job {job_id} never became {sorted(states)}; last: {last}") from failure
        return self.status(job_id)

    def metric(self, name, **labels):
        """Sum of the samples of /metrics with this name and at least these labels."""
        total, found = 0.0, False
        for line in self.client.get("/metrics").text.splitlines():
            sample = re.match(r"([\w:]+)(?:\{(.*)\})? (\S+)", line)
            if not sample or sample.group(1) != name:
                continue
            having = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', sample.group(2) or ""))
            if all(having.get(key) == value for key, value in labels.items()):
                total, found = total + float(sample.group(3)), True
        assert found, f"/metrics has no {name} with {labels}"
        return total

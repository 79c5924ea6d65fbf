"""What a test of jobs needs: gateways and simulators that end with the test, quick settings, small pictures."""

import base64
import json
import os
import shutil
import struct
import tempfile
import unittest
import zlib

from .programs import Gateway, Simulator, add_model
from .waiting import wait_until

# The program's waits, shortened as far as the settings allow.
QUICK = {
    "webui.settle": "50ms",
    "webui.port_interval": "50ms",
    "webui.route_interval": "50ms",
    "webui.get_backoff": "10ms",
    "webui.progress_interval": "100ms",
    "webui.unregistered_interval": "100ms",
    "recovery.wait": "50ms",
    "recovery.settle": "50ms",
    "retry.interval": "50ms",
    "models.after_download_settle": "50ms",
    "download.backoff": "50ms",
}

# A step of a 64×64 picture takes 10 ms whatever else is sped up: a job of 100 steps lasts a second.
SPEED = 100
STEP_MS = 10 * 256 * SPEED


def picture(prompt="a cat", steps=2, **more):
    """The input of a small job; each step takes the simulator 10 ms."""
    return {"prompt": prompt, "steps": steps, "width": 64, "height": 64, **more}


def routed(method, endpoint, payload=None):
    """The input that names a route of the WebUI."""
    return {"api": {"method": method, "endpoint": endpoint}, "payload": payload or {}}


def long_job(prompt="a long one", **more):
    """A job that runs until somebody stops it: 40 s."""
    return picture(prompt, **{"steps": 1000, "width": 128, "height": 128, **more})


def png_text(data, key="parameters"):
    """The text chunk of a PNG with this key; AssertionError when the bytes are no whole PNG."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:16]
    at, found, kinds = 8, None, []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        kind, content = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length:at + 12 + length])
        assert zlib.crc32(kind + content) == checksum, f"chunk {kind} is damaged"
        kinds.append(kind)
        if kind in (b"tEXt", b"iTXt") and content.split(b"\0", 1)[0] == key.encode():
            found = content.split(b"\0", 1)[1].lstrip(b"\0").decode("utf-8", "replace")
        at += 12 + length
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND", kinds
    return found


def images_of(view):
    """The pictures of a finished job, as bytes."""
    return [base64.b64decode(image, validate=True) for image in view["output"]["images"]]


def info_of(view):
    return json.loads(view["output"]["info"])


class LoggedSimulator(Simulator):
    """A simulator that also writes down every generation it begins and ends."""

    def __init__(self, folder, log_file, port=0, **options):
        self.log_file = log_file
        self._made_with = options
        super().__init__(port=port, models_dir=folder,
                         **{"speed": SPEED, "step_ms": STEP_MS, "log_file": log_file, **options})

    def events(self, kind=None):
        if not os.path.exists(self.log_file):
            return []
        with open(self.log_file, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if kind is None or line["event"] == kind]

    def generations(self, seed):
        """Every run of the job with this seed, over all lives of the simulator: its "begin", and its "end", if any."""
        ends = {(end["pid"], end["n"]): end for end in self.events("end")}
        return [(begin, ends.get((begin["pid"], begin["n"]))) for begin in self.events("begin")
                if begin["seed"] == seed]

    def outcomes(self, seed):
        """How each run of the job with this seed ended; None: not yet, or killed."""
        return [end and end["outcome"] for _, end in self.generations(seed)]

    def wait_until_drawing(self, seed, timeout=20):
        """Until a job with this seed runs."""
        wait_until(lambda: None in self.outcomes(seed), timeout, f"the job with seed {seed} is running")

    def restarted(self, **changed):
        """A new process on the same port with the same folders; this one must have ended."""
        assert self.exit_code is not None, "stop() or kill() it first"
        options = {**self._made_with, **changed}
        return LoggedSimulator(self.models_dir, self.log_file, port=self.port, **options)


class JobCase(unittest.TestCase):
    """Starts programs that end with the test, however it ends."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="e2e-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self._simulators = 0

    def simulator(self, models_dir=None, **options):
        """A WebUI with the checkpoint "base"."""
        self._simulators += 1
        folder = models_dir or os.path.join(self.folder, f"models-{self._simulators}")
        if not os.path.exists(os.path.join(folder, "Stable-diffusion")):
            add_model(folder, "base")
        log_file = os.path.join(self.folder, f"simulator-{self._simulators}.jsonl")
        started = LoggedSimulator(folder, log_file, **options)
        self.addCleanup(started.stop)
        return started

    def restarted(self, ended, **changed):
        """A program like the one that has ended, on the same port with the same files."""
        again = ended.restarted(**changed)
        self.addCleanup(again.close if isinstance(again, Gateway) else again.stop)
        return again

    def gateway(self, *webuis, ready=True, settings=None, **more):
        """A gateway before these simulators (or URLs), with short waits."""
        urls = [webui if isinstance(webui, str) else webui.url for webui in webuis]
        started = Gateway(urls, settings={**QUICK, **(settings or {})}, **more)
        self.addCleanup(started.close)
        if ready:
            started.wait_until_ready()
        return started

    def pair(self, settings=None, gateway=None, **options):
        """A gateway that shares the model folders of its one simulator, both ready."""
        webui = self.simulator(**options)
        settings = {"models.dir": webui.models_dir, **(settings or {})}
        return self.gateway(webui, settings=settings, **(gateway or {})), webui

    def assert_completes(self, gateway, job, timeout=30):
        """`job`: an id, or the input of a new job. Returns its view."""
        job_id = job if isinstance(job, str) else gateway.run(job)
        view = gateway.wait_for(job_id, timeout=timeout)
        self.assertEqual(view["status"], "COMPLETED", view)
        for image in images_of(view):
            self.assertIn("Steps:", png_text(image))
        return view

    def assert_fails(self, gateway, job, reason, timeout=30):
        """Its `error` must match the regular expression `reason`. Returns its view."""
        job_id = job if isinstance(job, str) else gateway.run(job)
        view = gateway.wait_for(job_id, timeout=timeout)
        self.assertEqual(view["status"], "FAILED", {**view, "output": "…"})
        self.assertNotIn("output", view)
        self.assertRegex(view["error"], reason)
        return view

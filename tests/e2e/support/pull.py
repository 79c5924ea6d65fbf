"""`webui-gateway models pull` against servers that misbehave."""

import hashlib
import os
import shutil
import subprocess

import tempfile
import unittest
from dataclasses import dataclass

from .programs import program
from .servers import FileServer, certificate
from .waiting import PATIENCE

# The downloader's waits, shortened.
QUICK = {
    "download.backoff": "10ms",
    "download.max_backoff": "50ms",
    "download.stall_timeout": "500ms",
    "download.header_timeout": "1s",
    "download.retries": 3,
}
FOLDERS = {"checkpoint": "Stable-diffusion", "lora": "Lora", "vae": "VAE", "embedding": "embeddings"}


@dataclass
class Pulled:
    code: int
    output: str
    path: str  # where the file must be

    def bytes(self):
        with open(self.path, "rb") as file:
            return file.read()


class PullCase(unittest.TestCase):
    """Each test has a models folder and a data folder of its own; servers end with it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._shared = tempfile.mkdtemp(prefix="pull-tls-")
        cls.addClassCleanup(shutil.rmtree, cls._shared, ignore_errors=True)
        cls._certificate = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pull-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.models = os.path.join(self.folder, "models")
        self.hosts = {}  # "name:443": server

    @classmethod
    def certificate(cls):
        """For every name that the tests use; made once."""
        if not cls._certificate:
            cls._certificate = certificate(cls._shared, "huggingface.co", "cdn.hf.co", "civitai.com", "b2.civitai.com",
                                           "models.example", "other.example")
        return cls._certificate

    def server(self, tls=False, kind=FileServer, host=None, **how):
        """host: the name by which it is known, over https at port 443."""
        made = kind(certificate=self.certificate() if tls or host else None, **how)
        self.addCleanup(made.stop)
        if host:
            self.hosts[f"{host}:443"] = made
        return made

    def arguments(self, url, name, kind="checkpoint", sha256=None, settings=None, flags=(), data="data"):
        chosen = {**QUICK, "data.dir": os.path.join(self.folder, data), **(settings or {})}
        if self._certificate:
            chosen["net.ca_file"] = self._certificate
        if self.hosts:
            chosen["net.resolve"] = ",".join(f"{host}={server.host}" for host, server in self.hosts.items())
        arguments = [program(), "models", "pull", "--kind", kind, "--name", name, "--models-dir", self.models]
        arguments += ["--sha256", sha256] if sha256 else []
        for key, value in chosen.items():
            arguments += ["--set", f"{key}={value}"]
        return [*arguments, *flags, url]

    def start(self, url, name="dream", environment=None, allow=True, **more):
        """The running program. allow: plain http and this address are all right."""
        flags = list(more.pop("flags", ()))
        if allow and url.startswith(("http://127.", "https://127.")):
            flags += ["--allow-host", url.split("/")[2]]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "CIVITAI_"))}
        return subprocess.Popen(self.arguments(url, name, flags=flags, **more), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env={**clean, **(environment or {})})

    def pull(self, url, name="dream", kind="checkpoint", timeout=20, **more):
        running = self.start(url, name, kind=kind, **more)
        try:
            output, _ = running.communicate(timeout=timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            output, _ = running.communicate()
            self.fail(f"the pull of {url} did not end within {timeout} s; it said:\n{output}")
        return Pulled(running.returncode, output, self.path(name, kind))

    def path(self, name="dream", kind="checkpoint"):
        return os.path.join(self.models, FOLDERS[kind], name + ".safetensors")

    def left_over(self, kind="checkpoint"):
        """What lies in the folder beside model files."""
        folder = os.path.join(self.models, FOLDERS[kind])
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        return [name for name in names if not name.endswith(".safetensors")]

    def assert_there(self, pulled, content):
        """It succeeded, the file is right, and nothing else is left."""
        self.assertEqual(pulled.code, 0, pulled.output)
        self.assertEqual(hashlib.sha256(pulled.bytes()).hexdigest(), content.sha256)
        self.assertEqual(self.left_over(), [])

    def assert_refused(self, pulled, reason):
        """It failed for that reason, and there is nothing that a WebUI would list."""
        self.assertNotEqual(pulled.code, 0, pulled.output)
        self.assertRegex(pulled.output, reason)
        self.assertFalse(os.path.exists(pulled.path), "a refused file has its final name")
        for name in self.left_over():
            self.assertRegex(name, r"\.(part|meta|tmp|lock)$")



"""A backlog of 200 jobs over 12 checkpoints and 30 LoRAs, how long a GPU must at least be idle over it, and two
ways to work it off. trace.json beside this file is what generate() made; times and sizes are those of a real GPU
and of SDXL files, and are scaled together.

The bound. All jobs wait from the start, files come over one link of a given rate, one GPU works. Whatever the order:

  1. With b bytes here, the GPU can have worked at most W(b), the largest work of jobs whose files have at most b
     bytes together. So at the time t = b / rate it has been idle for at least t - W(b). W is taken over all 4096
     sets of checkpoints, with LoRAs for nothing, which can only make the bound lower.
  2. The last file is here when all bytes are, and jobs that need it run after that. So the end is not before
     all bytes / rate + the work that needs that file, and the idle time is that less all work; for the file with
     which this is least.

The bound is the larger of the two. Loading a model takes no time here (load_s_per_gb = 0): work is the same
in every order, and idle is simply what is left of the time to the last picture."""

import itertools
import json
import os
import random
import time
from dataclasses import dataclass, field

from .http_client import Client
from .servers import Content, FileServer
from .waiting import wait_until

_HERE = os.path.dirname(os.path.abspath(__file__))
SEED = 28
SAMPLED_AT_ONCE = 64  # width and height of the pictures; a step takes as long as the trace says


@dataclass
class Trace:
    seed: int
    files: dict  # name: {"kind", "megabytes"}
    jobs: list  # {"checkpoint", "loras", "seconds"}, in the order in which they are submitted

    @property
    def work(self):
        """Seconds that the GPU works."""
        return sum(job["seconds"] for job in self.jobs)

    @property
    def megabytes(self):
        return sum(file["megabytes"] for file in self.files.values())

    def rate(self, demand):
        """Megabytes per second with which downloads take `demand` times as long as the GPU works."""
        return self.megabytes / (demand * self.work)

    def idle_bound(self, rate):
        """Seconds that the GPU is idle in any order (see above)."""
        return max(self._before_files(rate), self._after_the_last(rate))

    def _before_files(self, rate):
        work, size = {}, {}
        for job in self.jobs:
            work[job["checkpoint"]] = work.get(job["checkpoint"], 0) + job["seconds"]
        for name in work:
            size[name] = self.files[name]["megabytes"]
        sets = [subset for count in range(len(work) + 1) for subset in itertools.combinations(work, count)]
        steps = sorted((sum(size[n] for n in subset), sum(work[n] for n in subset)) for subset in sets)
        idle, most = 0.0, 0.0
        for megabytes, enabled in steps:
            idle = max(idle, megabytes / rate - most)
            most = max(most, enabled)
        return idle

    def _after_the_last(self, rate):
        needs = {name: sum(job["seconds"] for job in self.jobs if name in files_of(job)) for name in self.files}
        return self.megabytes / rate + min(needs.values()) - self.work


def files_of(job):
    return [job["checkpoint"], *job["loras"]]


def generate(seed=SEED, jobs=200, checkpoints=12, loras=30):
    """Popular and rare models, as in any community: the n-th is wanted 1/n as often as the first."""
    chance = random.Random(seed)
    files = {f"checkpoint-{n}": {"kind": "checkpoint", "megabytes": 6940} for n in range(checkpoints)}
    files.update({f"lora-{n}": {"kind": "lora", "megabytes": chance.choice([23, 57, 85, 114, 171, 228])}
                  for n in range(loras)})
    names = {kind: [n for n, file in files.items() if file["kind"] == kind] for kind in ("checkpoint", "lora")}
    weights = {kind: [1 / (place + 1) for place in range(len(names[kind]))] for kind in names}
    made = []
    for _ in range(jobs):
        (checkpoint,) = chance.choices(names["checkpoint"], weights["checkpoint"])
        wanted = chance.choices(names["lora"], weights["lora"], k=chance.choice([0, 0, 1, 1, 2]))
        made.append({"checkpoint": checkpoint, "loras": sorted(set(wanted)), "seconds": chance.choice([2, 3, 4])})
    for name in files:  # every file is wanted by somebody
        if not any(name in files_of(job) for job in made):
            job = made[chance.randrange(jobs // 2, jobs)]
            if files[name]["kind"] == "checkpoint":
                job["checkpoint"] = name
            else:
                job["loras"] = sorted({*job["loras"], name})
    used = {name for job in made for name in files_of(job)}
    return Trace(seed, {name: file for name, file in files.items() if name in used}, made)


def committed():
    with open(os.path.join(_HERE, "trace.json"), encoding="utf-8") as file:
        return Trace(**json.load(file))


def save(trace):
    about = {"seed": trace.seed, "files": trace.files, "jobs": trace.jobs}
    text = json.dumps(about, separators=(", ", ": "))
    text = text.replace('"files": {', '"files": {\n ').replace("}, ", "},\n ").replace('"jobs": [', '"jobs": [\n ')
    with open(os.path.join(_HERE, "trace.json"), "w", encoding="utf-8") as file:
        file.write(text + "\n")


@dataclass
class Scale:
    """How a trace is played: one of its seconds takes `time` seconds, one of its megabytes is `size` bytes."""

    time: float
    size: int
    demand: float


@dataclass
class Played:
    idle: float  # seconds of the trace that the GPU was idle
    took: float  # seconds of the trace until the last picture
    fetched: dict = field(default_factory=dict)  # name: bytes that the server sent


class Files(FileServer):
    """Serves the files of a trace at the rate that the scale asks for."""

    def __init__(self, trace, scale):
        super().__init__(rate=trace.rate(scale.demand) * scale.size / scale.time)
        self.sha256 = {}
        for seed, (name, file) in enumerate(trace.files.items()):
            content = Content.model(file["megabytes"] * scale.size, seed, file["kind"])
            _, self.sha256[name] = self.add(name, content)


def simulator_options(scale, steps_per_second=10):
    """Of a simulator in which the pictures of picture_of() take their time, and loading none."""
    megapixels = SAMPLED_AT_ONCE**2 / 1e6
    return {"speed": 1, "step_ms": 1000 * scale.time / steps_per_second / megapixels, "base_ms": 0,
            "load_s_per_gb": 0, "refresh_ms": 0, "no_hashing": True, "boot_s": 0}


def picture_of(job, number, steps_per_second=10):
    """The parameters of txt2img."""
    return {"prompt": f"picture {number}", "seed": number, "steps": round(job["seconds"] * steps_per_second),
            "width": SAMPLED_AT_ONCE, "height": SAMPLED_AT_ONCE}


def played(simulator, begun, scale, files, trace):
    begins, ends = simulator.events("begin"), simulator.events("end")
    mine = {line["n"] for line in begins if line["time"] >= begun}
    busy = sum(line["time"] for line in ends if line["n"] in mine)
    busy -= sum(line["time"] for line in begins if line["n"] in mine)
    took = max(line["time"] for line in ends) - begun
    # Each picture takes a little longer than planned; that is work, not waiting.
    return Played((took - busy) / scale.time, took / scale.time,
                  {name: files.bytes_sent(name) for name in trace.files})


def with_gateway(trace, scale, simulator, gateway, files, patience):
    """All jobs at once to the gateway, which finds its own order."""
    begun = time.time()
    ids = []
    for number, job in enumerate(trace.jobs):
        models = [{"name": name, "url": f"{files.url}/{name}", "hash": files.sha256[name]} for name in files_of(job)]
        ids.append(gateway.run({**picture_of(job, number), "checkpoint": models[0], "loras": models[1:]}))
    wait_until(lambda: len(simulator.events("end")) >= len(ids), patience, "all pictures are drawn", interval=0.5)
    states = {gateway.wait_for(job)["status"] for job in ids}
    assert states == {"COMPLETED"}, states
    return played(simulator, begun, scale, files, trace)


def one_by_one(trace, scale, simulator, files):
    """As the original handler did: fetch what the job needs, then run it, then the next one."""
    begun = time.time()
    client = Client(simulator.url, timeout=600)
    have = set()
    for number, job in enumerate(trace.jobs):
        for name in files_of(job):
            if name not in have:
                _fetch(f"{files.url}/{name}", simulator.models_dir, trace.files[name]["kind"], name, client)
                have.add(name)
        prompt = "".join(f"<lora:{name}:1>" for name in job["loras"])
        body = {**picture_of(job, number), "override_settings": {"sd_model_checkpoint": job["checkpoint"]}}
        answer = client.post("/sdapi/v1/txt2img", {**body, "prompt": prompt + body["prompt"]})
        assert answer.status == 200, str(answer)
    return played(simulator, begun, scale, files, trace)


def _fetch(url, models_dir, kind, name, client):
    folder = os.path.join(models_dir, {"checkpoint": "Stable-diffusion", "lora": "Lora"}[kind])
    os.makedirs(folder, exist_ok=True)
    host, _, path = url.partition("//")[2].partition("/")
    with open(os.path.join(folder, name + ".safetensors"), "wb") as file:
        file.write(Client(f"http://{host}", timeout=600).get("/" + path).body)
    client.post("/sdapi/v1/refresh-checkpoints" if kind == "checkpoint" else "/sdapi/v1/refresh-loras", {})


if __name__ == "__main__":
    save(generate())

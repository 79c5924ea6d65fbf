"""Results of 20 MB: how fast they are read back out of the spool, beside nginx, and what memory that takes."""

import math
import os
import threading

import peers
from peers import Nginx, interleaved, median, on_cpu_seconds, pinned, wrk

from support.programs import Gateway, Simulator
from support.waiting import wait_until

MIB = 1024 * 1024
CLIENTS = 64


def request(client, wanted=500_000):
    """A txt2img body whose reply has about that many bytes."""
    pictures = max(1, round(wanted / 5_000_000))
    side = 256
    for _ in range(6):
        body = {"prompt": "a lighthouse above the clouds", "steps": 1, "width": side, "height": side, "seed": 7}
        size = len(client.post("/sdapi/v1/txt2img", body, timeout=60).body) * pictures
        if abs(size - wanted) < 0.1 * wanted:
            break
        side = max(64, min(2048, round(side * math.sqrt(wanted / size) / 8) * 8))
    return {**body, "batch_size": pictures}, size


class HighWater:
    """The largest RSS of a process while the block ran."""

    def __init__(self, process):
        self._process, self._over, self.bytes = process, threading.Event(), 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.02):
            self.bytes = max(self.bytes, self._process.rss_bytes())


def fetch(process, url, seconds):
    """(bytes per second, CPU seconds per GB) while 64 clients fetch the same bytes again and again."""
    before = on_cpu_seconds(process)
    fetched = wrk(url, seconds, CLIENTS).bytes_read
    return fetched / seconds, (on_cpu_seconds(process) - before) / (fetched / 1e9)


def bench_pictures(results, options):
    """GET /status of a job with a result of 20 MB, beside nginx's proxy_pass and nginx with the same bytes in a
    file."""
    with options.scratch() as folder, Simulator(prefix=pinned(peers.LOAD_CORE), speed=1000) as simulator:
        wait_until(lambda: simulator.client.get("/sdapi/v1/txt2img").status == 405, 60, "the simulator is up")
        body, _ = request(simulator.client, options.picture_bytes)
        settings = {"webui.settle": "0s"}
        with Gateway([simulator.url], prefix=pinned(peers.SERVER_CORE), data_dir=os.path.join(folder, "data"),
                     settings=settings, check_contract=False) as gateway:
            gateway.wait_until_ready(60)
            job = gateway.run(body)
            gateway.wait_for(job, timeout=120)
            target = f"/status/{job}"
            answer = gateway.client.get(target).body
            with open(os.path.join(folder, "answer"), "wb") as file:
                file.write(answer)
            os.chmod(folder, 0o755)
            before = gateway.rss_bytes()
            with Nginx(files=folder, core=peers.LOAD_CORE) as origin, \
                    Nginx(upstream_port=origin.port, files=folder) as nginx, HighWater(gateway) as water:
                at = f"http://127.0.0.1:{nginx.port}"
                measured = interleaved(
                    options.rounds,
                    lambda: fetch(nginx, f"{at}/files/answer", options.seconds),
                    lambda: fetch(nginx, f"{at}/behind/answer", options.seconds),
                    lambda: fetch(gateway, gateway.url + target, options.seconds),
                )
            results.keep_times(gateway)
    cells = [f"{median([row[at][0] for row in measured]) / 1e6:.0f} MB/s, "
             f"{median([row[at][1] for row in measured]):.2f} s CPU per GB" for at in range(3)]
    ratio = median([ours[0] / proxied[0] for _, proxied, ours in measured])
    results.add(f"GET /status with a result of {len(answer) / 1e6:.0f} MB, {CLIENTS} clients", cells[1], cells[2],
                f"{ratio:.2f} x proxy_pass; a plain file from nginx: {cells[0]}", ">= 1 x", ratio >= 1)
    results.add("RSS meanwhile, over that before", "", f"{(water.bytes - before) / MIB:.1f} MiB",
                f"{before / MIB:.1f} MiB before", "<= 32 MiB", water.bytes - before <= 32 * MIB)

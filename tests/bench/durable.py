"""The durable queue: POST /run of a 1 kB job beside nginx's `return 200`, empty and a million jobs deep; what such a
queue takes of memory; how long a start over it takes."""

import json
import os
import time

import peers
from peers import Nginx, interleaved, median, on_cpu_seconds, pinned, wrk

from support.programs import Gateway, nobody

MIB = 1024 * 1024
JOB_BYTES = 1000
ROOM = {"jobs.max_queued": 20_000_000, "jobs.max_queued_bytes": "100GiB"}


def job_body(size=JOB_BYTES):
    """A run request of that many bytes."""
    empty = json.dumps({"input": {"prompt": ""}})
    return json.dumps({"input": {"prompt": "x" * (size - len(empty))}})


def queued(gateway):
    return gateway.client.get("/health").json["jobs"]["inQueue"]


def empty_gateway(folder, name):
    """A gateway whose WebUI does not exist: what is sent to it stays queued, on the disk of `folder`."""
    return Gateway([nobody()], prefix=pinned(peers.SERVER_CORE), data_dir=os.path.join(folder, name), settings=ROOM,
                   check_contract=False)


def submit(process, url, seconds, connections):
    """(CPU seconds per request, requests per second, p99 in seconds) of POSTs of one job body."""
    before = on_cpu_seconds(process)
    done = wrk(url, seconds, connections, job_body())
    return (on_cpu_seconds(process) - before) / done.requests, done.requests / seconds, done.p99


def cells(measured, at):
    """CPU, rate and p99 of the contender in that column, medians."""
    cpu, rate, p99 = (median([row[at][number] for row in measured]) for number in range(3))
    return f"{cpu * 1e6:.1f} us, {rate / 1000:.1f} k/s, p99 {p99 * 1e3:.1f} ms"


def bench_submit(results, options):
    """Jobs taken per second, CPU per job and the slowest hundredth, with 16, 64 and 256 clients."""
    goals = {16: None, 64: 0.25, 256: 0.4}
    with options.scratch() as folder, empty_gateway(folder, "submit") as gateway, Nginx() as nginx:
        for clients, goal in goals.items():
            measured = interleaved(
                options.rounds,
                lambda: submit(nginx, f"http://127.0.0.1:{nginx.port}/fixed", options.seconds, clients),
                lambda: submit(gateway, gateway.url + "/run", options.seconds, clients),
            )
            ratio = median([ours[1] / theirs[1] for theirs, ours in measured])
            cpu = median([ours[0] / theirs[0] for theirs, ours in measured])
            results.add(f"durable POST /run of 1 kB, {clients} clients", cells(measured, 0), cells(measured, 1),
                        f"{ratio:.2f} x nginx's rate, {cpu:.1f} x its CPU", f">= {goal} x" if goal else "",
                        ratio >= goal if goal else None)
            slowest = median([ours[2] for _, ours in measured])
            results.add(f"p99 of the same, {clients} clients", "", f"{slowest * 1e3:.1f} ms", "", "< 50 ms",
                        slowest < 0.05)
        results.keep_times(gateway)


def fill(gateway, depth):
    """Queues at least that many jobs."""
    while queued(gateway) < depth:
        wrk(gateway.url + "/run", 5, 256, job_body())
        print(",", end="", flush=True)


def seconds_to_start(gateway):
    """Kills the gateway and starts it again; the new one and the time until it answered and could lease jobs."""
    gateway.kill()
    begun = time.perf_counter()
    again = gateway.restarted()
    return again, time.perf_counter() - begun


def bench_depth(results, options):
    """The same rate with a long queue, its memory, and the start over it."""
    with options.scratch() as folder, empty_gateway(folder, "empty") as empty:
        deep = empty_gateway(folder, "deep")
        try:
            rss_before = deep.rss_bytes()
            fill(deep, options.depth)
            count = queued(deep)
            rss = deep.rss_bytes()
            what = f"{count / 1e6:.2f} million queued jobs of 1 kB"
            results.add(f"RSS with {what}", "", f"{rss / MIB:.0f} MiB",
                        f"{(rss - rss_before) / count:.0f} bytes per job", "<= 300 MB", rss <= 300e6)
            measured = interleaved(
                options.rounds,
                lambda: submit(empty, empty.url + "/run", options.seconds, 64),
                lambda: submit(deep, deep.url + "/run", options.seconds, 64),
            )
            ratio = median([there[1] / here[1] for here, there in measured])
            results.add(f"durable POST /run behind {what}, 64 clients", "", cells(measured, 1),
                        f"{ratio:.2f} x the rate of an empty queue ({cells(measured, 0)})", ">= 0.8 x", ratio >= 0.8)
            times = []
            for _ in range(3):
                deep, took = seconds_to_start(deep)
                times.append(took)
            results.add(f"start after SIGKILL over {queued(deep) / 1e6:.2f} million jobs", "",
                        f"{median(times):.2f} s", "", "<= 3 s", median(times) <= 3)
            results.keep_times(empty)
            results.keep_times(deep)
        finally:
            deep.close()

"""What must be true after the storm: by the clients' memory, the simulators' logs and the journal."""

import json
import os
import sqlite3
from collections import defaultdict

from clients import FIRST_SEED

# A request may reach its WebUI a moment after the gateway that sent it has died.
LATE = 2.0


class Run:
    """One generation by a simulator."""

    def __init__(self, backend, begin):
        self.backend, self.begin = backend, begin["time"]
        self.seed = begin["seed"]
        self.outcome = "killed"
        self.reply = None


def runs_of(log_files):
    """By job seed: its runs on all backends, in order of time."""
    by_seed = defaultdict(list)
    for backend, path in enumerate(log_files):
        runs = {}
        with open(path, encoding="utf-8") as file:
            for entry in map(json.loads, file):
                name = (entry["pid"], entry.get("n"))
                if entry["event"] == "begin" and entry["seed"] >= FIRST_SEED:
                    runs[name] = Run(backend, entry)
                elif name in runs and entry["event"] == "end":
                    runs[name].outcome = entry["outcome"]
                elif name in runs and entry["event"] == "reply":
                    runs[name].reply = entry["hash"]
        for run in runs.values():
            by_seed[run.seed].append(run)
    for runs in by_seed.values():
        runs.sort(key=lambda run: run.begin)
    return by_seed


def unexplained(intervals, moments):
    """How many intervals cannot be given a moment of their own that lies within."""
    left, missing = sorted(moments), 0
    for begin, end in sorted(intervals, key=lambda interval: interval[1]):
        fitting = next((moment for moment in left if begin <= moment <= end), None)
        if fitting is None:
            missing += 1
        else:
            left.remove(fitting)
    return missing


def check_results(jobs, runs):
    for job in jobs:
        if job.state == "COMPLETED" and job.result not in [run.reply for run in runs[job.seed]]:
            yield f"job {job.id} has a result that no WebUI made for it"
        if job.state == "COMPLETED" and not job.result:
            yield f"job {job.id} is COMPLETED and its result was never read"


def check_states(jobs):
    legal = {"plain": {"COMPLETED"}, "sync": {"COMPLETED"}, "cancel early": {"CANCELLED", "COMPLETED"},
             "cancel late": {"CANCELLED", "COMPLETED"}, "broken": {"FAILED"}, "mended": {"COMPLETED"}}
    for job in jobs:
        if job.state not in legal[job.kind]:
            yield f"job {job.id} ({job.kind}) ended as {job.state}"
    ids = [job.id for job in jobs]
    if len(set(ids)) != len(ids):
        yield "an id was given twice"


def check_repeats(jobs, runs, kills, webui_kills):
    """At most one run is repeated for each death of the gateway and backend, and for each death of a backend.
    Returns how many were, and what is wrong."""
    intervals, problems = defaultdict(list), []
    for job in jobs:
        again = list(job.retries)
        for run, after in zip(runs[job.seed], runs[job.seed][1:]):
            asked = next((moment for moment in again if run.begin <= moment <= after.begin), None)
            if asked:
                again.remove(asked)
            else:
                intervals[run.backend].append((run.begin - LATE, after.begin))
    for backend, repeats in intervals.items():
        missing = unexplained(repeats, kills + webui_kills[backend])
        if missing:
            problems.append(f"backend {backend}: {missing} of {len(repeats)} repeated runs that no death explains")
    return sum(map(len, intervals.values())), problems


def check_cancelled(jobs, runs, kills):
    for job in jobs:
        for run in runs[job.seed]:
            sent_by_the_dead = any(0 <= run.begin - kill <= LATE for kill in kills)
            if job.cancelled_at and run.begin > job.cancelled_at and not sent_by_the_dead:
                yield f"job {job.id} ran {run.begin - job.cancelled_at:.3f} s after its cancel was acknowledged"


def check_journal(data_dir, jobs):
    """Nothing half: every row ended, one for each acknowledged job, at most one for each other, a file for each result.
    Returns how many jobs exist that nobody was told of, and what is wrong."""
    problems = []
    with sqlite3.connect(f"file:{data_dir}/journal.db?mode=ro", uri=True) as journal:
        states = dict(journal.execute("SELECT key, state FROM jobs"))
        seeds = {key: json.loads(text)["seed"] for key, text in journal.execute("SELECT key, text FROM inputs")}
        files = {name for (name,) in journal.execute("SELECT file FROM results")}
    waiting = [key for key, state in states.items() if state < 2]
    if waiting:
        problems.append(f"{len(waiting)} jobs never ended")
    if seeds.keys() != states.keys():
        problems.append("jobs without an input, or inputs without a job")
    if len(set(seeds.values())) != len(seeds):
        problems.append("a submission has made two jobs")
    lost = {job.seed for job in jobs if job.id} - set(seeds.values())
    if lost:
        problems.append(f"{len(lost)} acknowledged jobs are not in the journal")
    spooled = set(os.listdir(os.path.join(data_dir, "spool")))
    if spooled != files:
        problems.append(f"orphans in the spool: {sorted(spooled - files)[:5]}; missing: {sorted(files - spooled)[:5]}")
    return len(seeds) - sum(1 for job in jobs if job.id), problems

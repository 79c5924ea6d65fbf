"""Clients that submit, watch, cancel and retry jobs of a gateway that dies under them, and forget nothing."""

import hashlib
import http.client
import random
import threading
import time

from support.http_client import Client

FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}
FIRST_SEED = 1_000_000  # a job is known by its seed, in the simulators' logs too
GONE = (OSError, http.client.HTTPException)  # what a client sees of a gateway that dies
# How the jobs are dealt with, and how many of each.
KINDS = {"plain": 58, "sync": 8, "cancel early": 12, "cancel late": 8, "broken": 8, "mended": 6}


def result_of(body):
    """The WebUI's own bytes in a status body: without the cache_info that was spliced in."""
    output = body[body.index(b'"output":') + len(b'"output":'):body.rindex(b',"status":')]
    return output[:output.rindex(b',"cache_info":')] + b"}"


def short_hash(data):
    return hashlib.sha256(data).hexdigest()[:16]


class Job:
    """What one client knows of its job."""

    def __init__(self, number, kind, keyed):
        self.number, self.kind, self.keyed = number, kind, keyed
        self.seed = FIRST_SEED + number
        self.id = None  # acknowledged
        self.state = None  # the final one, as last seen
        self.ended = 0.0  # when it was first seen
        self.result = None  # its hash
        self.cancelled_at = None  # when CANCELLED was first told
        self.retries = []  # when they were asked for
        self.retries_left = {"broken": 1, "mended": 1000}.get(kind, 0)
        self.epoch = 0  # moves on when a retry may have made a final state not final
        self.closed = False  # nothing will be asked for any more

    @property
    def input(self):
        steps = 60 if self.kind == "cancel late" else 2
        return {"prompt": f"{self.kind} job {self.number}", "seed": self.seed, "steps": steps, "width": 64, "height": 64}


class Clients:
    """Threads over one gateway. `violations` says what must not have happened."""

    def __init__(self, url, jobs, waiting, seed):
        self.client = Client(url, timeout=10)
        self.jobs = []
        self.wanted, self.waiting = jobs, waiting
        self.violations = []
        self.unanswered = self.resubmitted = 0
        self.polls = 0
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._guard, args=(work,), daemon=True)
                         for work in (self._submit, self._submit, self._watch, self._watch, self._change)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _guard(self, work):
        try:
            work()
        except BaseException as failure:  # told by the main thread
            self.violations.append(f"{work.__name__}: {failure!r}")
            raise

    # --- what is known ---

    def acknowledged(self):
        with self._lock:
            return [job for job in self.jobs if job.id]

    def open_jobs(self):
        return [job for job in self.acknowledged() if not job.state]

    def submitted_all(self):
        return len(self.jobs) >= self.wanted

    def finished(self):
        return self.submitted_all() and all(job.state and job.closed for job in self.acknowledged())

    @staticmethod
    def now(job):
        """What see() must be told: from when the view is, at the earliest."""
        return job.epoch, time.monotonic()

    def see(self, job, asked, view, body):
        with self._lock:
            state = view["status"]
            epoch, moment = asked
            if epoch != job.epoch:
                return
            if job.state and state != job.state and moment > job.ended:
                self.violations.append(f"job {job.id} was {job.state} and then {state}")
            if state not in FINAL:
                return
            if job.state is None:
                job.state, job.ended = state, time.monotonic()
            if state == "CANCELLED":
                job.cancelled_at = job.cancelled_at or time.time()
            if state != "COMPLETED" or body is None:
                return
            result = short_hash(result_of(body))
            if job.result and job.result != result:
                self.violations.append(f"the result of job {job.id} has changed")
            job.result = result

    # --- what they do ---

    def _pick(self, jobs):
        with self._lock:
            return self._dice.choice(jobs) if jobs else None

    def _pause(self, seconds):
        self._ending.wait(seconds)

    def _next_job(self):
        with self._lock:
            if len(self.jobs) >= self.wanted:
                return None
            kind = self._dice.choices(list(KINDS), KINDS.values())[0]
            self.jobs.append(Job(len(self.jobs), kind, keyed=self._dice.random() < 0.4))
            return self.jobs[-1]

    def _submit(self):
        while not self._ending.is_set():
            if len(self.open_jobs()) >= self.waiting:
                self._pause(0.02)
                continue
            job = self._next_job()
            if job is None:
                return
            answer = self._post(job)
            if answer is None:
                self.unanswered += 1  # it may exist or not
                continue
            assert answer.status == 200, str(answer)
            with self._lock:
                job.id = answer.json["id"]
                job.closed = not job.kind.startswith("cancel") and not job.retries_left
            self.see(job, (0, 0.0), answer.json, answer.body)

    def _post(self, job):
        """Waits until somebody listens, and sends it once; None when no answer came. With an Idempotency-Key it is
        sent until it is answered."""
        target = "/runsync?wait=1000" if job.kind == "sync" else "/run"
        headers = {"Idempotency-Key": f"job-{job.number}"} if job.keyed else {}
        while not self._ending.is_set():
            try:
                answer = self.client.post(target, {"input": job.input}, headers=headers)
                if answer.status != 409:  # an earlier request with this key is being written down
                    return answer
            except ConnectionRefusedError:
                pass
            except GONE:
                if not job.keyed:
                    return None
                self.resubmitted += 1
            self._pause(0.02)
        return None

    def look(self, job):
        """Asks for the status once; False when nobody answered."""
        asked = self.now(job)
        try:
            answer = self.client.get(f"/status/{job.id}")
        except GONE:
            return False
        self.polls += 1
        if answer.status == 200:
            self.see(job, asked, answer.json, answer.body)
        else:
            self.violations.append(f"job {job.id} is lost: {answer}")
        return True

    def _watch(self):
        while not self._ending.is_set():
            # Those that have ended are looked at again and again, too.
            job = self._pick(self.open_jobs() if self._dice.random() < 0.8 else self.acknowledged())
            if job is None or not self.look(job):
                self._pause(0.05)
            self._pause(0.005)

    def _change(self):
        while not self._ending.is_set():
            job = self._pick([job for job in self.acknowledged() if not job.closed])
            if job is None:
                self._pause(0.02)
            elif job.kind.startswith("cancel"):
                self._cancel(job)
            elif job.state == "FAILED" and job.retries_left:
                self._retry(job)
            else:
                job.closed = job.state is not None
            self._pause(0.005)

    def _cancel(self, job):
        asked = self.now(job)
        try:
            answer = self.client.post(f"/cancel/{job.id}")
        except GONE:
            self._pause(0.05)
            return  # asked for again: it may not have been heard
        assert answer.status == 200, str(answer)
        self.see(job, asked, answer.json, None)
        job.closed = job.state is not None

    def _retry(self, job):
        with self._lock:
            job.epoch += 1
            job.state = None
            job.retries.append(time.time())
        try:
            answer = self.client.post(f"/retry/{job.id}")
        except GONE:
            answer = None
            self._pause(0.05)
        assert answer is None or answer.status in (200, 400), str(answer)
        with self._lock:
            job.epoch += 1
            job.state = None  # what was seen meanwhile may have been before the retry or after it
            job.retries_left -= answer is not None and answer.status == 200

"""A WebUI, or the gateway, is killed again and again under load: no accepted job is lost, none fails, and
none runs twice but where a kill interrupted it. Seeds are fixed; what a failure prints can be run again."""

import hashlib
import json
import os
import random
import shutil
import tempfile
import threading
import time
import unittest

from support.http_client import Client
from support.programs import Gateway, Simulator, add_model
from support.waiting import wait_until

KILLS = 25  # in each start-up mode
# Waits cut down so that a life of the WebUI takes a second; their order stays as it is by default.
QUICK = {
    "webui.port_interval": "50ms", "webui.settle": "800ms", "webui.route_interval": "100ms",
    "webui.progress_interval": "100ms", "webui.extensions_timeout": "2s", "webui.health_interval": "500ms",
    "recovery.wait": "100ms", "recovery.settle": "200ms", "retry.interval": "100ms", "retry.max_restarts": 200,
    "retry.max_crashes": 50, "webui.interrupt_timeout": "5s",
}
PICTURE = {"steps": 8, "width": 256, "height": 256}


def prompt_hash(prompt):
    return hashlib.sha256(prompt.encode()).digest()[:8].hex()


class RunLog:
    """What the simulators did: the JSON lines of their --log-file, over all their lives."""

    def __init__(self, *paths):
        self.paths = paths

    def lines(self):
        for path in self.paths:
            with open(path, encoding="utf-8") as file:
                yield from (json.loads(line) for line in file)

    def runs(self):
        """By prompt hash: the outcome of each run. The last run of a life that was cut off is "killed" when
        it has no end, and "cut off" when it has: its reply may have left or not."""
        by_prompt, lives = {}, {}
        for entry in sorted(self.lines(), key=lambda entry: entry["time"]):
            life = lives.setdefault(entry["pid"], {"runs": {}, "last": None, "stopped": False})
            if entry["event"] == "begin":
                run = {"outcome": "killed"}
                by_prompt.setdefault(entry["prompt_hash"], []).append(run)
                life["runs"][entry["n"]] = life["last"] = run
            elif entry["event"] == "end":
                life["runs"][entry["n"]]["outcome"] = entry["outcome"]
            elif entry["event"] == "stop":
                life["stopped"] = True
        for life in lives.values():
            last = life["last"]
            if last and not life["stopped"] and last["outcome"] == "finished":
                last["outcome"] = "cut off"
        return {prompt: [run["outcome"] for run in runs] for prompt, runs in by_prompt.items()}


class Load(threading.Thread):
    """Submits jobs, each with a prompt of its own, keeping a few of them waiting; forgets none."""

    def __init__(self, url, name, waiting=4):
        super().__init__(daemon=True)
        self.client = Client(url)
        self.prompts = {}  # by job id
        self.name_, self.waiting = name, waiting
        self.ending = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.ending.is_set():
                jobs = self.client.get("/health").json["jobs"]
                if jobs["inQueue"] < self.waiting:
                    self.submit()
                else:
                    self.ending.wait(0.02)
        except Exception as failure:  # told by the test's own thread
            self.failure = failure

    def submit(self):
        prompt = f"{self.name_} number {len(self.prompts)}"
        answer = self.client.post("/run", {"input": {**PICTURE, "prompt": prompt, "seed": len(self.prompts)}})
        assert answer.status == 200, str(answer)
        self.prompts[answer.json["id"]] = prompt

    def end(self):
        self.ending.set()
        self.join()
        if self.failure:
            raise self.failure


class RestartTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="restarts-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.models = os.path.join(self.folder, "models")
        add_model(self.models, "base")
        self.run_log = os.path.join(self.folder, "runs.jsonl")
        self.log = RunLog(self.run_log)

    def simulator(self, port=0, log=None, **options):
        options = {"speed": 4, "boot_s": 0.8, "ui_s": 1.2, "window_s": 1.2, "extensions_s": 0.4, **options}
        return Simulator(port=port, models_dir=self.models, log_file=log or self.run_log, **options)

    def gateway(self, *webuis, **settings):
        gateway = Gateway(webuis=webuis, settings={**QUICK, **settings}, check_contract=False)
        self.addCleanup(gateway.close)
        return gateway

    def check_all_done_once(self, gateway, load, timeout=60):
        for job in load.prompts:
            view = gateway.wait_for(job, timeout=timeout)
            self.assertEqual(view["status"], "COMPLETED", view.get("error"))
        runs = self.log.runs()
        for job, prompt in load.prompts.items():
            *earlier, last = runs[prompt_hash(prompt)]
            self.assertIn(last, ("finished", "cut off"), f"{job} ({prompt})")
            self.assertLessEqual(set(earlier), {"killed", "cut off"},
                                 f"{job} ({prompt}) ran again although nothing had cut it off")

    def storm(self, startup):
        dice = random.Random(f"storm {startup}")
        webui = self.simulator(startup=startup)
        port = webui.port
        self.addCleanup(lambda: webui.kill())
        gateway = self.gateway(webui.url)
        load = Load(gateway.url, startup)
        load.start()
        up_to_work = []
        for _ in range(KILLS):
            done = len(load.prompts)
            began = time.monotonic()
            # Half of the kills come while it serves, the others anywhere in its start.
            if dice.random() < 0.5:
                wait_until(lambda: len(load.prompts) > done + 1, 30, "jobs flow after a restart")
                up_to_work.append(time.monotonic() - began)
            time.sleep(dice.uniform(0, 0.6))
            webui.kill()
            webui = self.simulator(port=port, startup=startup)
        load.end()
        self.check_all_done_once(gateway, load)
        # A life without an API would have been noticed here: the driver says so, and never recovers.
        self.assertEqual([e for e in gateway.log() if "unregistered" in e.get("msg", "")], [])
        self.assertGreater(gateway.metric("webui_gateway_backend_restarts_total"), 3)
        print(f"{startup}: {KILLS} kills, {len(load.prompts)} jobs, {up_to_work and max(up_to_work):.1f} s at most "
              "from a start to the second job after it")

    def test_killed_25_times_without_its_user_interface(self):
        self.storm("nowebui")

    def test_killed_25_times_with_its_user_interface(self):
        self.storm("full-ui")

    def test_one_of_two_webuis_dies_all_the_time(self):
        sick_log, well_log = os.path.join(self.folder, "sick"), os.path.join(self.folder, "well")
        sick, well = self.simulator(log=sick_log), self.simulator(log=well_log)
        port = sick.port
        self.addCleanup(lambda: (sick.kill(), well.kill()))
        gateway = self.gateway(sick.url, well.url)
        load = Load(gateway.url, "pair")
        load.start()
        for _ in range(8):
            time.sleep(0.7)
            sick.kill()
            sick = self.simulator(port=port, log=sick_log)
        load.end()
        self.log = RunLog(sick_log, well_log)
        self.check_all_done_once(gateway, load)

    def test_an_api_lost_to_the_middleware_race_is_told_and_survived(self):
        webui = self.simulator(dialect="reforge", startup="full-ui", ui_s=0.4, window_s=8)
        port = webui.port
        self.addCleanup(lambda: webui.kill())
        client = Client(webui.url)
        time.sleep(0.6)  # into the window, at speed 4 between 0.3 s and 2.3 s after the port opened
        client.get("/")  # any request will do
        gateway = self.gateway(webui.url, **{"webui.unregistered_after": "2s",
                                             "webui.unregistered_interval": "500ms"})
        job = gateway.run({**PICTURE, "prompt": "patience"})
        wait_until(lambda: gateway.client.get("/health").json["workers"]["unhealthy"] == 1, 30,
                   "the lost API counts as unhealthy")
        [told] = [e for e in gateway.log() if e.get("msg") == "backend unregistered"][:1]
        self.assertIn("--api", told["reason"])
        self.assertIn("restart", told["reason"].lower())
        self.assertEqual(gateway.status(job)["status"], "IN_QUEUE")
        webui.kill()
        webui = self.simulator(port=port, dialect="reforge")
        self.assertEqual(gateway.wait_for(job, timeout=40)["status"], "COMPLETED")

    def test_the_gateway_itself_is_killed_five_times(self):
        webui = self.simulator()
        self.addCleanup(lambda: webui.kill())
        gateway = self.gateway(webui.url)
        prompts = {}
        for life in range(5):
            gateway.wait_until_ready(40)
            for n in range(6):
                prompt = f"life {life} number {n}"
                prompts[gateway.run({**PICTURE, "prompt": prompt, "seed": n})] = (prompt, n)
            time.sleep(0.4)
            gateway.kill()
            gateway = gateway.restarted()
            self.addCleanup(gateway.close)
        pictures = {}
        for job, (prompt, seed) in prompts.items():
            view = gateway.wait_for(job, timeout=60)
            self.assertEqual(view["status"], "COMPLETED", view.get("error"))
            pictures[prompt, seed] = view["output"]["images"]
        # The same request straight to the simulator makes the same bytes.
        straight = Client(webui.url)
        for prompt, seed in list(pictures)[::7]:
            answer = straight.post("/sdapi/v1/txt2img", {**PICTURE, "prompt": prompt, "seed": seed}, timeout=30)
            self.assertEqual(answer.json["images"], pictures[prompt, seed])


if __name__ == "__main__":
    unittest.main()

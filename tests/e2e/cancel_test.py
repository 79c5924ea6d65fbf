"""Many cancels at random on several WebUIs: each stops its own job, soon, and nobody else's."""

import random
import threading
import unittest

from support.cases import JobCase, long_job, picture
from support.waiting import wait_until

WEBUIS = 3
JOBS = 90


class CancelStorm(JobCase):
    def setUp(self):
        super().setUp()
        self.webuis = [self.simulator() for _ in range(WEBUIS)]
        self.gateway_ = self.gateway(*self.webuis)
        wait_until(lambda: self.gateway_.client.get("/health").json["workers"]["idle"] == WEBUIS, 20, "all are ready")

    def outcomes(self, seed):
        return [outcome for webui in self.webuis for outcome in webui.outcomes(seed)]

    def cancel(self, job_id):
        """The state that its answer tells."""
        answer = self.gateway_.client.post(f"/cancel/{job_id}", timeout=20)
        self.assertEqual(answer.status, 200, answer)
        return answer.json["status"]

    def storm(self, jobs, doomed, dice):
        """Cancels these jobs in random order from several threads, waiting or running; what was answered, by seed."""
        left, answers, failures = list(doomed), {}, []
        dice.shuffle(left)
        lock = threading.Lock()

        def client():
            try:
                while True:
                    with lock:
                        if not left:
                            return
                        seed = left.pop()
                    answers[seed] = self.cancel(jobs[seed])
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return answers

    def test_a_storm_of_cancels_stops_its_own_jobs_and_no_other(self):
        dice = random.Random(3)
        seeds = range(1, JOBS + 1)
        doomed = [seed for seed in seeds if dice.random() < 0.6]
        # Jobs that are to be cancelled run for 40 s if nobody stops them, the others for a moment.
        jobs = {seed: self.gateway_.run(long_job(seed=seed) if seed in doomed else picture(seed=seed, steps=10))
                for seed in seeds}

        answers = self.storm(jobs, doomed, dice)

        for seed in seeds:
            view = self.gateway_.wait_for(jobs[seed], timeout=40)
            if seed in doomed:
                self.assertEqual(view["status"], "CANCELLED", view)
                self.assertIn(answers[seed], ("CANCELLED", "IN_PROGRESS"))
                self.assertIn(self.outcomes(seed), ([], ["interrupted"]))
            else:
                self.assertEqual(view["status"], "COMPLETED", view)
                self.assertEqual(self.outcomes(seed), ["finished"])
        self.check_interrupts(doomed)

    def check_interrupts(self, doomed):
        """Each hit a run of a cancelled job and ended it within two steps of a thousand."""
        interrupted = 0
        for webui in self.webuis:
            begun = {event["n"]: event["seed"] for event in webui.events("begin")}
            ended = {event["n"]: event["steps"] for event in webui.events("end")}
            for event in webui.events("interrupt"):
                if event["n"] == 0:
                    continue  # the run had ended by itself
                self.assertIn(begun[event["n"]], doomed)
                self.assertLessEqual(ended[event["n"]] - event["step"], 2, "sampler steps after the interrupt")
                interrupted += 1
        self.assertGreater(interrupted, 0)


if __name__ == "__main__":
    unittest.main()

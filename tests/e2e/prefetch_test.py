"""Files are fetched while the GPU works: the trace that tests/bench/prefetch measures, in a hurry."""

import unittest

from support import trace as traces
from support.cases import JobCase

AT_ONCE = 6  # download.files_at_once


class Bound(unittest.TestCase):
    """How long a GPU must be idle, against what can be worked out by hand."""

    def bound(self, jobs, files, rate=1.0):
        made = traces.Trace(0, {name: {"kind": "checkpoint", "megabytes": size} for name, size in files.items()},
                            [{"checkpoint": name, "loras": [], "seconds": seconds} for name, seconds in jobs])
        return made.idle_bound(rate)

    def test_nothing_can_run_before_the_smallest_file_is_here(self):
        self.assertEqual(self.bound([("a", 100), ("b", 100)], {"a": 10, "b": 7}), 7)

    def test_short_work_does_not_cover_the_next_file(self):
        # a, then 3 s of work, then 7 s of waiting for b; the other order is worse.
        self.assertEqual(self.bound([("a", 3), ("b", 100)], {"a": 10, "b": 10}), 10)
        self.assertEqual(self.bound([("a", 3), ("b", 4)], {"a": 10, "b": 10}), 16)

    def test_the_last_file_is_followed_by_the_least_work(self):
        self.assertEqual(self.bound([("a", 5), ("b", 5), ("c", 1)], {"a": 10, "b": 10, "c": 10}), 30 + 1 - 11)

    def test_the_trace_is_the_one_that_the_seed_gives(self):
        trace = traces.committed()
        self.assertEqual(trace, traces.generate())
        self.assertEqual((len(trace.jobs), len(trace.files)), (200, 42))
        self.assertEqual({name for job in trace.jobs for name in traces.files_of(job)}, set(trace.files))


class Backlog(JobCase):
    SCALE = traces.Scale(time=0.005, size=200, demand=0.75)

    def test_two_hundred_jobs_fetch_each_file_once_and_in_order_while_the_gpu_works(self):
        trace = traces.committed()
        webui = self.simulator(**traces.simulator_options(self.SCALE))
        files = traces.Files(trace, self.SCALE)
        self.addCleanup(files.stop)
        gateway = self.gateway(webui, settings={"models.dir": webui.models_dir,
                                               "models.min_free": "0B"}, flags=["--allow-host", files.host])

        played = traces.with_gateway(trace, self.SCALE, webui, gateway, files, patience=100)

        self.assertEqual(played.fetched, {name: files.files["/" + name].size for name in trace.files})
        first_need = {}
        for place, job in enumerate(trace.jobs):
            for name in traces.files_of(job):
                first_need.setdefault(name, place)
        asked = [first_need[request.path[1:]] for request in files.requests]
        for place, need in enumerate(asked):  # those that are fetched side by side may overtake each other
            self.assertTrue(all(later >= need for later in asked[place + AT_ONCE:]),
                            f"files are fetched in the order in which jobs need them: {asked}")
        pictures = len([line for line in webui.events("end") if line["time"] < files.requests[-1].wall])
        self.assertGreater(pictures, 0, "pictures were drawn before the last file was asked for")


if __name__ == "__main__":
    unittest.main()

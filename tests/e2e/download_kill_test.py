"""SIGKILL at 100 random moments of downloads in segments of 64 MiB (downloads.md §10, 19): what is noted is not
fetched again, and nothing that is not whole ever has its final name. KILL_SEED=n tries other moments, KILL_MIB=4096
larger files."""

import concurrent.futures
import hashlib
import os
import random
import subprocess
import unittest

from support.pull import PullCase
from support.servers import Content, Fault

MIB = 1024 * 1024
KILLS, AT_ONCE = 100, 4
SEED = int(os.environ.get("KILL_SEED", "19"))
SIZE = int(os.environ.get("KILL_MIB", "256")) * MIB
SEGMENT = 64 * MIB
RATE = SIZE / 4  # bytes per second of a connection: about a second for a file over four of them
SETTINGS = {"download.first_connections": 4}


class Kill(PullCase):
    def test_19_killed_a_hundred_times(self):
        chance = random.Random(SEED)
        seeds = [chance.random() for _ in range(AT_ONCE)]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as side_by_side:
            kills = list(side_by_side.map(lambda seed: self.kill_until_enough(random.Random(seed)), seeds))

        self.assertGreaterEqual(sum(kills), KILLS)

    def kill_until_enough(self, chance):
        """Downloads file after file, killing as often as it is this thread's turn to; returns how often."""
        killed, number = 0, 0
        while killed < KILLS / AT_ONCE:
            number += 1
            killed += self.one_file(f"dream {chance.random()}", chance, KILLS / AT_ONCE - killed)
        return killed

    def one_file(self, name, chance, most):
        content = Content.model(SIZE, name)
        files = self.server()
        files.add("dream", content, Fault(bytes_per_second=RATE))
        kills, allowed = 0, 0
        while True:
            asked = len(files.requests)
            running = self.start(f"{files.url}/dream", name, settings=SETTINGS, data=f"data {name}")
            try:
                # Sometimes before the first byte, sometimes after the last.
                output, _ = running.communicate(timeout=chance.expovariate(1 / 0.5) if kills < most else 60)
                break
            except subprocess.TimeoutExpired:
                running.kill()
                running.communicate()
                kills += 1
                allowed += len({r.connection for r in files.requests[asked:]}) * SEGMENT
                self.assert_whole_or_not_there(name, content)
        self.assertEqual(running.returncode, 0, output)
        self.assert_whole_or_not_there(name, content)
        self.assertTrue(os.path.exists(self.path(name)))
        self.assertLessEqual(files.bytes_sent("dream") - content.size, allowed, f"fetched again after {kills} kills")
        files.stop()
        return kills

    def assert_whole_or_not_there(self, name, content):
        if os.path.exists(self.path(name)):
            with open(self.path(name), "rb") as file:
                self.assertEqual(hashlib.file_digest(file, "sha256").hexdigest(), content.sha256)


if __name__ == "__main__":
    unittest.main()

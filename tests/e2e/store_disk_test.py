"""Full disks and damaged files under a running gateway: nothing accepted is lost, reads go on, and everybody is
told why. Faults of single calls are in tests/store."""

import glob
import os
import shutil
import subprocess
import tempfile
import unittest

from support.cases import picture
from support.programs import Gateway, nobody, program
from support.waiting import wait_until

MIB = 1024 * 1024


def check_store(data_dir):
    """Exit code and report of `webui-gateway store check`."""
    done = subprocess.run([program(), "store", "check", "--data-dir", data_dir], capture_output=True, text=True,
                          check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


class FullDisk(unittest.TestCase):
    """The data directory on a small file system of its own, where mounting is allowed."""

    def setUp(self):
        self.place = tempfile.mkdtemp(prefix="small-disk-")
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", self.place], capture_output=True,
                              text=True, check=False)
        if done.returncode:
            self.skipTest(f"tmpfs cannot be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.place], check=True)
        self.data = os.path.join(self.place, "data")
        self.models = tempfile.mkdtemp(prefix="models-")
        self.addCleanup(shutil.rmtree, self.models, ignore_errors=True)

    def fill(self, leaving=0):
        """Takes all the room but so much."""
        with open(os.path.join(self.place, "filler"), "ab", buffering=0) as filler:
            try:
                while (free := os.statvfs(self.place).f_bavail * os.statvfs(self.place).f_frsize) > leaving:
                    filler.write(bytes(min(MIB, free - leaving)))
            except OSError:
                pass

    def make_room(self):
        os.remove(os.path.join(self.place, "filler"))

    def assert_checked(self):
        code, report = check_store(self.data)
        self.assertEqual((code, "No damage found." in report), (0, True), report)

    def test_below_the_floor_jobs_are_refused_until_there_is_room_again(self):
        with Gateway([nobody()], data_dir=self.data, settings={"data.min_free": "8MiB"}) as gateway:
            kept = gateway.run(picture())
            self.fill(leaving=6 * MIB)

            unready = wait_until(lambda: (a := gateway.client.get("/readyz")).status == 503 and a, 10)
            self.assertIn("data.min_free", unready.json["checks"]["disk"])
            refused = gateway.client.post("/run", {"input": picture()})
            self.assertEqual((refused.status, refused.json["code"]), (429, "storage_full"))
            self.assertGreater(int(refused.headers["Retry-After"]), 0)
            self.assertEqual(gateway.status(kept)["status"], "IN_QUEUE")
            self.assertEqual(gateway.metric("webui_gateway_store_room"), 0)

            self.make_room()
            wait_until(lambda: gateway.client.get("/readyz").status == 200, 10)
            gateway.run(picture())

    def test_no_accepted_job_is_lost_on_a_disk_that_fills_to_the_brim(self):
        settings = {"data.min_free": "0B", "simulate.step_time": "20ms", "retry.attempts": 20, "models.dir": self.models}
        accepted, refused = [], 0
        with Gateway(simulate=1, data_dir=self.data, settings=settings) as gateway:
            gateway.wait_until_ready()
            accepted += [gateway.run(picture()) for _ in range(10)]
            self.fill()
            for _ in range(300):
                answer = gateway.client.post("/run", {"input": picture(prompt="x" * 20_000)})
                if answer.status == 200:
                    accepted.append(answer.json["id"])
                    continue
                self.assertEqual((answer.status, answer.json["code"]), (503, "storage_unavailable"))
                refused += 1
                self.fill()
                if refused == 20:
                    break
            self.assertEqual(refused, 20)
            self.assertIn("full", gateway.client.get("/readyz").json["checks"]["journal"])
            for job_id in accepted:
                self.assertIn(gateway.status(job_id)["status"], {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"})

            self.make_room()
            for job_id in accepted:
                self.assertEqual(gateway.wait_for(job_id, timeout=60)["status"], "COMPLETED")
            wait_until(lambda: gateway.client.get("/readyz").status == 200, 10)
        self.assert_checked()

    def test_a_gateway_cannot_start_on_a_full_disk_and_says_so(self):
        os.makedirs(self.data)
        self.fill()
        with self.assertRaisesRegex(AssertionError, "could not start: .*(make room|disk is full)"):
            Gateway([nobody()], data_dir=self.data).close()


class Damage(unittest.TestCase):
    """What lies on the disk changes while nobody looks."""

    def setUp(self):
        self.gateway = Gateway(simulate=1)
        self.addCleanup(lambda: self.gateway.close())
        self.gateway.wait_until_ready()

    def stop(self):
        self.assertEqual(self.gateway.stop(), 0)

    def test_a_torn_result_is_an_error_of_its_own_job(self):
        torn, sound = self.gateway.run(picture(seed=1)), self.gateway.run(picture(seed=2))
        self.gateway.wait_for(torn)
        wanted = self.gateway.wait_for(sound)["output"]
        self.stop()
        files = sorted(glob.glob(os.path.join(self.gateway.data_dir, "spool", "*")))
        with open(files[0], "r+b") as file:
            file.seek(os.path.getsize(files[0]) // 2)
            file.write(bytes(100))

        code, report = check_store(self.gateway.data_dir)
        self.assertEqual(code, 1, report)
        self.assertIn("its bytes are not the ones that were stored", report)
        self.gateway = self.gateway.restarted()

        view = self.gateway.status(torn)
        self.assertEqual(view["status"], "COMPLETED")
        self.assertNotIn("output", view)
        self.assertIn("damaged or lost", view["error"])
        self.assertEqual(self.gateway.status(sound)["output"], wanted)
        self.assertEqual(self.gateway.metric("webui_gateway_results_lost_total"), 1)

    def test_a_damaged_journal_is_refused_and_described(self):
        self.gateway.wait_for(self.gateway.run(picture()))
        self.stop()
        journal = os.path.join(self.gateway.data_dir, "journal.db")
        with open(journal, "r+b") as file:
            file.seek(4096)
            file.write(b"\xee" * (os.path.getsize(journal) - 4096))

        with self.assertRaisesRegex(AssertionError, "could not start: .*journal.db.*store check"):
            self.gateway.restarted()
        code, report = check_store(self.gateway.data_dir)
        self.assertIn(code, {1, 2}, report)
        self.assertRegex(report, "damaged|malformed")
        for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
            if os.path.exists(path := os.path.join(self.gateway.data_dir, name)):
                os.rename(path, path + ".aside")
        self.gateway = self.gateway.restarted()
        self.gateway.wait_until_ready().wait_for(self.gateway.run(picture()))

    def test_a_gateway_that_runs_is_not_looked_into(self):
        code, report = check_store(self.gateway.data_dir)
        self.assertEqual(code, 2, report)
        self.assertIn(f"process {self.gateway.pid} is using it", report)
        self.stop()
        self.assertEqual(check_store(self.gateway.data_dir)[0], 0)


if __name__ == "__main__":
    unittest.main()

"""Where files go: full and read-only disks, spoiled notes of what is there, several downloaders at once. The
numbers are those of downloads.md §10, here 18 and 20 to 23; faults of single calls are in tests/store."""

import hashlib
import os
import subprocess
import threading
import unittest

from support.cases import JobCase, picture
from support.pull import QUICK, PullCase
from support.servers import Content, Fault, FileServer
from support.waiting import wait_until

KIB, MIB = 1024, 1024 * 1024
SEGMENT = 64 * MIB  # what is noted at a time


class Disk(PullCase):
    """A small file system of its own, where mounting is allowed."""

    def setUp(self):
        super().setUp()
        self.files = self.server()

    def mount(self, size):
        os.makedirs(os.path.join(self.models, "Stable-diffusion"))
        self.place = os.path.join(self.models, "Stable-diffusion")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.place], capture_output=True,
                              text=True, check=False)
        if done.returncode:
            self.skipTest(f"tmpfs cannot be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.place], check=True)

    def test_18_a_disk_that_is_too_small_is_seen_before_the_first_byte(self):
        self.mount("2m")
        self.files.add("dream", Content.model(64 * MIB))

        self.assert_refused(self.pull(f"{self.files.url}/dream"), "no room")
        self.assertLess(self.files.bytes_sent("dream"), 64 * MIB)

    def test_18_a_disk_that_is_full_in_the_middle(self):
        self.mount("80m")  # what is left free must be there, too
        content = Content.model(16 * MIB)
        self.files.add("dream", content, Fault(chunked=True, no_ranges=True, bytes_per_second=16 * MIB))
        running = self.start(f"{self.files.url}/dream")
        wait_until(lambda: self.files.bytes_sent("dream") > MIB, 10, "the download has begun")
        with open(os.path.join(self.place, "filler"), "wb") as filler:
            try:
                filler.write(bytes(80 * MIB))
            except OSError:
                pass
        output, _ = running.communicate(timeout=30)

        self.assertNotEqual(running.returncode, 0)
        self.assertRegex(output, "space|full")
        self.assertFalse(os.path.exists(self.path()))

        os.remove(os.path.join(self.place, "filler"))
        self.assert_there(self.pull(f"{self.files.url}/dream"), content)

    def test_18_a_disk_that_cannot_be_written(self):
        self.mount("80m")
        subprocess.run(["mount", "-o", "remount,ro", self.place], check=True)
        self.files.add("dream")

        self.assert_refused(self.pull(f"{self.files.url}/dream"), "[Rr]ead-only")

    def test_18_a_model_folder_on_another_disk_than_the_rest(self):
        self.mount("80m")
        content = Content.model(2 * MIB)
        self.files.add("dream", content)

        self.assert_there(self.pull(f"{self.files.url}/dream"), content)


class Notes(PullCase):
    """A download that was killed is taken up again, if its note can be read."""

    def setUp(self):
        super().setUp()
        self.files = self.server()
        self.content = Content.model(SEGMENT + 10 * MIB)
        self.files.add("dream", self.content, Fault(stall_at=SEGMENT + 5 * MIB))
        self.url = f"{self.files.url}/dream"

    def killed(self):
        """A pull that was killed in the middle; the note it left."""
        running = self.start(self.url, settings={"download.stall_timeout": "30s"})
        folder = os.path.dirname(self.path())

        def noted():
            names = os.listdir(folder) if os.path.isdir(folder) else []
            stalled = self.files.bytes_sent("dream") == SEGMENT + 5 * MIB
            return stalled and [name for name in names if name.endswith(".meta")]

        wait_until(noted, 10, "the first segment is noted")
        running.kill()
        running.communicate()
        del self.files.faults["/dream"]
        (note,) = [name for name in os.listdir(folder) if name.endswith(".meta")]
        return os.path.join(folder, note)

    def pull_again(self):
        before = self.files.bytes_sent("dream")
        self.assert_there(self.pull(self.url), self.content)
        return self.files.bytes_sent("dream") - before

    def test_20_a_good_note_saves_what_is_there(self):
        self.killed()

        self.assertLess(self.pull_again(), self.content.size)

    def assert_spoiled(self, change):
        """Such a note costs no more than a new download."""
        path = self.killed()
        with open(path, "rb") as file:
            note = file.read()
        with open(path, "wb") as file:
            file.write(change(note))

        self.assertEqual(self.pull_again(), self.content.size)

    def test_20_an_empty_note(self):
        self.assert_spoiled(lambda note: b"")

    def test_20_a_note_of_zeros(self):
        self.assert_spoiled(lambda note: bytes(len(note)))

    def test_20_half_a_note(self):
        self.assert_spoiled(lambda note: note[: len(note) // 2])

    def test_20_a_note_with_a_wrong_bit(self):
        self.assert_spoiled(lambda note: note[: len(note) // 2] + bytes([note[len(note) // 2] ^ 1])
                            + note[len(note) // 2 + 1 :])

    def test_20_something_else_instead_of_a_note(self):
        self.assert_spoiled(lambda note: b"{" + note)

    def test_20_a_note_without_its_data(self):
        note = self.killed()
        os.remove(note.removesuffix(".meta"))

        self.assertEqual(self.pull_again(), self.content.size)

    def test_20_the_file_has_changed_meanwhile(self):
        self.killed()
        self.content = Content.model(self.content.size, "new")
        self.files.add("dream", self.content)

        self.pull_again()


class Taken(PullCase):
    def test_21_another_file_of_that_name_is_not_replaced(self):
        files = self.server()
        files.add("dream", Content.model(100 * KIB))
        os.makedirs(os.path.dirname(self.path()))
        with open(self.path(), "wb") as file:
            file.write(Content.model(50 * KIB).bytes())

        pulled = self.pull(f"{files.url}/dream", sha256=files.files["/dream"].sha256)

        self.assertNotEqual(pulled.code, 0)
        self.assertEqual(os.path.getsize(self.path()), 50 * KIB)


class Shared(JobCase):
    """Many jobs, one transfer."""

    def setUp(self):
        super().setUp()
        self.files = FileServer()
        self.addCleanup(self.files.stop)
        self.content = Content.model(MIB)

    def start(self, **settings):
        downloads = {key: value for key, value in QUICK.items() if key != "download.retries"}
        gateway, self.webui = self.pair(gateway={"flags": ["--allow-host", self.files.host]},
                                        settings={**downloads, "models.min_free": "0B", **settings})
        return gateway

    def add(self, name, fault=None):
        url, sha256 = self.files.add(name, self.content, fault)
        return {"name": name, "url": url, "hash": sha256}

    def test_21_two_gateways_on_one_folder(self):
        first = self.start()
        second = self.gateway(self.simulator(models_dir=self.webui.models_dir), flags=["--allow-host", self.files.host],
                              settings={"models.dir": self.webui.models_dir, "models.min_free": "0B"})
        dream = self.add("dream", Fault(bytes_per_second=MIB))
        jobs = [(gateway, gateway.run(picture(checkpoint=dream))) for gateway in (first, second)]

        for gateway, job in jobs:
            self.assert_completes(gateway, job)

        folder = os.path.join(self.webui.models_dir, "Stable-diffusion")
        self.assertEqual(sorted(name for name in os.listdir(folder) if not name.startswith(".")),
                         ["base.safetensors", "dream.safetensors"])
        with open(os.path.join(folder, "dream.safetensors"), "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), dream["hash"])

    def test_22_a_hundred_jobs_want_one_file(self):
        gateway = self.start()
        dream = self.add("dream", Fault(bytes_per_second=MIB))
        ids = []
        callers = [threading.Thread(target=lambda n=n: ids.append(gateway.run(picture(checkpoint=dream, seed=n))))
                   for n in range(100)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

        for job in ids[:99]:
            gateway.client.post(f"/cancel/{job}")
        self.assert_completes(gateway, ids[99])

        self.assertEqual(self.files.bytes_sent("dream"), self.content.size)

    def test_23_one_content_under_two_names(self):
        gateway = self.start()
        jobs = [gateway.run(picture(checkpoint=self.add(name, Fault(bytes_per_second=MIB)), seed=seed))
                for seed, name in enumerate(("dream", "nightmare"))]

        for job in jobs:
            self.assert_completes(gateway, job)

        folder = os.path.join(self.webui.models_dir, "Stable-diffusion")
        places = [os.stat(os.path.join(folder, name + ".safetensors")) for name in ("dream", "nightmare")]
        self.assertEqual(places[0].st_ino, places[1].st_ino, "a hard link")
        self.assertEqual(self.files.bytes_sent("dream") + self.files.bytes_sent("nightmare"), self.content.size)


if __name__ == "__main__":
    unittest.main()

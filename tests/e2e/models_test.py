"""The files that jobs name: fetched once, checked, and refused when they are not what was promised."""

import os
import unittest

from support.cases import JobCase, info_of, long_job, picture
from support.servers import Fault, FileServer
from support.waiting import wait_until


class Models(JobCase):
    def setUp(self):
        super().setUp()
        self.files = FileServer()
        self.addCleanup(self.files.stop)

    def start(self, settings=None, allowed=True):
        flags = ["--allow-host", self.files.host] if allowed else []
        gateway, self.webui = self.pair(gateway={"flags": flags},
                                        settings={"download.retries": 1, **(settings or {})})
        return gateway

    def checkpoint(self, name="dream", **about):
        url, sha256 = self.files.add(name, **about)
        return {"name": name, "url": url, "hash": sha256}

    def stored(self, kind="Stable-diffusion"):
        folder = os.path.join(self.webui.models_dir, kind)
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def assert_nothing_was_published(self):
        self.assertEqual(self.stored(), ["base.safetensors"])


class Refused(Models):
    def assert_refused(self, gateway, checkpoint, reason):
        self.assert_fails(gateway, picture(checkpoint=checkpoint, seed=1), reason)
        self.assert_nothing_was_published()
        self.assertEqual(self.webui.outcomes(1), [])
        self.assert_completes(gateway, picture(seed=2))

    def test_a_file_that_does_not_exist(self):
        gateway = self.start()
        self.assert_refused(gateway, {"name": "gone", "url": f"{self.files.url}/gone"}, "checkpoint 'gone' from .*404")

    def test_a_file_with_another_sha256(self):
        gateway = self.start()
        wrong = {**self.checkpoint(), "hash": "0" * 64}
        self.assert_refused(gateway, wrong, "its sha256 is [0-9a-f]{64}, the job says 0000")

    def test_a_login_page_instead_of_a_file(self):
        gateway = self.start()
        self.assert_refused(gateway, self.checkpoint(fault=Fault(html=True)), "text/html.*no model file")

    def test_a_download_that_is_cut_short_each_time(self):
        gateway = self.start()
        self.assert_refused(gateway, self.checkpoint(fault=Fault(truncate_after=1000)), r"\(tried 2 times\)")

    def test_a_file_shorter_than_its_own_header_says(self):
        gateway = self.start()
        checkpoint = self.checkpoint(fault=Fault(cut_file=7))
        del checkpoint["hash"]
        self.assert_refused(gateway, checkpoint, "dream")

    def test_a_redirect_to_a_host_that_is_not_allowed(self):
        gateway = self.start()
        elsewhere = Fault(redirect="http://169.254.169.254/latest/meta-data")
        self.assert_refused(gateway, self.checkpoint(fault=elsewhere), "169.254.169.254 is not allowed")

    def test_an_address_in_the_own_network(self):
        gateway = self.start(allowed=False)
        self.assert_refused(gateway, self.checkpoint(), "127.0.0.1 is not allowed.*--allow-host")
        self.assertEqual(self.files.requests, [])

    def test_names_that_would_leave_the_folder_or_break_the_prompt(self):
        gateway = self.start()
        url = f"{self.files.url}/x"
        for name in ("../x", "a/../../x", "/etc/passwd", "..", "a\x00b", "a\\b", ""):
            answer = gateway.client.post("/run", {"input": picture(checkpoint={"name": name, "url": url})})
            self.assertEqual(answer.status, 400, str(answer))
            self.assertIn("name", answer.json["error"])
        for name in ("a>b", "a<b", "a:b", "a=b", "a,b", "a\nb"):
            answer = gateway.client.post("/run", {"input": picture(loras=[{"name": name, "url": url}])})
            self.assertEqual(answer.status, 400, str(answer))
            self.assertIn("name", answer.json["error"])
        self.assertEqual(gateway.client.get("/health").json["jobs"]["inQueue"], 0)
        self.assertEqual(self.files.requests, [])


class Fetched(Models):
    def test_a_truncated_download_is_taken_up_again(self):
        gateway = self.start()
        checkpoint = self.checkpoint(fault=Fault(truncate_after=1000, times=1))

        self.assertEqual(info_of(self.assert_completes(gateway, picture(checkpoint=checkpoint)))["sd_model_name"],
                         "dream")

    def test_jobs_that_want_the_same_file_share_its_download(self):
        gateway = self.start()
        checkpoint = self.checkpoint(mib=0.5, fault=Fault(bytes_per_second=1_000_000))

        ids = [gateway.run(picture(checkpoint=checkpoint, seed=seed)) for seed in range(3)]

        for job_id in ids:
            self.assert_completes(gateway, job_id)
        self.assertEqual(len(self.files.fetched("dream")), 1)

    def test_cache_info_counts_what_is_there(self):
        gateway = self.start()
        loras = [self.checkpoint(name, kind="lora", mib=0.5) for name in ("one", "two")]

        info = self.assert_completes(gateway, picture(checkpoint=self.checkpoint(mib=1), loras=loras))["output"][
            "cache_info"]

        self.assertEqual((info["checkpoints_cached"], info["loras_cached"]), (2, 2))
        stored = sum(os.path.getsize(os.path.join(self.webui.models_dir, kind, name))
                     for kind in ("Stable-diffusion", "Lora") for name in self.stored(kind))
        self.assertAlmostEqual(info["total_cache_size_mb"], stored / 2**20, places=1)
        self.assertEqual(self.stored("Lora"), ["one.safetensors", "two.safetensors"])

    def test_files_arrive_while_another_job_draws_and_hold_up_nobody(self):
        gateway = self.start()
        running = gateway.run(long_job(seed=1))
        self.webui.wait_until_drawing(1)
        checkpoint = self.checkpoint(fault=Fault(stall_after=100))
        stuck = gateway.run(picture(checkpoint=checkpoint, seed=2))
        wait_until(lambda: self.files.fetched("dream"), 10, "the download has begun")
        ready = gateway.run(picture(seed=3))

        gateway.client.post(f"/cancel/{running}")

        self.assert_completes(gateway, ready)
        self.assertEqual(gateway.status(stuck)["status"], "IN_QUEUE")

    def test_lenient_goes_on_without_a_lora(self):
        gateway = self.start({"models.policy": "lenient"})
        lora = {"name": "gone", "url": f"{self.files.url}/gone"}

        self.assert_completes(gateway, picture(loras=[lora]))

        self.assertTrue(gateway.log(level="warning", file="gone"), "the log names what was left out")


if __name__ == "__main__":
    unittest.main()

"""A job's life over real processes: submitted, drawn, watched, cancelled, retried, expired, and kept over restarts."""

import json
import time
import unittest

from support.cases import JobCase, images_of, info_of, long_job, picture, png_text, routed
from support.programs import nobody
from support.waiting import wait_until


class Drawing(JobCase):
    def test_a_job_of_run_ends_with_a_picture(self):
        gateway, _ = self.pair()

        view = self.assert_completes(gateway, picture("a red fox", steps=3, seed=7, width=72))

        self.assertEqual(sorted(view), ["delayTime", "executionTime", "id", "output", "status", "workerId"])
        self.assertRegex(view["id"], r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-u1$")
        (image,) = images_of(view)
        said = png_text(image)
        self.assertEqual(said.split("\n")[0], "a red fox")
        self.assertIn("Steps: 3, Sampler: Euler, ", said)
        self.assertIn("Seed: 7, Size: 72x64, ", said)
        self.assertIn("Model: base, ", said)

    def test_the_result_is_the_webuis_own_reply_and_cache_info(self):
        gateway, webui = self.pair()
        job = picture("the same", seed=3, subseed=4, negative_prompt="blurry", sampler_name="Euler a", cfg_scale=5.5)

        output = self.assert_completes(gateway, job)["output"]
        own = webui.client.post("/sdapi/v1/txt2img", output["parameters"]).json

        self.assertEqual(sorted(output.pop("cache_info")), ["checkpoints_cached", "loras_cached", "total_cache_size_mb"])
        self.assertEqual(list(output), ["images", "parameters", "info"])
        self.assertEqual(output["images"], own["images"])
        self.assertEqual(output["parameters"], own["parameters"])
        self.assertEqual({**json.loads(output["info"]), "job_timestamp": ""},
                         {**json.loads(own["info"]), "job_timestamp": ""})

    def test_img2img_starts_from_the_picture_it_is_given(self):
        gateway, webui = self.pair()
        first = self.assert_completes(gateway, picture("a red fox"))["output"]["images"][0]
        payload = picture("a blue fox", seed=4, init_images=[first], denoising_strength=0.5)

        output = self.assert_completes(gateway, routed("POST", "sdapi/v1/img2img", payload))["output"]
        own = webui.client.post("/sdapi/v1/img2img", payload).json

        self.assertEqual(output["images"], own["images"])
        self.assertIn("cache_info", output)

    def answer(self, gateway, method, endpoint, payload=None):
        view = gateway.wait_for(gateway.run(routed(method, endpoint, payload)))
        self.assertEqual(view["status"], "COMPLETED", view)
        return view["output"]

    def test_other_routes_answer_as_they_are(self):
        gateway, webui = self.pair()
        image = self.assert_completes(gateway, picture("a red fox"))["output"]["images"][0]

        said = self.answer(gateway, "POST", "/sdapi/v1/png-info", {"image": image})
        samplers = self.answer(gateway, "GET", "sdapi/v1/samplers")
        nothing = self.answer(gateway, "POST", "sdapi/v1/refresh-checkpoints")

        self.assertEqual(said, webui.client.post("/sdapi/v1/png-info", {"image": image}).json)
        self.assertEqual(samplers, webui.client.get("/sdapi/v1/samplers").json)
        self.assertIsNone(nothing)

    def test_a_route_that_the_webui_does_not_have_fails_only_the_job(self):
        gateway, _ = self.pair()

        self.assert_fails(gateway, routed("POST", "controlnet/detect"), "^this WebUI has no route /controlnet/detect$")

        self.assert_completes(gateway, picture())

    def test_a_route_that_is_not_allowed_is_refused_at_once(self):
        gateway, _ = self.pair()

        answer = gateway.client.post("/run", {"input": routed("POST", "sdapi/v1/server-kill")})

        self.assertEqual(answer.status, 400)
        self.assertIn("webui.allow_endpoints", answer.json["error"])

    def test_every_picture_of_a_batch_comes(self):
        gateway, _ = self.pair()

        view = self.assert_completes(gateway, picture(batch_size=2, n_iter=2, seed=10))

        self.assertEqual(len(images_of(view)), 4)
        self.assertEqual([f"Seed: {seed}," in png_text(image) for seed, image in zip(range(10, 14), images_of(view))],
                         [True] * 4)

    def test_status_tells_how_far_a_job_is(self):
        gateway, webui = self.pair()
        job_id = gateway.run(picture(steps=120, seed=1))
        seen = []

        def watch():
            view = gateway.status(job_id)
            seen.append(view)
            return view["status"] == "COMPLETED"

        wait_until(watch, 30, "the job is done", interval=0.03)
        running = [view for view in seen if view["status"] == "IN_PROGRESS"]
        told = [view["output"] for view in running if "output" in view]
        fractions = [progress["progress"] for progress in told]

        self.assertGreaterEqual(len(fractions), 3, seen)
        self.assertEqual(fractions, sorted(fractions))
        self.assertLess(fractions[0], fractions[-1])
        self.assertIn("sampling", {progress["phase"] for progress in told})
        self.assertEqual({view["workerId"] for view in running}, {"webui-0"})
        self.assertEqual(webui.outcomes(1), ["finished"])

    def test_runsync_waits_for_the_result(self):
        gateway, _ = self.pair()

        view = gateway.client.post("/runsync", {"input": picture(steps=20)}, timeout=30).json

        self.assertEqual(view["status"], "COMPLETED", view)
        self.assertTrue(view["id"].startswith("sync-"))
        self.assertEqual(len(images_of(view)), 1)
        self.assertEqual(gateway.status(view["id"])["status"], "COMPLETED")

    def test_runsync_that_will_not_wait_so_long_gets_the_state(self):
        gateway, _ = self.pair()

        view = gateway.client.post("/runsync?wait=1000", {"input": picture(steps=250, seed=1)}, timeout=30).json

        self.assertEqual(view["status"], "IN_PROGRESS", view)
        later = gateway.client.get(f"/status-sync/{view['id']}?wait=30000", timeout=40).json
        self.assertEqual(later["status"], "COMPLETED", later)

    def test_two_webuis_work_side_by_side(self):
        first, second = self.simulator(), self.simulator()
        gateway = self.gateway(first, second)
        wait_until(lambda: gateway.client.get("/health").json["workers"]["idle"] == 2, 20, "both are ready")

        ids = [gateway.run(picture(steps=60, seed=seed)) for seed in range(4)]
        views = [self.assert_completes(gateway, job_id) for job_id in ids]

        self.assertEqual(sorted(view["workerId"] for view in views), ["webui-0", "webui-0", "webui-1", "webui-1"])
        for webui in (first, second):
            runs = [event["event"] for event in webui.events() if event["event"] in ("begin", "end")]
            self.assertEqual(runs, ["begin", "end"] * 3)  # the warm-up and two jobs, never two at a time
        self.assertEqual(sorted(len(first.outcomes(seed) + second.outcomes(seed)) for seed in range(4)), [1] * 4)


class Ending(JobCase):
    def test_a_cancelled_job_that_waits_is_never_drawn(self):
        gateway, webui = self.pair()
        running, waiting = gateway.run(picture(steps=60, seed=1)), gateway.run(picture(seed=2))

        answer = gateway.client.post(f"/cancel/{waiting}")

        self.assertEqual(answer.json, {"id": waiting, "status": "CANCELLED"})
        self.assertEqual(gateway.status(waiting), {"id": waiting, "status": "CANCELLED"})
        self.assert_completes(gateway, running)
        self.assert_completes(gateway, picture(seed=3))
        self.assertEqual(webui.outcomes(2), [])

    def test_a_cancelled_job_that_runs_is_interrupted_and_the_next_one_runs(self):
        gateway, webui = self.pair()
        job_id = gateway.run(long_job(seed=1))
        webui.wait_until_drawing(1)

        answer = gateway.client.post(f"/cancel/{job_id}", timeout=20)

        self.assertEqual(answer.json, {"id": job_id, "status": "CANCELLED"})
        self.assertNotIn("output", gateway.wait_for(job_id))
        wait_until(lambda: webui.outcomes(1) == ["interrupted"], 10, "the WebUI was interrupted")
        self.assert_completes(gateway, picture(seed=2))
        self.assertEqual(gateway.client.post(f"/cancel/{job_id}").json["status"], "CANCELLED")

    def test_cancelling_a_finished_job_changes_nothing(self):
        gateway, _ = self.pair()
        job_id = gateway.run(picture())
        self.assert_completes(gateway, job_id)

        self.assertEqual(gateway.client.post(f"/cancel/{job_id}").json, {"id": job_id, "status": "COMPLETED"})
        self.assert_completes(gateway, job_id)

    def test_a_failed_job_can_be_retried(self):
        gateway, webui = self.pair(fault="error500:the fan fell off@~weird#1")
        job_id = gateway.run(picture("weird", seed=1))
        self.assert_fails(gateway, job_id, "the fan fell off")

        answer = gateway.client.post(f"/retry/{job_id}")

        self.assertEqual(answer.json, {"id": job_id, "status": "IN_QUEUE"})
        view = self.assert_completes(gateway, job_id)
        self.assertNotIn("error", view)
        self.assertEqual(webui.outcomes(1), ["failed", "finished"])
        self.assertEqual(gateway.client.post(f"/retry/{job_id}").status, 400)

    def test_purge_removes_what_waits_and_nothing_else(self):
        gateway, webui = self.pair()
        running = gateway.run(picture(steps=100, seed=1))
        webui.wait_until_drawing(1)
        waiting = [gateway.run(picture(seed=seed)) for seed in (2, 3)]

        answer = gateway.client.post("/purge-queue")

        self.assertEqual(answer.json, {"removed": 2, "status": "completed"})
        self.assertEqual([gateway.client.get(f"/status/{job}").status for job in waiting], [404, 404])
        self.assert_completes(gateway, running)
        self.assertEqual(gateway.client.get("/health").json["jobs"]["inQueue"], 0)

    def test_a_job_past_its_execution_timeout_fails_and_the_webui_is_freed(self):
        gateway, webui = self.pair()
        job_id = gateway.run(long_job(seed=1), policy={"executionTimeout": 5000})

        view = self.assert_fails(gateway, job_id, "^executionTimeout exceeded$")

        self.assertGreaterEqual(view["executionTime"], 5000)
        self.assertLess(view["executionTime"], 15_000)
        self.assertEqual(webui.outcomes(1), ["interrupted"])
        self.assert_completes(gateway, picture(seed=2))

    def test_a_job_is_gone_after_its_ttl_whatever_its_state(self):
        gateway, webui = self.pair()
        begun = time.monotonic()
        running = gateway.run(long_job(seed=1), policy={"ttl": 13_000})
        waiting = gateway.run(picture(seed=2), policy={"ttl": 10_000})
        webui.wait_until_drawing(1)

        wait_until(lambda: all(gateway.client.get(f"/status/{job}").status == 404 for job in (running, waiting)), 25,
                   "both jobs are gone", interval=0.2)

        self.assertGreaterEqual(time.monotonic() - begun, 9.5)
        wait_until(lambda: webui.outcomes(1) == ["interrupted"], 10, "the WebUI was interrupted")
        self.assert_completes(gateway, picture(seed=3))
        self.assertEqual(webui.outcomes(2), [])


class Restarting(JobCase):
    def test_results_and_waiting_jobs_outlive_a_restart(self):
        gateway, webui = self.pair()
        done = gateway.run(picture(seed=1))
        result = self.assert_completes(gateway, done)
        webui.stop()
        waiting = [gateway.run(picture(seed=seed)) for seed in (2, 3)]
        gateway.stop()

        gateway = self.restarted(gateway)

        self.assertEqual(gateway.status(done), result)
        self.assertEqual([gateway.status(job)["status"] for job in waiting], ["IN_QUEUE"] * 2)
        webui = self.restarted(webui)
        for job in waiting:
            self.assert_completes(gateway, job)
        self.assertEqual([webui.outcomes(seed) for seed in (1, 2, 3)], [["finished"]] * 3)

    def test_a_job_that_ran_when_the_gateway_was_killed_runs_again(self):
        gateway, webui = self.pair()
        job_id = gateway.run(picture(steps=300, seed=1))
        waiting = gateway.run(picture(seed=2))
        webui.wait_until_drawing(1)
        gateway.kill()

        gateway = self.restarted(gateway)

        view = self.assert_completes(gateway, job_id, timeout=40)
        self.assertEqual(info_of(view)["seed"], 1)
        self.assertEqual(view.get("retries"), 1)
        self.assertEqual(webui.outcomes(1)[-1], "finished")
        self.assertEqual(len(webui.outcomes(1)), 2)
        self.assert_completes(gateway, waiting)
        self.assertEqual(webui.outcomes(2), ["finished"])

    def test_jobs_wait_for_a_webui_that_comes_later(self):
        webui = self.simulator()
        webui.stop()
        gateway = self.gateway(webui, nobody(), ready=False)
        job_id = gateway.run(picture(seed=1))
        self.assertEqual(gateway.status(job_id), {"id": job_id, "status": "IN_QUEUE"})

        self.restarted(webui)

        self.assert_completes(gateway, job_id)


if __name__ == "__main__":
    unittest.main()

"""What goes wrong with a WebUI ends as webui.md §7.1 says, with a reason that a person can act on, and the next job
still runs."""

import os
import unittest

from support.cases import JobCase, info_of, picture
from support.programs import add_model
from support.waiting import wait_until


def states(gateway, backend="webui-0"):
    """What the gateway's log says of a backend, in order: "ready", "down", …"""
    return [line["msg"].removeprefix("backend ") for line in gateway.log(backend=backend)
            if line["msg"].startswith("backend ")]


def workers(gateway):
    return gateway.client.get("/health").json["workers"]


class Gone(JobCase):
    """No WebUI, or none that has its API."""

    def test_a_webui_that_is_down_keeps_its_jobs_waiting_until_it_is_back(self):
        gateway, webui = self.pair()
        webui.kill()
        wait_until(lambda: workers(gateway)["ready"] == 0, 10, "the gateway has seen it")
        job_id = gateway.run(picture(seed=1))
        self.assertEqual(gateway.status(job_id)["status"], "IN_QUEUE")

        webui = self.restarted(webui)

        self.assert_completes(gateway, job_id)
        self.assertEqual(webui.outcomes(1), ["finished"])
        self.assertIn("down", states(gateway))

    def test_a_webui_without_the_api_is_told_apart_and_named_in_the_log(self):
        webui = self.simulator(no_api=True, startup="full-ui")
        gateway = self.gateway(webui, ready=False, settings={"webui.unregistered_after": "1s"})
        job_id = gateway.run(picture())

        wait_until(lambda: workers(gateway)["unhealthy"] == 1, 20, "it counts as unhealthy")

        self.assertEqual(gateway.status(job_id), {"id": job_id, "status": "IN_QUEUE"})
        (said,) = gateway.log(msg="backend unregistered")
        self.assertIn("restart it with --api", said["reason"])
        self.assertEqual(gateway.client.get("/livez").status, 200)
        webui.kill()
        self.restarted(webui, no_api=False)
        self.assert_completes(gateway, job_id)

    def test_routes_that_are_missing_for_a_while_cost_no_job(self):
        gateway, webui = self.pair(fault=f"404-for:{100 * 2}s@~lose#1", settings={"retry.attempts": 1})
        self.assert_completes(gateway, picture("lose the routes", seed=1))

        view = self.assert_completes(gateway, picture(seed=2))

        self.assertEqual(view["retries"], 1)  # sent twice, but a missing route is no attempt
        self.assertEqual(webui.outcomes(2), ["finished"])
        self.assertIn("settling", states(gateway)[states(gateway).index("ready"):])

    def test_a_webui_that_refuses_the_credentials_is_a_configuration_error(self):
        webui = self.simulator(api_auth="gateway:right")
        gateway = self.gateway(webui, ready=False, settings={"webui.api_auth": "gateway:wrong"})

        self.assert_fails(gateway, picture(), "401.*set webui.api_auth to what its --api-auth says")

        self.assertEqual(workers(gateway)["unhealthy"], 1)
        gateway.stop()
        gateway = self.restarted(gateway, settings={**gateway._made_with["settings"], "webui.api_auth": "gateway:right"})
        self.assert_completes(gateway, picture())

    def test_one_webui_with_wrong_credentials_does_not_stop_the_other(self):
        closed, open_one = self.simulator(api_auth="gateway:right"), self.simulator()
        gateway = self.gateway(closed, open_one)
        wait_until(lambda: "unauthorized" in states(gateway, "webui-0"), 20, "the 401 is known")

        for seed in (1, 2):
            self.assertEqual(self.assert_completes(gateway, picture(seed=seed))["workerId"], "webui-1")


class Refused(JobCase):
    """The WebUI answers, and the answer is no picture."""

    def test_one_out_of_memory_is_forgiven(self):
        gateway, webui = self.pair(fault="oom@~huge#1")

        view = self.assert_completes(gateway, picture("huge", seed=1))

        self.assertEqual(view["retries"], 1)
        self.assertEqual(webui.outcomes(1), ["failed", "finished"])

    def test_out_of_memory_twice_fails_the_job_and_says_so(self):
        gateway, webui = self.pair(fault="oom@~huge")

        self.assert_fails(gateway, picture("huge", seed=1), "(?s)out of memory.*CUDA.*a second time")

        self.assertEqual(webui.outcomes(1), ["failed", "failed"])
        self.assert_completes(gateway, picture(seed=2))

    def test_nans_are_forgiven_once_and_explained(self):
        gateway, webui = self.pair(fault="nan@~black")

        self.assert_fails(gateway, picture("black", seed=1), "(?s)NaN.*--no-half-vae.*a second time")

        self.assertEqual(webui.outcomes(1), ["failed", "failed"])
        self.assert_completes(gateway, picture(seed=2))

    def test_another_500_fails_the_job_at_once_with_the_webuis_words(self):
        gateway, webui = self.pair(fault="error500:mat1 and mat2 shapes cannot be multiplied@~odd")

        view = self.assert_fails(gateway, picture("odd", seed=1), "500.*mat1 and mat2 shapes cannot be multiplied")

        self.assertNotIn("retries", view)
        self.assertEqual(webui.outcomes(1), ["failed"])
        self.assert_completes(gateway, picture(seed=2))

    def test_three_failures_in_a_row_take_the_webui_out_of_service(self):
        gateway, _ = self.pair(fault="error500:kernel panic@~bad")

        for _ in range(3):
            self.assert_fails(gateway, picture("bad"), "kernel panic")

        wait_until(lambda: workers(gateway)["ready"] == 0, 5, "it is out of service")
        (said,) = gateway.log(msg="backend broken")
        self.assertRegex(said["reason"], "3 failures in a row.*kernel panic.*tried again in")

    def test_a_model_that_never_loaded_is_no_fault_of_the_job(self):
        broken, sound = self.simulator(fault="no-model@2+"), self.simulator()
        gateway = self.gateway(broken, sound)
        wait_until(lambda: workers(gateway)["ready"] == 2, 10, "both are ready")

        views = [self.assert_completes(gateway, job_id)
                 for job_id in [gateway.run(picture(seed=seed, steps=30)) for seed in (1, 2)]]

        self.assertEqual({view["workerId"] for view in views}, {"webui-1"})
        (said,) = gateway.log(msg="backend broken", backend="webui-0")
        self.assertIn("no model", said["reason"])

    def test_a_page_of_html_is_a_proxys(self):
        gateway, _ = self.pair(fault="html@~page")

        self.assert_fails(gateway, picture("page"), "(?s)502.*HTML page")

        self.assert_completes(gateway, picture())

    def test_a_200_with_an_error_in_it_is_a_failure(self):
        gateway, _ = self.pair(fault="error200@~lie")

        self.assert_fails(gateway, picture("lie"), "200.*error")

        self.assert_completes(gateway, picture())

    def test_a_200_without_pictures_is_a_failure(self):
        gateway, _ = self.pair(fault="empty@~nothing")

        self.assert_fails(gateway, picture("nothing"), "200 without pictures")

        self.assert_completes(gateway, picture())

    def test_a_picture_of_the_wrong_model_is_not_delivered(self):
        # Somebody takes a checkpoint away behind the gateway's back: the WebUI drops the override without a word.
        folder = os.path.join(self.folder, "models")
        add_model(folder, "base")
        second = add_model(folder, "second")
        gateway, webui = self.pair(models_dir=folder)
        job = picture(seed=1, checkpoint={"name": "second", "url": "https://huggingface.co/a/b/resolve/main/c"})
        self.assertEqual(info_of(self.assert_completes(gateway, job))["sd_model_name"], "second")
        os.remove(second)
        webui.client.post("/sdapi/v1/refresh-checkpoints")

        self.assert_fails(gateway, job, 'made with "base".*not "second".*a second time')

        self.assert_completes(gateway, picture(seed=2))
        self.assertEqual(webui.outcomes(1)[0], "finished")


class Broken(JobCase):
    """The connection breaks, or nothing more comes over it."""

    def test_a_reset_with_the_webui_alive_fails_the_job_and_frees_the_webui(self):
        gateway, webui = self.pair(fault="reset@~cut")

        self.assert_fails(gateway, picture("cut", steps=400, seed=1), "the WebUI still runs.*not sent again")

        self.assert_completes(gateway, picture(seed=2))
        self.assertEqual(webui.outcomes(1), ["interrupted"])  # nobody waits for it any more

    def test_a_connection_cut_before_the_job_began_ends_the_same_way(self):
        gateway, webui = self.pair(fault="drop@~cut")

        self.assert_fails(gateway, picture("cut", seed=1), "the WebUI still runs.*not sent again")

        self.assert_completes(gateway, picture(seed=2))
        self.assertEqual(webui.outcomes(1), [])

    def test_a_webui_killed_while_it_draws_gets_the_job_again(self):
        gateway, webui = self.pair()
        job_id = gateway.run(picture(steps=200, seed=1))
        webui.wait_until_drawing(1)
        webui.kill()

        webui = self.restarted(webui)

        view = self.assert_completes(gateway, job_id)
        self.assertEqual(info_of(view)["seed"], 1)
        self.assertEqual(webui.outcomes(1), [None, "finished"])
        pids = [begin["pid"] for begin, _ in webui.generations(1)]
        self.assertEqual(len(set(pids)), 2)
        self.assert_completes(gateway, picture(seed=2))

    def test_a_webui_that_dies_of_the_job_each_time_does_not_do_so_for_ever(self):
        gateway, webui = self.pair(fault="exit@~poison", settings={"retry.max_restarts": 1})
        job_id = gateway.run(picture("poison", seed=1))
        webui.wait_until_gone()
        webui = self.restarted(webui)
        webui.wait_until_gone()
        webui = self.restarted(webui)

        self.assert_fails(gateway, job_id, "gone or not usable 2 times.*retry.max_restarts = 1")

        self.assert_completes(gateway, picture(seed=2))
        self.assertEqual(webui.outcomes(1), ["killed", "killed"])

    def test_a_truncated_body_of_megabytes_is_no_result(self):
        gateway, _ = self.pair(fault="truncate@~long", step_ms=25)
        big = {"width": 1024, "height": 1024, "steps": 1}

        self.assert_fails(gateway, picture("long", **big), "the WebUI still runs.*not sent again", timeout=60)

        view = self.assert_completes(gateway, picture(**big), timeout=60)
        self.assertGreater(sum(len(image) for image in view["output"]["images"]), 1_000_000)

    def test_a_body_that_stops_in_its_middle_has_stalled(self):
        gateway, webui = self.pair(fault="stall@~stuck",
                                   settings={"webui.stall_timeout": "2s", "webui.interrupt_timeout": "5s"})

        self.assert_fails(gateway, picture("stuck", steps=60, seed=1), "no progress for 2 s.*webui.stall_timeout")

        self.assert_completes(gateway, picture(seed=2))
        self.assertEqual(webui.outcomes(1), ["finished"])

    def test_a_job_without_progress_has_stalled(self):
        gateway, _ = self.pair(fault=f"slow:{100 * 60}s@~asleep",
                               settings={"webui.stall_timeout": "1s", "webui.interrupt_timeout": "1s"})

        self.assert_fails(gateway, picture("asleep"), "no progress for 1 s.*webui.stall_timeout")

    def test_a_slow_webui_is_not_given_up(self):
        gateway, webui = self.pair(fault=f"slow:{100 * 3}s@~slow,slow-get:50s@p=0.2,seed=3")

        self.assert_completes(gateway, picture("slow", seed=1))

        self.assertEqual(webui.outcomes(1), ["finished"])


if __name__ == "__main__":
    unittest.main()

"""Webhooks over real processes: signed as README says, tried again, kept over a SIGKILL, and held up by nobody."""

import json
import os
import re
import signal
import socket
import threading
import unittest

from support.cases import JobCase, long_job, picture
from support.programs import nobody
from support.servers import WebhookReceiver
from support.waiting import wait_until

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../README.md")
SECRETS = ["whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=", "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"]


def is_genuine(*arguments):
    """README's receiver, word for word."""
    with open(README, encoding="utf-8") as file:
        (code,) = re.findall(r"```python\n(.*?)```", file.read(), re.S)
    names = {}
    exec(compile(code, README, "exec"), names)
    return names["is_genuine"](*arguments)


class HoldingReceiver(WebhookReceiver):
    """Takes a webhook and answers when it is told to."""

    def __init__(self):
        self.released = threading.Event()
        super().__init__()

    def answer(self, handler, request):
        self.released.wait(20)
        super().answer(handler, request)


class WebhookCase(JobCase):
    def receiver(self, *codes, kind=WebhookReceiver):
        started = kind(codes) if codes else kind()
        self.addCleanup(started.stop)
        return started

    def telling(self, *receivers, settings=None, **more):
        """A gateway that may reach these receivers, before a simulator."""
        hosts = ",".join(receiver if isinstance(receiver, str) else receiver.host for receiver in receivers)
        settings = {"webhook.schedule": "0s,100ms,100ms,100ms", **(settings or {})}
        gateway, _ = self.pair(settings=settings, gateway={"flags": ["--allow-webhook", hosts], **more})
        return gateway

    def log_of(self, gateway, job_id):
        answer = gateway.client.get(f"/api/v1/jobs/{job_id}/webhook")
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def wait_until_settled(self, gateway, job_id, state="delivered", timeout=15):
        def is_settled():
            messages = self.log_of(gateway, job_id)["messages"]
            return messages and messages[-1]["state"] != "pending" and messages[-1]

        message = wait_until(is_settled, timeout, f"the webhook of {job_id} is settled")
        self.assertEqual(message["state"], state, message)
        return message


class Telling(WebhookCase):
    def test_every_end_is_told_as_status_tells_it(self):
        receiver = self.receiver()
        gateway = self.telling(receiver)
        hook = f"{receiver.url}/hook?token=secret"

        done = gateway.run(picture(seed=1), webhook=hook)
        view = self.assert_completes(gateway, done)
        failed = gateway.run(picture(sampler_name="no such sampler"), webhook=hook)
        gateway.wait_for(failed)
        running = gateway.run(long_job(), webhook=hook)
        gateway.wait_for(running, {"IN_PROGRESS"})
        gateway.client.post(f"/cancel/{running}")
        requests = receiver.wait_for(3)
        told = {body["id"]: body for body in receiver.bodies()}

        self.assertEqual(told[done], {**view, "input": picture(seed=1), "webhook": hook})
        self.assertEqual(told[failed]["status"], "FAILED")
        self.assertIn("no such sampler", told[failed]["error"])
        self.assertEqual(told[running]["status"], "CANCELLED")
        for request in requests:
            self.assertEqual(request.path, "/hook?token=secret")
            self.assertEqual(request.headers["content-type"], "application/json")
            self.assertEqual(request.headers["webhook-id"], json.loads(request.body)["id"] + "-1")
        self.assertNotIn("secret", gateway.output())
        self.assertEqual(gateway.metric("webui_gateway_webhook_deliveries_total", outcome="delivered"), 3)

    def test_a_receiver_can_check_who_sent_it(self):
        receiver = self.receiver()
        gateway = self.telling(receiver, settings={"webhook.secrets": ",".join(SECRETS)})
        self.assert_completes(gateway, gateway.run(picture(), webhook=receiver.url))
        (request,) = receiver.wait_for(1)

        for secret in SECRETS:
            self.assertTrue(is_genuine(secret, request.headers, request.body))
        self.assertFalse(is_genuine(SECRETS[0], request.headers, request.body + b" "))
        self.assertFalse(is_genuine("whsec_" + "A" * 43 + "=", request.headers, request.body))
        self.assertFalse(is_genuine(SECRETS[0], {**request.headers, "webhook-timestamp": "1700000000"}, request.body))
        self.assertNotIn(SECRETS[0][6:], gateway.output())

    def test_failures_are_tried_again_and_logged_for_the_client(self):
        receiver = self.receiver(500, 302)
        gateway = self.telling(receiver)
        job_id = gateway.run(picture(), webhook=receiver.url + "/hook?token=secret")
        gateway.wait_for(job_id)
        message = self.wait_until_settled(gateway, job_id)

        self.assertEqual([attempt.get("status") for attempt in message["tries"]], [500, 302, 200])
        self.assertEqual(len({request.headers["webhook-id"] for request in receiver.requests}), 1)
        self.assertEqual(self.log_of(gateway, job_id)["url"], receiver.url + "/hook")

    def test_what_was_given_up_or_refused_can_be_delivered_again(self):
        receiver = self.receiver(410)
        gateway = self.telling(receiver)
        job_id = gateway.run(picture(), webhook=receiver.url)
        gateway.wait_for(job_id)
        self.wait_until_settled(gateway, job_id, "gone")

        answer = gateway.client.post(f"/api/v1/jobs/{job_id}/webhook:redeliver")
        first, second = receiver.wait_for(2)

        self.assertEqual((answer.status, answer.json), (202, {"id": f"{job_id}-1", "state": "pending"}))
        self.assertEqual(first.headers["webhook-id"], second.headers["webhook-id"])
        self.assertEqual(first.body, second.body)
        self.wait_until_settled(gateway, job_id)

    def test_nobody_can_make_it_call_into_the_network(self):
        receiver = self.receiver()
        gateway = self.gateway(nobody(), ready=False)
        answer = gateway.client.post("/run", {"input": picture(), "webhook": receiver.url})

        self.assertEqual(answer.status, 400)
        self.assertIn(f"--allow-webhook {receiver.host}", answer.json["detail"])
        self.assertEqual(gateway.client.get("/health").json["jobs"]["inQueue"], 0)


class Surviving(WebhookCase):
    def test_a_webhook_that_was_not_taken_survives_a_kill_and_keeps_its_id(self):
        receiver = self.receiver(*[503] * 3)
        gateway = self.telling(receiver, settings={"webhook.schedule": "0s" + ",300ms" * 20})
        job_id = gateway.run(picture(), webhook=receiver.url)
        receiver.wait_for(1)
        gateway.kill()
        gateway = self.restarted(gateway)
        self.wait_until_settled(gateway, job_id)

        self.assertGreaterEqual(len(receiver.requests), 4)
        self.assertEqual({request.headers["webhook-id"] for request in receiver.requests}, {f"{job_id}-1"})
        self.assertEqual(len({request.body for request in receiver.requests}), 1)

    def test_a_dead_receiver_delays_nobody(self):
        dead = socket.create_server(("127.0.0.1", 0))  # connects, and then there is silence
        self.addCleanup(dead.close)
        host = f"127.0.0.1:{dead.getsockname()[1]}"
        healthy = self.receiver()
        gateway = self.telling(host, healthy, settings={"webhook.timeout": "10m", "webhook.at_once_per_host": 3,
                                                         "server.drain_grace": "100ms"})
        for seed in range(5):
            gateway.run(picture(seed=seed), webhook=f"http://{host}/")
        last = gateway.run(picture(seed=9), webhook=healthy.url)
        gateway.wait_for(last)
        healthy.wait_for(1)

        wait_until(lambda: gateway.metric("webui_gateway_webhook_deliveries_active") == 3, 10, "three hang")
        self.assertEqual(gateway.metric("webui_gateway_webhook_outbox_depth"), 5)

    def test_a_webhook_under_way_ends_before_the_program_does(self):
        receiver = self.receiver(kind=HoldingReceiver)
        gateway = self.telling(receiver)
        job_id = gateway.run(picture(), webhook=receiver.url)
        receiver.wait_for(1)
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: any("stopping" in line for line in gateway.lines), 10, "it stops")
        receiver.released.set()

        self.assertEqual(gateway.wait(), 0)
        gateway = self.restarted(gateway)
        self.wait_until_settled(gateway, job_id)
        self.assertEqual(len(receiver.requests), 1)


if __name__ == "__main__":
    unittest.main()

"""The end of the program: jobs end or wait for the next start, and whoever supervises it is told."""

import os
import signal
import socket
import time
import unittest

from support.cases import JobCase, long_job, picture
from support.waiting import PATIENCE, wait_until


class Draining(JobCase):
    def test_a_running_job_may_finish_and_the_rest_waits(self):
        gateway, webui = self.pair()
        running = gateway.run(picture(steps=150, seed=1))
        waiting = gateway.run(picture(seed=2))
        webui.wait_until_drawing(1)

        gateway.signal(signal.SIGTERM)

        self.assertEqual(gateway.wait(20), 0, gateway.output())
        self.assertEqual(webui.outcomes(1), ["finished"])
        self.assertEqual(webui.outcomes(2), [])
        gateway = self.restarted(gateway)
        self.assertEqual(self.assert_completes(gateway, running)["id"], running)
        self.assert_completes(gateway, waiting)
        self.assertEqual(webui.outcomes(1), ["finished"])

    def test_while_it_drains_it_is_not_ready_and_takes_nothing_and_still_answers(self):
        gateway, webui = self.pair()
        self.assertEqual(gateway.client.get("/readyz").status, 200)
        job_id = gateway.run(picture(steps=300, seed=1))
        webui.wait_until_drawing(1)

        gateway.signal(signal.SIGINT)

        wait_until(lambda: gateway.client.get("/readyz").status == 503, 5, "/readyz says no")
        self.assertEqual(gateway.client.get("/livez").status, 200)
        self.assertEqual(gateway.client.post("/run", {"input": picture()}).status, 503)
        self.assertEqual(gateway.status(job_id)["status"], "IN_PROGRESS")
        self.assertEqual(gateway.wait(20), 0)

    def test_a_job_longer_than_the_grace_goes_back_to_the_queue(self):
        gateway, webui = self.pair(settings={"server.drain_grace": "300ms"})
        job_id = gateway.run(picture(steps=400, seed=1))
        webui.wait_until_drawing(1)

        gateway.signal(signal.SIGTERM)

        self.assertEqual(gateway.wait(20), 0, gateway.output())
        self.assertEqual(webui.outcomes(1), ["interrupted"])
        gateway = self.restarted(gateway)
        self.assert_completes(gateway, job_id)
        self.assertEqual(webui.outcomes(1), ["interrupted", "finished"])

    def test_a_second_signal_is_immediate(self):
        gateway, webui = self.pair(settings={"server.drain_grace": "10m"})
        job_id = gateway.run(picture(steps=400, seed=1))
        webui.wait_until_drawing(1)
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: gateway.log(signal=signal.SIGTERM), 5, "the first one is heard")
        begun = time.monotonic()

        gateway.signal(signal.SIGTERM)

        self.assertNotEqual(gateway.wait(5), 0)
        self.assertLess(time.monotonic() - begun, 2 * PATIENCE)
        gateway = self.restarted(gateway)
        self.assert_completes(gateway, job_id)

    def test_an_idle_gateway_ends_at_once(self):
        gateway, _ = self.pair()
        self.assert_completes(gateway, picture())
        begun = time.monotonic()

        gateway.signal(signal.SIGTERM)

        self.assertEqual(gateway.wait(10), 0)
        self.assertLess(time.monotonic() - begun, 3 * PATIENCE)

    def test_a_client_that_is_held_gets_its_answer(self):
        gateway, webui = self.pair()
        job_id = gateway.run(long_job(seed=1))
        webui.wait_until_drawing(1)
        connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=20 * PATIENCE)
        self.addCleanup(connection.close)
        connection.sendall(f"GET /status-sync/{job_id}?wait=300000 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: gateway.metric("webui_gateway_http_connections") >= 2, 5, "the client is held")

        gateway.signal(signal.SIGTERM)

        answer = connection.recv(65536).decode()
        self.assertTrue(answer.startswith("HTTP/1.1 200 "), answer)
        self.assertIn('"IN_PROGRESS"', answer)


class Supervised(JobCase):
    def test_systemd_is_told_of_the_start_and_the_end(self):
        path = os.path.join(self.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(path)
            notified.settimeout(10 * PATIENCE)
            gateway = self.gateway(ready=False, environment={"NOTIFY_SOCKET": path})

            self.assertIn("READY=1", notified.recv(4096).decode().split("\n"))
            self.assertEqual(gateway.client.get("/livez").status, 200)
            gateway.signal(signal.SIGTERM)
            self.assertIn("STOPPING=1", notified.recv(4096).decode().split("\n"))
            self.assertEqual(gateway.wait(10), 0)

    def test_a_data_folder_in_use_is_refused_with_its_owner(self):
        gateway = self.gateway(ready=False)

        with self.assertRaisesRegex(AssertionError, f"(?s)ended without printing.*{gateway.pid}"):
            self.gateway(ready=False, data_dir=gateway.data_dir)

        self.assertEqual(gateway.client.get("/livez").status, 200)


if __name__ == "__main__":
    unittest.main()

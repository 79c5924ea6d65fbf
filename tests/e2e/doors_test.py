"""The doors over real sockets: what scripted streams cannot show. Every answer is held against
openapi.yaml by the client; bodies are compared in tests/api."""

import http.client
import json
import re
import socket
import time
import unittest

from support.http_client import Client
from support.programs import Gateway, nobody
from support.waiting import PATIENCE, wait_until

MIB = 1024 * 1024
UNKNOWN = "6f9b2c1e-6a9e-4f0b-9c3d-0f2e8a7b5c4d-u1"


def raw(gateway, request):
    """Sends bytes and half-closes; everything that comes back."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10 * PATIENCE) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        got = b""
        while part := connection.recv(65536):
            got += part
    return got


class Idle(unittest.TestCase):
    """No WebUI: jobs stay where they are."""

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway([nobody()], settings={"server.body_timeout": "2s"})
        cls.addClassCleanup(cls.gateway.close)
        cls.client = cls.gateway.client

    def test_every_route_answers_in_both_forms(self):
        self.client.post("/purge-queue")
        for prefix in ("", "/v2/local"):
            job = self.client.post(f"{prefix}/run", {"input": {"prompt": "a cat"}}).json["id"]
            for method in ("GET", "POST"):
                for target in (f"/status/{job}", f"/status-sync/{job}?wait=1000", f"/stream/{job}?wait=1000"):
                    answer = self.client.request(method, prefix + target)
                    self.assertEqual((answer.status, answer.json["status"]), (200, "IN_QUEUE"), target)
            for operation in ("status", "status-sync", "stream"):
                self.assertEqual(self.client.get(f"{prefix}/{operation}/{UNKNOWN}").status, 404)
            self.assertEqual(self.client.post(f"{prefix}/retry/{job}").status, 400)
            self.assertEqual(self.client.post(f"{prefix}/cancel/{job}", {}).json["status"], "CANCELLED")
            self.assertEqual(self.client.post(f"{prefix}/runsync?wait=1000", {"input": {}}).json["status"], "IN_QUEUE")
            self.assertEqual(self.client.post(f"{prefix}/purge-queue").json, {"removed": 1, "status": "completed"})
            self.assertEqual(self.client.get(f"{prefix}/health").json["jobs"]["inQueue"], 0)

    def test_probes_and_documents_answer(self):
        for target in ("/livez", "/healthz", "/readyz", "/readyz?verbose", "/", "/docs", "/openapi.json", "/metrics"):
            self.assertEqual(self.client.get(target).status, 200, target)
        self.assertEqual(self.client.get("/ready").status, 503)
        self.assertIn(self.client.get("/ping").status, (204, 503))
        self.assertEqual(self.client.get("/openapi.json").json["openapi"], "3.1.0")

    def test_the_series_that_operators_watch_are_there(self):
        for name in ("queue_depth", "jobs_submitted_total", "job_wait_seconds_count", "loop_lag_seconds_count",
                     "loop_handler_seconds_count", "backend_up", "log_commit_seconds_count", "build_info",
                     "http_connections"):
            self.gateway.metric(f"webui_gateway_{name}")

    def test_a_body_over_the_limit_is_answered_and_not_reset(self):
        for target, limit in (("/run", 10), ("/v2/local/runsync", 20)):
            answer = self.client.post(target, b" " * (limit * MIB + 1), timeout=30)
            self.assertEqual(answer.status, 400)
            self.assertEqual(answer.json["error"], f"bad request: body: exceeded max body size of {limit}MiB")

    def test_a_body_of_the_largest_size_is_read(self):
        padded = json.dumps({"input": {"prompt": "a cat"}}).encode().ljust(10 * MIB)
        self.assertEqual(self.client.post("/run", padded, timeout=30).status, 200)

    def test_a_client_that_asks_first_is_told_before_it_uploads(self):
        head = b"POST /run HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        self.assertRegex(raw(self.gateway, head % (11 * MIB)), rb"^HTTP/1\.1 400 ")

    def test_pipelined_requests_are_answered_in_order(self):
        job = self.gateway.run({"prompt": "a cat"})
        one = "GET /{} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {}\r\n\r\n".format
        requests = "".join(one(f"status/{job}" if n % 2 else "livez", f"n{n}") for n in range(40))
        ids = re.findall(rb"\r\nX-Request-Id: n(\d+)\r\n", raw(self.gateway, requests.encode()))
        self.assertEqual([int(n) for n in ids], list(range(40)))

    def test_a_head_has_no_body(self):
        answer = raw(self.gateway, b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertRegex(answer, rb"^HTTP/1\.1 200 ")
        self.assertTrue(answer.endswith(b"\r\n\r\n"))

    def test_what_is_not_http_is_a_400(self):
        for request in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET /livez HTTP/1.1\r\n\r\n",
                        b"POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"):
            self.assertRegex(raw(self.gateway, request), rb"^HTTP/1\.1 400 ")

    def test_an_upload_that_stops_is_a_408(self):
        with socket.create_connection(("127.0.0.1", self.gateway.port), timeout=30 * PATIENCE) as connection:
            connection.sendall(b"POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            self.assertRegex(connection.recv(65536), rb"^HTTP/1\.1 408 ")

    def test_nobody_is_held_for_once_its_client_is_gone(self):
        job = self.gateway.run({"prompt": "a cat"})
        before = self.gateway.metric("webui_gateway_http_requests_active")
        connections = []
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=10 * PATIENCE)
            connection.sendall(f"GET /status-sync/{job} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            connections.append(connection)
        wait_until(lambda: self.gateway.metric("webui_gateway_http_requests_active") >= before + 20, 10)
        for connection in connections:
            connection.close()
        wait_until(lambda: self.gateway.metric("webui_gateway_http_requests_active") <= before, 10)


class Keys(unittest.TestCase):
    def test_without_a_key_only_probes_answer(self):
        with Gateway([nobody()], settings={"auth.mode": "keys", "auth.keys": "right"}) as gateway:
            self.assertEqual(gateway.client.get("/health").status, 401)
            self.assertEqual(gateway.client.get("/metrics").status, 401)
            self.assertEqual(gateway.client.get("/livez").status, 200)
            for name, value in (("Authorization", "Bearer right"), ("Authorization", "right"), ("X-Api-Key", "right")):
                client = Client(gateway.url, headers={name: value})
                self.assertEqual(client.get("/health").status, 200)
            # Before the body: none of it is sent here, and none is waited for.
            head = b"POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=10 * PATIENCE) as connection:
                connection.sendall(head)
                self.assertRegex(connection.recv(65536), rb"^HTTP/1\.1 401 ")


class LoadBalanced(unittest.TestCase):
    """As a load-balancing worker of RunPod: a health port of its own, and a path of its own."""

    def test_the_health_port_tells_the_state_and_nothing_else(self):
        settings = {"server.health_listen": "127.0.0.1:0", "simulate.startup": "nowebui", "auth.keys": "right"}
        with Gateway(simulate=1, settings=settings, environment={"HEALTH_CHECK_PATH": "/up"},
                     check_contract=False) as gateway:
            (line,) = wait_until(lambda: gateway.log(msg="listening for health checks"), 10, "it listens")
            health = Client("http://" + line["address"])
            seen = []

            def ready():
                seen.append(health.get("/up").status)
                return seen[-1] == 200

            wait_until(ready, 60, "the worker is healthy", interval=0.02)
            self.assertEqual(set(seen) - {200, 204}, set())
            self.assertEqual(health.get("/ping").status, 200)
            self.assertEqual(health.get("/livez").status, 200)
            self.assertEqual(health.post("/run", {"input": {}}).status, 401)
            allowed = Client("http://" + line["address"], headers={"X-Api-Key": "right"})
            self.assertEqual(allowed.post("/run", {"input": {}}).status, 404)


class Working(unittest.TestCase):
    """With a simulator that really makes pictures."""

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(simulate=1)
        cls.addClassCleanup(cls.gateway.close)
        cls.gateway.wait_until_ready(60)
        cls.client = cls.gateway.client

    def test_ready_and_ping_say_so(self):
        self.assertEqual(self.client.get("/ready").json, {"status": "ok"})
        self.assertEqual(self.client.get("/ping").status, 200)

    def test_runsync_brings_the_picture(self):
        answer = self.client.post("/v2/local/runsync", {"input": {"prompt": "a cat", "steps": 2}}, timeout=60)
        self.assertEqual((answer.status, answer.json["status"]), (200, "COMPLETED"), str(answer))
        self.assertRegex(answer.json["id"], r"^sync-")
        self.assertTrue(answer.json["output"]["images"][0].startswith("iVBOR"))
        self.assertIn("cache_info", answer.json["output"])
        self.assertEqual(list(answer.json), sorted(answer.json))

    def test_a_stream_tells_everything_once_and_ends(self):
        job = self.gateway.run({"prompt": "a cat", "steps": 40})
        items, answer = [], None
        deadline = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < deadline:
            answer = self.client.get(f"/v2/local/stream/{job}", timeout=15).json
            items += [item["output"] for item in answer["stream"]]
            if answer["status"] not in ("IN_QUEUE", "IN_PROGRESS"):
                break
        self.assertEqual(answer["status"], "COMPLETED")
        self.assertEqual(items[-1], {"progress": 1.0, "phase": "completed", "result": f"/v2/local/status/{job}"})
        fractions = [item["progress"] for item in items]
        self.assertEqual(fractions, sorted(fractions))
        self.assertEqual(self.client.get(f"/stream/{job}").json, {"status": "COMPLETED", "stream": []})
        self.assertEqual(self.client.get(items[-1]["result"]).json["status"], "COMPLETED")

    def test_a_running_job_is_cancelled_within_the_clients_patience(self):
        job = self.gateway.run({"prompt": "a cat", "steps": 1000})
        self.gateway.wait_for(job, {"IN_PROGRESS"})
        begun = time.monotonic()
        answer = self.client.post(f"/cancel/{job}", timeout=3)
        self.assertLess(time.monotonic() - begun, 3 * PATIENCE)
        self.assertIn(answer.json["status"], ("CANCELLED", "IN_PROGRESS"))
        self.gateway.wait_for(job, {"CANCELLED"})

    def test_a_connection_is_kept_between_requests(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10 * PATIENCE)
        self.addCleanup(connection.close)
        for _ in range(50):
            connection.request("GET", "/health")
            self.assertEqual(connection.getresponse().read()[:8], b'{"jobs":')
        self.assertIsNotNone(connection.sock)


if __name__ == "__main__":
    unittest.main()

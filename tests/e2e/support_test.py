"""The helpers of the end-to-end tests do what they say; a helper that lies would hide every bug."""

import hashlib
import http.client
import json
import signal
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from support.contract import Contract
from support.http_client import Client
from support.process import Process
from support.servers import (LOGIN_PAGE, Content, Fault, FileServer, ShapingProxy, WebhookReceiver, certificate,
                             safetensors)
from support.waiting import wait_until


class Files(unittest.TestCase):
    def setUp(self):
        self.server = FileServer()
        self.addCleanup(self.server.stop)
        self.client = Client(self.server.url)

    def raw_get(self, path, timeout=10):
        """The answer with its body still to be read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=timeout)
        self.addCleanup(connection.close)
        connection.request("GET", path)
        response = connection.getresponse()
        self.addCleanup(response.close)
        return response

    def test_a_model_is_a_valid_safetensors_file(self):
        content = safetensors("dream", "lora", 0.25)

        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        tensors = sorted((t["data_offsets"] for n, t in header.items() if n != "__metadata__"))
        self.assertEqual(tensors[0][0], 0)
        self.assertTrue(all(a[1] == b[0] for a, b in zip(tensors, tensors[1:])))
        self.assertEqual(8 + length + tensors[-1][1], len(content))
        self.assertEqual(content, safetensors("dream", "lora", 0.25))

    def test_a_file_comes_whole_and_by_range(self):
        url, sha256 = self.server.add("a.safetensors")
        size = self.server.files["/a.safetensors"].size

        whole = self.client.get("/a.safetensors")
        part = self.client.get("/a.safetensors", headers={"Range": "bytes=100-199"})
        past = self.client.get("/a.safetensors", headers={"Range": f"bytes={size}-"})

        self.assertEqual(url, f"{self.server.url}/a.safetensors")
        self.assertEqual(hashlib.sha256(whole.body).hexdigest(), sha256)
        self.assertEqual((part.status, part.body), (206, whole.body[100:200]))
        self.assertEqual(part.headers["Content-Range"], f"bytes 100-199/{size}")
        self.assertEqual((past.status, past.headers["Content-Range"]), (416, f"bytes */{size}"))
        self.assertEqual(len(self.server.fetched("a.safetensors")), 3)

    def test_faults_that_answer_something_else(self):
        self.server.add("html", fault=Fault(html=True))
        self.server.add("gone", fault=Fault(status=404))
        self.server.add("busy", fault=Fault(status=503, headers={"Retry-After": "1"}))
        self.server.add("moved", fault=Fault(redirect="/html"))
        self.server.add("short", fault=Fault(cut_file=7))

        self.assertEqual(self.client.get("/html").body, LOGIN_PAGE)
        self.assertEqual(self.client.get("/gone").status, 404)
        self.assertEqual(self.client.get("/nothing").status, 404)
        self.assertEqual(self.client.get("/busy").headers["Retry-After"], "1")
        self.assertEqual(self.client.get("/moved").headers["Location"], "/html")
        self.assertEqual(len(self.client.get("/short").body), self.server.files["/short"].size - 7)

    def test_a_truncated_body_ends_before_its_length(self):
        self.server.add("x", b"x" * 1000, fault=Fault(truncate_after=300))

        with self.assertRaises(http.client.IncompleteRead) as caught:
            self.raw_get("/x").read()

        self.assertEqual(len(caught.exception.partial), 300)

    def test_a_wrong_length_promises_more_than_comes(self):
        self.server.add("x", b"x" * 1000, fault=Fault(length_off_by=5))

        response = self.raw_get("/x")

        self.assertEqual(response.headers["Content-Length"], "1005")
        with self.assertRaises(http.client.IncompleteRead):
            response.read()

    def test_a_reset_is_a_reset(self):
        self.server.add("x", b"x" * 100_000, fault=Fault(reset_after=50_000))

        with self.assertRaises(ConnectionResetError):
            self.raw_get("/x").read()

    def test_a_stall_lasts_until_the_client_leaves(self):
        self.server.add("x", b"x" * 1000, fault=Fault(stall_after=400))
        response = self.raw_get("/x", timeout=0.3)

        self.assertEqual(response.read(400), b"x" * 400)
        with self.assertRaises(TimeoutError):
            response.read(1)

    def test_a_slow_file_takes_its_time(self):
        self.server.add("x", b"x" * 2000, fault=Fault(bytes_per_second=10_000))
        begun = time.monotonic()

        self.assertEqual(len(self.client.get("/x").body), 2000)
        self.assertGreater(time.monotonic() - begun, 0.15)

    def test_a_fault_can_pass(self):
        self.server.add("x", b"x", fault=Fault(status=500, times=2))

        self.assertEqual([self.client.get("/x").status for _ in range(3)], [500, 500, 200])


    def test_files_of_any_size_come_from_a_seed(self):
        content = Content.model(3_000_001, seed=5)
        self.server.add("big", content)
        body = self.client.get("/big").body
        parts = [self.client.get("/big", headers={"Range": f"bytes={at}-{at + 999_999}"}).body
                 for at in range(0, content.size, 1_000_000)]

        (length,) = struct.unpack("<Q", body[:8])
        ends = [tensor["data_offsets"][1] for tensor in json.loads(body[8 : 8 + length]).values()]
        self.assertEqual(8 + length + max(ends), len(body))
        self.assertEqual(b"".join(parts), body)
        self.assertEqual(hashlib.sha256(body).hexdigest(), content.sha256)
        self.assertNotEqual(content.sha256, Content.model(3_000_001, seed=6).sha256)
        self.assertEqual(self.server.bytes_sent("big"), 2 * content.size)

    def test_a_place_where_connections_end_is_passed_the_second_time(self):
        self.server.add("x", b"0123456789", fault=Fault(truncate_at=[3, 7]))
        whole = b""
        while len(whole) < 10:
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
            connection.request("GET", "/x", headers={"Range": f"bytes={len(whole)}-"})
            try:
                whole += connection.getresponse().read()
            except http.client.IncompleteRead as cut:
                whole += cut.partial
            connection.close()

        self.assertEqual(whole, b"0123456789")
        self.assertEqual([request.begin for request in self.server.requests], [0, 3, 7])

    def test_faults_take_turns(self):
        self.server.add("x", b"abc", fault=[Fault(status=500, times=1), Fault(status=404, skip=1, times=1)])

        self.assertEqual([self.client.get("/x").status for _ in range(4)], [500, 200, 404, 200])

    def test_a_signed_link_ends_and_wants_no_key(self):
        self.server.add("x", b"abc")
        link = self.server.signed_link("x", requests=2)[len(self.server.url):]

        self.assertEqual(self.client.get(link, headers={"Authorization": "Bearer t"}).status, 400)
        self.assertEqual([self.client.get(link).status for _ in range(2)], [200, 403])

    def test_tls_vouches_for_its_names(self):
        with tempfile.TemporaryDirectory() as folder:
            path = certificate(folder, "models.example")
            with FileServer(certificate=path) as server:
                server.add("x", b"abc", fault=Fault(truncate_after=1))
                trust = ssl.create_default_context(cafile=path)
                connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=10, context=trust)
                self.addCleanup(connection.close)
                connection.request("GET", "/x")
                with self.assertRaises((http.client.IncompleteRead, ssl.SSLError)):
                    connection.getresponse().read()


class Links(unittest.TestCase):
    def through(self, size, **shape):
        """Seconds that a file of that size takes over such a link."""
        with FileServer() as server, ShapingProxy(server.port, **shape) as proxy:
            server.add("x", b"x" * size)
            begun = time.monotonic()
            self.assertEqual(len(Client(f"http://{proxy.host}").get("/x").body), size)
            return time.monotonic() - begun

    def test_a_link_has_a_length(self):
        # A round trip to connect, one to ask and be answered.
        self.assertGreaterEqual(self.through(10, delay=0.05), 0.2)

    def test_a_link_has_a_rate(self):
        self.assertGreaterEqual(self.through(500_000, rate=2_000_000), 0.24)
        self.assertGreaterEqual(self.through(500_000, total_rate=2_000_000), 0.24)

    def test_a_link_breaks(self):
        with self.assertRaises(ConnectionError):
            self.through(1_000_000, reset_each=1000)


class Webhooks(unittest.TestCase):
    def test_a_receiver_remembers_and_answers_as_told(self):
        with WebhookReceiver(codes=[500]) as receiver:
            client = Client(receiver.url)

            codes = [client.post("/hook", {"n": n}).status for n in range(2)]

            self.assertEqual(codes, [500, 200])
            self.assertEqual(receiver.bodies(), [{"n": 0}, {"n": 1}])
            self.assertEqual(receiver.wait_for(2)[0].headers["content-type"], "application/json")


class Waiting(unittest.TestCase):
    def test_it_returns_what_became_true(self):
        values = iter([None, 0, "here"])

        self.assertEqual(wait_until(lambda: next(values)), "here")

    def test_it_gives_up_in_time_and_says_on_what(self):
        with self.assertRaisesRegex(AssertionError, "0.0. s: the moon"):
            wait_until(lambda: False, 0.01, "the moon")


class Processes(unittest.TestCase):
    def test_output_is_waited_for_line_by_line(self):
        with Process([sys.executable, "-c", "print('port 17', flush=True); import time; time.sleep(60)"]) as process:
            self.assertEqual(process.wait_for_line(lambda line: line.partition("port ")[2]), "17")
            self.assertIsNone(process.exit_code)
            self.assertGreater(process.rss_bytes(), 1_000_000)
        self.assertEqual(process.exit_code, -signal.SIGTERM)

    def test_a_program_that_ends_early_is_told_with_its_output(self):
        with Process(["/bin/sh", "-c", "echo it went wrong; exit 3"]) as process:
            with self.assertRaisesRegex(AssertionError, "(?s)ended without printing.*it went wrong"):
                process.wait_for_line(lambda line: "listening" in line)
            self.assertEqual(process.wait(), 3)

    def test_one_that_ignores_sigterm_is_killed(self):
        process = Process(["/bin/sh", "-c", "trap '' TERM; echo up; sleep 60 & wait; wait"])
        process.wait_for_line(lambda line: line == "up")

        process.stop(timeout=0.2)

        self.assertEqual(process.exit_code, -signal.SIGKILL)

    def test_children_do_not_outlive_the_test_program(self):
        script = ("from support.process import Process; import os, sys\n"
                  "p = Process(['sh', '-c', 'echo up; exec sleep 60']); p.wait_for_line(lambda line: line == 'up')\n"
                  "print(p.pid, flush=True); os.kill(os.getpid(), 9)")
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        pid = int(ended.stdout)

        def gone():
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    return file.read().rsplit(")", 1)[1].split()[0] == "Z"
            except FileNotFoundError:
                return True

        wait_until(gone, 5)


class OpenApi(unittest.TestCase):
    contract = Contract({
        "openapi": "3.1.0",
        "paths": {
            "/status/{id}": {"get": {"responses": {
                "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/job"}}}},
                "404": {"$ref": "#/components/responses/problem"}}}},
            "/{door}/{id}": {"get": {"responses": {"204": {"description": "nothing"}}}},
        },
        "components": {
            "schemas": {"job": {"type": "object", "required": ["id"], "additionalProperties": False,
                                "properties": {"id": {"type": "string"}, "delayTime": {"type": ["integer", "null"]}}}},
            "responses": {"problem": {"content": {"application/json": {"schema": {"type": "object"}}}}},
        },
    })

    def problem(self, target, status, body, method="GET", kind="application/json"):
        return self.contract.problem(method, target, status, kind, body)

    def test_an_answer_as_described_passes(self):
        self.assertIsNone(self.problem("/status/7?ttl=1", 200, b'{"id": "7", "delayTime": 3}'))
        self.assertIsNone(self.problem("/status/7", 404, b"{}", kind="application/json; charset=utf-8"))
        self.assertIsNone(self.problem("/other/7", 204, b"", kind=None))
        self.assertIsNone(self.problem("/no/such/route", 404, b"{}"))
        self.assertIsNone(self.problem("/status/7", 405, b"{}", method="PUT"))

    def test_every_deviation_is_found(self):
        self.assertIn("'id' is a required", self.problem("/status/7", 200, b"{}"))
        self.assertIn("delayTime", self.problem("/status/7", 200, b'{"id": "7", "delayTime": "3"}'))
        self.assertIn("no JSON", self.problem("/status/7", 200, b"{"))
        self.assertIn("no response 500", self.problem("/status/7", 500, b"{}"))
        self.assertIn("content type", self.problem("/status/7", 200, b"{}", kind="text/html"))
        self.assertIn("without a body", self.problem("/other/7", 204, b"x"))
        self.assertIn("no PUT", self.problem("/status/7", 200, b"{}", method="PUT"))
        self.assertIn("not in openapi", self.problem("/no/such/route", 200, b"{}"))

    def test_operations_are_listed(self):
        self.assertEqual(self.contract.operations(), {("GET", "/status/{id}"), ("GET", "/{door}/{id}")})


if __name__ == "__main__":
    unittest.main()

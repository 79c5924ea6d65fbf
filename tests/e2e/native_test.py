"""The native API over real sockets and a real journal: many jobs at once, pictures, events, kill -9."""

import base64
import http.client
import json
import os
import re
import socket
import threading
import unittest

from support.cases import JobCase, long_job, picture
from support.programs import Gateway, nobody
from support.waiting import PATIENCE, wait_until

MIB = 1024 * 1024


def line(number, size=0, **more):
    return json.dumps({"input": {"prompt": f"job {number} " + "x" * size}, **more}).encode() + b"\n"


class Batch:
    """One jobs:batch over a socket: lines out, chunk by chunk; answers in, by a thread of their own."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60 * PATIENCE)
        self.socket.sendall(b"POST /api/v1/jobs:batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                            b"Content-Type: application/x-ndjson\r\n\r\n")
        self.answers = []
        self.status = None
        self.complete = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        response = http.client.HTTPResponse(self.socket, method="POST")
        try:
            response.begin()
            self.status = response.status
            while text := response.readline():
                if text.endswith(b"\n"):
                    self.answers.append(json.loads(text))
            self.complete = response.isclosed()
        except (OSError, http.client.HTTPException):
            pass  # the gateway was killed

    def send(self, lines):
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(lines), lines))

    def finish(self):
        self.socket.sendall(b"0\r\n\r\n")
        return self.wait()

    def wait(self):
        self._reader.join(60 * PATIENCE)
        assert not self._reader.is_alive(), f"no end after {len(self.answers)} answers"
        self.socket.close()
        return self.answers


def resident(gateway):
    """Bytes of memory that the process has at its most."""
    with open(f"/proc/{gateway.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) * 1024


class Idle(unittest.TestCase):
    """No WebUI: jobs stay where they are."""

    def gateway(self, **settings):
        gateway = Gateway([nobody()], settings=settings)
        self.addCleanup(gateway.close)
        return gateway

    def listed(self, gateway, query=""):
        """Every job, by id, page by page."""
        found, cursor = {}, ""
        while True:
            page = gateway.client.get(f"/api/v1/jobs?limit=200{query}{cursor}").json
            found.update((job["id"], job) for job in page["jobs"])
            if "next_cursor" not in page:
                return found
            cursor = "&cursor=" + page["next_cursor"]

    def ten_thousand(self, gateway):
        batch = Batch(gateway.port)
        for first in range(0, 10_000, 50):
            batch.send(b"".join(line(n, 2000) for n in range(first, first + 50)))
        answers = batch.finish()
        self.assertEqual(batch.status, 200)
        self.assertEqual([answer["line"] for answer in answers], list(range(1, 10_001)))
        self.assertEqual(len({answer["id"] for answer in answers}), 10_000)

    def test_ten_thousand_lines_take_no_memory_for_their_texts(self):
        gateway = self.gateway()
        self.ten_thousand(gateway)  # fills the caches of the journal
        before = resident(gateway)
        self.ten_thousand(gateway)
        # 20 MB of lines have gone through; what stays is the index of the queue. A sanitizer holds
        # back what is freed.
        self.assertLess(resident(gateway) - before, (12 if PATIENCE == 1 else 64) * MIB)
        self.assertEqual(gateway.client.get("/health").json["jobs"]["inQueue"], 20_000)
        self.assertEqual(len(self.listed(gateway)), 20_000)

    def test_what_was_answered_survives_kill_9_in_the_middle(self):
        gateway = self.gateway()
        batch = Batch(gateway.port)

        def feed():
            try:
                for n in range(1_000_000):
                    batch.send(line(n, idempotency_key=f"key {n}"))
            except OSError:
                pass

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        wait_until(lambda: len(batch.answers) > 500, 30, "answers flow")
        gateway.kill()
        answered = batch.wait()
        feeder.join(30 * PATIENCE)
        again = gateway.restarted()
        self.addCleanup(again.close)

        kept = self.listed(again)
        self.assertLessEqual({answer["id"] for answer in answered}, set(kept))
        # Sent again, every line finds its job: nothing is queued twice.
        resent = Batch(again.port)
        resent.send(b"".join(line(n, idempotency_key=f"key {n}") for n in range(len(kept))))
        ids = [answer["id"] for answer in resent.finish()]
        self.assertEqual(ids[:len(answered)], [answer["id"] for answer in answered])
        self.assertEqual(set(ids), set(self.listed(again)))

    def test_a_slow_reader_slows_the_batch_down_and_loses_nothing(self):
        gateway = self.gateway()
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=60 * PATIENCE) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            body = b"".join(line(n) for n in range(3000))
            peer.sendall(b"POST /api/v1/jobs:batch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(body))
            sender = threading.Thread(target=peer.sendall, args=(body,), daemon=True)
            sender.start()
            got = b""
            while part := peer.recv(512):
                got += part
            sender.join()
        self.assertEqual(got.count(b'"id"'), 3000)

    def test_a_refused_line_and_a_full_queue_are_told_where_they_are(self):
        gateway = self.gateway(**{"jobs.max_queued": 3})
        batch = Batch(gateway.port)
        batch.send(line(1) + b"what\n\n" + line(2) + line(3) + line(4))
        answers = batch.finish()

        self.assertEqual([answer.get("code") for answer in answers],
                         [None, "malformed_json", None, None, "queue_full"])
        self.assertEqual([answer["line"] for answer in answers], [1, 2, 4, 5, 6])
        self.assertEqual(answers[-1]["retry_after"], 5)

    def test_a_key_is_known_across_doors_and_restarts(self):
        gateway = self.gateway()
        key = {"Idempotency-Key": "one"}
        first = gateway.client.post("/api/v1/jobs", picture(), headers=key)
        self.assertEqual(first.status, 422)  # `input` was forgotten: nothing stands for the key
        first = gateway.client.post("/api/v1/jobs", {"input": picture()}, headers=key)
        self.assertEqual((first.status, first.headers["Location"]), (202, first.json["status_url"]))
        gateway.kill()
        again = gateway.restarted()
        self.addCleanup(again.close)
        second = again.client.post("/api/v1/jobs", {"input": picture()}, headers=key)
        self.assertEqual((second.status, second.json), (202, first.json))
        self.assertEqual(second.headers["Idempotency-Replayed"], "true")
        self.assertEqual(again.client.post("/run", {"input": picture()}, headers=key).json["id"], first.json["id"])
        other = again.client.post("/run", {"input": picture("a dog")}, headers=key)
        self.assertEqual((other.status, other.json["code"]), (422, "idempotency_reused"))
        self.assertEqual(again.client.get("/health").json["jobs"]["inQueue"], 1)

    def test_pages_of_other_sites_cannot_submit(self):
        client = self.gateway().client
        for headers in ({"Origin": "https://example.org"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "example.org"}):
            answer = client.post("/api/v1/jobs", {"input": picture()}, headers=headers)
            self.assertEqual((answer.status, answer.json["code"]), (403, "forbidden"), headers)
        self.assertEqual(client.get("/health").json["jobs"]["inQueue"], 0)


class Events(threading.Thread):
    """Reads a stream of events until it ends: [(id, name, data), …]."""

    def __init__(self, gateway, url):
        super().__init__(daemon=True)
        self.events = []
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60 * PATIENCE)
        self._connection.request("GET", url, headers={"Accept": "text/event-stream"})
        self.start()

    def run(self):
        response = self._connection.getresponse()
        fields = {}
        for text in response:
            name, _, value = text.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                self.events.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
        self._connection.close()


class Working(JobCase):
    def test_pictures_and_result_are_those_of_the_webui(self):
        gateway, _ = self.pair()
        accepted = gateway.client.post("/api/v1/jobs", {"input": picture(batch_size=2, width=512, height=512)}).json
        view = gateway.wait_for(accepted["id"])
        native = gateway.client.get(accepted["status_url"]).json
        result = gateway.client.get(accepted["result_url"]).json

        self.assertEqual(result, view["output"])
        self.assertEqual(len(native["images"]), len(result["images"]))
        for image, text in zip(native["images"], result["images"]):
            bytes_ = base64.b64decode(text, validate=True)
            answer = gateway.client.get(image["url"])
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "image/png"))
            self.assertEqual(answer.body, bytes_)
            self.assertEqual(image["bytes"], len(bytes_))
            part = gateway.client.get(image["url"], headers={"Range": "bytes=100-199"})
            self.assertEqual((part.status, part.body), (206, bytes_[100:200]))
            same = gateway.client.get(image["url"], headers={"If-None-Match": answer.headers["ETag"]})
            self.assertEqual((same.status, same.body), (304, b""))
        self.assertEqual(gateway.client.request("DELETE", accepted["status_url"]).status, 204)
        self.assertEqual(gateway.client.get(accepted["status_url"]).status, 404)
        self.assertEqual(os.listdir(os.path.join(gateway.data_dir, "spool")), [])

    def test_events_follow_a_job_to_its_end(self):
        gateway, webui = self.pair()
        job = gateway.client.post("/api/v1/jobs", {"input": long_job(seed=7)}).json
        events = Events(gateway, job["events_url"])
        webui.wait_until_drawing(7)
        wait_until(lambda: any(name == "progress" for _, name, _ in events.events), 20, "progress is told")
        gateway.client.post(job["cancel_url"])
        events.join(30 * PATIENCE)

        names = [name for _, name, _ in events.events if name != "progress"]
        self.assertEqual(names, ["queued", "started", "cancelled"])
        log = gateway.client.get(job["events_url"]).json["events"]
        self.assertEqual([data for _, name, data in events.events if name != "progress"], log)
        again = gateway.client.get(job["events_url"],
                                   headers={"Accept": "text/event-stream", "Last-Event-ID": events.events[-1][0]})
        self.assertEqual(again.status, 204)

    def test_a_stream_of_events_does_not_hold_up_the_end_of_the_gateway(self):
        gateway, _ = self.pair({"server.drain_grace": "0s"})
        job = gateway.client.post("/api/v1/jobs", {"input": long_job()}).json
        events = Events(gateway, job["events_url"])
        wait_until(lambda: events.events, 10, "the stream has begun")
        self.assertEqual(gateway.stop(), 0)
        events.join(10 * PATIENCE)
        self.assertFalse(events.is_alive())


if __name__ == "__main__":
    unittest.main()

"""Large results: they stream out of the spool, whoever reads them and however slowly, and are never held in memory."""

import contextlib
import socket
import unittest

from support.cases import JobCase, picture

MIB = 1024 * 1024
CLIENTS = 64


def slow_reader(port, job_id):
    """A client that has asked for a result and has not begun to read it. Its socket takes little by itself."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET /status/{job_id} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    return client


def rest_of(client):
    """The body of the answer, read to its end."""
    received = b""
    while piece := client.recv(MIB):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head[:200]
    return body


class Memory(JobCase):
    def test_many_clients_read_a_large_result_slowly_and_none_of_it_is_held_in_memory(self):
        gateway, _ = self.pair(step_ms=1, speed=1000)
        job_id = gateway.run(picture(steps=1, width=1024, height=1024))
        gateway.wait_for(job_id)
        whole = gateway.client.get(f"/status/{job_id}").body
        self.assertGreater(len(whole), MIB)
        before = gateway.rss_bytes()

        with contextlib.ExitStack() as open_sockets:
            clients = [open_sockets.enter_context(slow_reader(gateway.port, job_id)) for _ in range(CLIENTS)]
            for client in clients:
                self.assertEqual(client.recv(1, socket.MSG_PEEK), b"H")
            grown = gateway.rss_bytes() - before
            self.assertEqual([rest_of(client) == whole for client in clients], [True] * CLIENTS)

        # 64 KiB for each client's piece of the file, and its connection; all of it would be a hundred times as much.
        self.assertLess(grown, CLIENTS * 256 * 1024)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""A link between a client and a server on 127.0.0.1: distance, a rate for each connection and for all of them,
and connections that break. TLS passes through it as it is.

    shaping_proxy.py --to 127.0.0.1:PORT [--listen PORT] [--delay MS] [--mbit N] [--total-mbit N]
                     [--reset-each MIB [--seed N]]

Prints "listening 127.0.0.1:PORT". In tests: ShapingProxy(to=port, …) runs it in a thread."""

import argparse
import asyncio
import collections
import ctypes
import random
import signal
import socket
import struct
import sys
import threading
from dataclasses import dataclass

BUFFER = 64 * 1024
MEGABIT = 125_000


@dataclass
class Link:
    """What the way is like. Rates are bytes per second towards the client, 0: as fast as can be."""

    delay: float = 0.0  # seconds, each way
    rate: float = 0.0  # of each connection
    total_rate: float = 0.0  # of all connections together
    reset_each: float = 0.0  # a connection breaks after about so many bytes, 0: never
    seed: int = 0


class Pacer:
    """When the next bytes have passed a line of that rate. Idle time is not saved up."""

    def __init__(self, rate):
        self._rate, self._free = rate, 0.0

    def passed(self, size, now):
        if not self._rate:
            return now
        self._free = max(self._free, now) + size / self._rate
        return self._free


class Side(asyncio.BufferedProtocol):
    """One end of a connection. What it receives goes to `other` when its time has come."""

    def __init__(self, loop, pacers, delay, limit, ends=None, gone=None):
        self._loop, self._pacers, self._delay, self._limit = loop, pacers, delay, limit
        self._gone = gone  # told when the connection has ended
        self._ends = ends  # bytes until the connection breaks
        self._buffer = bytearray(BUFFER)
        self._way = collections.deque()  # (due, bytes; b"" for the end)
        self._under_way = 0
        self._timer = None
        self._blocked = False  # the other end takes no more for now
        self.transport = self.other = None
        self.not_before = 0.0

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get_buffer(self, _):
        return self._buffer

    def buffer_updated(self, size):
        now = self._loop.time()
        due = max([pacer.passed(size, now) for pacer in self._pacers] + [now, self.not_before])
        self._send_at(due + self._delay, bytes(memoryview(self._buffer)[:size]))
        if self._under_way > self._limit:
            self.transport.pause_reading()
        if self._ends is not None:
            self._ends -= size
            if self._ends <= 0:
                self._loop.call_at(due + self._delay, self.reset)

    def eof_received(self):
        self._send_at(max(self._loop.time(), self.not_before) + self._delay, b"")
        return True  # the other direction may still be in use

    def _send_at(self, due, data):
        self._way.append((due, data))
        self._under_way += len(data)
        if self._timer is None and not self._blocked:
            self._timer = self._loop.call_at(due, self._deliver)

    def _deliver(self):
        self._timer = None
        to = self.other.transport
        if to is None:
            return  # not connected yet
        now = self._loop.time()
        while self._way and not self._blocked and self._way[0][0] <= now + 0.0005:
            _, data = self._way.popleft()
            self._under_way -= len(data)
            if to.is_closing():
                return
            if data:
                to.write(data)
            elif to.can_write_eof():
                to.write_eof()
        if self._under_way <= self._limit and not self.transport.is_closing():
            self.transport.resume_reading()
        if self._way and not self._blocked:
            self._timer = self._loop.call_at(self._way[0][0], self._deliver)

    def pause_writing(self):
        self.other._blocked = True

    def resume_writing(self):
        self.other._blocked = False
        self.other._deliver()

    def connection_lost(self, error):
        if self._gone:
            self._gone(self)
        other = self.other.transport if self.other else None
        if other is None or other.is_closing():
            return
        if error:
            self.reset()
        elif not self._way:
            other.close()
        else:  # what is on its way still arrives
            self._loop.call_at(self._way[-1][0] + 0.001, other.close)

    def reset(self):
        """Breaks both ends, as a router that has forgotten the connection."""
        for side in (self, self.other):
            if side.transport is None or side.transport.is_closing():
                continue
            raw = side.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.transport.abort()


class ShapingProxy:
    """Runs in a thread of its own. `link` may be changed at any time; connections keep what they began with."""

    def __init__(self, to, link=None, port=0, **shape):
        self.link = link or Link(**shape)
        self.connections = 0  # so far
        self.most = 0  # at the same time
        self._open = set()
        self._random = random.Random(self.link.seed)
        self._total = Pacer(self.link.total_rate)
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        accepting = self._loop.create_server(self._accepted, sock=self._listener)
        server = self._loop.run_until_complete(accepting)
        self._loop.run_forever()
        server.close()
        for side in list(self._open):
            side.reset()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def stop(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)

    def _limit(self, rate):
        """Bytes under way: what the distance holds, and a buffer."""
        fastest = min((r for r in (rate, self.link.total_rate) if r), default=1e9)
        return int(fastest * 2 * self.link.delay) + BUFFER

    def _accepted(self):
        link, loop = self.link, self._loop
        ends = self._random.expovariate(1 / link.reset_each) if link.reset_each else None
        server = Side(loop, [Pacer(link.rate), self._total], link.delay, self._limit(link.rate), ends)
        client = Side(loop, [], link.delay, self._limit(0), gone=self._open.discard)
        client.other, server.other = server, client
        # A handshake takes a round trip before the first byte can leave.
        client.not_before = loop.time() + 2 * link.delay
        self.connections += 1
        self._open.add(client)
        self.most = max(self.most, len(self._open))
        loop.create_task(self._connect(client, server))
        return client

    async def _connect(self, client, server):
        try:
            await self._loop.create_connection(lambda: server, "127.0.0.1", self._to)
        except OSError:
            client.reset()
            return
        if client.transport is None or client.transport.is_closing():
            server.transport.abort()
        elif client._way and client._timer is None:
            client._deliver()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--to", required=True, help="127.0.0.1:PORT of the server")
    parser.add_argument("--listen", type=int, default=0, help="port; 0 takes a free one")
    parser.add_argument("--delay", type=float, default=0, help="milliseconds, each way")
    parser.add_argument("--mbit", type=float, default=0, help="of each connection, towards the client")
    parser.add_argument("--total-mbit", type=float, default=0, help="of all connections together")
    parser.add_argument("--reset-each", type=float, default=0, help="MiB after which connections break, about")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    link = Link(chosen.delay / 1000, chosen.mbit * MEGABIT, chosen.total_mbit * MEGABIT,
                chosen.reset_each * 2**20, chosen.seed)
    proxy = ShapingProxy(int(chosen.to.rpartition(":")[2]), link, chosen.listen)
    print(f"listening {proxy.host}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


if __name__ == "__main__":
    main()

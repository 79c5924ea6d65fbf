"""How a file comes over: ranges, changes on the way, broken and slow connections. The numbers are those of
downloads.md §10, here 1 to 11; where the others are:

  12-17, 26, 27   download_sources_test.py          18-23      download_disk_test.py
  19              download_kill_test.py             22, 23     models_test.py, too
  24              tests/core/eviction_test.cpp      25         tests/proto/safetensors_test.cpp
  18 (EDQUOT, EIO, EXDEV, no link), 21 (useless locks)         tests/store/files_test.cpp
  12 (DNS that turns private)                                  tests/net/resolver_test.cpp
  28, 29, 30      tests/bench/download"""

import unittest

from support.pull import PullCase
from support.servers import Content, Fault

KIB, MIB = 1024, 1024 * 1024
# A segment is 64 MiB; several connections from the start, where a file has several.
SEGMENTS = {"download.first_connections": 4}


class Transfer(PullCase):
    def setUp(self):
        super().setUp()
        self.files = self.server()

    def add(self, size=200 * KIB, fault=None, seed=1, server=None):
        content = Content.model(size, seed)
        (server or self.files).add("dream", content, fault)
        return content

    def dream(self, **more):
        return self.pull(f"{self.files.url}/dream", **more)

    def offsets(self):
        """Where the answers that brought bytes began."""
        return [request.begin for request in self.files.requests if request.sent]

    def assert_sent_once(self, content, slack=0):
        """No byte was fetched again."""
        self.assertLessEqual(self.files.bytes_sent("dream"), content.size + slack)


class Whole(Transfer):
    def test_01_a_server_without_ranges(self):
        content = self.add(fault=Fault(no_ranges=True))

        self.assert_there(self.dream(), content)
        self.assert_sent_once(content)

    def test_01_a_server_that_tells_no_length(self):
        for fault in (Fault(chunked=True), Fault(chunked=True, no_ranges=True), Fault(http10=True, no_ranges=True)):
            with self.subTest(fault=fault):
                content = self.add(fault=fault, seed=str(fault))
                pulled = self.dream(name=f"dream {len(self.files.requests)}")
                self.assert_there(pulled, content)

    def test_02_one_connection(self):
        content = self.add()

        self.assert_there(self.dream(sha256=content.sha256), content)
        self.assert_sent_once(content)

    def test_02_several_connections(self):
        content = self.add(300 * MIB, Fault(bytes_per_second=100 * MIB))

        self.assert_there(self.dream(sha256=content.sha256, settings=SEGMENTS), content)

        self.assertGreater(len({request.connection for request in self.files.requests}), 2)
        # What one connection takes over from another may still be on its way on both.
        self.assert_sent_once(content, slack=8 * MIB)


class Ranges(Transfer):
    def test_03_ranges_are_ignored_from_the_second_request_on(self):
        content = self.add(4 * MIB, [Fault(truncate_after=MIB, times=1), Fault(no_ranges=True)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_04_a_content_range_that_begins_elsewhere(self):
        content = self.add(4 * MIB, [Fault(truncate_after=MIB, times=1), Fault(range_off_by=4096, times=2)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_04_a_content_range_of_another_size(self):
        content = self.add(4 * MIB, [Fault(truncate_after=MIB, times=1), Fault(range_total="4194305", times=1)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_04_no_content_range_at_all(self):
        content = self.add(4 * MIB, [Fault(truncate_after=MIB, times=1),
                                     Fault(headers={"Content-Range": None}, times=2)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_05_parts(self):
        content = self.add(2 * MIB, [Fault(truncate_after=MIB, times=1), Fault(multipart=True, times=1)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_06_416_with_the_size_that_is_expected(self):
        content = self.add(2 * MIB, [Fault(truncate_after=MIB, times=1),
                                     Fault(status=416, headers={"Content-Range": f"bytes */{2 * MIB}"}, times=1)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_06_416_with_another_size(self):
        content = self.add(2 * MIB, [Fault(truncate_after=MIB, times=1),
                                     Fault(status=416, headers={"Content-Range": f"bytes */{MIB}"}, times=1)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_06_416_with_no_size(self):
        content = self.add(2 * MIB, [Fault(truncate_after=MIB, times=1), Fault(status=416, times=1)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_06_416_for_ever_is_never_a_complete_file(self):
        self.add(2 * MIB, [Fault(truncate_after=MIB, times=1),
                           Fault(status=416, headers={"Content-Range": f"bytes */{MIB}"})])

        self.assert_refused(self.dream(settings=SEGMENTS), "416")


class Changes(Transfer):
    def test_07_another_file_with_another_etag_on_the_way(self):
        old, new = Content.model(4 * MIB, "old"), Content.model(4 * MIB, "new")
        self.files.add("dream", new, [Fault(content=old, truncate_after=2 * MIB, times=1)])

        self.assert_there(self.dream(settings=SEGMENTS), new)

    def test_08_another_size_on_the_way(self):
        old, new = Content.model(4 * MIB, "old"), Content.model(5 * MIB, "new")
        self.files.add("dream", new, [Fault(content=old, truncate_after=2 * MIB, times=1)])

        self.assert_there(self.dream(settings=SEGMENTS), new)

    def test_07_a_file_that_never_stays_the_same(self):
        kinds = [Content.model(4 * MIB, seed) for seed in range(12)]
        self.files.add("dream", kinds[-1], [Fault(content=kind, truncate_after=MIB, times=1) for kind in kinds])

        self.assert_refused(self.dream(settings=SEGMENTS), "dream")


class Broken(Transfer):
    def assert_taken_up(self, size, settings=None):
        cuts = [size * place // 7 for place in range(1, 7)]
        content = self.add(size, Fault(truncate_at=cuts))

        settings = {**(settings or {}), "download.retries": 10}
        self.assert_there(self.dream(sha256=content.sha256, settings=settings), content)

        self.assertEqual(self.files.faults["/dream"][0].truncate_at, [], "every cut was met")
        self.assert_sent_once(content)

    def test_09_cut_at_every_seventh(self):
        self.assert_taken_up(700 * KIB + 3)

    def test_09_cut_at_every_seventh_in_segments(self):
        self.assert_taken_up(140 * MIB + 3, SEGMENTS)

    def test_09_cut_at_every_seventh_without_the_end_of_tls(self):
        self.files = self.server(tls=True)
        self.assert_taken_up(700 * KIB + 3)

    def test_09_cut_with_no_length_told(self):
        self.add(fault=Fault(http10=True, no_ranges=True, truncate_after=100 * KIB))

        self.assert_refused(self.dream(), "checkpoint .dream.")

    def test_09_reset(self):
        content = self.add(2 * MIB, Fault(reset_after=MIB, times=2))

        self.assert_there(self.dream(), content)

    def test_10_more_bytes_than_promised(self):
        content = self.add(fault=Fault(extra=b"x" * 5000))

        self.assert_there(self.dream(), content)

    def test_10_more_bytes_than_the_file_says_it_has(self):
        content = self.add()
        longer = content.bytes() + b"x" * 1000
        for fault in (None, Fault(chunked=True, no_ranges=True)):
            with self.subTest(fault=fault):
                self.files.add("dream", longer, fault)
                self.assert_refused(self.dream(), "header")

    def test_10_a_length_that_is_too_large(self):
        self.add(fault=Fault(length_off_by=1000, no_ranges=True))

        self.assert_refused(self.dream(), "checkpoint .dream.")


class Slow(Transfer):
    def test_11_a_stall(self):
        content = self.add(2 * MIB, [Fault(stall_after=MIB, times=1)])

        self.assert_there(self.dream(), content)
        self.assertIn(MIB, self.offsets(), "the second request goes on where the first one stopped")

    def test_11_a_stall_each_time(self):
        self.add(2 * MIB, Fault(stall_after=0))

        self.assert_refused(self.dream(settings={"download.stall_timeout": "200ms"}), "checkpoint .dream.")

    def test_11_a_server_that_never_answers(self):
        content = self.add(fault=Fault(header_after=30, times=1))

        self.assert_there(self.dream(settings={"download.header_timeout": "300ms"}), content)

    def test_11_a_header_byte_by_byte(self):
        content = self.add(fault=Fault(header_pause=0.002))

        self.assert_there(self.dream(), content)

    def test_11_one_connection_that_drips_beside_others_that_flow(self):
        content = self.add(8 * MIB, [Fault(when=lambda request: request.connection == 2, bytes_per_second=100),
                                     Fault(bytes_per_second=2 * MIB)])

        self.assert_there(self.dream(settings={**SEGMENTS, "download.stall_timeout": "20s"}), content)

    def test_11_too_many_connections_are_answered_with_429(self):
        def crowded(request):
            return len([r for r in self.files.requests if r.sent < 100 and not r.status]) > 2

        content = self.add(8 * MIB, [Fault(when=crowded, status=429, headers={"Retry-After": "0"}),
                                     Fault(bytes_per_second=4 * MIB)])

        self.assert_there(self.dream(settings=SEGMENTS), content)

    def test_11_503_with_retry_after(self):
        content = self.add(fault=Fault(status=503, headers={"Retry-After": "1"}, times=1))

        self.assert_there(self.dream(), content)
        first, second = self.files.requests[:2]
        self.assertGreaterEqual(second.time - first.time, 1)


if __name__ == "__main__":
    unittest.main()

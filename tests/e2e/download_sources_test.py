"""Where files come from: redirects, credentials, links that expire, pages that are no files, Hugging Face and
Civitai. The numbers are those of downloads.md §10, here 12 to 17, 26 and 27."""

import os
import unittest

from support.pull import PullCase
from support.servers import Civitai, Content, Fault, HuggingFace, Reply

KIB, MIB = 1024, 1024 * 1024
TOKEN = "hf_SecretOfThisTest"
LFS_POINTER = (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a2146" * 8 + b"\nsize 132\n")


class Redirects(PullCase):
    def setUp(self):
        super().setUp()
        self.files = self.server()
        self.content = Content.model(200 * KIB)
        self.files.add("dream", self.content)

    def hops(self, count, to):
        """A chain of redirects, relative and absolute ones in turn; returns where it begins."""
        for number in range(count):
            follow = to if number == 0 else f"/hop{number - 1}"
            absolute = follow.startswith("http") or number % 2
            location = follow if not absolute or follow.startswith("http") else self.files.url + follow
            status = (301, 302, 303, 307, 308)[number % 5]
            self.files.route(f"/hop{number}", lambda _, s=status, l=location: Reply.of(s, Location=l))
        return f"{self.files.url}/hop{count - 1}"

    def test_12_a_chain_is_followed(self):
        self.assert_there(self.pull(self.hops(9, "/dream")), self.content)

    def test_12_a_longer_chain_is_not(self):
        self.assert_refused(self.pull(self.hops(11, "/dream")), "redirects more than 10 times")

    def test_12_nor_a_loop(self):
        self.assert_refused(self.pull(self.hops(3, "/hop2")), "circle")

    def test_12_nor_from_https_to_http(self):
        safe = self.server(host="models.example")
        safe.add("dream", b"", Fault(redirect=f"{self.files.url}/dream"))
        pulled = self.pull("https://models.example/dream",
                           flags=["--allow-host", self.files.host, "--allow-host", "models.example"])

        self.assert_refused(pulled, "from https to http")
        self.assertEqual(self.files.requests, [])

    def test_12_nor_to_an_address_of_a_private_network(self):
        for target in ("http://127.0.0.1:1/x", "https://127.0.0.1/x", "http://169.254.169.254/latest",
                       "https://10.0.0.1/x", "https://[::ffff:10.0.0.1]/x", "https://[::1]/x", "https://0x7f.1/x", "https://2130706433/x"):
            with self.subTest(target=target):
                self.files.faults["/dream"] = [Fault(redirect=target)]
                self.assert_refused(self.pull(f"{self.files.url}/dream", settings={"download.retries": 0}),
                                    "not allowed|address|URL")


class Credentials(PullCase):
    """A token goes to the origin it is for, and nowhere else."""

    def setUp(self):
        super().setUp()
        self.storage = self.server(host="cdn.hf.co")
        self.hub = self.server(kind=HuggingFace, host="huggingface.co", storage=self.storage,
                               storage_url="https://cdn.hf.co", token=TOKEN)
        self.content = Content.model(300 * KIB)
        self.hub.add_model("me/mine/resolve/main/dream.safetensors", self.content, gated=True)
        self.url = "https://huggingface.co/me/mine/resolve/main/dream.safetensors"

    def test_13_the_token_stops_at_the_first_origin(self):
        self.storage.faults["/dream.safetensors"] = [Fault(truncate_at=[100 * KIB, 200 * KIB])]

        pulled = self.pull(self.url, environment={"HF_TOKEN": TOKEN})

        self.assert_there(pulled, self.content)
        self.assertEqual(self.hub.requests[0].headers["authorization"], f"Bearer {TOKEN}")
        self.assertGreaterEqual(len(self.storage.requests), 3)
        for request in self.storage.requests:
            for name in ("authorization", "cookie", "referer"):
                self.assertNotIn(name, request.headers)

    def test_13_nor_does_it_go_to_another_host_by_that_name_in_the_path(self):
        other = self.server(host="other.example")
        other.add("huggingface.co/me/mine/resolve/main/dream.safetensors", self.content)

        pulled = self.pull("https://other.example/huggingface.co/me/mine/resolve/main/dream.safetensors",
                           environment={"HF_TOKEN": TOKEN}, flags=["--allow-host", "other.example"])

        self.assert_there(pulled, self.content)
        self.assertNotIn("authorization", other.requests[0].headers)

    def test_27_neither_token_nor_signature_is_written_anywhere(self):
        self.storage.faults["/dream.safetensors"] = [Fault(truncate_at=[100 * KIB]), Fault(status=500, times=1)]
        self.pull(self.url, environment={"HF_TOKEN": TOKEN}, settings={"log.level": "trace"})
        self.hub.add_model("me/mine/resolve/main/broken.safetensors", self.content, sha256="0" * 64)
        said = self.pull(self.url.replace("dream", "broken") + "?token=SecretInUrl", "broken",
                         environment={"HF_TOKEN": TOKEN}, settings={"log.level": "trace"}).output

        for folder, _, names in os.walk(self.folder):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    said += file.read().decode("latin-1")
        for secret in (TOKEN, "SecretInUrl", "feedc0de"):
            self.assertNotIn(secret, said)


class Expiry(PullCase):
    """Signed links end in the middle of a download; a new one is asked for."""

    def setUp(self):
        super().setUp()
        self.storage = self.server(host="cdn.hf.co")
        self.hub = self.server(kind=HuggingFace, host="huggingface.co", storage=self.storage,
                               storage_url="https://cdn.hf.co")
        self.content = Content.model(2 * MIB)
        self.place = "me/mine/resolve/main/dream.safetensors"
        self.hub.add_model(self.place, self.content)
        self.hub.links = {"requests": 1}

    def fetch(self, **more):
        return self.pull(f"https://huggingface.co/{self.place}", **more)

    def cut_in_the_middle(self, *more):
        self.storage.faults["/dream.safetensors"] = [Fault(truncate_at=[MIB]), *more]

    def assert_went_on(self):
        self.assert_there(self.fetch(), self.content)
        self.assertGreaterEqual(len(self.hub.asked("/resolve/")), 2)
        self.assertEqual(sum(request.sent for request in self.storage.requests if request.status < 300),
                         self.content.size)

    def test_14_a_link_that_has_ended_with_403(self):
        self.cut_in_the_middle()
        self.assert_went_on()

    def test_14_a_link_that_has_ended_with_400(self):
        self.storage.expired_status = 400
        self.cut_in_the_middle()
        self.assert_went_on()

    def test_14_a_new_link_with_another_etag_to_the_same_bytes(self):
        self.storage.faults["/dream.safetensors"] = [Fault(truncate_after=MIB, times=1),
                                                     Fault(headers={"ETag": '"another storage"'})]
        self.assert_there(self.fetch(), self.content)

    def test_14_links_that_never_work(self):
        self.hub.links = {"seconds": 0.000001}

        self.assert_refused(self.fetch(), "403")
        self.assertLess(len(self.hub.requests), 15)


class NoFiles(PullCase):
    def setUp(self):
        super().setUp()
        self.files = self.server()

    def assert_no_file(self, fault, reason, **more):
        content = Content.model(100 * KIB)
        self.files.add("dream", content, fault)
        self.assert_refused(self.pull(f"{self.files.url}/dream", **more), reason)
        self.assertEqual(len(self.files.requests), 1, "it is not asked for again")

    def test_15_a_login_page(self):
        self.assert_no_file(Fault(html=True), "text/html")

    def test_15_a_page_that_says_it_is_a_file(self):
        self.assert_no_file(Fault(html=True, headers={"Content-Type": "application/octet-stream"}), "page|HTML|html")

    def test_15_json(self):
        self.assert_no_file(Fault(body=b'{"error": "no"}'), "application/json")
        self.files.requests.clear()
        self.assert_no_file(Fault(body=b'{"error": "no"}', kind="application/octet-stream"), "JSON|json")

    def test_15_a_pointer_to_a_large_file(self):
        self.assert_no_file(Fault(body=LFS_POINTER, kind="application/octet-stream"), "LFS|pointer")

    def test_15_a_pickle(self):
        self.assert_no_file(Fault(body=b"\x80\x02}q\x00." + b"x" * 1000, kind="application/octet-stream"), "pickle")
        self.files.requests.clear()
        self.assert_no_file(Fault(body=b"PK\x03\x04" + b"x" * 1000, kind="application/octet-stream"), "pickle|zip")

    def test_15_packed(self):
        self.assert_no_file(Fault(gzip=True), "Content-Encoding gzip")


class HuggingFaceLike(PullCase):
    def setUp(self):
        super().setUp()
        self.storage = self.server(host="cdn.hf.co")
        self.hub = self.server(kind=HuggingFace, host="huggingface.co", storage=self.storage,
                               storage_url="https://cdn.hf.co", token=TOKEN)
        self.content = Content.model(100 * KIB)
        self.place = "me/mine/resolve/main/dream.safetensors"

    def fetch(self, **more):
        return self.pull(f"https://huggingface.co/{self.place}", **more)

    def test_16_the_sha256_of_the_first_answer_counts_and_not_the_etag_of_the_second(self):
        self.hub.add_model(self.place, self.content)
        self.assertEqual(len(self.content.etag.strip('"')), 64)
        self.assertNotIn(self.content.sha256, self.content.etag)

        self.assert_there(self.fetch(), self.content)

    def test_16_a_file_that_is_not_what_the_hub_says(self):
        self.hub.add_model(self.place, self.content, sha256="0" * 64)

        self.assert_refused(self.fetch(), "sha256")

    def test_16_a_page_address_is_turned_into_its_file(self):
        self.hub.add_model(self.place, self.content)

        self.assert_there(self.pull("https://huggingface.co/me/mine/blob/main/dream.safetensors"), self.content)

    def test_16_a_renamed_repository(self):
        self.hub.add_model(self.place, self.content, gated=True)
        self.hub.route("/old/name/resolve/main/dream.safetensors",
                       lambda _: Reply.of(307, Location="/" + self.place, X_Repo_Commit=HuggingFace.COMMIT))

        pulled = self.pull("https://huggingface.co/old/name/resolve/main/dream.safetensors",
                           environment={"HF_TOKEN": TOKEN})

        self.assert_there(pulled, self.content)

    def test_16_why_there_is_no_file(self):
        cases = [
            (404, {"X_Error_Code": "EntryNotFound"}, "no such file"),
            (404, {"X_Error_Code": "RevisionNotFound"}, "no such branch"),
            (401, {"X_Error_Code": "RepoNotFound"}, "does not exist"),
            (401, {"X_Error_Code": "GatedRepo"}, "gated"),
            (403, {"X_Error_Code": "GatedRepo"}, "gated"),
            (401, {"X_Error_Message": "Invalid credentials in Authorization header"}, "does not accept the token"),
            (401, {}, "HF_TOKEN"),
            (403, {}, "403"),
        ]
        for status, headers, reason in cases:
            with self.subTest(status=status, headers=headers):
                self.hub.requests.clear()
                self.hub.route("/" + self.place, lambda _, s=status, h=headers: HuggingFace.error(s, **h))
                self.assert_refused(self.fetch(), reason)
                self.assertLessEqual(len(self.hub.requests), 2, "it is not asked for again and again")

    def test_16_429_says_how_long_to_wait(self):
        self.hub.add_model(self.place, self.content)
        self.hub.faults["/" + self.place] = [Fault(status=429, headers={"RateLimit": '"resolvers";r=0;t=0'}, times=1)]

        self.assert_there(self.fetch(), self.content)
        first, second = self.hub.asked("/resolve/")[:2]
        self.assertGreaterEqual(second.time - first.time, 0.9, "t + 1 seconds")


class CivitaiLike(PullCase):
    def setUp(self):
        super().setUp()
        self.storage = self.server(host="b2.civitai.com")
        self.site = self.server(kind=Civitai, host="civitai.com", storage=self.storage,
                                storage_url="https://b2.civitai.com", token=TOKEN)
        self.content = Content.model(100 * KIB)

    def fetch(self, token="", **more):
        return self.pull("https://civitai.com/api/download/models/5",
                         environment={"CIVITAI_API_TOKEN": token} if token else None, **more)

    def test_17_a_file_and_its_token(self):
        self.site.add_model(5, "dream", self.content, login=True)

        self.assert_there(self.fetch(TOKEN), self.content)
        for request in self.site.requests:
            self.assertNotRegex(request.headers["user-agent"].lower(), "mozilla|chrome|aria2")
        for request in self.storage.requests:
            self.assertNotIn("authorization", request.headers)

    def test_17_a_file_that_needs_a_token(self):
        self.site.add_model(5, "dream", self.content, login=True)

        self.assert_refused(self.fetch(), "CIVITAI_API_TOKEN")
        self.assertEqual(self.storage.requests, [])

    def test_17_why_there_is_no_file(self):
        cases = [
            (Civitai.error(401, "Unauthorized", Civitai.DISABLED), "disabled downloads"),
            (Civitai.error(403, "Early Access"), "early access"),
            (Reply.of(307, Location="/login?reason=download-auth"), "login"),
            (Civitai.error(410, "archived"), "archived"),
        ]
        self.site.add_model(5, "dream", self.content)
        for answer, reason in cases:
            with self.subTest(reason=reason):
                self.site.troubles = [answer] * 10
                self.assert_refused(self.fetch(), reason)
                self.assertGreaterEqual(len(self.site.troubles), 8, "it is not asked for again and again")

    def test_17_404_that_passes(self):
        self.site.add_model(5, "dream", self.content)
        self.site.troubles = [Civitai.error(404, "File not found", Cache_Control="private, no-store")] * 2

        self.assert_there(self.fetch(), self.content)

    def test_17_a_file_that_is_not_what_the_site_says(self):
        self.site.add_model(5, "dream", self.content, sha256="0" * 64)

        self.assert_refused(self.fetch(), "sha256")

    def test_17_the_site_cannot_say_what_the_file_is(self):
        self.site.add_model(5, "dream", self.content, sha256="")
        self.site.faults["/api/v1/model-versions/5"] = [Fault(status=503)]

        self.assert_there(self.fetch(), self.content)


class Names(PullCase):
    def test_26_names_that_would_leave_the_folder_or_break_the_prompt(self):
        files = self.server()
        files.add("dream")
        for name in ("../x", "..", ".hidden", "a/b", "a\\b", "a:b", "a<b", "a>b", "a|b", "a*b", "a?b", 'a"b', "a,b",
                     "CON", "nul", "x.part", "x ", "x.", "a\nb", "x" * 130):
            with self.subTest(name=name):
                pulled = self.pull(f"{files.url}/dream", name)
                self.assertNotEqual(pulled.code, 0, pulled.output)
        self.assertEqual(files.requests, [])
        self.assertEqual([name for _, _, names in os.walk(self.models) for name in names], [])


if __name__ == "__main__":
    unittest.main()

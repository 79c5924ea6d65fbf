"""The model library: what is deleted and what stays, two gateways on one volume, the subcommands and /api/v1/models."""

import hashlib
import json
import os
import re
import subprocess
import time
import unittest

from support.cases import JobCase, picture
from support.programs import add_model, program
from support.servers import Fault, FileServer
from support.waiting import wait_until

HOUR = 3600


class Library(JobCase):
    def setUp(self):
        super().setUp()
        self.files = FileServer()
        self.addCleanup(self.files.stop)

    def start(self, settings=None, webui=None, **more):
        webui = webui or self.simulator()
        self.models_dir = webui.models_dir
        settings = {"models.dir": webui.models_dir, "models.min_free": "0B", **(settings or {})}
        return self.gateway(webui, settings=settings, flags=["--allow-host", self.files.host], **more)

    def lora(self, name, served=None, fault=None):
        url, sha256 = self.files.add(served or name, kind="lora", mib=0.5, fault=fault)
        return {"name": name, "url": url, "hash": sha256}

    def path(self, name, kind="Lora"):
        return os.path.join(self.models_dir, kind, f"{name}.safetensors")

    def registry(self):
        with open(os.path.join(self.models_dir, "cache_registry.json"), encoding="utf-8") as file:
            return json.load(file)

    def wait_for_registry(self, done):
        """Until what is written satisfies done(registry)."""
        def it_does():
            try:
                return done(self.registry())
            except FileNotFoundError:
                return False
        wait_until(it_does, 20, "the registry is written")

    def age(self, name, hours=2):
        """Makes the registry believe that the file was used long ago; no gateway may be running."""
        path = os.path.join(self.models_dir, "cache_registry.json")
        registry = self.registry()
        then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - hours * HOUR))
        registry["loras"][name].update(last_used=then, downloaded_at=then)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(registry, file)

    def models(self, command, *arguments, expected=0, settings=None):
        """Runs `webui-gateway models COMMAND`; its standard output."""
        settings = {"models.dir": self.models_dir, "models.min_free": "0B", **(settings or {})}
        flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        done = subprocess.run([program(), "models", command, *arguments, *flags,
                               "--data-dir", os.path.join(self.folder, "cli")],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        return done.stdout

    def put(self, name, kind="lora"):
        return add_model(self.models_dir, name, kind=kind)


class Registry(Library):
    def test_it_says_where_files_came_from_and_survives_its_loss(self):
        gateway = self.start()
        lora = self.lora("style")
        self.assert_completes(gateway, picture(loras=[lora]))
        self.wait_for_registry(lambda r: r["loras"].get("style", {}).get("usage_count") == 1)
        kept = self.registry()["loras"]["style"]
        self.assertEqual((kept["url"], kept["hash"], kept["file_size"]),
                         (lora["url"], lora["hash"], os.path.getsize(self.path("style"))))
        gateway.kill()
        with open(os.path.join(self.models_dir, "cache_registry.json"), "w", encoding="utf-8") as file:
            file.write('{"loras": {"sty')

        again = self.restarted(gateway).wait_until_ready()

        self.assert_completes(again, picture(loras=[lora], seed=2))
        self.wait_for_registry(lambda r: r["loras"].get("style", {}).get("usage_count") == 1)
        self.assertTrue(os.path.exists(os.path.join(self.models_dir, "cache_registry.json.bad")))
        self.assertEqual(self.registry()["loras"]["style"]["url"], "", "whose it is, nobody knows any more")
        self.assertEqual(len(self.files.fetched("style")), 1)

    def test_no_token_is_written(self):
        gateway = self.start()
        lora = self.lora("style")
        lora["url"] += "?token=verysecret"
        self.assert_completes(gateway, picture(loras=[lora]))
        self.wait_for_registry(lambda r: "style" in r["loras"])
        self.assertNotIn("verysecret", json.dumps(self.registry()))
        self.assertNotIn("verysecret", gateway.client.get("/api/v1/models").text)


class Sharing(Library):
    def test_the_same_content_under_two_names_is_fetched_once(self):
        gateway = self.start()
        one, two = self.lora("one", served="same"), self.lora("two", served="same")
        self.assert_completes(gateway, picture(loras=[one, two]))
        self.assertEqual(len(self.files.fetched("same")), 1)
        self.assertTrue(os.path.samefile(self.path("one"), self.path("two")))

    def test_two_gateways_fetch_a_file_once(self):
        slow = Fault(bytes_per_second=400_000)
        lora = self.lora("style", fault=slow)
        webui = self.simulator()
        first = self.start(webui=webui)
        second = self.start(webui=self.simulator(models_dir=webui.models_dir))
        ids = [(gateway, gateway.run(picture(loras=[lora], seed=seed)))
               for seed, gateway in enumerate((first, second))]
        for gateway, job in ids:
            self.assert_completes(gateway, job)
        self.assertEqual(len(self.files.fetched("style")), 1)
        self.assertFalse([name for name in os.listdir(os.path.dirname(self.path("style")))
                          if not name.endswith(".safetensors")])
        self.wait_for_registry(lambda r: r["loras"].get("style", {}).get("usage_count") == 2)

    def test_prune_leaves_alone_what_a_gateway_needs(self):
        gateway = self.start()
        for name in ("needed", "idle"):
            self.assert_completes(gateway, picture(loras=[self.lora(name)]))
        self.wait_for_registry(lambda r: {"needed", "idle"} <= set(r["loras"]))
        gateway.stop()
        self.age("needed")
        self.age("idle")
        again = self.restarted(gateway).wait_until_ready()
        again.run(picture(loras=[self.lora("needed"), self.lora("never", fault=Fault(stall_after=100))]))
        wait_until(lambda: self.files.fetched("never"), 20, "the job waits for its second file")

        told = self.models("prune", settings={"models.unused_after": "1h", "models.keep_most_used": 0})

        self.assertIn("kept     lora 'needed': a gateway needs it", told)
        self.assertIn("deleted  lora 'idle' (unused", told)
        self.assertTrue(os.path.exists(self.path("needed")))
        self.assertFalse(os.path.exists(self.path("idle")))


class Eviction(Library):
    def test_what_was_deleted_is_fetched_again_before_the_next_job(self):
        gateway = self.start()
        lora = self.lora("style")
        self.assert_completes(gateway, picture(loras=[lora]))
        self.wait_for_registry(lambda r: "style" in r["loras"])
        gateway.stop()
        self.age("style")
        again = self.restarted(gateway, settings={
            **gateway._made_with["settings"], "models.unused_after": "1h", "models.keep_most_used": 0})
        again.wait_until_ready()
        wait_until(lambda: not os.path.exists(self.path("style")), 90, "it was deleted")
        wait_until(lambda: again.metric("webui_gateway_cache_evictions_total", reason="unused") == 1, 10)

        info = self.assert_completes(again, picture(loras=[lora], seed=2))["output"]["cache_info"]

        self.assertEqual(info["loras_cached"], 1)
        self.assertEqual(len(self.files.fetched("style")), 2)


class Door(Library):
    def pull(self, gateway, lora):
        return gateway.client.post("/api/v1/models", {"kind": "lora", **lora})

    def state(self, gateway, name):
        answer = gateway.client.get(f"/api/v1/models/lora/{name}")
        return answer.json["state"] if answer.status == 200 else answer.status

    def test_a_model_is_pulled_shown_pinned_and_deleted(self):
        gateway = self.start()
        answer = self.pull(gateway, self.lora("style"))
        self.assertEqual(answer.status, 202, str(answer))
        self.assertEqual(answer.headers["location"], "/api/v1/models/lora/style")
        wait_until(lambda: self.state(gateway, "style") == "present", 20)
        wait_until(lambda: gateway.client.get("/api/v1/models/lora/style").json["listed_by"] == ["webui-0"], 20)
        listed = gateway.client.get("/api/v1/models?kind=lora").json["models"]
        self.assertEqual([model["name"] for model in listed], ["style"])
        self.assertTrue(listed[0]["managed"])

        self.assertTrue(gateway.client.request("PUT", "/api/v1/models/lora/style/pin").json["pinned"])
        self.assertEqual(gateway.client.request("DELETE", "/api/v1/models/lora/style").status, 409)
        gateway.client.request("DELETE", "/api/v1/models/lora/style/pin")
        self.assertEqual(gateway.client.request("DELETE", "/api/v1/models/lora/style").status, 204)
        self.assertFalse(os.path.exists(self.path("style")))
        self.assertEqual(self.state(gateway, "style"), 404)

    def test_what_a_job_needs_and_what_is_not_ours_is_not_deleted(self):
        gateway = self.start()
        stuck = self.lora("stuck", fault=Fault(stall_after=100))
        gateway.run(picture(loras=[stuck]))
        wait_until(lambda: self.state(gateway, "stuck") == "fetching", 20)
        for path in ("lora/stuck", "checkpoint/base"):
            answer = gateway.client.request("DELETE", f"/api/v1/models/{path}")
            self.assertEqual(answer.status, 409, str(answer))

    def test_a_pull_that_fails_says_why(self):
        gateway = self.start()
        self.pull(gateway, {"name": "gone", "url": f"{self.files.url}/gone"})
        wait_until(lambda: self.state(gateway, "gone") == "failed", 20)
        self.assertIn("404", gateway.client.get("/api/v1/models/lora/gone").json["error"])

    def test_events_follow_a_model_until_it_is_there(self):
        gateway = self.start()
        self.pull(gateway, self.lora("style", fault=Fault(bytes_per_second=200_000)))

        events = gateway.client.get("/api/v1/models/events?kind=lora&name=style").text

        states = re.findall(r'^data: .*"state":"(\w+)"', events, re.M)
        self.assertEqual(states[-1], "present")
        self.assertIn("fetching", states)
        self.assertRegex(events, r'"progress":{"bytes":\d+,"total":\d+')
        self.assertEqual(re.findall(r"^id: (\d+)", events, re.M), [str(n + 1) for n in range(len(states))])


class Subcommands(Library):
    def setUp(self):
        super().setUp()
        self.models_dir = os.path.join(self.folder, "models")

    def test_list_shows_what_is_there(self):
        self.put("style")
        self.assertRegex(self.models("list"), r"lora .*style  \(not ours\)\n1 files")
        shown = json.loads(self.models("list", "--json"))
        self.assertEqual([(m["kind"], m["name"], m["managed"]) for m in shown["models"]],
                         [("lora", "style", False)])
        self.assertIn("0 files", self.models("list", "--kind", "checkpoint"))
        self.models("list", "nowhere", expected=1)

    def test_verify_finds_what_has_changed(self):
        path = self.put("style")
        with open(path, "rb") as file:
            sha256 = hashlib.sha256(file.read()).hexdigest()
        self.assertIn(f"ok     lora 'style' {sha256}  (new)", self.models("verify"))
        self.assertIn(f"ok     lora 'style' {sha256}\n", self.models("verify", "style"))
        with open(path, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        self.assertRegex(self.models("verify", expected=1), "WRONG  lora 'style': its sha256 is .*the registry says")
        with open(path, "ab") as file:
            file.write(b"more")
        self.assertRegex(self.models("verify", expected=1), "WRONG  lora 'style': its header speaks of")

    def test_adopted_files_are_pruned_unless_pinned(self):
        for name in ("one", "two", "three"):
            then = time.time() - 2 * HOUR
            os.utime(self.put(name), (then, then))
        old = {"models.unused_after": "1h", "models.keep_most_used": 0}
        self.assertIn("0 B freed", self.models("prune", settings=old))
        self.models("adopt", expected=2)
        self.assertRegex(self.models("adopt", "one", "two"), "adopted  lora 'one' [0-9a-f]{64}")
        self.models("pin", "two")

        planned = self.models("prune", "--dry-run", settings=old)
        self.assertIn("would go lora 'one'", planned)
        self.assertNotIn("two", planned)
        self.assertTrue(os.path.exists(self.path("one")))
        self.models("prune", settings=old)

        self.assertEqual(sorted(os.listdir(os.path.join(self.models_dir, "Lora"))),
                         ["three.safetensors", "two.safetensors"])
        self.assertEqual(sorted(self.registry()["loras"]), ["two"])
        self.models("unpin", "two")
        self.models("prune", settings=old)
        self.assertFalse(os.path.exists(self.path("two")))

    def test_a_file_that_is_no_model_is_not_adopted(self):
        path = self.put("style")
        with open(path, "wb") as file:
            file.write(b"<html>Please log in</html>" * 10)
        self.assertIn("WRONG    lora 'style'", self.models("adopt", "--all", expected=1))

    def test_what_was_pulled_is_in_the_registry(self):
        lora = self.lora("style")
        self.models("pull", "--kind", "lora", "--name", "style", "--allow-host", self.files.host, lora["url"])
        kept = self.registry()["loras"]["style"]
        self.assertEqual((kept["url"], kept["hash"]), (lora["url"], lora["hash"]))


if __name__ == "__main__":
    unittest.main()

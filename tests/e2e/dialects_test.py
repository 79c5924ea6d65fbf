"""Each WebUI that is spoken to, in both ways of starting: found ready, given files, and held to what was asked of it."""

import json
import unittest

from support.cases import JobCase, images_of, info_of, picture, png_text
from support.servers import FileServer


class Dialect:
    """The same story for each; the classes below say for whom."""

    dialect = startup = None

    def setUp(self):
        super().setUp()
        self.files = FileServer()
        self.addCleanup(self.files.stop)
        self.service, self.webui = self.pair(dialect=self.dialect, startup=self.startup,
                                             gateway={"flags": ["--allow-host", self.files.host]})

    def model(self, name, kind="checkpoint", **more):
        url, sha256 = self.files.add(name, kind=kind, mib=0.1)
        return {"name": name, "url": url, "hash": sha256, **more}

    def test_it_is_recognised_and_draws_with_files_that_it_did_not_have(self):
        checkpoint, lora, second = self.model("dream"), self.model("grain", "lora", scale=0.8), self.model("other")
        job = picture("a harbour", seed=1, checkpoint=checkpoint, loras=[lora])

        view = self.assert_completes(self.service, job)

        (known,) = self.service.log(msg="backend recognised")
        self.assertEqual(known["dialect"], self.dialect)
        said = png_text(images_of(view)[0])
        self.assertIn("<lora:grain:0.8> a harbour", said)
        self.assertRegex(said, 'Lora hashes: "?grain: [0-9a-f]{10,12}')
        self.assertEqual(info_of(view)["sd_model_name"], "dream")
        self.assertEqual(view["output"]["cache_info"]["checkpoints_cached"], 2)  # with "base"
        self.assertEqual(view["output"]["cache_info"]["loras_cached"], 1)
        # Another checkpoint, and the first one again: nothing is fetched twice.
        self.assertEqual(info_of(self.assert_completes(self.service, picture(seed=2, checkpoint=second)))
                         ["sd_model_name"], "other")
        self.assertEqual(info_of(self.assert_completes(self.service, {**job, "seed": 3}))["sd_model_name"], "dream")
        self.assertEqual([len(self.files.fetched(name)) for name in ("dream", "grain", "other")], [1, 1, 1])

    def test_an_unknown_sampler_fails_the_job_and_is_named(self):
        self.assert_fails(self.service, picture(sampler_name="Euler Q", seed=1), "Euler Q")

        self.assertEqual(self.webui.outcomes(1), [])
        view = self.assert_completes(self.service, picture(sampler_name="DPM++ 2M Karras", seed=2))
        self.assertIn("DPM++ 2M", info_of(view)["sampler_name"])
        self.assertIn("karras", json.dumps(view["output"]).lower())


class A1111At110(Dialect, JobCase):
    dialect, startup = "a1111-1.10", "nowebui"


class A1111At110WithItsPages(Dialect, JobCase):
    dialect, startup = "a1111-1.10", "full-ui"


class A1111At19(Dialect, JobCase):
    dialect, startup = "a1111-1.9", "nowebui"


class A1111At19WithItsPages(Dialect, JobCase):
    dialect, startup = "a1111-1.9", "full-ui"


class ReForge(Dialect, JobCase):
    dialect, startup = "reforge", "full-ui"


class Forge(Dialect, JobCase):
    dialect, startup = "forge", "full-ui"


if __name__ == "__main__":
    unittest.main()

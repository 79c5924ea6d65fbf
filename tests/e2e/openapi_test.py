"""proto/openapi.yaml is a valid OpenAPI 3.1 document, as a validator that is not ours sees it."""

import json
import os
import subprocess
import tempfile
import unittest

import yaml

from support.contract import OPENAPI, contract

HERE = os.path.dirname(os.path.abspath(__file__))
VALIDATOR = os.path.join(HERE, "client-js/node_modules/@seriousme/openapi-schema-validator/bin/validate-api-cli.js")


class OpenApi(unittest.TestCase):
    def test_a_3_1_validator_passes_it(self):
        # As /openapi.json serves it: merge keys and anchors of YAML are resolved.
        with open(OPENAPI, encoding="utf-8") as file:
            document = yaml.safe_load(file)
        self.assertTrue(document["openapi"].startswith("3.1."))
        with tempfile.NamedTemporaryFile("w", suffix=".json") as served:
            json.dump(document, served)
            served.flush()
            validator = subprocess.run(["node", VALIDATOR, served.name], capture_output=True, text=True, timeout=60,
                                       check=False)
        self.assertEqual(validator.returncode, 0, validator.stdout[:4000] + validator.stderr[:2000])

    def test_every_operation_has_a_name_of_its_own_and_says_what_it_answers(self):
        names = []
        for method, path in sorted(contract().operations()):
            operation = contract().document["paths"][path][method.lower()]
            names.append(operation.get("operationId"))
            self.assertTrue(operation.get("responses"), f"{method} {path}")
        self.assertNotIn(None, names)
        self.assertEqual(sorted(names), sorted(set(names)))


if __name__ == "__main__":
    unittest.main()

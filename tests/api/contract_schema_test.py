#!/usr/bin/python3
"""Holds every answer of the contract tests against proto/openapi.yaml, and the other way round: what
openapi.yaml describes has been answered at least once.   contract_schema_test.py FOLDER"""

import json
import pathlib
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "e2e"))
from support.contract import contract  # noqa: E402

PROBLEM = {"$ref": "#/components/schemas/Problem"}


def responses_of(operation):
    return {status: contract()._resolve(response) for status, response in operation["responses"].items()}


class Answers(unittest.TestCase):
    folder = None

    @classmethod
    def setUpClass(cls):
        cls.answers = [json.loads(file.read_text()) for file in sorted(cls.folder.glob("*/*.json"))]

    def test_there_are_answers(self):
        self.assertGreater(len(self.answers), 100, f"run test_api first; looked in {self.folder}")

    def test_every_answer_is_as_described(self):
        for answer in self.answers:
            with self.subTest(answer["case"]):
                self.assertIsNone(self.problem(answer))

    def problem(self, answer):
        method = "GET" if answer["method"] == "HEAD" else answer["method"]
        status, body = answer["status"], answer["body"]
        path = contract().path_of(answer["target"]) if answer["target"] else None
        described = path is not None and method.lower() in contract().document["paths"][path]
        if answer["method"] == "HEAD":
            return None if body == "" else "a HEAD with a body"
        if not described:
            self.assertGreaterEqual(status, 400)
            return contract()._schema_problem(PROBLEM, body)
        return contract().problem(method, answer["target"], status, answer["headers"].get("content-type"), body)

    def test_the_headers_described_are_there(self):
        for answer in self.answers:
            path = contract().path_of(answer["target"]) if answer["target"] else None
            operation = contract().document["paths"].get(path, {}).get(answer["method"].lower())
            if operation is None:
                continue
            responses = responses_of(operation)
            response = responses.get(str(answer["status"]), responses["default"])
            for name, header in response.get("headers", {}).items():
                if not contract()._resolve(header).get("required"):
                    continue
                with self.subTest(answer["case"], header=name):
                    self.assertIn(name.lower(), answer["headers"])

    def test_every_described_status_has_been_answered(self):
        """In one of the two forms of the path, and by one of its methods: they share their handler."""
        seen = set()
        for answer in self.answers:
            path = contract().path_of(answer["target"]) if answer["target"] else None
            if path is not None:
                seen.add((path.replace("/v2/{endpoint_id}", ""), str(answer["status"])))
        missing = set()
        for path, item in contract().document["paths"].items():
            for method, operation in item.items():
                if method == "parameters":
                    continue
                for status in operation["responses"]:
                    bare = path.replace("/v2/{endpoint_id}", "")
                    if status != "default" and (bare, status) not in seen:
                        missing.add((bare, status))
        self.assertEqual(missing, set())

    def test_every_operation_has_been_called_in_both_forms(self):
        called = {(answer["method"], contract().path_of(answer["target"])) for answer in self.answers
                  if answer["target"]}
        self.assertEqual(contract().operations() - called, set())

    def test_every_problem_code_has_been_seen(self):
        codes = set()
        for answer in self.answers:
            if answer["status"] >= 400 and answer["body"]:
                codes.add(json.loads(answer["body"]).get("code"))
        described = set(contract().document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
        self.assertEqual(described - codes, set())


class Document(unittest.TestCase):
    """What a validator does not look at: the document is meant to be read, too."""

    def test_every_example_fits_its_schema(self):
        count = 0
        for place, content in self.contents(contract().document):
            examples = [example["value"] for example in content.get("examples", {}).values()]
            if "example" in content:
                examples.append(content["example"])
            for example in examples:
                if isinstance(example, str):
                    continue
                count += 1
                with self.subTest(place):
                    self.assertIsNone(contract()._schema_problem(content["schema"], json.dumps(example)))
        self.assertGreater(count, 15)

    def contents(self, value, place=""):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "content" and isinstance(inner, dict):
                    for kind, content in inner.items():
                        yield f"{place}/{kind}", content
                else:
                    yield from self.contents(inner, f"{place}/{key}")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self.contents(inner, f"{place}/{index}")

    def test_every_schema_is_a_schema(self):
        import jsonschema

        for name, schema in contract().document["components"]["schemas"].items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_every_reference_leads_somewhere_and_every_component_is_used(self):
        used = set()
        for reference in self.references(contract().document):
            self.assertTrue(reference.startswith("#/"), reference)
            contract()._resolve({"$ref": reference})
            used.add(reference)
        for kind, components in contract().document["components"].items():
            if kind != "securitySchemes":
                self.assertEqual({f"#/components/{kind}/{name}" for name in components} - used, set())

    def references(self, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "$ref":
                    yield inner
                elif key == "mapping":
                    yield from inner.values()
                else:
                    yield from self.references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from self.references(inner)

    def test_every_parameter_of_a_path_is_described(self):
        import re

        for path, item in contract().document["paths"].items():
            wanted = re.findall(r"\{([^}]+)\}", path)
            found = [contract()._resolve(p)["name"] for p in item.get("parameters", [])]
            self.assertEqual(found, wanted, path)


if __name__ == "__main__":
    Answers.folder = pathlib.Path(sys.argv.pop(1))
    unittest.main()

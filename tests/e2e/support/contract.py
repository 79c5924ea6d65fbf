"""Holds answers against proto/openapi.yaml: the route is described, the status is, and so is the body."""

import functools
import json
import os
import re

import jsonschema
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
OPENAPI = os.path.join(ROOT, "proto", "openapi.yaml")


class Contract:
    def __init__(self, document):
        self.document = document
        self._resolver = jsonschema.RefResolver("", document)
        self._routes = [(re.compile(self._pattern(path)), path) for path in document.get("paths", {})]
        # /v2/{endpoint}/status/{id} before /{endpoint}: fewer parameters first, longer first.
        self._routes.sort(key=lambda route: (route[1].count("{"), -len(route[1])))

    @staticmethod
    def _pattern(path):
        parts = re.split(r"\{[^}]+\}", path)
        return "[^/]+".join(re.escape(part) for part in parts) + "$"

    def _resolve(self, thing):
        while isinstance(thing, dict) and "$ref" in thing:
            thing = self._resolver.resolve(thing["$ref"])[1]
        return thing

    def path_of(self, target):
        """The template in `paths` that a request target belongs to, or None."""
        path = target.split("?")[0]
        return next((template for pattern, template in self._routes if pattern.match(path)), None)

    def operations(self):
        """Every (METHOD, path) described."""
        methods = {"get", "put", "post", "delete", "options", "head", "patch"}
        return {(method.upper(), path) for path, item in self.document["paths"].items()
                for method in self._resolve(item) if method in methods}

    def problem(self, method, target, status, content_type, body):
        """What is wrong with an answer, or None."""
        template = self.path_of(target)
        if template is None:
            return None if status == 404 else "the route is not in openapi.yaml"
        operation = self._resolve(self.document["paths"][template]).get(method.lower())
        if operation is None:
            return None if status == 405 else f"{template} has no {method} in openapi.yaml"
        responses = operation["responses"]
        described = responses.get(str(status), responses.get(f"{status // 100}XX", responses.get("default")))
        if described is None:
            return f"{method} {template} has no response {status} in openapi.yaml"
        content = self._resolve(described).get("content")
        if not content:
            return None if not body else f"{method} {template} {status} is described without a body"
        kind = (content_type or "").split(";")[0].strip().lower()
        if kind not in content:
            return f"content type '{kind}' is not one of {sorted(content)}"
        schema = content[kind].get("schema")
        if schema is None or not (kind.endswith("/json") or kind.endswith("+json")):
            return None
        return self._schema_problem(schema, body)

    def _schema_problem(self, schema, body):
        try:
            value = json.loads(body)
        except ValueError as failure:
            return f"no JSON: {failure}"
        validator = jsonschema.Draft202012Validator(schema, resolver=self._resolver)
        found = jsonschema.exceptions.best_match(validator.iter_errors(value))
        if found is None:
            return None
        place = "/".join(str(step) for step in found.absolute_path) or "the body"
        return f"{place}: {found.message[:300]}"


@functools.cache
def contract():
    with open(OPENAPI, encoding="utf-8") as file:
        return Contract(yaml.safe_load(file))


def check(answer):
    """AssertionError when an answer of the gateway is not as openapi.yaml says."""
    found = contract().problem(answer.method, answer.target, answer.status, answer.headers.get("Content-Type"),
                               answer.body)
    assert found is None, f"{found}\nin {answer}"

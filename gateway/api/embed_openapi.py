#!/usr/bin/python3
"""Writes proto/openapi.yaml as compact JSON into a C++ source: embed_openapi.py FROM.yaml TO.cpp"""
import json
import sys

import yaml


class loader(yaml.SafeLoader):
    """Dates stay texts, and a key that comes twice is an error."""

    def construct_mapping(self, node, deep=False):
        own = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in own if own.count(key) > 1}
        # flatten_mapping() puts merged keys first, so an own key may override one of them.
        if twice and not getattr(node, "flattened", False):
            raise SystemExit(f"{node.start_mark}: more than once: {', '.join(sorted(twice))}")
        node.flattened = True
        return super().construct_mapping(node, deep)


def main(source: str, target: str) -> None:
    with open(source, encoding="utf-8") as file:
        document = yaml.load(file, loader)
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    # Numbers and not a string literal: compilers need only take 64 KiB of those.
    lines = [
        ",".join(str(byte) for byte in text[at : at + 32]) for at in range(0, len(text), 32)
    ]
    with open(target, "w", encoding="utf-8") as file:
        file.write(
            "// Made from proto/openapi.yaml by embed_openapi.py.\n"
            '#include "api/openapi.hpp"\n\n'
            "namespace gateway::api {\n\n"
            "namespace {\n"
            "constexpr char text[] = {\n" + ",\n".join(lines) + "};\n"
            "} // namespace\n\n"
            "std::string_view openapi_json() { return {text, sizeof text}; }\n\n"
            "} // namespace gateway::api\n"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/python3
"""Small rules a reader would otherwise have to check by eye: nothing sleeps, is detached, swallowed or
left open; headers are guarded; a test suite is named after its file; the top level stays as agreed."""

import os
import re
import sys

import source
from source import Problem

TOP_LEVEL = {"CMakeLists.txt", "CMakePresets.json", "README.md", "CONTRIBUTING.md", "SECURITY.md",
             "CHANGELOG.md", "LICENSE", "gateway", "proto", "config", "tests", "deploy"}
TOP_LEVEL_HIDDEN = {".ci", ".clang-format", ".clang-tidy", ".gitattributes", ".gitignore", ".editorconfig"}

# In code, with comments and literals blanked: what is not allowed, why, and where it is all the same.
IN_CODE = [
    (re.compile(r"\bthis_thread\s*::\s*(?:sleep_for|sleep_until|yield)|\bu?sleep\s*\("),
     "nothing sleeps: wait on time_source, a gate or an inbox", ()),
    (re.compile(r"\.\s*detach\s*\(\s*\)"), "no thread is detached: its owner joins it", ()),
    (re.compile(r"\basio\s*::\s*detached\b"), "spawn into a task_group and join it", ()),
    (re.compile(r"\b(?:steady|system|high_resolution)_clock\s*::\s*now\b"),
     "time comes from a time_source, so that tests can turn the clock",
     ("gateway/net/async.", "gateway/net/loop.", "gateway/base/", "tests/")),
    (re.compile(r"catch\s*\(\s*\.\.\.\s*\)\s*\{\s*\}"), "a swallowed exception: handle it, or log and count it", ()),
    (re.compile(r"^[ \t]*using\s+namespace\s+std\s*;", re.MULTILINE), "write std::", ()),
]
LEFT_OPEN = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
TEXT_ENDINGS = (".cpp", ".hpp", ".py", ".js", ".mjs", ".css", ".html", ".sh", ".cmake", ".txt", ".toml", ".yaml",
                ".yml", ".md", ".conf")
SUITE = re.compile(r"^\s*BOOST_(?:AUTO|FIXTURE)_TEST_SUITE\s*\(\s*(\w+)", re.MULTILINE)
GUARD = re.compile(r"^#pragma once$", re.MULTILINE)


def line_of(text, place):
    return text.count("\n", 0, place) + 1


def code_problems(path, text):
    code = source.without_comments(text)
    for pattern, message, exempt in IN_CODE:
        if path.startswith(exempt):
            continue
        for match in pattern.finditer(code):
            yield Problem(path, line_of(code, match.start()), message)


def header_problems(path, text):
    if not GUARD.search(text):
        yield Problem(path, 1, "#pragma once is missing")
    # A header of tests is included by tests alone.
    opens = re.search(r"^using\s+namespace\b", source.without_comments(text), re.MULTILINE)
    if opens and not path.startswith("tests/"):
        yield Problem(path, 1, "no using namespace in a header")


def suite_problems(path, text):
    wanted = re.sub(r"_test\.cpp$", "_", os.path.basename(path))
    suites = SUITE.findall(text)
    if suites != [wanted]:
        found = ", ".join(suites) or "none"
        yield Problem(path, 1, f"a test file holds exactly one suite, named {wanted}; found: {found}")


def top_level_problems(paths):
    for path in paths:
        entry = path.split("/")[0]
        if entry not in TOP_LEVEL and entry not in TOP_LEVEL_HIDDEN:
            yield Problem(path, 1, f"'{entry}' is not one of the agreed entries of the top level")


def check(path, text):
    problems = []
    if path.endswith((".cpp", ".hpp")):
        problems += code_problems(path, text)
    if path.endswith(".hpp"):
        problems += header_problems(path, text)
    if re.match(r"tests/[a-z]+/\w+_test\.cpp$", path):
        problems += suite_problems(path, text)
    if not path.startswith("tests/lint/"):
        problems += [Problem(path, line_of(text, match.start()), f"{match.group()}: finish it or file an issue")
                     for match in LEFT_OPEN.finditer(text)]
    return sorted(problems)


def is_text(path):
    return path.endswith(TEXT_ENDINGS) or "." not in os.path.basename(path)


def main():
    paths = source.files()
    texts = [path for path in paths if is_text(path)]
    problems = [*top_level_problems(paths), *(p for path in texts for p in check(path, source.read(path)))]
    return source.report("house rules", problems, len(paths))


if __name__ == "__main__":
    sys.exit(main())

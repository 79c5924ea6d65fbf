#!/usr/bin/python3
"""Keeps the folders of the program apart: who may include whom, and who may name Asio, JSON and logs."""

import os
import re
import sys

import source
from source import Problem

EVERYTHING = None  # no limit

# Folder → what of the program it may include. "net/async" is that one header; base is under all.
MAY_INCLUDE = {
    "base": {"base"},
    "core": {"base", "core"},
    "proto": {"base", "core", "proto"},
    "config": {"base", "core", "config"},
    "net": {"base", "net"},
    "store": {"base", "core", "net/async", "store"},
    "jobs": {"base", "core", "config", "net/async", "store", "jobs"},
    "work": {"base", "core", "proto", "config", "net", "store", "jobs", "work"},
    "api": {"base", "core", "proto", "config", "net", "store/recipe", "store/spool", "jobs", "api"},
    "tools": EVERYTHING,
    "app": EVERYTHING,
    "program": EVERYTHING,  # gateway/main.cpp
    "tests": EVERYTHING,
}

# Folders that may use Boost.JSON, and those that write to the log through base/log.
MAY_USE_JSON = {"proto", "tools", "app", "program", "tests"}
MAY_LOG = {"base", "config", "net", "store", "jobs", "work", "api", "tools", "app", "program", "tests"}
# Nobody else includes or names Asio and Beast: they use net/async.hpp and net's interfaces.
MAY_USE_ASIO = {"net", "tests"}
# core decides and nothing else: of Boost it has result, of std nothing that does I/O or waits.
IMPURE = {"atomic", "condition_variable", "cstdio", "filesystem", "fstream", "future", "iostream", "mutex",
          "random", "sys/socket.h", "thread", "unistd.h"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)')
ASIO_NAME = re.compile(r"\b(?:asio|beast)\s*::|\bnamespace\s+\w+\s*=\s*[\w:]*\b(?:asio|beast)\b")
JSON_NAME = re.compile(r"\bboost\s*::\s*json\b")


def folder_of(path):
    """The row of the table that a file belongs to, or None for files without one."""
    parts = path.split("/")
    if parts[0] in ("proto", "config", "tests"):
        return parts[0]
    if parts[0] == "gateway":
        return parts[1] if len(parts) > 2 else "program"
    return None


def quoted_problem(folder, path, name, exists):
    """What is wrong with #include "name" in a file of that folder, or None."""
    first = name.split("/")[0]
    if first == "gateway" or name.startswith("."):
        return f'write the path from the folder\'s parent, as in "core/retry.hpp", not "{name}"'
    if "/" not in name and exists(os.path.join(os.path.dirname(path), name)):
        return f'write the path from the folder\'s parent, as in "{folder}/{name}"'
    if first == "support":
        return None if folder == "tests" else "only tests may include tests/support"
    if name == "base/log.hpp" and folder not in MAY_LOG:
        return f"{folder} may not log: it returns what is worth saying"
    allowed = MAY_INCLUDE.get(folder)
    if allowed is EVERYTHING or first not in MAY_INCLUDE or first in allowed:
        return None
    if os.path.splitext(name)[0] in allowed:
        return None
    some = sorted(allowed - {folder})
    return f'{folder} may not include "{name}"; it may include {", ".join(some) or "nothing"} and itself'


def angled_problem(folder, name):
    """What is wrong with #include <name> in a file of that folder, or None."""
    if re.match(r"boost/(asio|beast)\b", name) and folder not in MAY_USE_ASIO:
        return f"only net may include <{name}>: use net/async.hpp and net's interfaces"
    if re.match(r"boost/json\b", name) and folder not in MAY_USE_JSON:
        return f"only proto may include <{name}>: JSON is read and written there"
    if name.startswith("boost/log/") and folder != "base":
        return f"only base/log may include <{name}>"
    if folder == "core" and (name in IMPURE or re.match(r"boost/(?!system/)", name)):
        return f"core decides and does nothing else: no <{name}>"
    return None


def check(path, text, exists=lambda path: False):
    folder = folder_of(path)
    if folder is None:
        return []
    if folder not in MAY_INCLUDE:
        return [Problem(path, 1, f"gateway/{folder} has no row in the table of tests/lint/includes.py")]
    problems = []
    lines = zip(text.splitlines(), source.without_comments(text).splitlines())
    for line, (written, code) in enumerate(lines, 1):
        include = INCLUDE.match(written) if "#" in code else None
        if include:
            quoted, angled = include.groups()
            found = quoted_problem(folder, path, quoted, exists) if quoted else angled_problem(folder, angled)
            if found:
                problems.append(Problem(path, line, found))
            continue
        if folder not in MAY_USE_ASIO and ASIO_NAME.search(code):
            problems.append(Problem(path, line, "only net names Asio and Beast"))
        if folder not in MAY_USE_JSON and JSON_NAME.search(code):
            problems.append(Problem(path, line, "only proto names Boost.JSON"))
    return problems


def main():
    def exists(path):
        return os.path.exists(os.path.join(source.ROOT, path))

    paths = source.cpp_files()
    problems = [p for path in paths for p in check(path, source.read(path), exists)]
    return source.report("includes", problems, len(paths))


if __name__ == "__main__":
    sys.exit(main())

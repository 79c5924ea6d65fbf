"""C++ text as the checks want it: tokens with line numbers, without comments, literals and directives."""

import os
import re
import subprocess
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

TOKEN = re.compile(
    r"""
      (?P<comment>   //[^\n]*(?:\\\n[^\n]*)* | /\*.*?\*/ )
    | (?P<directive> ^[ \t]*\#(?:[^\n\\/]|\\.|\\\n|/(?![/*])|/\*.*?\*/)* )
    | (?P<raw>       (?:u8|[uUL])?R"(?P<fence>[^()\\\s]{0,16})\(.*?\)(?P=fence)" )
    | (?P<string>    (?:u8|[uUL])?"(?:\\.|[^"\\\n])*" )
    | (?P<number>    \.?\d(?:[\w.]|'\w|[eEpP][+-])* )
    | (?P<char>      (?:u8|[uUL])?'(?:\\.|[^'\\\n])+' )
    | (?P<word>      [A-Za-z_]\w* )
    | (?P<punct>     :: | -> | <=> | [<>=!+\-*/%&|^]= | && | \|\| | \+\+ | -- | \.\.\. | [^\s\w] )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


class Token(NamedTuple):
    text: str
    line: int


class Problem(NamedTuple):
    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


def tokens(text):
    """Words, numbers and punctuation; a literal becomes one token: "" or 0."""
    found, line, last = [], 1, 0
    for match in TOKEN.finditer(text):
        line += text.count("\n", last, match.start())
        last = match.start()
        kind = match.lastgroup
        if kind in ("raw", "fence", "string", "char"):
            found.append(Token('""', line))
        elif kind == "number":
            found.append(Token("0", line))
        elif kind in ("word", "punct"):
            found.append(Token(match.group(), line))
    return found


def without_comments(text):
    """The text with comments and literals blanked and every line still in its place."""

    def blank(match):
        if match.lastgroup == "comment":
            return "\n" * match.group().count("\n")
        if match.lastgroup in ("raw", "fence", "string", "char"):
            return '""' + "\n" * match.group().count("\n")
        return match.group()

    return TOKEN.sub(blank, text)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def files(*endings):
    """Paths, from the top, of the project's files: what git tracks and what it would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")
    return sorted(
        path for path in set(listed)
        if path and path.endswith(endings or "") and os.path.isfile(os.path.join(ROOT, path))
    )


def cpp_files():
    return files(".cpp", ".hpp")


def report(name, problems, checked):
    """Prints what was found, one line each as compilers do; the exit code for it."""
    for problem in problems:
        print(problem)
    print(f"{name}: {checked} files, {len(problems)} problems")
    return 1 if problems else 0

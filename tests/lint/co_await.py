#!/usr/bin/python3
"""Keeps co_await to the shapes that GCC 12 compiles correctly.

Allowed, each alone in its statement:
    co_await f(a);   auto x = co_await f(a);   auto [a, b] = co_await f(a);
    x = co_await f(a);   co_return co_await f(a);
GCC 12.2 silently miscompiles awaits in conditions, ternaries and braces, with lambdas, brace lists or
aggregate temporaries among the arguments, and loses the captures of lambdas that are coroutines.
"""

import sys

import source
from source import Problem

OPEN = {"(": ")", "[": "]", "{": "}"}
CLOSE = {")": "(", "]": "[", "}": "{"}
COROUTINE = {"co_await", "co_return", "co_yield"}
# What may stand right before the brace of a block; after anything else a brace opens an initializer.
BEFORE_BLOCK = {")", ";", "{", "}", ":", "else", "do", "try", "const", "noexcept", "mutable",
                "override", "final", "&&", "&"}


class Code:
    """Tokens with their brackets matched."""

    def __init__(self, tokens):
        self.tokens = tokens
        self.text = [token.text for token in tokens]
        self.partner = {}
        opened = []
        for at, text in enumerate(self.text):
            if text in OPEN:
                opened.append(at)
            elif text in CLOSE and opened and self.text[opened[-1]] == CLOSE[text]:
                self.partner[at] = opened.pop()
                self.partner[self.partner[at]] = at

    def before(self, at):
        return self.text[at - 1] if at > 0 else ";"

    def is_lambda(self, at):
        """Whether the [ at this place begins a lambda."""
        if self.text[at] != "[" or at not in self.partner:
            return False
        before, after = self.before(at), self.text[self.partner[at] + 1 : self.partner[at] + 2]
        if before in (")", "]", '""') or before == "[" or self.text[at + 1] == "[":
            return False
        if is_name(before) and before not in ("return", "co_return", "co_await", "co_yield", "case"):
            return False  # an index, or the names of a structured binding
        if before in ("&", "&&") and after == ["="]:
            return False  # auto& [a, b] =
        return bool(after) and after[0] in ("(", "{", "<", "mutable", "->", "noexcept", "constexpr")

    def lambda_body(self, at):
        """Place of the { of the body of the lambda whose [ is at this place, or None."""
        here = self.partner[at] + 1
        while here < len(self.text) and self.text[here] not in (";", "}", ")"):
            if self.text[here] == "{":
                return here
            here = self.partner.get(here, here) + 1
        return None

    def opens_block(self, at):
        """Whether the { at this place opens statements, not an initializer."""
        before = self.before(at)
        if before == "{":
            return self.opens_block(at - 1)
        if before in BEFORE_BLOCK:
            return True
        if before == "]":
            return self.is_lambda(self.partner.get(at - 1, at - 1))
        # The only names and > before a block end a trailing return type: ") -> task<int> {".
        here = at - 1
        while here > 0 and (is_name(self.text[here]) or self.text[here] in ("::", "<", ">", ",", "*", "&")):
            here -= 1
        return self.text[here] == "->"


def is_name(text):
    return text[0].isalpha() or text[0] == "_"


def statement_start(code, at):
    """First token of the statement that holds the await; or None and why there is no such statement."""
    here = at - 1
    while here >= 0:
        text = code.text[here]
        if text == ";" or text == "}":
            if text == ";" or code.opens_block(code.partner.get(here, here)):
                return here + 1, None
            return None, "braces before it in the same statement"
        if text == "{":
            if code.opens_block(here):
                return here + 1, None
            return None, "inside braces of an initializer"
        if text == "(":
            word = code.before(here)
            if word in ("if", "while", "switch", "for", "constexpr"):
                return None, f"in the condition of {'if' if word == 'constexpr' else word}"
            return None, "inside parentheses"
        if text == "[":
            return None, "inside brackets"
        here = code.partner[here] - 1 if text in (")", "]") and here in code.partner else here - 1
    return 0, None


def skip_control(code, start, at):
    """Leaves out what may stand before a whole statement: labels, attributes, if (…), else, for (…)."""
    while start < at:
        text = code.text[start]
        if text == "[" and code.text[start + 1] == "[":
            start = code.partner[start] + 1
        elif text in ("else", "do"):
            start += 1
        elif text in ("if", "for", "while", "switch"):
            start += 1 + (code.text[start + 1] == "constexpr")
            if code.text[start] != "(" or start not in code.partner:
                return start
            start = code.partner[start] + 1
        elif text in ("case", "default"):
            while start < at and code.text[start] != ":":
                start += 1
            start += 1
        else:
            return start
    return start


def target_problem(words):
    """What is wrong with the tokens before co_await, or None."""
    if not words or words == ["co_return"]:
        return None
    if words[-1] != "=":
        return "it must stand alone: co_await f(a);  auto x = co_await f(a);  co_return co_await f(a);"
    target = words[:-1]
    if "?" in target or "=" in target or "(" in target or "{" in target:
        return "only a name may stand on the left of ="
    if "[" in target and not (target[-1] == "]" and "auto" in target):
        return "only a name may stand on the left of ="
    return None


def template_end(code, at):
    """Place of the > for the < at this place; None when it is a comparison."""
    depth = 0
    while at < len(code.text) and code.text[at] != ";":
        depth += {"<": 1, ">": -1}.get(code.text[at], 0)
        if depth == 0:
            return at
        at = code.partner.get(at, at) + 1
    return None


def operand_problem(code, at, aggregates):
    """What is wrong with the awaited expression and what follows it, or None."""
    here, depth = at + 1, 0
    while here < len(code.text):
        text, before = code.text[here], code.before(here)
        if text == ";" and depth == 0:
            return None
        if text == "{":
            return "braces in the awaited expression: name the argument first"
        if text == "?":
            return "a ternary in the awaited expression: use if"
        if text in COROUTINE:
            return "one await in another's expression: name the first result"
        if code.is_lambda(here):
            return "a lambda in the awaited expression: name it and pass std::move(name)"
        if text in ("(", "["):
            depth += 1
            if text == "(" and depth > 1 and before in aggregates and code.before(here - 1) not in (".", "->"):
                return f"a temporary {before} as argument: name it first"
        elif text in (")", "]"):
            depth -= 1
            if depth < 0:
                return "inside parentheses"
        elif text == "}":
            return "braces after it in the same statement"
        elif depth == 0 and text == "<" and is_name(before) and template_end(code, here):
            here = template_end(code, here)
        elif depth == 0 and not is_name(text):
            if text not in ("::", ".", "->") and not (text == "*" and before == "co_await"):
                return f"'{text}' after the awaited call: name the result first"
        here += 1
    return "no end of the statement found"


def awaits(path, code, aggregates):
    for at, token in enumerate(code.tokens):
        if token.text != "co_await" or code.before(at) == "operator":
            continue
        start, problem = statement_start(code, at)
        if problem is None:
            start = skip_control(code, start, at)
            problem = target_problem(code.text[start:at]) or operand_problem(code, at, aggregates)
        if problem:
            yield Problem(path, token.line, f"co_await {problem}")


def lambdas(path, code):
    """Lambdas that capture and are coroutines: the frame outlives the captures."""
    for at, token in enumerate(code.tokens):
        if not code.is_lambda(at) or code.partner[at] == at + 1:
            continue
        body = code.lambda_body(at)
        if body is None or body not in code.partner:
            continue
        here = body + 1
        while here < code.partner[body]:
            inner = code.lambda_body(here) if code.is_lambda(here) else None
            if inner is not None:
                here = code.partner.get(inner, inner)
            elif code.text[here] in COROUTINE:
                yield Problem(path, token.line, "a capturing lambda is a coroutine, and its captures die "
                                                "before it does: write a function")
                break
            here += 1


def aggregate_names(texts):
    """Structs without a constructor: temporaries of them are what GCC 12 frees twice."""
    names = set()
    for text in texts:
        code = Code(source.tokens(text))
        for at, word in enumerate(code.text[:-2]):
            if word != "struct" or not is_name(code.text[at + 1]) or code.before(at) == "enum":
                continue
            name, here = code.text[at + 1], at + 2
            while here < len(code.text) and code.text[here] not in ("{", ";", "(", ")", "=", ">"):
                here += 1
            if here >= len(code.text) or code.text[here] != "{" or here not in code.partner:
                continue
            body = code.text[here : code.partner[here]]
            if not any(a == name and b == "(" for a, b in zip(body, body[1:])):
                names.add(name)
    return names


def check(path, text, aggregates=frozenset()):
    code = Code(source.tokens(text))
    return sorted([*awaits(path, code, aggregates), *lambdas(path, code)])


def main():
    texts = {path: source.read(path) for path in source.cpp_files()}
    aggregates = aggregate_names(texts.values())
    problems = [p for path, text in texts.items() for p in check(path, text, aggregates)]
    return source.report("co_await", problems, len(texts))


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""A rough reader of C++ as this project formats it (clang-format, Google style): enough to find includes,
functions, lambdas and the expression around a co_await. Not a parser; it relies on the formatter, e.g. a
brace after a space opens a block, one straight after a name opens a list."""

import re
from bisect import bisect_right

TOKEN = re.compile(r'''
    //[^\n]* | /\*.*?\*/ |
    R"(?P<raw>[^(\s]*)\(.*?\)(?P=raw)" |
    "(?:\\.|[^"\\\n])*" |
    (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'
''', re.DOTALL | re.VERBOSE)
CONTROL = re.compile(r"(?:^|\s)(?:if|else|for|while|do|switch|try|catch|namespace|class|struct|enum|union|extern)\b")
LAMBDA_WITH_CAPTURES = re.compile(r"(?<![\w\])])\[(?!\[)([^\[\]]+)\]\s*(?=\(|\{|mutable\b)")


def without_comments(text):
    """The text with comments and literals blanked; every character keeps its place."""

    def blank(match):
        word = match.group()
        kept = word[0] if word[0] in "\"'" else " "
        return kept + re.sub(r"[^\n]", " ", word[1:-1]) + (kept if len(word) > 1 else "")

    return TOKEN.sub(blank, text)


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line):
            yield number, match[2], match[1] == "<"


class Lines:
    def __init__(self, text):
        self.starts = [0] + [match.end() for match in re.finditer("\n", text)]

    def number(self, offset):
        return bisect_right(self.starts, offset)


def without_directives(text):
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda match: re.sub(r"[^\n]", " ", match.group()), text,
                  flags=re.MULTILINE)


def opens_list(code, brace):
    """Whether the brace at this offset opens an initialiser list rather than a block."""
    before = code[:brace]
    stripped = before.rstrip()
    if before and not before[-1].isspace():
        return True
    return stripped.endswith((",", "(", "=", "{")) and not stripped.endswith(("==",)) and bool(
        re.search(r"(?:,|\(|=)$", stripped)) or bool(re.search(r"\breturn$", stripped))


def blocks(code):
    """Yields (header, open, close) for each brace block: the text before it, and its offsets."""
    stack, start = [], 0
    for match in re.finditer(r"[{};]", code):
        offset, mark = match.start(), match.group()
        if mark == ";":
            if not parentheses_open(code[start:offset]):  # not the ones inside for (;;)
                start = offset + 1
        elif mark == "{":
            is_list = opens_list(code, offset)
            stack.append((None if is_list else code[start:offset], offset, start))
            if not is_list:
                start = offset + 1
        elif stack:
            header, opened, old_start = stack.pop()
            if header is None:
                start = old_start
            else:
                yield header, opened, offset, len(stack)
                start = offset + 1


def parentheses_open(text):
    return text.count("(") > text.count(")")


def is_function(header):
    return "(" in header and not CONTROL.search(re.sub(r"template\s*<[^{]*?>\s*(?=\w)", " ", header))


def functions(text):
    """Yields (name, first line, last line) of outermost functions."""
    code, lines = without_directives(without_comments(text)), Lines(text)
    found = [(opened, closed, header) for header, opened, closed, _ in blocks(code) if is_function(header)]
    for opened, closed, header in found:
        if any(other < opened and closed < end for other, end, _ in found):
            continue  # a lambda or a local class
        name = re.search(r"([\w:~]+|operator[^(]+)\s*\(", header)
        first = lines.number(opened - len(header.lstrip()))
        yield name[1] if name else "?", first, lines.number(closed)


def expression_around(code, offset):
    """The bounds of the full expression that holds `offset`."""
    first = offset
    while first > 0:
        mark = code[first - 1]
        if mark == ";" or (mark in "{}" and not in_list(code, first - 1)):
            break
        first -= 1
    last, depth = offset, 0
    while last < len(code):
        mark = code[last]
        depth += (mark in "([") - (mark in ")]")
        if mark == ";" or (mark == "{" and not opens_list(code, last)):
            break
        if mark == "}" and not in_list(code, last):
            break
        last += 1
    return first, last


def in_list(code, brace):
    """Whether the brace, opening or closing, belongs to an initialiser list."""
    if code[brace] == "{":
        return opens_list(code, brace)
    depth = 0
    for offset in range(brace, -1, -1):
        depth += (code[offset] == "}") - (code[offset] == "{")
        if depth == 0:
            return opens_list(code, offset)
    return False


def list_is_argument(expression):
    """A braced list inside the expression: a temporary, or an argument."""
    return any(opens_list(expression, match.start()) for match in re.finditer(r"\{", expression))


def co_await_problems(text):
    """Yields (line, what) where an expression breaks the co_await rule of CONTRIBUTING.md."""
    code, lines = without_directives(without_comments(text)), Lines(text)
    seen = set()
    for match in re.finditer(r"\bco_await\b", code):
        first, last = expression_around(code, match.start())
        if first in seen:
            continue
        seen.add(first)
        expression, line = code[first:last], lines.number(match.start())
        if re.search(r"\?", expression):
            yield line, "co_await in an expression with ?:"
        if list_is_argument(expression):
            yield line, "co_await in an expression with a braced list or an aggregate temporary"
        if LAMBDA_WITH_CAPTURES.search(code[first:last + 1]):
            yield line, "co_await in an expression with a capturing lambda"
    yield from coroutine_lambdas(code, lines)


def coroutine_lambdas(code, lines):
    ends = {opened: closed for _, opened, closed, _ in blocks(code)}
    for match in LAMBDA_WITH_CAPTURES.finditer(code):
        opened = code.find("{", match.end())
        body = code[opened:ends.get(opened, opened)]
        if re.search(r"\bco_(?:await|return|yield)\b", body):
            yield lines.number(match.start()), "a coroutine that is a capturing lambda"

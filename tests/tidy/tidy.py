#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of CONTRIBUTING.md that a program can check, over every file that git tracks.

  tidy.py [ROOT]     prints PATH:LINE: what is wrong; exit status 1 if anything is

Each check is a function from a Source to problems (line, text); tidy_selftest.py feeds them bad snippets.
"""

import ast
import os
import re
import subprocess
import sys
from collections import namedtuple

import cpp

Source = namedtuple("Source", "path text")  # path relative to the root, with slashes

CPP = (".h", ".cc")
SCRIPTS = (".py", ".sh")
LINES_MAX, TEST_LINES_MAX, FUNCTION_LINES_MAX, COLUMNS_MAX = 600, 1000, 70, 100

# Who may include whom. A folder may include itself, what stands before it on its own line, and nothing
# else. The longest prefix of a path decides. tests/ and bench/ may include everything.
LAYERS = {
    "engine/base": (),
    "engine/async": ("engine/base",),
    "engine/io": ("engine/base", "engine/async"),
    "engine": ("engine/base", "engine/async", "engine/io"),
    "engine/filters": ("engine/base", "engine/async", "engine/io", "engine"),
    "engine/jobs": ("engine/base", "engine/async", "engine/io", "engine", "engine/filters"),
    "nbd": ("engine",),
    "formats": ("engine",),
    "formats/raw": ("engine", "formats"),
    "formats/mica": ("engine", "formats"),
    "tools/guest": ("engine",),
    "tools/rebase": ("engine", "formats", "tools/guest"),
    "tools/sandbox": ("engine",),
    "tools/cli": ("engine", "formats", "nbd"),
    "tools/serve": ("engine", "formats", "nbd", "tools/cli", "tools/sandbox"),
    "tools/browse": ("engine", "formats", "tools/guest", "tools/cli"),
    "tools/rebase_run": ("engine", "formats", "tools/guest", "tools/rebase", "tools/sandbox", "tools/cli", "tools/serve",
                         "tools/browse"),
    "tools": ("engine", "formats", "nbd", "tools/guest", "tools/rebase", "tools/sandbox", "tools/cli", "tools/serve",
              "tools/browse", "tools/rebase_run"),
}
# formats/ names its formats in one place only.
FORMAT_REGISTRY = ("formats/registry.cc",)

# Headers that only some folders may use (engine/ and formats/ know no JSON, command line or log).
LIBRARIES = {"nlohmann/": ("tools/",), "CLI/": ("tools/",), "spdlog/": ("tools/", "nbd/"),
             "ext2fs/": ("tools/guest/ext4/",), "gtest/": None, "gmock/": None, "rapidcheck": None}

BANNED = (
    (re.compile(r"\b(?:sleep|usleep|nanosleep|sleep_for|sleep_until)\s*\("), "sleeps", ()),
    (re.compile(r"(?<![\w.>:])(?:std::)?s?rand\s*\("), "uses rand; see engine/base/prng.h", ()),
    (re.compile(r"(?<![\w.>:])(?:std::|::)?time\s*\("), "reads the wall clock", ("tools/rebase/job/",)),
    (re.compile(r"\bstd::random_device\b"), "takes randomness from the system",
     ("tools/cli/temporary_file.cc", "formats/", "engine/io/")),
    # Bytes <-> text in one place; casts that a C interface wants, where that interface is used.
    (re.compile(r"\breinterpret_cast<(?!\s*(?:std::)?uintptr_t\b)"), "reinterpret_cast outside bytes.h",
     ("engine/base/bytes.h", "engine/io/", "tools/guest/ext4/", "nbd/socket_", "nbd/listener.cc")),
    (re.compile(r"\b(?:TODO|FIXME|XXX)\b"), "unfinished work", ()),
)


def is_test(path):
    return path.startswith("tests/") or "/testing/" in path or bool(re.search(r"_test(_support)?\.(cc|h)$", path))


def layer_of(path):
    folder = os.path.dirname(path)
    while folder and folder not in LAYERS:
        folder = os.path.dirname(folder)
    return folder


def may_include(path, included):
    if path.startswith(("tests/", "bench/")):
        return True
    if is_test(path) and included.startswith("tests/support/"):
        return True
    mine, other = layer_of(path), layer_of(included)
    if other == mine or path in FORMAT_REGISTRY and other.startswith("formats/"):
        return True
    if other.startswith("formats/"):
        return is_test(path) and mine.startswith("tools")  # one format never includes another
    allowed = LAYERS.get(mine, ())
    # "engine" on the line of a folder outside engine/ stands for the whole of engine/.
    return other in allowed or (other.startswith("engine/") and "engine" in allowed
                                and not mine.startswith("engine"))


def check_includes(source):
    for line, included, system in cpp.includes(source.text):
        if system:
            for prefix, folders in LIBRARIES.items():
                if included.startswith(prefix) and not library_allowed(source.path, folders):
                    yield line, f"<{included}> has no place here"
        elif "/" not in included:
            yield line, f'"{included}": include from the root'
        elif not may_include(source.path, included):
            yield line, f'{layer_of(source.path)} must not include "{included}"'


def library_allowed(path, folders):
    return is_test(path) if folders is None else path.startswith(("tests/", "bench/", *folders))


def check_length(source):
    lines_max = TEST_LINES_MAX if is_test(source.path) else LINES_MAX
    count = source.text.count("\n")
    if count > lines_max:
        yield 1, f"{count} lines, more than {lines_max}: two ideas in one file?"


def check_functions(source):
    for name, first, last in functions_of(source):
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield first, f"{name} has {last - first + 1} lines, more than {FUNCTION_LINES_MAX}"


def functions_of(source):
    if source.path.endswith(CPP):
        yield from cpp.functions(source.text)
    elif source.path.endswith(".py"):
        for node in ast.walk(ast.parse(source.text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.name, node.lineno, node.end_lineno
    elif source.path.endswith(".sh"):
        first = name = None
        for number, line in enumerate(source.text.splitlines(), 1):
            if match := re.match(r"(\w+)\(\) \{$", line):
                first, name = number, match[1]
            elif line == "}" and first:
                yield name, first, number
                first = None


def check_co_await(source):
    if source.path.endswith(CPP):
        yield from cpp.co_await_problems(source.text)


def check_banned(source):
    if not source.path.endswith(CPP):
        return
    lines = zip(source.text.splitlines(), cpp.without_comments(source.text).splitlines())
    for number, (line, code) in enumerate(lines, 1):
        for pattern, what, folders in BANNED:
            if pattern.search(line if what == "unfinished work" else code) and not source.path.startswith(folders):
                yield number, what


def check_licence(source):
    head = source.text.splitlines()[:3]
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
        yield 1, "no SPDX line"


def check_header_guard(source):
    if source.path.endswith(".h") and "#pragma once" not in source.text:
        yield 1, "no #pragma once"


def check_space(source):
    for number, line in enumerate(source.text.split("\n"), 1):
        if line != line.rstrip():
            yield number, "trailing space"
        if "\t" in line and source.path.endswith((*CPP, *SCRIPTS, ".md")):
            yield number, "tab"
        if source.path.endswith(CPP) and len(line) > COLUMNS_MAX:
            yield number, f"more than {COLUMNS_MAX} columns"
    if source.text and not source.text.endswith("\n"):
        yield source.text.count("\n") + 1, "no newline at the end"


def check_title(source):
    if not source.path.endswith(".md"):
        return
    titles, fenced = [], False
    for number, line in enumerate(source.text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and line.startswith("# "):
            titles.append(number)
    if len(titles) != 1 or titles[0] != 1:
        yield (titles or [1])[-1], f"{len(titles)} titles; a document begins with its one title"


def check_links(source, exists):
    """Relative links of documents point at something."""
    if not source.path.endswith(".md"):
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", line):
            if not exists(os.path.normpath(os.path.join(os.path.dirname(source.path), target))):
                yield number, f"link to {target}, which is not there"


def unbuilt_files(sources):
    """C++ files that no CMakeLists.txt of their folder or above names, and tests that none runs."""
    lists = {os.path.dirname(source.path): source.text for source in sources
             if os.path.basename(source.path) == "CMakeLists.txt"}
    for source in sources:
        runs = re.search(r"^tests/.*(_test|_selftest)\.(py|sh)$", source.path)
        if not (source.path.endswith(".cc") or runs):
            continue
        folder, name = os.path.split(source.path)
        while folder and not re.search(rf"(?<![\w.-]){re.escape(name)}(?!\w)", lists.get(folder, "")):
            folder = os.path.dirname(folder)
        if not folder:
            yield source.path, 1, "no CMakeLists.txt names it"


def wants_licence(path):
    name = os.path.basename(path)
    return path.endswith((*CPP, *SCRIPTS, ".cmake")) or name == "CMakeLists.txt" or path == ".ci/run"


def problems_of(source, exists):
    checks = [check_space, check_title]
    if source.path.endswith((*CPP, *SCRIPTS)):
        checks += [check_length, check_functions]
    if source.path.endswith(CPP):
        checks += [check_includes, check_co_await, check_banned, check_header_guard]
    if wants_licence(source.path):
        checks.append(check_licence)
    for check in checks:
        for line, text in check(source):
            yield source.path, line, text
    for line, text in check_links(source, exists):
        yield source.path, line, text


def tracked_sources(root):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True, capture_output=True).stdout
    for path in filter(None, listed.decode().split("\0")):
        full = os.path.join(root, path)
        if path.endswith((*CPP, *SCRIPTS, ".cmake", ".md", ".txt", ".policy")) or path == ".ci/run":
            if os.path.isfile(full) and "/corpus/" not in path:
                with open(full, encoding="utf-8") as file:
                    yield Source(path, file.read())


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..")
    sources = list(tracked_sources(root))
    problems = [problem for source in sources
                for problem in problems_of(source, lambda path: os.path.exists(os.path.join(root, path)))]
    problems += unbuilt_files(sources)
    for path, line, text in sorted(problems):
        print(f"{path}:{line}: {text}")
    print(f"{len(sources)} files, {len(problems)} problems")
    return 1 if problems or not sources else 0


if __name__ == "__main__":
    sys.exit(main())

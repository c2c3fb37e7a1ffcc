#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every check of tidy.py finds its bad snippet and is silent about its good one."""

import unittest

import cpp
import tidy
from tidy import Source


def found(check, path, text):
    return [what for _, what in check(Source(path, text))]


class Includes(unittest.TestCase):
    def test_upward(self):
        for path, included in (
                ("engine/base/a.cc", "engine/io/host.h"), ("engine/io/a.h", "engine/layer.h"),
                ("engine/image_chain.cc", "formats/format.h"), ("nbd/session.cc", "formats/registry.h"),
                ("nbd/session.cc", "tools/cli/verb.h"), ("formats/raw/a.cc", "formats/mica/superblock.h"),
                ("formats/open_chain.cc", "formats/mica/mica.h"), ("formats/raw/a.cc", "nbd/server.h"),
                ("tools/guest/a.cc", "tools/rebase/plan.h"), ("tools/guest/a.cc", "formats/registry.h"),
                ("engine/filters/a.h", "engine/jobs/copy.h"), ("tools/a.cc", "formats/mica/mica.h")):
            self.assertTrue(found(tidy.check_includes, path, f'#include "{included}"\n'), (path, included))

    def test_downward(self):
        for path, included in (
                ("engine/io/a.h", "engine/async/task.h"), ("engine/image_chain.cc", "engine/io/host.h"),
                ("nbd/session.cc", "engine/filters/read_only.h"), ("formats/registry.cc", "formats/mica/mica.h"),
                ("formats/mica/a.cc", "formats/format.h"), ("tools/rebase/x/a.cc", "tools/guest/plan.h"),
                ("tools/a.cc", "nbd/server.h"), ("tests/crash/a.cc", "formats/mica/log.h")):
            self.assertFalse(found(tidy.check_includes, path, f'#include "{included}"\n'), (path, included))

    def test_libraries(self):
        self.assertTrue(found(tidy.check_includes, "engine/a.cc", "#include <nlohmann/json.hpp>\n"))
        self.assertTrue(found(tidy.check_includes, "formats/a.cc", "#include <CLI/CLI.hpp>\n"))
        self.assertTrue(found(tidy.check_includes, "engine/a.cc", "#include <gtest/gtest.h>\n"))
        self.assertFalse(found(tidy.check_includes, "tools/a.cc", "#include <nlohmann/json.hpp>\n"))
        self.assertFalse(found(tidy.check_includes, "engine/a_test.cc", "#include <gtest/gtest.h>\n"))

    def test_not_from_the_root(self):
        self.assertTrue(found(tidy.check_includes, "engine/a.cc", '#include "layer.h"\n'))


BAD_AWAITS = {
    "braced argument": "co_await F(a, {1, 2});",
    "aggregate temporary": "co_await F(Options{.a = 1});",
    "aggregate in a macro": "CO_TRY(co_await F(Options{}));",
    "conditional": "auto x = y ? co_await F() : 0;",
    "conditional argument": "co_await F(y ? 1 : 2);",
    "capturing lambda": "co_await F([&] { return 1; });",
    "capture with parameters": "CO_ASSIGN(auto x, co_await F(a, [this](int b) { return b; }));",
    "in a condition": "if (co_await F(Range{1, 2})) {\n}",
    "across lines": "auto x = co_await F(a,\n                    Range{1,\n                          2});",
}
GOOD_AWAITS = {
    "plain": "Options options{1, 2};\nCO_TRY(co_await F(std::move(options)));",
    "conditional before": "int x = y ? 1 : 2;\nco_await F(x);",
    "block after": "if (co_await F(a)) {\n  return;\n}",
    "loop": "for (int i = 0; i < 3; ++i) {\n  co_await F(i);\n}",
    "plain lambda": "co_await F([](int b) { return b; });",
    "subscript": "co_await f[i](x);",
    "in a comment": "// co_await F({1})\nint x{1};",
    "list returned": "co_await F();\nco_return Error{Errc::kIo, \"x\"};",
    "text": 'co_await F("really? {yes}");',
}


class CoAwait(unittest.TestCase):
    def test_bad(self):
        for name, body in BAD_AWAITS.items():
            with self.subTest(name):
                self.assertTrue(list(cpp.co_await_problems(f"Async<void> G() {{\n  {body}\n}}\n")))

    def test_good(self):
        for name, body in GOOD_AWAITS.items():
            with self.subTest(name):
                self.assertFalse(list(cpp.co_await_problems(f"Async<void> G() {{\n  {body}\n}}\n")))

    def test_coroutine_lambda(self):
        text = "void G() {\n  auto f = [&]() -> Task<int> { co_return 1; };\n}\n"
        self.assertTrue(list(cpp.co_await_problems(text)))
        text = "void G() {\n  auto f = [](int a) -> Task<int> { co_return a; };\n}\n"
        self.assertFalse(list(cpp.co_await_problems(text)))


class Lengths(unittest.TestCase):
    def test_function(self):
        long_body = "  x();\n" * 70
        for head in ("void F() {\n", "A::A(int a)\n    : a_(a), b_{1} {\n", "template <typename T>\nint F(T t) {\n",
                     "TEST(A, B) {\n"):
            self.assertTrue(found(tidy.check_functions, "engine/a.cc", f"namespace m {{\n{head}{long_body}}}\n}}\n"),
                            head)
        short = "".join(f"void F{index}() {{\n  x();\n}}\n" for index in range(60))
        self.assertFalse(found(tidy.check_functions, "engine/a.cc", f"namespace m {{\n{short}}}\n"))
        self.assertFalse(found(tidy.check_functions, "engine/a.h", f"class A {{\n{long_body}}};\n"))

    def test_scripts(self):
        self.assertTrue(found(tidy.check_functions, "tests/a.py", "def f():\n" + "    x()\n" * 70))
        self.assertTrue(found(tidy.check_functions, "tools/a.sh", "f() {\n" + "  x\n" * 70 + "}\n"))

    def test_file(self):
        self.assertTrue(found(tidy.check_length, "engine/a.cc", "\n" * 601))
        self.assertFalse(found(tidy.check_length, "engine/a_test.cc", "\n" * 601))
        self.assertTrue(found(tidy.check_length, "tests/a.cc", "\n" * 1001))


class Rest(unittest.TestCase):
    def test_banned(self):
        for text in ("sleep(1);", "std::this_thread::sleep_for(x);", "int a = rand();", "time(nullptr);",
                     "::time(0);", "reinterpret_cast<char*>(p);", "// TODO: later"):
            self.assertTrue(found(tidy.check_banned, "engine/a.cc", text + "\n"), text)
        for text in ("// sleep(1)", "run_time(1);", "loop.time(1);", "reinterpret_cast<uintptr_t>(p);",
                     "operand(2);", 'Log("rand(x)");'):
            self.assertFalse(found(tidy.check_banned, "engine/a.cc", text + "\n"), text)

    def test_licence(self):
        self.assertTrue(found(tidy.check_licence, "engine/a.cc", "#include <x>\n"))
        self.assertFalse(found(tidy.check_licence, "a.sh", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"))

    def test_space(self):
        for text in ("a \n", "\ta\n", "a", "x" * 101 + "\n"):
            self.assertTrue(found(tidy.check_space, "engine/a.cc", text), text)

    def test_title(self):
        self.assertTrue(found(tidy.check_title, "a.md", "# One\n\n# Two\n"))
        self.assertTrue(found(tidy.check_title, "a.md", "text\n"))
        self.assertFalse(found(tidy.check_title, "a.md", "# One\n\n```\n# not a title\n```\n"))

    def test_links(self):
        document = Source("docs/a.md", "# A\n[b](b.md) [c](../c.md#x) [web](https://example.org/x)\n")
        self.assertEqual(len(list(tidy.check_links(document, lambda path: path == "docs/b.md"))), 1)

    def test_unbuilt(self):
        lists = Source("engine/CMakeLists.txt", "mica_library(engine SOURCES a.cc io/b.cc)\n")
        files = [Source(path, "") for path in ("engine/a.cc", "engine/io/b.cc", "engine/c.cc", "tests/e2e/d_test.py")]
        self.assertEqual([path for path, _, _ in tidy.unbuilt_files([lists, *files])],
                         ["engine/c.cc", "tests/e2e/d_test.py"])


if __name__ == "__main__":
    unittest.main()

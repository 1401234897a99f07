#!/usr/bin/python3
"""Each law of tools/tidy is broken in a small tree, and tools/tidy has to say where.

    test_tidy.py TIDY
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TIDY = sys.argv.pop(1)

LAWFUL = {
    "include/skep/a.h": "#include <stdint.h>\nuint8_t skep_a(void);\n",
    "src/base/a.h": "#include <stddef.h>\nsize_t sk_a(void);\n",
    "src/wire/a.c": '#include "base/a.h"\n#include <skep/a.h>\n'
                    "size_t sk_b(void)\n{\n    return sk_a(); /* not malloc(1) */\n}\n",
    "src/proto/peer/a.c": '#include "wire/a.h"\n',
    "sim/a.c": '#include "sim/a.h"\n#include "engine/a.h"\nvoid sk_c(void)\n{\n    puts("x");\n}\n',
    "sim/a.h": '#include "base/a.h"\n',
    "src/cmd/a.c": '#include "store/a.h"\n',
    "tests/unit/a.c": '#include "cmd/a.h"\n',
    "fuzz/corpus/a/b": "TO" "DO",
}

# (rule, file, its text, what is said)
BREACHES = [
    ("layers", "src/base/b.c", '#include "wire/b.h"\n', 'base may not include "wire/b.h"'),
    ("layers", "src/engine/b.c", '\n#  include "driver/b.h"\n', "src/engine/b.c:2: engine may not"),
    ("layers", "src/misc/b.c", "", "no such layer as 'misc'"),
    ("layers", "include/skep/b.h", '#include "base/a.h"\n', "a public header includes only"),
    ("layers", "src/wire/b.c", "#include <base/a.h>\n", "in quotes"),
    ("layers", "sim/b.c", '#include "driver/b.h"\n', 'sim may not include "driver/b.h"'),
    ("layers", "src/proto/peer/b.c", '#include "sim/a.h"\n', 'proto may not include "sim/a.h"'),
    ("siblings", "src/proto/peer/b.c", '#include "proto/tracker/b.h"\n', "peer may not include"),
    ("headers", "src/base/b.h", "size_t sk_b(void);\n", "src/base/b.h: does not compile alone"),
    ("headers", "include/skep/b.h", "int skep_b(struct { int x; } y);\n", "does not compile alone"),
    ("format", "src/base/b.c", "int  x;\n", "src/base/b.c:1"),
    ("size", "src/base/b.c", "int x;\n" * 801, "801 lines"),
    ("size", "tests/b.c", "void f(void)\n{\n" + "    f();\n" * 100 + "}\n", "tests/b.c:2: a function"),
    ("calls", "src/wire/b.c", "\nvoid *p = malloc(1);\n", "src/wire/b.c:2: malloc("),
    ("calls", "src/engine/b.c", 'printf ("x");\n', "libraries never print"),
    ("calls", "src/proto/peer/b.c", "t = time(NULL);\n", "told the time"),
    ("calls", "src/engine/b.c", "int s = socket(1, 2, 3);\n", "sockets belong"),
    ("calls", "sim/b.c", "t = time(NULL);\n", "sim/b.c:1: time("),
    ("calls", "src/store/b.c", "exit(1);\n", "does not end the program"),
    ("words", "docs/b.md", "one\nTO" "DO: the rest\n", "docs/b.md:2"),
    ("words", "src/base/b.h", "typedef " "struct a a;\n", "src/base/b.h:1"),
    ("words", "README.md", "see /wo" "rk/here\n", "README.md:1"),
]


def tidy(breach_file=None, breach_text=None, rules=()):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        files = dict(LAWFUL)
        if breach_file:
            files[breach_file] = breach_text
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        style = pathlib.Path(TIDY).parents[1] / ".clang-format"
        (root / ".clang-format").write_text(style.read_text())
        return subprocess.run([TIDY, "--root", root, *rules], stdout=subprocess.PIPE, text=True)


class Laws(unittest.TestCase):
    def test_a_lawful_tree_passes(self):
        run = tidy()
        self.assertEqual((run.returncode, run.stdout), (0, ""))

    def test_each_breach_is_found(self):
        for rule, name, text, said in BREACHES:
            with self.subTest(rule=rule, name=name, text=text[:40]):
                run = tidy(name, text, [rule])
                self.assertEqual(run.returncode, 1)
                self.assertIn(said, run.stdout)


unittest.main()

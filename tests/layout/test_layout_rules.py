# SPDX-License-Identifier: Apache-2.0
"""Each rule of the layout finds what it is there to find, and lets pass what is right."""

import subprocess
from pathlib import Path

import layout_rules as rules
import pytest
from test_layout import compile_alone, nm

LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */\n"


@pytest.fixture
def tree(tmp_path):
    """Writes files below a temporary root: tree({"src/base/a.c": "int x;"}) returns the root."""

    def write(contents: dict[str, str]) -> Path:
        for name, text in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("path", "text", "finds"),
    [
        ("src/engine/a.c", '#include "layers/plan.h"', False),
        ("src/engine/a.c", '#include "base/alloc.h"', False),
        ("src/layers/a.c", '#include "engine/get.h"', True),
        ("src/layers/a.c", '#include "load/source.h"', True),
        ("src/layers/a.c", '#include "own.h"', False),
        ("src/layers/a.c", '/* #include "load/source.h" */', False),
        ("src/layers/a.c", '#include "os/files.h"', True),
        ("src/layers/a.c", '#include "os/lock.h"', False),
        ("src/base/a.c", '#include "os/lock.h"', True),
        ("src/load/a.c", '#include "os/files.h"', False),
        ("src/os/a.c", '#include "codec/json.h"', True),
        ("src/base/a.c", '#include "codec/json.h"', True),
        ("src/base/a.c", "#include <unistd.h>", True),
        ("src/base/a.c", '#include "../layers/plan.h"', True),
        ("src/load/a.c", "#include <jansson.h>", True),
        ("src/codec/a.c", "#include <jansson.h>", False),
        ("src/engine/a.c", "#include <Python.h>", True),
        ("src/misc/a.c", "", True),
    ],
)
def test_include_arrows(tree, path, text, finds):
    assert bool(rules.include_arrows(tree({path: text}))) is finds


@pytest.mark.parametrize(
    ("path", "text", "finds"),
    [
        ("cli/main.c", "#include <kernels/kernels.h>", False),
        ("cli/main.c", "#include <stdio.h>", False),
        ("cli/main.c", '#include "base/alloc.h"', True),
        ("cli/main.c", '#include "../src/base/alloc.h"', True),
        ("cli/main.c", "#include <jansson.h>", True),
        ("cli/main.c", "#include <Python.h>", True),
        ("python/ext/module.c", "#include <Python.h>", False),
        ("python/ext/module.c", '#include "types.h"', False),
        ("python/ext/module.c", '#include "layers/plan.h"', True),
    ],
)
def test_outside_sees_public_headers_only(tree, path, text, finds):
    root = tree({path: text, "python/ext/types.h": "", "src/base/alloc.h": ""})
    assert bool(rules.outside_sees_public_headers_only(root)) is finds


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("#include <kernels/common.h>\n#include <stdint.h>", False),
        ("#include <stdio.h>", True),
        ('#include "common.h"', True),
    ],
)
def test_public_headers_see_public_headers_only(tree, text, finds):
    root = tree({"include/kernels/a.h": text})
    assert bool(rules.public_headers_see_public_headers_only(root)) is finds


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("typedef struct kn_a {\n    size_t size; /* of it */\n    int x;\n} kn_a;", False),
        ("typedef struct kn_a {\n    int x;\n    size_t size;\n} kn_a;", True),
        ("typedef struct kn_bytes {\n    const char *at;\n} kn_bytes;", False),
        ("typedef struct kn_a kn_a;", False),
    ],
)
def test_public_structs_begin_with_their_size(tree, text, finds):
    root = tree({"include/kernels/a.h": text})
    assert bool(rules.public_structs_begin_with_their_size(root)) is finds


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ('#include "norm.h"', False),
        ("#include <Python.h>", False),
        ("#include <kernels/common.h>", True),
        ('#include "base/alloc.h"', True),
        ('#include "../../src/base/alloc.h"', True),
    ],
)
def test_builtin_stands_alone(tree, text, finds):
    root = tree({"builtin/norm/norm.c": text, "builtin/norm/norm.h": ""})
    assert bool(rules.builtin_stands_alone(root)) is finds


def test_python_header_in_bindings_only(tree):
    assert rules.python_header_in_bindings_only(tree({"cli/a.c": "#include <Python.h>"}))
    assert not rules.python_header_in_bindings_only(tree({"cli/a.c": "#include <stdio.h>"}))


@pytest.mark.parametrize(
    ("rule", "path", "wrong", "right"),
    [
        (
            rules.pure_folders_do_no_io,
            "src/layers/a.c",
            'f = fopen("x", "r");',
            'n = snprintf(b, 3, "time(0)"); kni_text_read(x); vt->open(x); /* getenv("HOME") */',
        ),
        (
            rules.platform_conditions_in_os_only,
            "src/load/a.c",
            "#if defined(__linux__)\n#endif",
            "#ifdef __cplusplus\n#endif\n/* #ifdef __linux__ */",
        ),
        (
            rules.allocation_in_one_file,
            "src/load/a.c",
            "void *p = malloc(3);",
            'kni_free(a, p); ops->free(p); x.free(p); say("malloc(3)"); // malloc(3)',
        ),
        (rules.allocation_in_one_file, "python/ext/a.c", "char *p = strdup(q);", "PyMem_Free(p);"),
        (rules.no_banned_calls, "tests/unit/a.c", "strcpy(a, b);", "my_strcpy(a, b);"),
        (rules.no_banned_calls, "builtin/x/a.c", "n = atoi (text);", "/* atoi(text) */"),
        (rules.sources_name_their_licence, "src/base/a.c", "int x;\n" + LICENCE, LICENCE),
        (
            rules.sources_name_their_licence,
            "python/kernels/a.py",
            '"""Text."""',
            "#!/usr/bin/env python3\n# SPDX-License-Identifier: Apache-2.0\n",
        ),
        (rules.nothing_is_unfinished, "docs/a.md", "TO" + "DO: more", "to do: more"),
        (rules.nothing_is_unfinished, "Makefile", "# FIX" + "ME", "# fixed"),
    ],
)
def test_rule_finds_the_wrong_and_passes_the_right(tree, rule, path, wrong, right):
    assert len(rule(tree({path: wrong}))) == 1
    assert rule(tree({path: right})) == []


def test_platform_conditions_and_allocation_have_their_home(tree):
    root = tree({"src/os/a.c": "#ifdef __linux__\n#endif", "src/base/alloc.c": "p = malloc(3);"})
    assert rules.platform_conditions_in_os_only(root) == []
    assert rules.allocation_in_one_file(root) == []


def test_source_names_are_unique(tree):
    assert rules.source_names_are_unique(tree({"src/base/a.c": "", "cli/b.c": ""})) == []
    assert rules.source_names_are_unique(tree({"cli/a.c": ""})) == ["a.c: src/base/a.c, cli/a.c"]


def test_version_stands_in_one_place(tree):
    good = {"VERSION": "1.2+3\n", "CHANGELOG.md": "## 1.2+3", "src/base/a.c": "/* as 1.2+3 */"}
    assert rules.version_stands_in_one_place(tree(good)) == []
    bad = {"pyproject.toml": 'version = "1.2+3"', "python/kernels/a.py": '__version__ = "1.2+3"'}
    assert len(rules.version_stands_in_one_place(tree(bad))) == 2


def test_built_files_are_no_sources(tree):
    root = tree({"builtin/build/a.c": "strcpy(a, b);", "tests/.cache/b.c": "strcpy(a, b);"})
    assert rules.no_banned_calls(root) == []


def test_findings_name_the_line(tree):
    root = tree({"src/load/a.c": '/* one\n two */\n#include "hub/get.h"\nint x = atoi(y);\n'})
    assert rules.include_arrows(root) == [
        "src/load/a.c:3: includes hub/get.h: src/load may not know src/hub"
    ]
    assert rules.no_banned_calls(root) == ["src/load/a.c:4: atoi: unbounded or ambiguous"]


@pytest.mark.parametrize(
    ("text", "compiler", "passes"),
    [
        ("int kn_f(int x);", ["gcc", "-x", "c", "-std=c99"], True),
        ("int kn_f(size_t x);", ["gcc", "-x", "c", "-std=c99"], False),
        ("struct a { int n; union { int x; int y; }; };", ["gcc", "-x", "c", "-std=c99"], False),
        ("int kn_f(int class);", ["g++", "-x", "c++", "-std=c++17"], False),
    ],
)
def test_header_that_does_not_stand_alone_is_found(tree, text, compiler, passes):
    root = tree({"include/kernels/a.h": text})
    result = compile_alone(root / "include/kernels/a.h", compiler)
    assert (result.returncode == 0) is passes


def test_symbols_of_a_library(tree):
    """One library with each kind of symbol, as gcc makes them."""
    root = tree(
        {
            "include/kernels/a.h": (
                '#define KN_API __attribute__((visibility("default")))\n'
                "/* KN_API int kn_commented(void); */\n"
                "KN_API int\nkn_declared(int (*callback)(void));\n"
                "KN_API const char *kn_missing(void);\n"
            ),
            "a.c": (
                '#include "include/kernels/a.h"\n'
                "static int count; static int start = 3; int shared; _Thread_local int mine;\n"
                'static const int fixed = 4; static const char *const names[] = {"x"};\n'
                "int kn_declared(int (*callback)(void)) {\n"
                "    static int calls;\n"
                "    return callback() + ++calls + ++count + ++start + ++mine + fixed + names[0][0];\n"
                "}\n"
                "KN_API int kn_extra(void);\nint kn_extra(void) { return shared; }\n"
                "int kni_hidden(void) { return 1; }\n"
            ),
        }
    )
    flags = ["-fPIC", "-fvisibility=hidden", "-O0"]
    subprocess.run(["gcc", *flags, "-c", "a.c", "-o", "a.c.o"], cwd=root, check=True)
    subprocess.run(["gcc", "-shared", "a.c.o", "-o", "liba.so"], cwd=root, check=True)
    subprocess.run(["ar", "rc", "liba.a", "a.c.o"], cwd=root, check=True)

    output = nm("--dynamic", "--defined-only", "--format=posix", root / "liba.so")
    assert rules.exported_symbols(output) == {"kn_declared", "kn_extra"}
    assert rules.declared_functions(root) == {"kn_declared", "kn_missing"}

    output = nm("--format=sysv", root / "liba.a")
    found = {line.split()[1].split(".")[0] for line in rules.mutable_globals(output, set())}
    assert found == {"count", "start", "shared", "mine", "calls"}
    assert rules.mutable_globals(output, {"a.c.o"}) == []

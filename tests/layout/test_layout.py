# SPDX-License-Identifier: Apache-2.0
"""The tree keeps to its layout. What each rule means stands in layout_rules.py."""

import os
import re
import subprocess
from pathlib import Path

import c_reference
import layout_rules as rules
import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADERS = sorted((ROOT / "include/kernels").glob("*.h"))


@pytest.mark.parametrize(
    "rule",
    [
        rules.include_arrows,
        rules.outside_sees_public_headers_only,
        rules.public_headers_see_public_headers_only,
        rules.public_structs_begin_with_their_size,
        rules.builtin_stands_alone,
        rules.python_header_in_bindings_only,
        rules.pure_folders_do_no_io,
        rules.platform_conditions_in_os_only,
        rules.allocation_in_one_file,
        rules.no_banned_calls,
        rules.source_names_are_unique,
        rules.sources_name_their_licence,
        rules.nothing_is_unfinished,
        rules.version_stands_in_one_place,
    ],
    ids=lambda rule: rule.__name__,
)
def test_tree_keeps(rule):
    broken = rule(ROOT)
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize(
    "compiler",
    [
        ["gcc", "-x", "c", "-std=c99", "-Wstrict-prototypes"],
        ["g++", "-x", "c++", "-std=c++17"],
    ],
    ids=["C99", "C++17"],
)
@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.name)
def test_public_header_compiles_alone(header, compiler):
    result = compile_alone(header, compiler)
    assert result.returncode == 0, result.stderr


def compile_alone(header, compiler):
    return subprocess.run(
        [*compiler, "-Wall", "-Wextra", "-pedantic-errors", "-Werror", "-fsyntax-only", "-"]
        + [f"-I{header.parents[1]}"],
        input=f"#include <{header.parent.name}/{header.name}>\ntypedef int translation_unit;\n",
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_public_function_is_documented_and_in_the_reference():
    headers = c_reference.read_headers(ROOT / "include/kernels")
    assert c_reference.declarations_without_comment(headers) == []
    page = c_reference.render(headers)
    headings = set(re.findall(r"\w+", " ".join(re.findall(r"^### (.*)$", page, re.MULTILINE))))
    assert {header.name for header in headers} == {path.name for path in HEADERS} - {"kernels.h"}
    assert rules.declared_functions(ROOT) - headings == set()
    assert {"kn_engine_options", "kn_status", "KN_MODE_INFERENCE", "kn_path_visit"} <= headings


def nm(*arguments):
    return subprocess.run(["nm", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def shared_library():
    path = os.environ.get("KN_SHARED_LIB")
    if not path:
        pytest.fail("set KN_SHARED_LIB to libkernels.so, or run `make test`")
    return Path(path)


def test_exported_symbols_are_the_public_functions(shared_library):
    output = nm("--dynamic", "--defined-only", "--format=posix", shared_library)
    exported = rules.exported_symbols(output)
    declared = rules.declared_functions(ROOT)
    assert declared
    assert exported - declared == set(), "exported, but not declared in include/kernels"
    assert declared - exported == set(), "declared in include/kernels, but not exported"


def test_the_library_has_a_name_and_its_symbols_a_version(shared_library):
    told = subprocess.run(
        ["readelf", "--dynamic", "--wide", shared_library], capture_output=True, text=True
    ).stdout
    assert "Library soname: [libkernels.so.0]" in told
    output = nm("--dynamic", "--defined-only", "--format=posix", shared_library)
    names = [line.split()[0] for line in output.splitlines()]
    assert {name.partition("@@")[2] for name in names if name != "KERNELS_0"} == {"KERNELS_0"}


def test_network_module_exports_its_tables_alone(shared_library):
    module = shared_library.with_name("libkernels_net.so")
    output = nm("--dynamic", "--defined-only", "--format=posix", module)
    assert rules.exported_symbols(output) == {"kni_net_table", "kni_serve_table"}


def test_mutable_globals_are_the_engines(shared_library):
    engine_objects = {f"{path.name}.o" for path in (ROOT / "src/engine").glob("*.c")}
    engine_objects.add("fork.c.o")  # what is done at a fork(2) is told by statics alone
    output = nm("--format=sysv", shared_library.with_suffix(".a"))
    assert "Symbols from" in output
    assert rules.mutable_globals(output, engine_objects) == []

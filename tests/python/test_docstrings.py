# SPDX-License-Identifier: Apache-2.0
"""The examples in the docstrings run, and the docstrings of public names say all in one style."""

import ast
import dataclasses
import doctest
import enum
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import FunctionType

import pytest

import kernels

OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def modules():
    names = [
        info.name
        for info in pkgutil.walk_packages(kernels.__path__, "kernels.")
        if ".builtin" not in info.name
    ]
    in_c = {"kernels._core", "kernels.libkernels_net"}
    return ["kernels", *sorted(name for name in names if name not in in_c)]


@pytest.mark.parametrize("name", modules())
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert result.failed == 0


# What only raises so far, what is deprecated, and what is made by others.
WITHOUT_EXAMPLE = {
    "FuncRepository",
    "LoadedKernel",
    "LocalFuncRepository",
    "LockedFuncRepository",
    "RepoInfo",
    "VariantAccepted",
    "VariantRejected",
    "use_kernel_func_from_hub",
}


def test_every_public_name_has_an_example():
    public = {name for name in kernels.__all__ if name != "__version__"}
    without = {name for name in public if ">>>" not in (getattr(kernels, name).__doc__ or "")}
    assert without == WITHOUT_EXAMPLE


PUBLIC = sorted(set(kernels.__all__) - {"__version__"})
DOCUMENTED = [name for name in PUBLIC if name not in WITHOUT_EXAMPLE]
# Made by functions, not by their class.
MADE = {"CompileReport", "Metadata", "NumericsReport", "Plan"}
SECTIONS = ["Args", "Attributes", "Returns", "Raises", "Example"]


def sections(name):
    """The sections of a docstring by title; what comes before them is ""."""
    found, title = {"": []}, ""
    for line in inspect.getdoc(getattr(kernels, name)).splitlines():
        if re.fullmatch(r"[A-Z]\w+:", line):
            title = line[:-1]
            found[title] = []
        else:
            found[title].append(line)
    return found


def items(lines):
    """What a section describes: the names before the colon of each item, without the type in brackets."""
    heads = [line.strip() for line in lines if re.match(r" {4}\S", line)]
    return [
        item.strip("* ")
        for head in heads
        for item in re.split(r" \(`|:", head, maxsplit=1)[0].split(",")
    ]


def documented_members(value):
    """The public methods and properties of a class that are its own."""
    kinds = (FunctionType, property, classmethod, staticmethod)
    return {
        name: member
        for name, member in vars(value).items()
        if isinstance(member, kinds) and not name.startswith("_")
    }


def returned(name):
    """What a function returns, by its stub."""
    value = getattr(kernels, name)
    stub = Path(inspect.getfile(inspect.getmodule(value))).with_suffix(".pyi")
    functions = [
        node
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    return {ast.unparse(function.returns) for function in functions}


@pytest.mark.parametrize("name", PUBLIC)
def test_help_fits_a_terminal_of_80_columns(name):
    value = getattr(kernels, name)
    # pydoc indents by four, and the members of a class by four more.
    assert max(map(len, inspect.getdoc(value).splitlines())) <= 75
    if isinstance(value, type):
        for member in documented_members(value).values():
            assert max(map(len, (inspect.getdoc(member) or "").splitlines()), default=0) <= 71


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstrings_begin_with_a_sentence_and_have_the_usual_sections(name):
    found = sections(name)
    titles = [title for title in found if title]
    assert titles == [title for title in SECTIONS if title in titles]
    first, *_ = "\n".join(found[""]).split("\n\n")
    assert first.rstrip().endswith((".", "::"))
    assert all(
        re.match(r"\w+(, \w+)*: ", line.strip())
        for line in found.get("Raises", [])
        if re.match(r" {4}\S", line)
    )


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_argument_is_described(name):
    value = getattr(kernels, name)
    if name in MADE or isinstance(value, enum.EnumMeta):
        return
    parameters = list(inspect.signature(value).parameters)
    is_record = dataclasses.is_dataclass(value)
    described = items(sections(name).get("Attributes" if is_record else "Args", []))
    assert sorted(described) == sorted(parameters)


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTED if not isinstance(getattr(kernels, name), type)]
)
def test_what_is_returned_is_described(name):
    assert ("Returns" in sections(name)) == (returned(name) != {"None"})


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTED if isinstance(getattr(kernels, name), type)]
)
def test_every_method_is_described(name):
    value = getattr(kernels, name)
    attributes = items(sections(name).get("Attributes", []))
    for member, what in documented_members(value).items():
        assert inspect.getdoc(what) or member in attributes

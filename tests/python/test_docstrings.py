# SPDX-License-Identifier: Apache-2.0
"""The examples in the docstrings run, and every public name that can be used has one."""

import doctest
import importlib
import pkgutil

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
    "Benchmark",
    "FuncRepository",
    "LoadedKernel",
    "LocalFuncRepository",
    "LockedFuncRepository",
    "LockedLayerRepository",
    "RepoInfo",
    "VariantAccepted",
    "VariantRejected",
    "get_locked_kernel",
    "load_kernel",
    "use_kernel_func_from_hub",
}


def test_every_public_name_has_an_example():
    public = {name for name in kernels.__all__ if name != "__version__"}
    without = {name for name in public if ">>>" not in (getattr(kernels, name).__doc__ or "")}
    assert without == WITHOUT_EXAMPLE

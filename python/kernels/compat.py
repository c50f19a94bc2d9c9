# SPDX-License-Identifier: Apache-2.0
"""What is installed beside this package. `tomllib` is the standard library's, from Python 3.11 on."""

from importlib.util import find_spec

has_torch = find_spec("torch") is not None
has_tvm_ffi = find_spec("tvm_ffi") is not None

__all__ = ["has_torch", "has_tvm_ffi", "tomllib"]  # noqa: F822


def __getattr__(name):
    if name == "tomllib":
        from importlib import import_module

        return import_module("tomllib")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

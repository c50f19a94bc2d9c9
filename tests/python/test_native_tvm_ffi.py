# SPDX-License-Identifier: Apache-2.0
"""Native kernels beside tvm-ffi itself: the same library called by both, and its ABI by its own headers."""

import os
import subprocess

import pytest
from native_support import (
    ROOT,
    SOURCES,
    compile_tvm_ffi_kernel,
    run_python,
    tvm_ffi_folder,
    write_kernel,
)

# As the template of upstream's kernel-builder loads the library.
MODULE = """
from pathlib import Path

import tvm_ffi

ops = tvm_ffi.load_module(Path(__file__).parent / "_written_cpu_1.so")
plus_one = ops.plus_one
"""

BOTH = """
    import sys
    import numpy as np
    import torch
    import kernels
    from kernels import native

    path = sys.argv[1]
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    library = compile_tvm_ffi_kernel(folder / "library.so")
    return write_kernel(folder / "k", "written", library, code=MODULE)


def run_with_tvm_ffi(code, *arguments):
    return run_python(BOTH + code, *arguments, packages=[tvm_ffi_folder().parent])


def test_our_declarations_are_those_of_its_headers():
    compiler = os.environ.get("CC", "gcc")
    includes = [f"-I{ROOT / 'include'}", f"-I{ROOT / 'src'}", f"-I{tvm_ffi_folder() / 'include'}"]
    options = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    subprocess.run([compiler, *options, *includes, SOURCES / "ffi_layout.c"], check=True)


def test_both_give_the_same_and_fail_alike(written):
    printed = run_with_tvm_ffi(
        """
    import tvm_ffi
    ours = native.get_local_kernel(path, backend="cpu")
    theirs = tvm_ffi.load_module(ours.__library__)

    def shown(value):
        if hasattr(value, "__dlpack__"):
            return torch.from_dlpack(value).tolist()
        if isinstance(value, (tvm_ffi.Array, tuple)):
            return [shown(item) for item in value]
        return value

    def outcome(kernel, name, *arguments):
        try:
            return shown(getattr(kernel, name)(*arguments))
        except Exception as error:
            return type(error).__name__, str(error)

    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors = [x, x.T, torch.from_numpy(x), torch.zeros(0), np.zeros(4, dtype=np.int32), np.zeros((1, 1, 1))]
    plain = [None, True, 0, -1, 2**62, 0.5, float("inf"), "", "seven b", "eight by", "nul \\0", b"", b"12345678",
             (), (1, 2), [1, [2.0, "x"]], np.float64(2), np.int8(3)]
    calls = [("echo", value) for value in plain]
    calls += [(name, tensor) for name in ("shape_of", "sizes_of", "keep", "require_float") for tensor in tensors]
    calls += [("plus_one", tensor) for tensor in tensors[2:4]]
    calls += [("add_one", a, b) for a in tensors for b in tensors if a is not b]
    calls += [("sum", value) for value in ([1, 2], (), [0.5], ["x"], None, 3)]
    calls += [("greet", value) for value in ("a", "somebody longer", None, 1, b"x")]
    calls += [("fail", kind, "words") for kind in ("ValueError", "KeyError", "Own", "")]
    calls += [("apply", callback, 3) for callback in (lambda v: v, lambda v: [v], lambda v: int("x"))]
    calls += [("echo",), ("echo", 1, 2), ("adder", "x")]
    different = 0
    for call in calls:
        a, b = outcome(ours, *call), outcome(theirs, *call)
        if a != b:
            different += 1
            print(call, a, b)
    print(len(calls), "calls,", different, "different")
    """,
        written,
    )
    assert printed.endswith("calls, 0 different\n"), printed


def test_upstreams_way_and_ours_go_together(written):
    printed = run_with_tvm_ffi(
        """
    module = kernels.get_local_kernel(path, backend="cpu")
    ours = native.get_local_kernel(path, backend="cpu")
    x = torch.ones(2)
    a, b = module.plus_one(x), ours.plus_one(x)
    print(type(a).__name__, a.tolist(), torch.from_dlpack(b).tolist())
    print(ours.adder(3)(4), module.ops.adder(3)(4))
    """,
        written,
    )
    assert printed == "Tensor [2.0, 2.0] [2.0, 2.0]\n7 7\n"

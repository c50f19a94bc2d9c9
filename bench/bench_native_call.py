# SPDX-License-Identifier: Apache-2.0
"""A call of a native kernel's function that does nothing with two tensors: from C, beside the kernel's own entry, and
from Python, beside the package tvm_ffi. Nanoseconds, the least of some rounds in turns.

KN_SHARED_LIB is libkernels.so, as a build of the type Release makes it; KN_TVM_FFI_PYTHON a Python that has tvm_ffi.
"""

import os
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path

from side_by_side import table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "python"))
CALLS, ROUNDS = 100_000, 7


def from_c(kernel, folder):
    library = Path(os.environ["KN_SHARED_LIB"]).resolve()
    program = folder / "native_call"
    options = ["-O2", "-std=c11", "-D_GNU_SOURCE", f"-I{ROOT / 'include'}"]
    link = [f"-L{library.parent}", "-lkernels", "-ldl", f"-Wl,-rpath,{library.parent}"]
    source = ROOT / "bench" / "native_call.c"
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, *options, source, "-o", program, *link], check=True)
    done = subprocess.run(
        [program, kernel, str(ROUNDS)], check=True, capture_output=True, text=True
    )
    rounds = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    return [min(column) for column in zip(*rounds, strict=True)]


def from_python(kernel):
    """{(which binding, which library's tensors): ns}"""
    import numpy as np
    import torch
    import tvm_ffi

    from kernels import native

    ours = native.get_local_kernel(kernel, backend="cpu")
    functions = {
        "kernels.native": ours.nothing,
        "tvm_ffi": tvm_ffi.load_module(ours.__library__).nothing,
    }
    tensors = {"torch": torch.zeros(1), "NumPy": np.zeros(1, dtype=np.float32)}
    times = {}
    for _ in range(ROUNDS):
        for binding, function in functions.items():
            for library, x in tensors.items():
                timer = timeit.Timer("f(x, y)", globals={"f": function, "x": x, "y": x})
                taken = timer.timeit(CALLS) / CALLS * 1e9
                key = binding, library
                times[key] = min(taken, times.get(key, taken))
    return times


def main():
    from native_support import compile_tvm_ffi_kernel, tvm_ffi_folder, write_kernel

    home = tvm_ffi_folder()
    os.environ["KERNELS_TVM_FFI_LIBRARY"] = str(home / "lib" / "libtvm_ffi.so")
    sys.path.append(str(home.parent))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = compile_tvm_ffi_kernel(folder / "library.so")
        kernel = write_kernel(folder / "k", "written", library)
        entry, call = from_c(kernel, folder)
        rows = [
            ("C", "the kernel's own entry", f"{entry:.0f}", ""),
            ("C", "kn_function_call", f"{call:.0f}", f"{call - entry:.0f} more: goal 60"),
        ]
        for (binding, library), taken in from_python(kernel).items():
            rows.append(("Python", f"{binding}, {library}", f"{taken:.0f}", ""))
    table(("from", "by", "ns", ""), rows)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Native kernels for tests, compiled where they run."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests" / "support" / "native"
VARIANT = "tvm-ffi01-cpu-x86_64-linux"


def compile_library(output, *sources, options=(), compiler="CC"):
    """Compiles sources into the shared object `output`; `compiler` is CC or CXX."""
    program = os.environ.get(compiler, {"CC": "gcc", "CXX": "g++"}[compiler])
    command = [program, "-shared", "-fPIC", "-O1", "-o", str(output), *map(str, sources), *options]
    subprocess.run(command, check=True)
    return output


def write_kernel(folder, name, library=None, variant=VARIANT, code=""):
    """A kernel in `folder` whose build for `variant` has `library`, or the fixture that needs nothing, and `code` as
    its Python module."""
    build = folder / "build" / variant
    build.mkdir(parents=True)
    (build / "metadata.json").write_text(json.dumps({"id": f"_{name}_cpu_1", "name": name}))
    (build / "__init__.py").write_text(code)
    target = build / f"_{name}_cpu_1.so"
    if library is None:
        compile_library(target, SOURCES / "fixture_kernel.c", options=[f"-I{ROOT / 'include'}"])
    else:
        target.symlink_to(library)
    return folder


def tvm_ffi_folder():
    """The folder of the package tvm_ffi in the environment that has it."""
    python = os.environ.get("KN_TVM_FFI_PYTHON")
    if not python:
        pytest.fail("set KN_TVM_FFI_PYTHON to a Python that has tvm_ffi, or run `make test`")
    code = "import importlib.util as u; print(u.find_spec('tvm_ffi').submodule_search_locations[0])"
    return Path(subprocess.check_output([python, "-c", code], text=True).strip())


def compile_tvm_ffi_kernel(output, source="tvm_ffi_kernel.cpp", *, define=()):
    """A fixture that is written with tvm-ffi's headers."""
    home = tvm_ffi_folder()
    options = ["-std=c++17", f"-I{home / 'include'}", f"-L{home / 'lib'}", "-ltvm_ffi"]
    options += [f"-D{name}" for name in define]
    return compile_library(output, SOURCES / source, options=options, compiler="CXX")


def run_python(code, *arguments, python=sys.executable, packages=(), **environment):
    """What `code` prints in a new interpreter that finds `packages` (folders) and no libtvm_ffi by itself."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "CONDA_PREFIX", "KERNELS_TVM_FFI_LIBRARY", "PYTHONPATH")
    }
    environment = {
        **inherited,
        "PATH": "/no/such/folder",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, packages)),
        **environment,
    }
    done = subprocess.run(
        [python, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

# SPDX-License-Identifier: Apache-2.0
"""Native kernels for tests, compiled where they run."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "support" / "native" / "fixture_kernel.c"
VARIANT = "tvm-ffi01-cpu-x86_64-linux"


def compile_library(output, *sources, options=()):
    """Compiles C or C++ sources into the shared object `output`."""
    compiler = os.environ.get("CC", "gcc")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(output), *map(str, sources), *options]
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
        compile_library(target, FIXTURE, options=[f"-I{ROOT / 'include'}"])
    else:
        target.symlink_to(library)
    return folder

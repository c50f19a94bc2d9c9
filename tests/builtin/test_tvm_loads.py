# SPDX-License-Identifier: Apache-2.0
"""Every variant loads, unchanged, in upstream's kernels 0.17.2 and in this package: from a folder and from a Hub.

KN_PEER_PYTHON is the interpreter of a virtual environment with torch, tvm-ffi and upstream's package.
"""

import os
import shutil
import subprocess
import sys

import pytest

from hub import Hub

KERNELS = ("activation", "loss", "mlp", "norm", "rotary")
TVM_VARIANT = "tvm-ffi01-cpu-x86_64-linux"
TORCH_VARIANT = "torch-stable-abi210-cpu-x86_64-linux"

# Arguments: a folder with the repositories, then their names. Two of each are on the Hub: whole, and for tvm-ffi alone.
LOAD = f"""
import sys
from pathlib import Path

import numpy as np
import torch
from kernels import get_kernel, get_local_kernel

F = np.float32


def activation(module):
    x, out = np.array([-1.0, 2.0], F), np.empty(2, F)
    module.silu(out, x)
    np.testing.assert_allclose(out, [-0.26894143, 1.7615942], rtol=1e-5)


def loss(module):
    losses = np.empty(1, F)
    module.cross_entropy(losses, np.zeros((1, 4), F), np.array([2]))
    np.testing.assert_allclose(losses, [1.3862944], rtol=1e-5)


def mlp(module):
    out = np.empty((1, 2), F)
    module.linear(out, np.array([[100.0]], F), np.array([[2.0], [3.0]], F))
    np.testing.assert_allclose(out, [[200.0, 300.0]])


def norm(module):
    out = np.empty((1, 2), F)
    module.rms_norm(out, np.array([[3.0, 4.0]], F), None, 0.0)
    np.testing.assert_allclose(out, [[0.8485281, 1.1313708]], rtol=1e-5)


def rotary(module):
    q, out, other = np.array([[1.0, 2.0]], F), np.empty((1, 2), F), np.empty((1, 2), F)
    module.apply_rotary(out, other, q, q, np.zeros(2, F), np.ones(2, F), 0)
    np.testing.assert_allclose(out, [[-2.0, 1.0]])


for name in sys.argv[2:]:
    check = globals()[name]
    local = get_local_kernel(Path(sys.argv[1]) / name)
    served = get_kernel("tvm/" + name, version=1)
    for module in (local, served):
        assert Path(module.__file__).parent.name == "{TVM_VARIANT}", module.__file__
        check(module)
    whole = get_kernel("open/" + name, version=1)
    assert Path(whole.__file__).parent.name == "{TORCH_VARIANT}", whole.__file__
    assert whole.layers
print("loaded")
"""


def built_files(folder, *variants):
    """What of a repository's build goes to the Hub."""
    return {
        path.relative_to(folder).as_posix(): path
        for variant in variants
        for path in (folder / "build" / variant).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def served(builtin_dir):
    with Hub() as hub:
        for organization in ("open", "tvm"):
            hub.organization(organization, trusted=True)
        for name in KERNELS:
            folder = builtin_dir / name
            whole = built_files(folder, TVM_VARIANT, TORCH_VARIANT)
            hub.repo(f"open/{name}").commit(whole, branches=["main", "v1"])
            hub.repo(f"tvm/{name}").commit(
                built_files(folder, TVM_VARIANT), branches=["main", "v1"]
            )
        yield hub


@pytest.fixture(params=["upstream", "ours"])
def python(request):
    if request.param == "ours":
        return sys.executable
    peer = os.environ.get("KN_PEER_PYTHON")
    if not peer:
        pytest.fail("set KN_PEER_PYTHON to a Python that has torch, tvm-ffi and kernels 0.17.2")
    return peer


def test_each_variant_loads_from_a_folder_and_from_a_hub(builtin_dir, served, python, tmp_path):
    for name in KERNELS:
        copy = tmp_path / "local" / name / "build" / TVM_VARIANT
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(builtin_dir / name / "build" / TVM_VARIANT, copy, ignore=ignored)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    run = subprocess.run(
        [python, "-c", LOAD, str(tmp_path / "local"), *KERNELS],
        cwd=tmp_path,
        env=clean | served.environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "loaded"


DIGESTS = """
import sys
from pathlib import Path
from kernels._rust import Digest, DigestAlgorithm, Metadata

for argument in sys.argv[1:]:
    variant = Path(argument)
    metadata = Metadata.read_from_file(variant / "metadata.json")
    assert metadata.version == 1 and metadata.id.isidentifier()
    metadata.digest.validate(Digest.hash_variant(DigestAlgorithm.SHA256, variant))
    print(metadata.name)
"""


def test_upstream_finds_the_digests_right(builtin_dir, tmp_path):
    copies = []
    for name in KERNELS:
        copies.append(tmp_path / name)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(builtin_dir / name / "build" / TVM_VARIANT, copies[-1], ignore=ignored)
    run = subprocess.run(
        [os.environ["KN_PEER_PYTHON"], "-c", DIGESTS, *map(str, copies)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == list(KERNELS), run.stderr

# SPDX-License-Identifier: Apache-2.0
"""The wheel kernels-cuda beside the wheel kernels, in a virtual environment: run by `make test-wheel-cuda` only."""

import base64
import hashlib
import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ("activation", "loss", "mlp", "norm", "rotary")
H100 = ("--backend", "cu130", "--capability", "9.0")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)

    def pip(*words):
        command = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), *words]
        subprocess.run(command, check=True, capture_output=True)

    (wheel,) = (ROOT / "build/dist").glob("kernels-*.whl")
    (cuda,) = (ROOT / "dist").glob("kernels_cuda-*.whl")
    pip("install", "--no-index", str(wheel), str(cuda))
    return folder, pip


def resolved(folder, name, *machine):
    command = [folder / "bin/kernels", "resolve", f"builtin/{name}", *machine, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(run.stdout)["variant"]


def test_a_machine_with_cuda_gets_the_builds_for_it(environment):
    folder, _ = environment
    for name in KERNELS:
        with_torch = resolved(folder, name, "--torch", "2.11", *H100)
        assert with_torch == "torch-stable-abi210-cu130-x86_64-linux"
        without = resolved(folder, name, "--torch", "none", "--tvm-ffi", "0.1", *H100)
        assert without == "tvm-ffi01-cu130-x86_64-linux"


def test_a_plan_for_such_a_machine_names_them(environment, tmp_path):
    folder, _ = environment
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[RMSNorm.cuda]\nrepo = "builtin/norm"\nlayer = "RMSNorm"\n')
    command = [folder / "bin/kernels", "plan", mapping, "--torch", "2.11", *H100]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "torch-stable-abi210-cu130-x86_64-linux" in run.stdout


def test_a_machine_without_cuda_gets_those_for_the_cpu(environment):
    folder, _ = environment
    for name in KERNELS:
        found = resolved(folder, name, "--torch", "2.13", "--backend", "cpu")
        assert found == "torch-stable-abi210-cpu-x86_64-linux"


def test_digests_hold_after_the_installation(environment):
    folder, _ = environment
    variants = list(folder.glob("lib/python3*/site-packages/kernels/builtin/*/build/*cu130*"))
    assert len(variants) == 10
    for variant in variants:
        metadata = json.loads((variant / "metadata.json").read_text())
        assert metadata["backend"] == {"type": "cuda", "archs": ["8.0", "9.0+PTX"]}
        for name, digest in metadata["digest"]["files"].items():
            found = hashlib.sha256((variant / name).read_bytes()).digest()
            assert base64.b64encode(found).decode() == digest, variant / name


def test_taking_the_wheel_away_leaves_the_other_whole(environment):
    folder, pip = environment
    pip("uninstall", "--yes", "kernels-cuda")
    assert resolved(folder, "norm", "--torch", "2.11", *H100) is None
    found = resolved(folder, "norm", "--torch", "2.13", "--backend", "cpu")
    assert found == "torch-stable-abi210-cpu-x86_64-linux"

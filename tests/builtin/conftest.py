# SPDX-License-Identifier: Apache-2.0
"""Loads the built first-party kernels without the Python package `kernels`."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
import torch

KERNELS = ("activation", "loss", "mlp", "norm", "rotary")
# The CPU tests run on the build for CUDA, too, where this names it: it has the same CPU kernels.
VARIANT = os.environ.get("KN_BUILTIN_VARIANT", "torch-stable-abi210-cpu-x86_64-linux")
CUDA_VARIANT = "torch-stable-abi210-cu130-x86_64-linux"


@pytest.fixture(autouse=True)
def same_numbers():
    """Each test meets the same random numbers in every run."""
    torch.manual_seed(0)


def find_builtin_dir():
    given = os.environ.get("KN_BUILTIN_DIR")
    if given:
        return Path(given)
    spec = importlib.util.find_spec("kernels")
    if spec is None or spec.origin is None:
        raise pytest.UsageError("set KN_BUILTIN_DIR to the folder of the built kernels")
    return Path(spec.origin).parent / "builtin"


def load_variant(variant, module_name=None):
    """Imports the kernel in a variant folder, as a kernel loader does it."""
    if module_name is None:
        module_name = json.loads((variant / "metadata.json").read_text())["id"]
    there = sys.modules.get(module_name)
    if there is not None and there.__file__ == str(variant / "__init__.py"):
        return there
    spec = importlib.util.spec_from_file_location(module_name, variant / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def builtin_dir():
    directory = find_builtin_dir()
    for name in KERNELS:
        if not (directory / name / "build" / VARIANT / "metadata.json").is_file():
            pytest.fail(f"no built kernel {name} in {directory}; set KN_BUILTIN_DIR")
    return directory


@pytest.fixture(scope="session")
def variant_of(builtin_dir):
    """Path of the variant folder of a kernel."""
    return lambda name: builtin_dir / name / "build" / VARIANT


@pytest.fixture(scope="session")
def load_copy(variant_of):
    """Imports a kernel again, under another module name."""
    return lambda name, module_name: load_variant(variant_of(name), module_name)


@pytest.fixture(scope="session")
def norm(variant_of):
    return load_variant(variant_of("norm"))


@pytest.fixture(scope="session")
def activation(variant_of):
    return load_variant(variant_of("activation"))


@pytest.fixture(scope="session")
def rotary(variant_of):
    return load_variant(variant_of("rotary"))


@pytest.fixture(scope="session")
def mlp(variant_of):
    return load_variant(variant_of("mlp"))


@pytest.fixture(scope="session")
def loss(variant_of):
    return load_variant(variant_of("loss"))


@pytest.fixture(params=["serial", "avx2", "avx512", "avx512_bf16"])
def isa(request, norm, activation, rotary, mlp, loss):
    """Runs the test with each instruction set that this CPU has."""
    kernels = (
        norm._ops._norm_kern,
        activation._ops._activation_kern,
        rotary._ops._rotary_kern,
        mlp._ops._mlp_kern,
        loss._ops._loss_kern,
    )
    before = [kernel.current_isa() for kernel in kernels]
    try:
        for kernel in kernels:
            kernel.select_isa(request.param)
    except ValueError:
        pytest.skip(f"this CPU has no {request.param}")
    yield request.param
    for kernel, name in zip(kernels, before, strict=True):
        kernel.select_isa(name)


@pytest.fixture(scope="session")
def load_cuda():
    """Imports the build of a kernel for CUDA devices, from KN_BUILTIN_DIR or what `make kernels` made."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    made = Path(__file__).parents[2] / "build/kernels/out"
    directory = Path(os.environ.get("KN_BUILTIN_DIR", made))
    if not (directory / "norm" / "build" / CUDA_VARIANT).is_dir():
        pytest.skip(f"no build for CUDA in {directory}: make kernels makes one, with nvcc")
    return lambda name: load_variant(directory / name / "build" / CUDA_VARIANT)

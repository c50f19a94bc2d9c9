# SPDX-License-Identifier: Apache-2.0
"""The GPUs of this machine, by a driver that the tests bring, and kernels that cannot be loaded on it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_support import PROGRAM
from kernel_support import write_kernel

FAKE = Path(__file__).parents[1] / "unit/support/fake_cuda/fake_cuda.c"


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """The folder of a libcuda.so.1 whose devices FAKE_CUDA names."""
    folder = tmp_path_factory.mktemp("driver")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", FAKE], check=True)
    return str(folder)


@pytest.fixture
def cuda_environment(tmp_path):
    """A Python environment whose torch was built for CUDA 12.6."""
    packages = tmp_path / "venv/lib/python3.12/site-packages"
    (packages / "torch").mkdir(parents=True)
    (packages / "torch/version.py").write_text(
        "__version__ = '2.10.0+cu126'\ncuda = '12.6'\nhip = None\n"
    )
    return str(tmp_path / "venv")


@pytest.fixture
def kernel_for(tmp_path):
    """A kernel directory with a build for CUDA 12.6 and these architectures."""

    def make(*archs, content=None):
        metadata = {"backend": {"type": "cuda", "archs": list(archs)}}
        variant = "torch210-cu126-x86_64-linux"
        folder = write_kernel(tmp_path / "kernel", variants=(variant,), metadata=metadata)
        if content is not None:
            (folder / "build" / variant / "_native.so").write_bytes(content)
        return str(folder)

    return make


def for_another_machine():
    content = PROGRAM.read_bytes()
    return content[:18] + b"\xb7\x00" + content[20:]  # aarch64


def test_doctor_tells_the_gpus_and_what_the_driver_supports(cli, driver):
    result = cli("doctor", LD_LIBRARY_PATH=driver, FAKE_CUDA="90 80")
    assert "cuda driver  12.8\n" in result.stdout
    assert "gpu          Fake GPU 0, compute capability 9.0, 1.1 GB\n" in result.stdout
    assert "gpu          Fake GPU 1, compute capability 8.0, 2.1 GB\n" in result.stdout
    told = json.loads(cli("doctor", "--json", LD_LIBRARY_PATH=driver, FAKE_CUDA="90").stdout)
    assert told["cuda_driver"] == "12.8"
    assert told["gpus"] == [{"name": "Fake GPU 0", "capability": "9.0", "memory": 1 << 30}]
    assert told["problems"] == []


def test_doctor_names_a_driver_that_does_not_do_for_torch(cli, driver, cuda_environment):
    def problem(**environment):
        told = json.loads(
            cli("doctor", "--json", "--python", cuda_environment, **environment).stdout
        )
        return told["problems"][0]["problem"]

    broken = problem(LD_LIBRARY_PATH=driver, FAKE_CUDA="90", FAKE_CUDA_INIT="999")
    assert (
        "torch was built for CUDA (cu126), and the CUDA driver failed in cuInit: CUDA_ERROR_UNKNOWN"
        in broken
    )
    assert problem(LD_LIBRARY_PATH=driver, FAKE_CUDA="").endswith("and the driver has no device")
    version = Path(cuda_environment) / "lib/python3.12/site-packages/torch/version.py"
    version.write_text("__version__ = '2.13.0+cu130'\ncuda = '13.0'\n")
    assert problem(LD_LIBRARY_PATH=driver, FAKE_CUDA="90").endswith(
        "(cu130), and the driver supports 12.8"
    )


@pytest.fixture
def bare(tmp_path):
    """The program where there is no Python environment, as the Debian package installs it."""
    program = tmp_path / "bare/bin/kernels"
    program.parent.mkdir(parents=True)
    shutil.copy(PROGRAM, program)

    def run(*words, **environment):
        done = subprocess.run(
            [program, *words],
            env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), **environment},
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    return run


def test_without_python_the_backend_is_that_of_the_driver_or_as_it_is_named(bare, driver):
    def backend(**environment):
        told = json.loads(bare("doctor", "--json", **environment))
        problems = [each["problem"] for each in told["problems"] if "CUDA" in each["problem"]]
        return told["environment"]["backend"], problems

    gpu = {"LD_LIBRARY_PATH": driver, "FAKE_CUDA": "90"}
    assert backend() == ("cpu", [])
    assert backend(**gpu) == ("cu128", [])
    assert backend(**gpu | {"FAKE_CUDA": ""}) == ("cpu", [])
    assert backend(**gpu, KERNELS_BACKEND="cpu") == ("cpu", [])
    assert backend(**gpu, KERNELS_BACKEND="cu130") == (
        "cu130",
        ["KERNELS_BACKEND is CUDA (cu130), and the driver supports 12.8"],
    )
    assert "KERNELS_BACKEND names the backend 'gpu'" in bare("doctor", KERNELS_BACKEND="gpu")


def test_without_python_builds_are_ranked_for_that_backend(bare, driver, tmp_path):
    variants = "tvm-ffi01-cpu-x86_64-linux", "tvm-ffi01-cu126-x86_64-linux"
    kernel = str(write_kernel(tmp_path / "kernel", variants=variants))
    gpu = {"LD_LIBRARY_PATH": driver, "FAKE_CUDA": "90"}

    def fitting(**environment):
        told = json.loads(bare("info", kernel, "--json", **environment))
        return [each["name"] for each in told["variants"] if each["compatible"]]

    assert fitting() == [variants[0]]
    assert fitting(**gpu) == [variants[1]]
    assert "tvm-ffi01-cu126-x86_64-linux" in bare("resolve", kernel, "--arch", "x86_64", **gpu)


def test_resolve_asks_the_gpu_of_this_machine(cli, driver, cuda_environment, kernel_for):
    kernel = kernel_for("9.0")
    here = {"LD_LIBRARY_PATH": driver, "FAKE_CUDA": "90"}
    assert cli("resolve", kernel, "--python", cuda_environment, **here).returncode == 0
    old = cli("resolve", kernel, "--python", cuda_environment, **here | {"FAKE_CUDA": "80"})
    assert old.returncode == 1
    assert "only for 9.0" in old.stdout
    said = cli(
        "resolve",
        kernel,
        "--python",
        cuda_environment,
        "--capability",
        "9.0",
        **here | {"FAKE_CUDA": "80"},
    )
    assert said.returncode == 0


def test_plan_asks_the_gpu_of_this_machine(cli, driver, cuda_environment, kernel_for, tmp_path):
    (tmp_path / "mapping.toml").write_text(f"[Toy.cuda]\npath = '{kernel_for('9.0')}'\n")
    here = {"LD_LIBRARY_PATH": driver, "FAKE_CUDA": "90"}
    words = ["plan", "mapping.toml", "--python", cuda_environment, "--json"]
    told = json.loads(cli(*words, **here).stdout)
    assert told["capability"] == 90
    assert told["layers"][0]["action"] == "replace"
    told = json.loads(cli(*words, **here | {"FAKE_CUDA": "80"}).stdout)
    assert told["layers"][0]["action"] == "keep"


def test_resolve_and_plan_tell_a_build_that_cannot_be_loaded(
    cli, cuda_environment, kernel_for, tmp_path
):
    kernel = kernel_for(content=for_another_machine())
    result = cli("resolve", kernel, "--python", cuda_environment)
    assert result.returncode == 1
    assert "Variant: none\n" in result.stdout
    reason = "its shared object '_native.so' was built for aarch64 and this process runs on x86_64"
    assert reason in result.stdout
    told = json.loads(cli("resolve", kernel, "--python", cuda_environment, "--json").stdout)
    assert told["variant"] is None
    assert reason in told["problem"]
    (tmp_path / "mapping.toml").write_text(f"[Toy.cuda]\npath = '{kernel}'\n")
    planned = json.loads(cli("plan", "mapping.toml", "--python", cuda_environment, "--json").stdout)
    assert planned["layers"][0]["action"] == "keep"
    assert reason in planned["layers"][0]["message"]
    elsewhere = cli("resolve", kernel, "--torch", "2.10", "--backend", "cu126")
    assert elsewhere.returncode == 0


def test_info_tells_what_shared_objects_need_and_whether_they_can_be_loaded(cli, kernel_for):
    kernel = kernel_for(content=PROGRAM.read_bytes())
    said = cli("info", kernel).stdout
    assert "\nBuild: torch210-cu126-x86_64-linux (not for this system: " in said
    assert re.search(r"\n  _native\.so: x86_64, glibc 2\.\d+, needs .*libc\.so\.6\b", said)
    native = Path(kernel) / "build/torch210-cu126-x86_64-linux/_native.so"
    native.write_bytes(for_another_machine())
    told = json.loads(cli("info", kernel, "--json").stdout)
    (build,) = told["builds"]
    assert (build["name"], build["is_here"]) == ("torch210-cu126-x86_64-linux", True)
    (made,) = build["objects"]
    assert (made["path"], made["machine"], made["cuda_archs"]) == ("_native.so", "aarch64", [])
    assert made["problem"].startswith("was built for aarch64 and this process runs on x86_64")


def test_info_says_whether_this_system_takes_a_build(cli, tmp_path):
    folder = write_kernel(tmp_path / "any", variants=("torch-universal",))
    native = folder / "build/torch-universal/_native.so"
    native.write_bytes(PROGRAM.read_bytes())
    assert "Build: torch-universal (can be loaded here)\n  _native.so: x86_64" in (
        cli("info", str(folder)).stdout
    )
    assert json.loads(cli("info", str(folder), "--json").stdout)["builds"][0]["loads"] is True
    native.write_bytes(for_another_machine())
    assert (
        "Build: torch-universal (not for this system: its shared object '_native.so' was built"
        in (cli("info", str(folder)).stdout)
    )
    (build,) = json.loads(cli("info", str(folder), "--json").stdout)["builds"]
    assert not build["loads"]
    assert build["reason"].startswith("its shared object '_native.so' was built for aarch64")

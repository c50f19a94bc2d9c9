# SPDX-License-Identifier: Apache-2.0
"""What is installed for C programs, and the examples that use it, built as docs/c.md says, after a move."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CC = os.environ.get("CC", "gcc")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, **more):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Installed:
    """The components that a C program needs, below a prefix."""

    def __init__(self, prefix):
        self.prefix = prefix
        [pc] = prefix.rglob("kernels.pc")
        self.libraries = pc.parent.parent
        self.environment = {
            **os.environ,
            "PKG_CONFIG_PATH": str(pc.parent),
            "LD_LIBRARY_PATH": str(self.libraries),
            "VIRTUAL_ENV": sys.prefix,  # which has libtvm_ffi
            "HF_HUB_OFFLINE": "1",
        }

    def pkg_config(self, *arguments):
        program = os.environ.get("PKG_CONFIG", "pkg-config")
        return run(program, *arguments, "kernels", env=self.environment).split()

    def run(self, *command):
        return run(*command, env=self.environment)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    if "KN_SHARED_LIB" not in os.environ:
        pytest.fail("set KN_SHARED_LIB to libkernels.so, or run `make test`")
    build = Path(os.environ["KN_SHARED_LIB"]).parent
    folder = tmp_path_factory.mktemp("installed")
    for component in ("library", "dev"):
        run("cmake", "--install", build, "--prefix", folder / "first", "--component", component)
    (folder / "first").rename(folder / "moved")
    return Installed(folder / "moved")


def test_what_a_c_program_needs_is_installed(installed):
    found = {path.name for path in installed.libraries.iterdir()}
    assert found >= {"libkernels.so", "libkernels.so.0", "libkernels.a", "libkernels_net.so"}
    assert (installed.libraries / "libkernels.so").resolve().name.startswith("libkernels.so.0.")
    headers = {path.name for path in (ROOT / "include/kernels").glob("*.h")}
    assert {path.name for path in (installed.prefix / "include/kernels").iterdir()} == headers
    variants = {path.name for path in installed.libraries.glob("kernels/builtin/norm/build/*")}
    assert variants == {"tvm-ffi01-cpu-x86_64-linux"}


def test_pkg_config_tells_the_place_that_it_was_moved_to(installed):
    [include] = installed.pkg_config("--cflags")
    assert Path(include.removeprefix("-I")).resolve() == (installed.prefix / "include").resolve()
    [module] = installed.pkg_config("--variable=net_library")
    assert Path(module).resolve() == (installed.libraries / "libkernels_net.so").resolve()
    assert "-ljansson" in installed.pkg_config("--libs", "--static")
    assert "-ljansson" not in installed.pkg_config("--libs")


def c_host(installed, program, *libraries):
    options = ["-std=gnu11", *STRICT, "-O3", "-march=native", *installed.pkg_config("--cflags")]
    installed.run(CC, EXAMPLES / "c_host/c_host.c", *options, *libraries, "-lm", "-o", program)
    return installed.run(program, EXAMPLES / "c_host/mapping.toml", "16")


def test_c_host_runs_first_party_kernels_and_their_outputs_agree(installed, tmp_path):
    printed = c_host(installed, tmp_path / "c_host", *installed.pkg_config("--libs"))
    table, timed = printed.split("\n\n") if "\n\n" in printed else printed.rsplit("input_norm", 1)
    assert table.rstrip() in (ROOT / "docs" / "architecture.md").read_text()
    assert len(re.findall(r"loops +[\d.]+ ms, kernel +[\d.]+ ms, +[\d.]+ x", timed)) == 3
    assert printed.endswith("outputs agree\n")


def test_the_static_library_finds_its_module_beside_the_program(installed, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "libkernels_net.so").symlink_to(installed.libraries / "libkernels_net.so")
    (folder / "kernels").symlink_to(installed.libraries / "kernels")
    link = [
        word if word != "-lkernels" else "-l:libkernels.a"
        for word in installed.pkg_config("--libs", "--static")
    ]
    assert c_host(installed, folder / "c_host", *link).endswith("outputs agree\n")
    assert "libkernels" not in installed.run("readelf", "--dynamic", folder / "c_host")


def test_cpp_host_is_built_with_the_cmake_package(installed, tmp_path):
    build = tmp_path / "cpp_host"
    flags = "-DCMAKE_CXX_FLAGS=" + " ".join(STRICT)
    prefix = f"-DCMAKE_PREFIX_PATH={installed.prefix}"
    installed.run("cmake", "-S", EXAMPLES / "cpp_host", "-B", build, prefix, flags)
    installed.run("cmake", "--build", build)
    assert installed.run(build / "cpp_host") == "norm (tvm-ffi01-cpu-x86_64-linux): 2 2\n"


@pytest.mark.skipif(not shutil.which("cargo"), reason="there is no cargo here")
def test_rust_host_needs_no_build_script(installed, tmp_path):
    project = tmp_path / "rust_host"
    shutil.copytree(EXAMPLES / "rust_host", project)
    installed.environment["RUSTFLAGS"] = f"-D warnings -L {installed.libraries}"
    installed.environment.pop("LD_PRELOAD", None)  # the compiler does not bear a sanitizer
    installed.run(
        "cargo", "build", "--offline", "--quiet", "--manifest-path", project / "Cargo.toml"
    )
    assert installed.run(project / "target/debug/rust_host") == "2 2\n"


CUDA = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
FAKE_DRIVER = ROOT / "tests/unit/support/fake_cuda/fake_cuda.c"


@pytest.fixture(scope="module")
def cuda_host(installed, tmp_path_factory):
    """The program, built as its head says, and how it ends: (status, standard output, standard error)."""
    if not (CUDA / "include").exists():
        pytest.skip("there is no CUDA toolkit here")
    program = tmp_path_factory.mktemp("cuda_host") / "cuda_host"
    cuda = [f"-I{CUDA}/include", f"-L{CUDA}/lib64", f"-Wl,-rpath,{CUDA}/lib64", "-lcudart"]
    options = ["-std=gnu11", *STRICT, "-O3", *installed.pkg_config("--cflags", "--libs"), *cuda]
    installed.run(CC, EXAMPLES / "cuda_host/cuda_host.c", *options, "-lm", "-o", program)

    def end(*arguments, driver=None, **environment):
        environment = {**installed.environment, **environment}
        if driver:
            environment["LD_LIBRARY_PATH"] += f":{driver}"
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, env=environment, timeout=300
        )
        return done.returncode, done.stdout, done.stderr

    return end


NO_GPU = pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU here")


@NO_GPU
def test_cuda_host_keeps_its_loops_where_there_is_no_device(cuda_host):
    status, printed, error = cuda_host(EXAMPLES / "cuda_host/mapping.toml", "16")
    assert (status, error) == (0, "")
    assert printed.count("the capability of this device cannot be asked here") == 3
    assert printed.endswith("outputs agree\n")


def test_cuda_host_says_what_it_is_to_be_given(cuda_host):
    assert cuda_host() == (2, "", "usage: cuda_host MAPPING [ROWS]\n")
    assert cuda_host(EXAMPLES / "cuda_host/mapping.toml", "none")[0] == 2
    status, _, error = cuda_host("/no/such/mapping.toml")
    assert status == 1
    assert "/no/such/mapping.toml" in error


@NO_GPU
def test_cuda_host_says_what_failed_on_the_device(cuda_host, tmp_path):
    """The driver tells a device and can do nothing with it."""
    run(CC, "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", FAKE_DRIVER)
    mapping = EXAMPLES / "cuda_host/mapping.toml"
    status, printed, error = cuda_host(mapping, "16", driver=tmp_path, FAKE_CUDA="90")
    assert status == 1
    assert "RMSNorm" in printed and "outputs agree" not in printed
    assert error.startswith("CUDA: ")

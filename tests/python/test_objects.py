# SPDX-License-Identifier: Apache-2.0
"""Shared objects of a build are looked at before any of its code runs."""

import re
import struct
import subprocess

import pytest
from hub_support import kernel_files
from kernel_support import write_kernel

from kernels import (
    KernelizeFallback,
    LocalLayerRepository,
    Mode,
    _core,
    explain,
    get_kernel,
    get_local_kernel,
    kernelize,
    use_kernel_mapping,
)
from kernels.errors import IntegrityError

RUN = "raise AssertionError('its code was run')\n"


@pytest.fixture
def object_of_ours():
    with open(_core.__file__, "rb") as file:
        return file.read()


def for_machine(content, machine):
    return content[:18] + struct.pack("<H", machine) + content[20:]


def needing_glibc(content, version):
    """Every version of glibc that is needed becomes that one; its length has to be the same."""
    return re.sub(rb"GLIBC_2\.\d\d\0", b"GLIBC_" + version + b"\0", content)


def with_code(content, code, tmp_path):
    """With a fat binary of entries (kind, architecture, flags), as nvcc writes them."""
    entries = b"".join(
        struct.pack("<HHIQIIHHIIIQQQ", kind, 0x101, 64, 8, 0, 0, 8, 1, arch, 0, 0, flags, 0, 0)
        + bytes(8)
        for kind, arch, flags in code
    )
    (tmp_path / "fatbin").write_bytes(
        struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries
    )
    (tmp_path / "in.so").write_bytes(content)
    command = [
        "objcopy",
        "--add-section",
        f".nv_fatbin={tmp_path / 'fatbin'}",
        tmp_path / "in.so",
        tmp_path / "out.so",
    ]
    subprocess.run(command, check=True)
    return (tmp_path / "out.so").read_bytes()


@pytest.fixture
def kernel(tmp_path):
    """Makes a kernel directory whose one shared object has that content."""

    def make(content, code=RUN):
        folder = write_kernel(tmp_path / "native", layers=None, code=code)
        (folder / "build/torch-universal/_native.abi3.so").write_bytes(content)
        return folder

    return make


def test_a_build_for_another_machine_is_refused_before_its_code_runs(kernel, object_of_ours):
    folder = kernel(for_machine(object_of_ours, 183))
    with pytest.raises(FileNotFoundError) as error:
        get_local_kernel(folder)
    assert (
        "shared object '_native.abi3.so' was built for aarch64 and this process runs on x86_64"
        in str(error.value)
    )


def test_a_build_that_needs_a_newer_glibc_is_refused_before_its_code_runs(kernel, object_of_ours):
    folder = kernel(needing_glibc(object_of_ours, b"9.99"))
    with pytest.raises(
        FileNotFoundError,
        match=r"needs glibc 9\.99 or newer and this system has 2\.\d+; use a newer",
    ):
        get_local_kernel(folder)


def test_a_shared_object_that_is_cut_off_never_reaches_the_loader(kernel, object_of_ours):
    folder = kernel(object_of_ours[: len(object_of_ours) // 2])
    with pytest.raises(IntegrityError, match=r"'_native\.abi3\.so' is cut off: its end is missing"):
        get_local_kernel(folder)


def test_a_build_that_cannot_be_loaded_falls_back_where_that_is_allowed(
    kernel, object_of_ours, layer_class
):
    folder = kernel(for_machine(object_of_ours, 183))
    mapping = {"Identity": {"cpu": LocalLayerRepository(folder, layer_name="Tenfold")}}
    with use_kernel_mapping(mapping):
        with pytest.raises(FileNotFoundError, match="was built for aarch64"):
            kernelize(layer_class(), mode=Mode.INFERENCE, device="cpu")
        model = kernelize(
            layer_class(), mode=Mode.INFERENCE, device="cpu", use_fallback=KernelizeFallback.ALL
        )
        assert model(1) == 1
        assert explain(model)[0].reason == "cannot-load"


def test_a_build_that_can_be_loaded_is_imported(kernel, object_of_ours):
    folder = kernel(object_of_ours, code="LOADED = True\n")
    assert get_local_kernel(folder).LOADED


@pytest.fixture
def gpu_kernel(online, object_of_ours, tmp_path):
    """Commits a kernel whose shared object has code for capability 8.0, as SASS, and says so nowhere else."""

    def make(name, code=RUN):
        files = kernel_files(name, variants=("torch-cpu",), layers=None)
        files["build/torch-cpu/__init__.py"] = code.encode()
        files["build/torch-cpu/_native.abi3.so"] = with_code(
            object_of_ours, [(2, 80, 0x11)], tmp_path
        )
        return online.repo(f"open/{name}").commit(files, branches=["main", "v1"])

    return make


def test_a_gpu_that_a_build_has_no_code_for_is_told(gpu_kernel, monkeypatch):
    gpu_kernel("sm80", code="LOADED = True\n")
    monkeypatch.setattr("kernels._torch.gpu", lambda: (90, None))
    with pytest.raises(
        RuntimeError, match=r"no code for a GPU of compute capability 9\.0: .* have it for 8\.0;"
    ):
        get_kernel("open/sm80", version=1)
    assert get_kernel("open/sm80", version=1, check_arch=False).LOADED


def test_a_gpu_that_a_build_has_code_for_runs_it(gpu_kernel, monkeypatch):
    gpu_kernel("sm86", code="LOADED = True\n")
    monkeypatch.setattr("kernels._torch.gpu", lambda: (86, None))
    assert get_kernel("open/sm86", version=1).LOADED

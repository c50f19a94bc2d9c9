# SPDX-License-Identifier: Apache-2.0
"""Shared objects of a build are looked at before any of its code runs."""

import pytest
from hub_support import kernel_files
from kernel_support import write_kernel
from object_support import for_machine, needing_glibc, object_of_ours, with_code

from kernels import (
    KernelizeFallback,
    LocalLayerRepository,
    Mode,
    explain,
    get_kernel,
    get_local_kernel,
    kernelize,
    use_kernel_mapping,
)
from kernels.errors import IntegrityError

RUN = "raise AssertionError('its code was run')\n"


@pytest.fixture
def kernel(tmp_path):
    """Makes a kernel directory whose one shared object has that content."""

    def make(content, code=RUN):
        folder = write_kernel(tmp_path / "native", layers=None, code=code)
        (folder / "build/torch-universal/_native.abi3.so").write_bytes(content)
        return folder

    return make


def test_a_build_for_another_machine_is_refused_before_its_code_runs(kernel):
    folder = kernel(for_machine(object_of_ours(), 183))
    with pytest.raises(FileNotFoundError) as error:
        get_local_kernel(folder)
    assert (
        "shared object '_native.abi3.so' was built for aarch64 and this process runs on x86_64"
        in str(error.value)
    )


def test_a_build_that_needs_a_newer_glibc_is_refused_before_its_code_runs(kernel):
    folder = kernel(needing_glibc(object_of_ours(), b"9.99"))
    with pytest.raises(
        FileNotFoundError,
        match=r"needs glibc 9\.99 or newer and this system has 2\.\d+; use a newer",
    ):
        get_local_kernel(folder)


def test_a_shared_object_that_is_cut_off_never_reaches_the_loader(kernel):
    folder = kernel(object_of_ours()[:100_000])
    with pytest.raises(IntegrityError, match=r"'_native\.abi3\.so' is cut off: its end is missing"):
        get_local_kernel(folder)


def test_a_build_that_cannot_be_loaded_falls_back_where_that_is_allowed(kernel, layer_class):
    folder = kernel(for_machine(object_of_ours(), 183))
    mapping = {"Identity": {"cpu": LocalLayerRepository(folder, layer_name="Tenfold")}}
    with use_kernel_mapping(mapping):
        with pytest.raises(FileNotFoundError, match="was built for aarch64"):
            kernelize(layer_class(), mode=Mode.INFERENCE, device="cpu")
        model = kernelize(
            layer_class(), mode=Mode.INFERENCE, device="cpu", use_fallback=KernelizeFallback.ALL
        )
        assert model(1) == 1
        assert explain(model)[0].reason == "cannot-load"


def test_a_build_that_can_be_loaded_is_imported(kernel):
    folder = kernel(object_of_ours(), code="LOADED = True\n")
    assert get_local_kernel(folder).LOADED


@pytest.fixture
def gpu_kernel(online, tmp_path):
    """Commits a kernel whose shared object has code for capability 8.0, as SASS, and says so nowhere else."""

    def make(name, code=RUN):
        files = kernel_files(name, variants=("torch-cpu",), layers=None)
        files["build/torch-cpu/__init__.py"] = code.encode()
        files["build/torch-cpu/_native.abi3.so"] = with_code(
            object_of_ours(), [(2, 80, 0x11)], tmp_path
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

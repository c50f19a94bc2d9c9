# SPDX-License-Identifier: Apache-2.0
"""Libraries that use kernels, unchanged, on this package and on upstream's; and how public code imports it."""

import os
import subprocess
import sys

import pytest
from scenario_support import run_scenarios, without_words
from transformers_support import ATTENTION, write_repositories

from hub import Hub

SCENARIOS = (
    "diffusers_attention",
    "diffusers_kernels",
    "trl_tree_attention",
    "trl_trainer",
    "swift_variants",
)

FLASH_2 = (
    ATTENTION
    + """

    class flash_attn_interface:
        _flash_attn_forward = _flash_attn_backward = staticmethod(flash_attn_func)
"""
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        write_repositories(hub)
        for repo_id, branch, code in (
            ("kernels-community/flash-attn2", "v3", FLASH_2),
            ("kernels-community/flash-attn3", "v1", ATTENTION),
            ("SageAttention/sage-attention", "v3", "sageattn = 'sage'"),
            ("rootonchair/nunchaku-lite-kernels", "v2", "ops = 'nunchaku'"),
            ("shi-labs/natten", "v1", "na3d = 'natten'"),
        ):
            trusted = repo_id.split("/")[0] in ("kernels-community", "shi-labs")
            hub.kernel(repo_id, branches=(branch,), trusted=trusted, layers=None, code=code)
        yield hub


@pytest.fixture(scope="module")
def packages():
    """The folder of the libraries; `make test` provides it."""
    python = os.environ.get("KN_ECOSYSTEM_PYTHON")
    if not python:
        pytest.fail(
            "set KN_ECOSYSTEM_PYTHON to a Python that has the libraries, or run `make test`"
        )
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def run(python, hub, home, packages):
    trust = {"DIFFUSERS_TRUST_REMOTE_KERNELS": "true"}
    return run_scenarios("ecosystem", python, hub, home, *SCENARIOS, path=[packages], **trust)


@pytest.fixture(scope="module")
def ours(hub, packages, tmp_path_factory):
    return run(sys.executable, hub, tmp_path_factory.mktemp("ours"), packages)


@pytest.fixture(scope="module")
def theirs(hub, packages, peer, tmp_path_factory):
    return run(peer, hub, tmp_path_factory.mktemp("peer"), packages)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_libraries_see_no_difference_to_upstream(ours, theirs, scenario):
    assert without_words(ours[scenario]) == without_words(theirs[scenario])


def test_diffusers_takes_its_attention_from_a_kernel(ours):
    result = ours["diffusers_attention"]
    assert result.pop("nowhere")["raises"] == "OSError"
    assert result == {
        "context": 0.0,
        "calls of context": {"flash_attn_func": 2},
        "model": 0.0,
        "calls of model": {"flash_attn_func": 2},
        "native": 0.0,
        "calls of native": {},
        "allowed": None,
    }


def test_modules_of_diffusers_find_the_kernels_that_they_bring(ours):
    assert ours["diffusers_kernels"] == {"natten": "natten", "nunchaku": "nunchaku"}


def test_trl_runs_its_tree_attention_on_a_kernel(ours):
    assert ours["trl_tree_attention"] == {
        "difference": 0.0,
        "calls": {"flash_attn_varlen_func": 1},
    }


def test_trl_trains_a_model_with_use_kernels(ours):
    assert ours["trl_trainer"] == {
        "calls False": {},
        "calls True": {"LigerRMSNorm": 5},  # rotary_pos_emb is mapped for inference only
        "difference": 0.0,
        "is a loss": True,
    }


def test_swift_finds_the_variant_to_download(ours):
    assert ours["swift_variants"] == {
        "refused": ["something else"],
        "variant": "torch-cpu",
        "traced": 3,
        "none": None,
        "why": "torch29-cxx11-cu118-aarch64-linux: CPU (aarch64) does not match system CPU (x86_64)",
    }


# As they stand in published code: libraries, training scripts, model repositories, tutorials.
IMPORTS = """
    import kernels
    import kernels.layer
    import kernels.layer.func as _kf
    import kernels.layer.layer as _kl
    from kernels import CUDAProperties, Device
    from kernels import Device, LocalLayerRepository, Mode, kernelize
    from kernels import Device, Mode, kernelize
    from kernels import FuncRepository
    from kernels import FuncRepository, LayerRepository, Mode, kernelize, use_kernel_mapping
    from kernels import LayerRepository
    from kernels import LayerRepository, Mode
    from kernels import LayerRepository, Mode, kernelize, register_kernel_mapping
    from kernels import LayerRepository, Mode, register_kernel_mapping, replace_kernel_forward_from_hub
    from kernels import LayerRepository, register_kernel_mapping, Mode
    from kernels import LayerRepository, use_kernel_mapping, kernelize, Mode
    from kernels import LocalLayerRepository
    from kernels import LocalLayerRepository, Mode, get_local_kernel
    from kernels import LocalLayerRepository, Mode, kernelize, register_kernel_mapping
    from kernels import LocalLayerRepository, Mode, kernelize, use_kernel_mapping
    from kernels import LocalLayerRepository, Mode, register_kernel_mapping, use_kernel_forward_from_hub
    from kernels import Mode
    from kernels import Mode, kernelize
    from kernels import Mode, kernelize, register_kernel_mapping, use_kernel_mapping
    from kernels import get_kernel
    from kernels import get_kernel, has_kernel
    from kernels import get_kernel, has_kernel, get_loaded_kernels
    from kernels import get_kernel, load_kernel
    from kernels import get_kernel_variants, VariantAccepted
    from kernels import get_kernel_variants, has_kernel
    from kernels import get_loaded_kernels
    from kernels import get_local_kernel
    from kernels import get_local_kernel, install_kernel
    from kernels import get_locked_kernel
    from kernels import has_kernel
    from kernels import install_kernel
    from kernels import kernelize
    from kernels import kernelize, Mode, LocalLayerRepository, use_kernel_mapping, use_kernel_forward_from_hub
    from kernels import kernelize, Mode, use_kernel_mapping, LayerRepository
    from kernels import load_kernel
    from kernels import load_kernel, get_locked_kernel
    from kernels import register_kernel_mapping
    from kernels import register_kernel_mapping as hf_register_kernel_mapping
    from kernels import register_kernel_mapping, LayerRepository
    from kernels import replace_kernel_forward_from_hub
    from kernels import replace_kernel_forward_from_hub, register_kernel_mapping, LayerRepository, Mode
    from kernels import use_kernel_forward_from_hub
    from kernels import use_kernel_forward_from_hub, use_kernelized_func
    from kernels import use_kernel_func_from_hub
    from kernels import use_kernel_mapping, LayerRepository, Device
    from kernels._versions import resolve_version_spec_as_ref, select_revision_or_version
    from kernels.backends import _backend
    from kernels.benchmark import Benchmark
    from kernels.layer import LayerRepository, LocalLayerRepository, LockedLayerRepository
    from kernels.layer import Mode
    from kernels.layer import _KERNEL_MAPPING, _validate_layer
    from kernels.layer import repos
    from kernels.layer.func import FuncRepository as _FR
    from kernels.layer.func import FuncRepositoryProtocol
    from kernels.layer.func import _create_func_module
    from kernels.layer.kernelize import kernelize, register_kernel_mapping
    from kernels.layer.layer import LayerRepository as _LR
    from kernels.layer.layer import _KERNEL_MAPPING, _validate_layer
    from kernels.layer.layer import _create_func_module
    from kernels.layer.mode import Mode
    from kernels.layer.repos import DeviceRepos
    from kernels.layer.repos import RepositoryProtocol
    from kernels.lockfile import KernelLock
    from kernels.utils import _backend
    from kernels.utils import get_kernel, install_kernel
    from kernels.variants import get_variants_local, resolve_variant
    from kernels.variants import get_variants_local, resolve_variants
    from kernels.variants import parse_variant, resolve_variant
    from kernels.variants import variants_trace_str
"""


@pytest.mark.parametrize("line", [line.strip() for line in IMPORTS.strip().splitlines()])
def test_published_code_imports_this_package(line):
    exec(line, {})


def test_a_constructor_that_published_code_wraps_goes_on_working():
    """Some programs, made for versions that insisted on a revision, give one themselves in this way."""
    from kernels.layer.layer import LayerRepository

    class Wrapped(LayerRepository):
        pass

    original = Wrapped.__init__

    def patched(self, *args, **kwargs):
        if "revision" not in kwargs and "version" not in kwargs:
            kwargs["revision"] = "main"
        original(self, *args, **kwargs)

    Wrapped.__init__ = patched
    assert "revision: main" in str(Wrapped("some/kernel", layer_name="Layer"))
    assert "version: 1" in str(Wrapped("some/kernel", layer_name="Layer", version=1))

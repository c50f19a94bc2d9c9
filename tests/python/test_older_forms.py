# SPDX-License-Identifier: Apache-2.0
"""What older versions (0.6 to 0.16) took works, and a DeprecationWarning says what to write instead."""

import importlib
import warnings

import pytest
import torch.nn as nn
from hub_support import repository
from kernel_support import Repo, Tripled

import kernels
from kernels import Mode, kernelize, register_kernel_mapping
from kernels.load import get_kernel, get_local_kernel, has_kernel


@pytest.fixture
def model(layer_class):
    register_kernel_mapping(
        {"Identity": {"cpu": {Mode.TRAINING | Mode.TORCH_COMPILE: Repo(Tripled)}}}
    )
    return nn.Sequential(layer_class())


def test_kernelize_without_a_mode_trains_and_compiles(model):
    with pytest.warns(DeprecationWarning, match=r"write kernelize\(model, mode=") as told:
        assert kernelize(model, device="cpu")(2) == 6
    assert told[0].filename == __file__


def test_kernelize_took_the_device_second(model):
    with pytest.warns(DeprecationWarning, match="kernelize without a mode"):
        assert kernelize(model, "cpu", True, False)(2) == 6


def test_kernelize_said_whether_it_is_for_compiling(model):
    with pytest.warns(DeprecationWarning, match="kernelize without a mode"):
        kernelize(model, device="cpu", needs_torch_compile=False)
    assert kernels.explain(model)[0].repo_mode == Mode.TRAINING | Mode.TORCH_COMPILE


def test_kernelize_of_nothing_is_still_a_type_error():
    with pytest.raises(TypeError, match="missing 2 required positional arguments"):
        kernelize()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((), {"package_name": "toy"}), (("toy",), {})],
)
def test_a_local_kernel_was_asked_for_by_its_package(toy, arguments, options):
    with pytest.warns(DeprecationWarning, match="package_name of get_local_kernel is") as told:
        module = get_local_kernel(toy, *arguments, **options)
    assert module.layers.Tenfold
    assert told[0].filename == __file__


def test_a_local_kernel_took_its_backend_by_position(toy):
    with pytest.warns(DeprecationWarning, match=r"get_local_kernel\(repo_path, backend=\.\.\.\)"):
        assert get_local_kernel(toy, "cpu").layers.Tenfold


@pytest.mark.parametrize("name", ["LocalLayerRepository", "LocalFuncRepository"])
def test_a_local_repository_was_made_with_its_package(toy, name):
    what = "layer_name" if "Layer" in name else "func_name"
    with pytest.warns(DeprecationWarning, match=f"package_name of {name} is deprecated"):
        repo = getattr(kernels, name)(toy, package_name="toy", **{what: "Tenfold"})
    assert getattr(repo, what) == "Tenfold"


def test_revision_and_version_were_taken_by_position(online):
    repository(online, "positional", code="ANSWER = 42")
    with pytest.warns(DeprecationWarning, match=r"write get_kernel\(repo_id, revision=\.\.\.\)"):
        assert get_kernel("open/positional", "main").ANSWER == 42
    with pytest.warns(DeprecationWarning, match=r"\(repo_id, revision=\.\.\., version=\.\.\.\)"):
        assert has_kernel("open/positional", None, 1)
    with pytest.warns(DeprecationWarning, match="get_kernel_variants by position"):
        assert len(kernels.get_kernel_variants("open/positional", "main")) == 1
    with pytest.warns(DeprecationWarning), pytest.raises(TypeError, match="once each"):
        get_kernel("open/positional", "main", revision="v1")


def test_install_kernel_took_more_by_position(online):
    repository(online, "installed")
    with pytest.warns(
        DeprecationWarning, match=r"write install_kernel\(repo_id, revision=\.\.\.\)"
    ):
        folder = kernels.install_kernel("open/installed", "main", False)
    assert (folder / "metadata.json").is_file()
    with pytest.warns(DeprecationWarning, match="checked when the kernel is loaded"):
        kernels.install_kernel("open/installed", revision="main", validate_dependencies=True)
    with pytest.raises(TypeError, match=r"use get_locked_kernel\(repo_id, lockfile=\.\.\.\)"):
        kernels.install_kernel("open/installed", revision="main", variant_locks={"torch-cpu": 1})


def test_a_locked_kernel_was_asked_for_in_the_cache():
    with pytest.warns(DeprecationWarning, match=r"write load_kernel\(repo_id\)"):
        with pytest.raises(ValueError, match="Could not find a `kernels.lock` file"):
            kernels.get_locked_kernel("org/name", True)


@pytest.mark.parametrize(
    "name",
    [
        "LoadedKernel",
        "RepoInfo",
        "get_kernel",
        "get_kernel_variants",
        "get_loaded_kernels",
        "get_local_kernel",
        "get_locked_kernel",
        "has_kernel",
        "install_kernel",
        "load_kernel",
    ],
)
def test_what_was_in_utils_is_in_the_package(name):
    utils = importlib.import_module("kernels.utils")
    with pytest.warns(
        DeprecationWarning, match=f"kernels.utils.{name} is .*import {name} from kernels"
    ):
        assert getattr(utils, name) is getattr(kernels, name)


def test_an_entry_of_an_older_lock_file_can_be_read():
    from kernels.lockfile import KernelLock, VariantLock

    entry = {"repo_id": "o/n", "sha": "1" * 40, "variants": {"torch-cpu": {"hash": "sha256-00"}}}
    with pytest.warns(DeprecationWarning, match="kernels.locking reads lock files of both forms"):
        lock = KernelLock.from_json(entry)
    assert lock == KernelLock("o/n", "1" * 40, {"torch-cpu": VariantLock("sha256-00")})
    assert lock.variants["torch-cpu"].hash_type == "git_lfs_concat"


def test_the_mapping_and_its_check_were_names_of_the_package_layer():
    import kernels.layer

    for name in ("_KERNEL_MAPPING", "_validate_layer"):
        with pytest.warns(DeprecationWarning, match=f"import {name} from kernels.layer.layer"):
            assert getattr(kernels.layer, name) is getattr(kernels.layer.layer, name)


def test_a_device_makes_its_repositories():
    assert kernels.Device("cpu").create_repo().repos == {}


def test_forms_of_today_warn_of_nothing(toy, layer_class, online):
    repository(online, "today")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        register_kernel_mapping({"Identity": {"cpu": kernels.LocalLayerRepository(toy, "Tenfold")}})
        assert kernelize(layer_class(), mode=Mode.INFERENCE, device="cpu")(2) == 20
        assert kernelize(layer_class(), Mode.INFERENCE, "cpu")(2) == 20
        get_local_kernel(str(toy), backend="cpu")
        get_kernel("open/today", version="1")
        kernels.install_kernel("open/today", revision="main")
        kernels.LayerRepository("open/today", "L", version=">=0.1,<0.2")

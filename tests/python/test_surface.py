# SPDX-License-Identifier: Apache-2.0
"""What published code takes from upstream's submodules, beyond the names of the package itself."""

import logging
import types

import pytest
import torch.nn as nn
from hub_support import repository, taken
from kernel_support import Doubled, Repo, Tripled, write_kernel

import kernels
from kernels import Mode, get_kernel, kernelize, register_kernel_mapping, use_kernel_mapping
from kernels._rust import KernelDependency, KernelVersion
from kernels._versions import (
    resolve_kernel_version,
    resolve_version_spec_as_ref,
    revision_or_version,
    select_revision_or_version,
)
from kernels.layer.layer import (
    _KERNEL_MAPPING,
    _create_func_module,
    _get_kernel_layer,
    _validate_layer,
)


def test_the_mapping_in_force_can_be_read():
    first, second = Repo(Doubled), Repo(Tripled)
    assert _KERNEL_MAPPING.get() == {}
    register_kernel_mapping(
        {"A": {"cpu": first}, "B": {"cpu": {Mode.TRAINING: first}, "xpu": first}}
    )
    with use_kernel_mapping({"A": {"cpu": second}, "C": {"npu": second}}):
        inside = _KERNEL_MAPPING.get()
    outside = _KERNEL_MAPPING.get()
    assert {layer: sorted(devices) for layer, devices in inside.items()} == {
        "A": ["cpu"],
        "B": ["cpu", "xpu"],
        "C": ["npu"],
    }
    assert inside["A"]["cpu"].repos == {Mode.FALLBACK: second}
    assert inside["B"]["cpu"].repos == {Mode.TRAINING: first}
    assert sorted(outside) == ["A", "B"]
    assert outside["A"]["cpu"].repos == {Mode.FALLBACK: first}


def test_a_snapshot_of_the_mapping_changes_nothing():
    register_kernel_mapping({"A": {"cpu": Repo(Doubled)}})
    _KERNEL_MAPPING.get().clear()
    _KERNEL_MAPPING.get()["A"]["cpu"].insert(kernels.Device("cpu"), {})
    assert list(_KERNEL_MAPPING.get()["A"]["cpu"].repos) == [Mode.FALLBACK]


def test_whether_mappings_are_off_is_read_from_the_environment(monkeypatch):
    from kernels.layer import globals as in_force
    from kernels.layer import layer

    assert in_force._DISABLE_KERNEL_MAPPING is False
    monkeypatch.setenv("DISABLE_KERNEL_MAPPING", "1")
    assert in_force._DISABLE_KERNEL_MAPPING is True
    assert layer._DISABLE_KERNEL_MAPPING is True


class Plain(nn.Module):
    def forward(self, x):
        return x


class TwoArguments(nn.Module):
    def forward(self, x, y):
        return x


def test_a_layer_can_be_checked_against_a_class():
    assert _validate_layer(check_cls=Plain, cls=Doubled, repo=Repo()) is None
    with pytest.raises(TypeError, match="does not match `Plain`: different number of arguments"):
        _validate_layer(check_cls=Plain, cls=TwoArguments, repo=Repo())
    with pytest.raises(TypeError, match="Layer `int` is not a Torch layer"):
        _validate_layer(check_cls=Plain, cls=int, repo=Repo())


def test_a_function_can_be_made_a_layer():
    def twice(x):
        return x * 2

    layer = _create_func_module(twice)
    assert layer()(4) == 8
    assert issubclass(layer, nn.Module)
    _validate_layer(check_cls=Plain, cls=layer, repo=Repo())


def test_a_layer_is_found_in_a_kernels_module():
    kernel = types.SimpleNamespace(layers=types.SimpleNamespace(Doubled=Doubled))
    repo = types.SimpleNamespace(layer_name="Doubled")
    assert _get_kernel_layer(repo, kernel) is Doubled
    with pytest.raises(ValueError, match="does not define any layers"):
        _get_kernel_layer(repo, types.SimpleNamespace())


def test_a_version_is_a_commit(online):
    first = repository(online, "versioned", branches=("main", "v1"))
    second = repository(online, "versioned", branches=("main", "v2"), code="ANSWER = 2")
    ref = resolve_version_spec_as_ref("open/versioned", 1, local_files_only=False)
    assert (ref.name, ref.ref, ref.target_commit) == ("v1", "refs/heads/v1", first)
    assert select_revision_or_version("open/versioned", revision="main") == "main"
    assert select_revision_or_version("open/versioned", version=2) == second
    dependency = KernelDependency("open/versioned", KernelVersion.Version(2))
    assert resolve_kernel_version(dependency) == second
    with pytest.raises(ValueError, match="Version 3 not found, available versions: 1, 2"):
        resolve_version_spec_as_ref("open/versioned", 3)


def test_a_version_that_the_cache_does_not_know_is_a_value_error(online):
    with pytest.raises(ValueError, match="Version 1 of 'open/uncached' is not .* offline mode"):
        resolve_version_spec_as_ref("open/uncached", 1, local_files_only=True)
    assert taken(online) == []


def test_a_revision_and_a_version_exclude_each_other():
    assert revision_or_version(revision="main", version=None) == KernelVersion.Revision("main")
    assert revision_or_version(revision=None, version=3) == KernelVersion.Version(3)
    with pytest.raises(ValueError, match="Only one of `revision` or `version`"):
        revision_or_version(revision="main", version=3)
    with pytest.raises(ValueError, match="A kernel version or revision must be specified"):
        revision_or_version(revision=None, version=None)


def records(caplog, name):
    return [record.getMessage() for record in caplog.records if record.name == name]


def test_messages_go_to_the_loggers_of_upstreams_modules(online, caplog, tmp_path, monkeypatch):
    caplog.set_level(logging.INFO)
    repository(online, "outdated", branches=("v1",))
    repository(online, "outdated", branches=("v2",))
    get_kernel("open/outdated", version=1)
    (message,) = records(caplog, "kernels._versions")
    assert message == ("You are using version 1 of 'open/outdated', but version 2 is available.")

    status = b'kind = "redirect"\ndestination = "open/outdated"\nrevision = "v2"\n'
    online.repo("open/left").commit({"kernel-status.toml": status})
    get_kernel("open/left", revision="main")
    assert records(caplog, "kernels.status") == ["'open/left' redirected to 'open/outdated'"]

    dirty = {"version": "1", "sha": "1" * 40, "dirty": True}
    write_kernel(tmp_path / "dirty", metadata={"provenance": {"kernel-builder": dirty}})
    kernels.get_local_kernel(tmp_path / "dirty")
    (message,) = records(caplog, "kernels.validate")
    assert "was built from a dirty git tree" in message

    repository(online, "unasked")
    kernels.install_kernel("open/unasked", revision="v1", trust_remote_code=True)
    for file in tmp_path.glob("hub/*/.kernels/trust.json"):
        file.unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    get_kernel("open/unasked", revision="v1")
    (message,) = records(caplog, "kernels.hf_hub")
    assert message.startswith("'open/unasked': whether its publisher is trusted was never asked")


def test_what_a_model_keeps_is_told_by_the_layers_loggers(caplog):
    caplog.set_level(logging.INFO)

    @kernels.use_kernel_forward_from_hub("ToldNothing")
    class Unmapped(nn.Module):
        def forward(self, x):
            return x

    @kernels.use_kernel_forward_from_hub("ToldCondition", condition=lambda module: False)
    class Refused(Plain):
        pass

    kernelize(nn.Sequential(Unmapped(), Refused()), mode=Mode.INFERENCE, device="cpu")
    (message,) = records(caplog, "kernels.layer.layer")
    assert message.startswith("ToldNothing: keeping the original forward (no-layer)")
    (message,) = records(caplog, "kernels.layer.kernelize")
    assert message.startswith(
        "Skipping kernelization for `Refused` using `ToldCondition` due to kernel_condition."
    )


def test_a_class_without_a_condition_has_one_that_holds():
    @kernels.use_kernel_forward_from_hub("Unconditional")
    class Unconditional(Plain):
        pass

    module = Unconditional()
    assert Unconditional.kernel_condition(module) is True
    assert module.kernel_condition(module) is True
    register_kernel_mapping({"Unconditional": {"cpu": Repo(Doubled)}})
    assert kernelize(module, mode=Mode.INFERENCE, device="cpu")(3) == 6


def test_a_benchmark_has_what_its_runner_sets():
    benchmark = kernels.Benchmark()
    assert (benchmark.seed, benchmark.device) == (None, "cpu")
    assert (benchmark.kernel, benchmark.out, benchmark.setup()) == (None, None, None)


def test_what_is_installed_beside_the_package():
    import tomllib

    from kernels import compat

    assert compat.has_torch is True
    assert compat.tomllib is tomllib


def test_variants_of_a_repository_can_be_listed(online):
    from kernels.variants import get_variants

    repository(online, "listed", variants=("torch-cpu", "torch-cuda", "torch-universal"))
    found = get_variants(None, repo_id="open/listed", revision="v1")
    assert sorted(each.variant_str for each in found) == [
        "torch-cpu",
        "torch-cuda",
        "torch-universal",
    ]

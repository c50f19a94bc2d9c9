# SPDX-License-Identifier: Apache-2.0
"""Kernels from directories, from LOCAL_KERNELS, and those that ship with the package."""

import importlib.util
import json
import os
import sys
import threading
from pathlib import Path

import pytest
import torch
import torch.nn as nn
from kernel_support import LAYERS, write_kernel, write_variant

import kernels
from kernels import (
    CUDAProperties,
    Device,
    FuncRepository,
    KernelizeFallback,
    LayerRepository,
    LocalFuncRepository,
    LocalLayerRepository,
    Mode,
    builtin_mapping,
    explain,
    get_kernel,
    get_loaded_kernels,
    get_local_kernel,
    kernelize,
    register_kernel_mapping,
    replace_kernel_forward_from_hub,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
)
from kernels.variants import resolve_variants


def run(layer_class, repo, **how):
    with use_kernel_mapping({"Identity": {"cpu": repo}}):
        return kernelize(layer_class(), mode=Mode.INFERENCE, device="cpu", **how)


# ---- where a kernel is ----


@pytest.mark.parametrize("below", ["", "build", "build/torch-universal"])
@pytest.mark.parametrize("kind", [Path, str])
def test_a_kernel_is_found_by_repository_build_and_variant(toy, layer_class, below, kind):
    repo = LocalLayerRepository(kind(toy / below), layer_name="Tenfold")
    model = run(layer_class, repo)
    assert model(1) == 10
    assert explain(model)[0].variant == "torch-universal"
    assert get_local_kernel(kind(toy / below)).layers.Tenfold is repo.load()


def test_relative_paths_and_links_lead_to_the_same_kernel(toy, monkeypatch):
    module = get_local_kernel(toy)
    monkeypatch.chdir(toy.parent)
    assert get_local_kernel("toy") is module
    (toy.parent / "link").symlink_to(toy)
    assert get_local_kernel(toy.parent / "link") is module
    assert get_local_kernel(str(toy) + "/") is module


def test_a_relative_path_is_taken_from_where_the_process_is_now(tmp_path, monkeypatch):
    for name in ("one", "two"):
        write_kernel(tmp_path / name / "kernel", code=f"NAME = {name!r}\n")
    found = []
    for name in ("one", "two"):
        monkeypatch.chdir(tmp_path / name)
        found.append(get_local_kernel("kernel").NAME)
    assert found == ["one", "two"]


def test_a_kernel_without_a_package_of_its_own_is_found_below_its_name(tmp_path):
    variant = tmp_path / "kernel" / "torch-universal"
    inner = write_variant(variant / "my_kernel", name="my-kernel")
    (variant / "metadata.json").write_text((inner / "metadata.json").read_text())
    (inner / "metadata.json").unlink()
    assert get_local_kernel(tmp_path / "kernel").layers.Tenfold.__name__ == "Tenfold"


def test_the_best_variant_is_taken(tmp_path):
    folder = tmp_path / "kernel"
    major, minor = torch.__version__.split(".")[:2]
    arch = f"cpu-{os.uname().machine}-linux"
    names = [
        "torch-universal",
        "torch-cpu",
        f"torch{major}{minor}-cxx11-{arch}",
        f"torch-stable-abi29-{arch}",
    ]
    expected = names[:]
    for name in names:
        write_kernel(folder, variants=(name,), code=f"VARIANT = {name!r}\n")
    while expected:
        assert get_local_kernel(folder, backend="cpu").VARIANT == expected.pop()
        best = folder / "build" / names.pop()
        # What was found stays found; another path to the same place looks again.
        best.rename(folder.parent / f"taken-{len(names)}")
        folder = folder.rename(folder.parent / f"kernel-{len(names)}")


def test_each_kernel_is_imported_once_and_listed(toy):
    before = get_loaded_kernels()
    module = get_local_kernel(toy)
    assert get_local_kernel(toy / "build") is module
    (loaded,) = get_loaded_kernels()[len(before) :]
    assert loaded.module is module
    assert sys.modules[module.__name__] is module


def test_two_copies_of_one_kernel_are_told_apart_by_their_id(tmp_path):
    first = get_local_kernel(write_kernel(tmp_path / "a"))
    second = get_local_kernel(write_kernel(tmp_path / "b"))
    assert first is not second
    assert first.layers.Tenfold is not second.layers.Tenfold


def test_a_name_that_is_taken_is_not_taken_over(tmp_path):
    folder = write_kernel(tmp_path / "kernel", metadata={"id": "json"})
    with pytest.raises(ImportError, match="json"):
        get_local_kernel(folder)
    assert sys.modules["json"] is json


def test_a_module_that_was_imported_from_the_same_file_is_taken(tmp_path):
    folder = write_kernel(tmp_path / "kernel", metadata={"id": "_imported_by_hand"})
    entry = folder / "build" / "torch-universal" / "__init__.py"
    spec = importlib.util.spec_from_file_location("_imported_by_hand", entry)
    module = importlib.util.module_from_spec(spec)
    sys.modules["_imported_by_hand"] = module
    spec.loader.exec_module(module)
    assert get_local_kernel(folder) is module
    assert get_loaded_kernels()[-1].module is module


def test_threads_that_ask_at_once_get_one_module(tmp_path):
    folder = write_kernel(tmp_path / "kernel", code="import time\ntime.sleep(0.05)\n")
    found, gate = [], threading.Barrier(4)

    def ask():
        gate.wait()
        found.append(get_local_kernel(folder))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(module) for module in found}) == 1
    assert hasattr(found[0], "layers")


def test_kernels_import_their_own_modules(tmp_path):
    folder = write_kernel(tmp_path / "kernel", code="from .layers import Tenfold as Again\n")
    module = get_local_kernel(folder)
    assert module.Again is module.layers.Tenfold


# ---- what is not there ----


def expect(error, call, *parts):
    with pytest.raises(error) as raised:
        call()
    for part in parts:
        assert part in str(raised.value), str(raised.value)


@pytest.mark.parametrize("kind", [Path, str])
def test_a_missing_directory_is_not_found(tmp_path, kind):
    missing = kind(tmp_path / "nothing")
    expect(FileNotFoundError, lambda: get_local_kernel(missing), str(missing))
    expect(FileNotFoundError, LocalLayerRepository(missing, "Layer").load, str(missing))


def test_a_file_is_no_kernel(tmp_path):
    (tmp_path / "file").write_text("")
    expect(FileNotFoundError, lambda: get_local_kernel(tmp_path / "file"), "not a directory")


def test_an_empty_directory_has_no_variant(tmp_path):
    expect(FileNotFoundError, lambda: get_local_kernel(tmp_path), str(tmp_path), "torch-cpu")


def test_without_a_variant_for_this_machine_all_are_listed_with_reasons(tmp_path, layer_class):
    variants = (
        "torch29-cu118-x86_64-windows",
        "torch-stable-abi210-cpu-riscv64-linux",
        "torch17-cxx11-cpu-x86_64-linux",
        "torch-metal",
    )
    folder = write_kernel(tmp_path / "kernel", variants=variants)
    for call in (
        lambda: get_local_kernel(folder),
        lambda: run(layer_class, LocalLayerRepository(folder, "Tenfold")),
    ):
        expect(FileNotFoundError, call, *(f"{name}: " for name in variants), "riscv64", "1.7")
    model = run(
        layer_class,
        LocalLayerRepository(folder, "Tenfold"),
        use_fallback=KernelizeFallback.CANNOT_LOAD,
    )
    assert explain(model)[0].reason == "cannot-load"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "metadata.json"),
        ("{", "metadata.json"),
        ("[]", "expected a JSON object"),
        ("{}", "it needs a text 'id'"),
        ('{"id": "_x"}', "it needs a text 'name'"),
        ('{"id": 5, "name": "x"}', "it needs a text 'id'"),
        ('{"id": "_x", "name": "Not A Name"}', "does not match"),
        ('{"id": "../x", "name": "toy"}', "cannot be the name of a Python module"),
        ('{"id": "_x", "name": "toy"} trailing', "metadata.json"),
        ("\x00\x01", "metadata.json"),
    ],
)
def test_broken_metadata_is_a_value_error_that_never_falls_back(
    tmp_path, layer_class, text, message
):
    folder = write_kernel(tmp_path / "kernel", metadata=text)
    expect(ValueError, lambda: get_local_kernel(folder), message, str(folder))
    repo = LocalLayerRepository(folder, "Tenfold")
    expect(ValueError, lambda: run(layer_class, repo, use_fallback=KernelizeFallback.ALL), message)


def test_missing_metadata_is_not_found(tmp_path):
    folder = write_kernel(tmp_path / "kernel")
    (folder / "build" / "torch-universal" / "metadata.json").unlink()
    expect(FileNotFoundError, lambda: get_local_kernel(folder), "torch-universal", "metadata.json")


def test_unknown_and_missing_fields_of_metadata_do_no_harm(tmp_path):
    folder = write_kernel(
        tmp_path / "kernel", metadata={"from-the-future": [1], "version": "x", "backend": 5}
    )
    assert get_local_kernel(folder).layers.Tenfold.__name__ == "Tenfold"
    identifier = json.dumps({"id": f"_plain_{os.getpid()}", "name": "plain"})
    assert get_local_kernel(write_kernel(tmp_path / "plain", metadata=identifier)).layers


def test_a_kernel_that_needs_a_newer_package_says_so(tmp_path):
    old = write_kernel(tmp_path / "old", metadata={"kernels-minver": "0.17.2"})
    assert get_local_kernel(old).layers
    new = write_kernel(tmp_path / "new", metadata={"kernels-minver": "99.0"})
    expect(RuntimeError, lambda: get_local_kernel(new), "kernels>=99.0", kernels.__version__)


def test_a_variant_without_a_module_is_not_found(tmp_path):
    folder = write_kernel(tmp_path / "kernel")
    (folder / "build" / "torch-universal" / "__init__.py").unlink()
    expect(FileNotFoundError, lambda: get_local_kernel(folder), "No kernel module found")


def test_layers_that_are_not_there_are_value_errors(tmp_path, toy, layer_class):
    expect(
        ValueError, LocalLayerRepository(toy, "Elevenfold").load, "Elevenfold", "Tenfold", str(toy)
    )
    none = write_kernel(tmp_path / "none", layers=None)
    expect(
        ValueError,
        LocalLayerRepository(none, "Tenfold").load,
        "does not define any layers",
        str(none),
    )
    repo = LocalLayerRepository(toy, "Elevenfold")
    expect(
        ValueError, lambda: run(layer_class, repo, use_fallback=KernelizeFallback.ALL), "Elevenfold"
    )


@pytest.mark.parametrize(
    "code",
    [
        "raise ImportError('libcudart.so.99: cannot open shared object file')",
        "def broken(:\n",
        "import no_such_module_at_all",
        "raise SystemExit(3)",
    ],
)
def test_a_kernel_that_cannot_be_imported_leaves_nothing_behind(tmp_path, layer_class, code):
    folder = write_kernel(tmp_path / "kernel", name="failing", code=code)
    modules, loaded = set(sys.modules), get_loaded_kernels()
    for _ in range(2):
        with pytest.raises((ImportError, SyntaxError, SystemExit)):
            get_local_kernel(folder)
        with pytest.raises((ImportError, SyntaxError, SystemExit)):
            run(
                layer_class,
                LocalLayerRepository(folder, "Tenfold"),
                use_fallback=KernelizeFallback.ALL,
            )
    assert [name for name in set(sys.modules) - modules if "failing" in name] == []
    assert get_loaded_kernels() == loaded


@pytest.mark.parametrize("path", [None, 5, ["kernel"]])
def test_a_path_is_a_path(path):
    with pytest.raises(TypeError):
        LocalLayerRepository(path, "Layer")
    with pytest.raises(TypeError):
        get_local_kernel(path)


def test_a_path_that_is_no_utf8_leads_to_its_kernel(tmp_path, layer_class):
    folder = write_kernel(tmp_path / os.fsdecode(b"t\xf6y"))
    assert get_local_kernel(folder).layers.Tenfold.__name__ == "Tenfold"
    model = run(layer_class, LocalLayerRepository(folder, "Tenfold"))
    assert model(1) == 10
    assert "t\ufffdy" in str(explain(model))
    with pytest.raises(ValueError, match="null"):
        get_local_kernel(f"{folder}\0more")


def test_null_characters_never_lead_to_another_kernel(toy):
    for call in (
        lambda: get_local_kernel(f"{toy}\0more"),
        lambda: get_kernel("builtin/norm\0more"),
        LocalLayerRepository(toy, "Tenfold\0more").load,
    ):
        expect(ValueError, call, "null character")


def test_backends_are_checked(toy):
    assert get_local_kernel(toy, backend="cpu") is get_local_kernel(toy)
    expect(ValueError, lambda: get_local_kernel(toy, backend="abacus"), "abacus", "cpu")


# ---- LOCAL_KERNELS ----


def test_local_kernels_names_the_directory_of_a_repository(toy, layer_class, monkeypatch):
    monkeypatch.setenv("LOCAL_KERNELS", f"org/name={toy}")
    for repo in (
        LayerRepository("org/name", "Tenfold"),
        LayerRepository("org/name", "Tenfold", version=3),
    ):
        model = run(layer_class, repo)
        assert (model(1), explain(model)[0].repo) == (10, "org/name")
    assert get_kernel("org/name", version=1) is get_local_kernel(toy)


def test_local_kernels_takes_several_and_is_read_at_each_call(tmp_path, monkeypatch, offline):
    one, two = write_kernel(tmp_path / "one"), write_kernel(tmp_path / "two")
    monkeypatch.setenv("LOCAL_KERNELS", f"org/one={one}:org/two={two / 'build'}")
    assert get_kernel("org/one") is get_local_kernel(one)
    assert get_kernel("org/two") is get_local_kernel(two)
    monkeypatch.setenv("LOCAL_KERNELS", f"org/one={two}")
    assert get_kernel("org/one") is get_local_kernel(two)
    monkeypatch.delenv("LOCAL_KERNELS")
    expect(FileNotFoundError, lambda: get_kernel("org/one"), "org/one")


def test_local_kernels_replaces_what_ships_with_the_package(toy, monkeypatch):
    monkeypatch.setenv("LOCAL_KERNELS", f"builtin/norm={toy}")
    assert get_kernel("builtin/norm") is get_local_kernel(toy)


@pytest.mark.parametrize("value", ["org/name", "=path", "org/name=", "org/a=/x:nonsense"])
def test_a_malformed_local_kernels_is_a_value_error(monkeypatch, value):
    monkeypatch.setenv("LOCAL_KERNELS", value)
    expect(ValueError, lambda: get_kernel("org/name"), "LOCAL_KERNELS", "org/name=path")


def test_a_missing_directory_in_local_kernels_is_not_found(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_KERNELS", f"org/name={tmp_path / 'nothing'}")
    expect(FileNotFoundError, lambda: get_kernel("org/name"), str(tmp_path / "nothing"))


def test_a_repository_that_is_nowhere_says_where_was_looked(layer_class, offline, monkeypatch):
    for call in (
        lambda: get_kernel("org/name"),
        LayerRepository("org/name", "Layer").load,
        lambda: run(layer_class, LayerRepository("org/name", "Layer")),
    ):
        expect(
            FileNotFoundError,
            call,
            "org/name",
            str(offline),
            "unset HF_HUB_OFFLINE",
            "LOCAL_KERNELS=org/name=PATH",
        )
    monkeypatch.setenv("LOCAL_KERNELS", "org/other=/somewhere")
    expect(FileNotFoundError, lambda: get_kernel("org/name"), "org/name")
    model = run(
        layer_class, LayerRepository("org/name", "Layer"), use_fallback=KernelizeFallback.ALL
    )
    assert explain(model)[0].reason == "cannot-load"


def test_get_kernel_checks_its_arguments():
    with pytest.raises(ValueError, match="Only one of `revision` or `version`"):
        get_kernel("org/name", revision="main", version=1)
    with pytest.raises(TypeError, match="repo_id must be text"):
        get_kernel(5)


# ---- what ships with the package ----


def test_builtin_kernels_load_without_a_version():
    norm = get_kernel("builtin/norm")
    assert {"LayerNorm", "RMSNorm"} <= set(vars(norm.layers))
    activation = get_kernel("builtin/activation")
    assert {"Silu", "Gelu", "GeluTanh", "SiluAndMul"} <= set(vars(activation.layers))
    assert get_kernel("builtin/norm") is norm


@pytest.mark.parametrize(
    "name",
    ["builtin/nothing", "builtin/", "builtin/..", "builtin/norm/build", "builtin/."],
)
def test_builtin_names_that_are_not_there_are_not_found(name):
    expect(FileNotFoundError, lambda: get_kernel(name), name)


def test_the_builtin_mapping_serves_real_layers():
    @use_kernel_forward_from_hub("LayerNorm")
    class Norm(nn.LayerNorm):
        pass

    model = nn.Sequential(Norm(8))
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    expected = model(x)
    with use_kernel_mapping(builtin_mapping()):
        kernelize(model, mode=Mode.INFERENCE)
    (decision,) = explain(model)
    assert (decision.repo, decision.repo_layer, decision.applied) == (
        "builtin/norm",
        "LayerNorm",
        True,
    )
    assert torch.allclose(model(x), expected, atol=1e-6)


def test_the_builtin_mapping_serves_linear_layers_and_those_derived_from_them(monkeypatch):
    class Doubled(nn.Linear):
        def forward(self, input):
            return 2 * super().forward(input)

    for attribute in ("kernel_layer_name", "kernel_condition"):
        monkeypatch.setattr(nn.Linear, attribute, None, raising=False)
    replace_kernel_forward_from_hub(nn.Linear, "Linear")
    model = nn.Sequential(nn.Linear(8, 24), Doubled(24, 8, bias=False)).requires_grad_(False)
    x = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    expected = model(x)
    with use_kernel_mapping(builtin_mapping()):
        kernelize(model, mode=Mode.INFERENCE)
    assert {(d.repo, d.repo_layer, d.applied) for d in explain(model)} == {
        ("builtin/mlp", "Linear", True)
    }
    assert torch.allclose(model(x), expected, atol=1e-6)


def test_the_builtin_mapping_has_the_names_of_transformers_and_of_the_reference():
    mapping = builtin_mapping()
    assert {"LayerNorm", "RMSNorm", "LlamaRMSNorm", "SiLU", "SiluAndMul", "GeLU"} <= set(mapping)
    assert {"Linear", "SwiGLUMLP", "GeGLUMLP"} <= set(mapping)
    for devices in mapping.values():
        assert devices["cpu"].load().forward


@pytest.mark.parametrize(
    ("backend", "torch_version", "serves"),
    [
        ("cu130", "2.11.0", True),
        ("cu132", "2.13.0", True),
        ("cu128", "2.11.0", False),  # an older CUDA than that of the build
        ("cu130", "2.9.0", False),  # no stable ABI yet
        ("cpu", "2.11.0", False),
        ("rocm70", "2.11.0", False),
    ],
)
def test_the_builtin_mapping_serves_cuda_where_a_build_for_it_can_be_loaded(
    monkeypatch, backend, torch_version, serves
):
    names = [f"torch-stable-abi210-{built}-x86_64-linux" for built in ("cpu", "cu130")]
    decisions = resolve_variants(names, backend=backend, torch=torch_version)
    monkeypatch.setattr("kernels.variants.get_kernel_variants", lambda repo_id: decisions)
    cuda = Device("cuda", CUDAProperties(min_capability=80, max_capability=sys.maxsize))
    mapping = builtin_mapping()
    for name in ("RMSNorm", "rotary_pos_emb", "SiLU", "SwiGLUMLP", "LayerNorm", "ForCausalLMLoss"):
        assert set(mapping[name]) == ({"cpu", cuda} if serves else {"cpu"}), name
        assert {each.layer_name for each in mapping[name].values()} == {
            mapping[name]["cpu"].layer_name
        }
    assert set(mapping["Linear"]) == {"cpu"}  # which computes on the CPU alone


def test_the_builtin_mapping_is_for_cpus_where_no_build_is_to_be_had(monkeypatch):
    def refused(repo_id):
        raise FileNotFoundError(repo_id)

    monkeypatch.setattr("kernels.variants.get_kernel_variants", refused)
    assert {tuple(devices) for devices in builtin_mapping().values()} == {("cpu",)}


# ---- repositories of a user's own ----


def test_a_subclass_with_its_own_load_is_loaded_by_it(toy, layer_class):
    class Mine(LayerRepository):
        def load(self):
            return get_local_kernel(toy).layers.Hundredfold

    class MyLocal(LocalLayerRepository):
        def load(self):
            return get_local_kernel(toy).layers.Hundredfold

    assert run(layer_class, Mine("org/nowhere", "Layer"))(1) == 100
    assert run(layer_class, MyLocal("/no/such/path", "Layer"))(1) == 100


def test_a_load_that_is_set_on_the_instance_is_used(toy, layer_class):
    repo = LayerRepository("org/nowhere", "Layer")
    repo.load = lambda: get_local_kernel(toy).layers.Hundredfold
    assert run(layer_class, repo)(1) == 100


def test_a_subclass_that_only_adds_is_loaded_like_its_base(toy, layer_class):
    class Named(LocalLayerRepository):
        note = "mine"

    model = run(layer_class, Named(toy, "Tenfold"))
    assert (model(1), explain(model)[0].variant) == (10, "torch-universal")


def test_functions_of_kernels_serve_as_layers(tmp_path, monkeypatch):
    folder = write_kernel(tmp_path / "kernel", code="def tenfold(x):\n    return x * 10\n")

    @use_kernel_forward_from_hub("function")
    class Layer(nn.Module):
        def forward(self, x):
            return x

    monkeypatch.setenv("LOCAL_KERNELS", f"org/name={folder}")
    for cls, where in ((LocalFuncRepository, folder), (FuncRepository, "org/name")):
        with pytest.warns(DeprecationWarning):
            repo = cls(where, "tenfold")
        register_kernel_mapping({"function": {"cpu": repo}})
        assert kernelize(Layer(), mode=Mode.INFERENCE, device="cpu")(1) == 10
        with pytest.warns(DeprecationWarning):
            missing = cls(where, "elevenfold")
        expect(ValueError, missing.load, "elevenfold")


def test_local_repositories_compare_by_path_and_layer(toy):
    assert LocalLayerRepository(toy, "A") == LocalLayerRepository(toy, layer_name="A")
    assert LocalLayerRepository(toy, "A") != LocalLayerRepository(toy, "B")
    assert len({LocalLayerRepository(toy, "A"), LocalLayerRepository(toy, "A")}) == 1


def test_local_files_are_read_once(toy, layer_class):
    """What was found and loaded serves later calls, also when the files have gone."""
    repo = LocalLayerRepository(toy, "Tenfold")
    assert run(layer_class, repo)(1) == 10
    toy.rename(toy.parent / "moved")
    assert run(layer_class, repo)(1) == 10
    assert "Tenfold" in LAYERS

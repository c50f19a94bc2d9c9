# SPDX-License-Identifier: Apache-2.0
"""Names, parameters and defaults: those of the API reference, and every name of upstream 0.17.2."""

import inspect
import sys

import pytest
import torch.nn as nn
from kernel_support import Repo, Tripled, run_python

import kernels
from kernels import Device, LayerRepository, Mode

REQUIRED = inspect.Parameter.empty

# The names and defaults of the API reference, in its order.
REFERENCE = {
    "use_kernel_forward_from_hub": [("layer_name", REQUIRED)],
    "replace_kernel_forward_from_hub": [("cls", REQUIRED), ("layer_name", REQUIRED)],
    "use_kernel_mapping": [("mapping", REQUIRED), ("inherit_mapping", True)],
    "register_kernel_mapping": [("mapping", REQUIRED), ("inherit_mapping", True)],
    "kernelize": [
        ("model", REQUIRED),
        ("mode", REQUIRED),
        ("device", None),
        ("use_fallback", True),
    ],
    "Device": [("type", REQUIRED), ("properties", None)],
    "LayerRepository": [
        ("repo_id", REQUIRED),
        ("layer_name", REQUIRED),
        ("revision", None),
        ("version", None),
    ],
    "CUDAProperties": [("min_capability", REQUIRED), ("max_capability", REQUIRED)],
    "ROCMProperties": [("min_capability", REQUIRED), ("max_capability", REQUIRED)],
    "LocalLayerRepository": [("repo_path", REQUIRED), ("layer_name", REQUIRED)],
}

UPSTREAM = [
    "__version__",
    "Benchmark",
    "CUDAProperties",
    "Device",
    "KernelizeFallback",
    "ROCMProperties",
    "FuncRepository",
    "LayerRepository",
    "LoadedKernel",
    "LocalFuncRepository",
    "LocalLayerRepository",
    "LockedFuncRepository",
    "LockedLayerRepository",
    "Metadata",
    "Mode",
    "RepoInfo",
    "VariantAccepted",
    "VariantRejected",
    "get_kernel",
    "get_kernel_dep",
    "get_kernel_variants",
    "get_loaded_kernels",
    "get_local_kernel",
    "get_locked_kernel",
    "has_kernel",
    "install_kernel",
    "kernelize",
    "load_kernel",
    "register_kernel_mapping",
    "replace_kernel_forward_from_hub",
    "use_kernel_forward_from_hub",
    "use_kernel_func_from_hub",
    "use_kernel_mapping",
    "use_kernelized_func",
]


@pytest.mark.parametrize("name", REFERENCE)
def test_parameters_of_the_reference_come_first_and_are_positional(name):
    parameters = list(inspect.signature(getattr(kernels, name)).parameters.values())
    first = parameters[: len(REFERENCE[name])]
    assert [(parameter.name, parameter.default) for parameter in first] == REFERENCE[name]
    assert {parameter.kind for parameter in first} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


def test_plan_takes_what_was_promised():
    parameters = inspect.signature(kernels.plan).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        "model": REQUIRED,
        "mode": REQUIRED,
        "device": None,
        "capability": None,
        "use_fallback": True,
        "include": None,
        "exclude": None,
        "fetch": False,
    }
    kinds = [parameter.kind for parameter in parameters.values()]
    assert kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD] + [inspect.Parameter.KEYWORD_ONLY] * 7


def test_everything_works_by_position(layer_class):
    repo = LayerRepository("org/name", "Layer", "main", None)
    assert (repo.layer_name, repo._revision) == ("Layer", "main")
    assert Device("cuda", kernels.CUDAProperties(75, 90)).properties.max_capability == 90
    kernels.register_kernel_mapping({"Identity": {"cpu": Repo(Tripled)}}, True)
    model = kernels.kernelize(layer_class(), Mode.INFERENCE, "cpu", False)
    assert model(2) == 6
    with kernels.use_kernel_mapping({}, False):
        assert kernels.kernelize(model, Mode.INFERENCE, "cpu", True)(2) == 2

    class Plain(nn.Module):
        def forward(self, x):
            return x

    assert kernels.replace_kernel_forward_from_hub(Plain, "Identity") is None
    assert kernels.kernelize(Plain(), Mode.INFERENCE, "cpu")(2) == 6


def test_everything_works_by_keyword(layer_class):
    kernels.register_kernel_mapping(
        mapping={"Identity": {"cpu": Repo(Tripled)}}, inherit_mapping=True
    )
    with kernels.use_kernel_mapping(mapping={}, inherit_mapping=True):
        model = kernels.kernelize(
            model=layer_class(), mode=Mode.INFERENCE, device="cpu", use_fallback=False
        )
    assert model(2) == 6
    assert kernels.use_kernel_forward_from_hub(layer_name="Other")(layer_class) is layer_class
    assert layer_class.kernel_layer_name == "Other"
    kernels.replace_kernel_forward_from_hub(cls=layer_class, layer_name="Again")
    assert layer_class.kernel_layer_name == "Again"


def test_every_name_of_upstream_imports():
    assert [name for name in UPSTREAM if not hasattr(kernels, name)] == []
    assert [name for name in UPSTREAM if name not in kernels.__all__] == []


def test_star_import_gives_all_names():
    namespace = {}
    exec("from kernels import *", namespace)
    assert [name for name in kernels.__all__ if name not in namespace] == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kernels' has no attribute 'no_such_name'"):
        kernels.no_such_name  # noqa: B018


def test_version_is_upstreams_with_our_own_behind_it():
    assert kernels.__version__.startswith("0.17.2+")
    assert kernels.__version__ == kernels._core.__version__


def test_installed_distribution_has_the_same_version():
    import importlib.metadata

    assert importlib.metadata.version("kernels") == kernels.__version__


def test_upstreams_submodules_give_the_names_that_annotations_use():
    from kernels.layer import Mode as same
    from kernels.layer.layer import LayerRepositoryProtocol, RepositoryProtocol

    assert same is Mode
    assert RepositoryProtocol in LayerRepositoryProtocol.__mro__
    assert callable(LayerRepositoryProtocol.load)


def test_import_needs_neither_torch_nor_anything_but_the_standard_library():
    code = """
        import sys
        before = set(sys.modules)
        import kernels
        print(sorted({name.split(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))
        print("torch" in sys.modules)
    """
    assert run_python(code).stdout.splitlines() == ["['kernels']", "False"]


def test_making_mappings_needs_no_torch():
    code = """
        import sys
        import kernels
        from kernels import CUDAProperties, Device, LayerRepository, Mode, builtin_mapping
        kernels.register_kernel_mapping(builtin_mapping())
        device = Device("cuda", CUDAProperties(75, 90))
        with kernels.use_kernel_mapping({"L": {device: {Mode.TRAINING: LayerRepository("org/name", "L")}}}):
            pass
        print("torch" in sys.modules)
    """
    assert run_python(code).stdout == "False\n"


def test_import_after_torch_adds_at_most_twelve_modules():
    code = """
        import sys
        import torch
        before = set(sys.modules)
        import kernels
        print(len(set(sys.modules) - before))
    """
    assert int(run_python(code).stdout) <= 12


def test_import_changes_nothing_around_it():
    code = """
        import logging, os, sys, threading, warnings
        def state():
            return (dict(os.environ), list(sys.path), list(sys.meta_path), list(sys.path_hooks), sys.excepthook,
                    threading.active_count(), list(warnings.filters), list(logging.getLogger().handlers))
        before = state()
        import kernels
        print(state() == before)
    """
    assert run_python(code).stdout == "True\n"


def test_transformers_imports_beside_us():
    code = """
        import kernels
        from transformers import LlamaForCausalLM
        print(LlamaForCausalLM.__name__, "kernels" in kernels.__file__)
        from transformers.integrations.hub_kernels import use_kernel_forward_from_hub
        print(use_kernel_forward_from_hub.__module__)
    """
    lines = run_python(code).stdout.splitlines()
    assert lines[0] == "LlamaForCausalLM True"


def test_a_llama_of_transformers_is_extensible_and_kernelizes():
    code = """
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
        from kernels import Mode, builtin_mapping, kernelize, plan, use_kernel_mapping
        torch.manual_seed(0)
        config = LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                             num_key_value_heads=4, vocab_size=64)
        model = LlamaForCausalLM(config).eval()
        tokens = torch.arange(8).view(1, 8)
        with torch.no_grad():
            before = model(tokens).logits
            with use_kernel_mapping(builtin_mapping()):
                names = {d.layer_name for d in plan(model, mode=Mode.INFERENCE) if d.action == "replace"}
                kernelize(model, mode=Mode.INFERENCE)
            after = model(tokens).logits
        print(sorted(names))
        print((before - after).abs().max().item() < 1e-5)
    """
    lines = run_python(code).stdout.splitlines()
    assert "'RMSNorm'" in lines[0]
    assert lines[1] == "True"


def test_public_names_have_docstrings():
    without = [
        name
        for name in kernels.__all__
        if name != "__version__" and not getattr(kernels, name).__doc__
    ]
    assert without == []


def test_python_stubs_are_marked_as_typed():
    from importlib.resources import files

    assert (files(kernels) / "py.typed").is_file()
    assert sys.modules["kernels"] is kernels

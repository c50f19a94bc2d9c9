# SPDX-License-Identifier: Apache-2.0
"""transformers, unchanged, on this package and on upstream's: what transformers_scenarios.py does, in an interpreter of
each and against the same Hub, and what came of it."""

import ast
import sys
from importlib import import_module
from pathlib import Path

import pytest
import transformers
from scenario_support import run_scenarios, without_words
from transformers_support import write_repositories

from hub import Hub

# In an order in which no scenario sees the functions that upstream left replaced in the one before.
SCENARIOS = (
    "attention",
    "from_pretrained",
    "module_kernels",
    "model_kernels",
    "kernel_config",
    "modes",
    "own_mapping",
    "decorators",
    "bert",
    "qwen3_moe",
    "mamba",
    "another_device",
    "llama",
)
NORMS = {
    "model.layers.0.input_layernorm": "LigerRMSNorm",
    "model.layers.0.post_attention_layernorm": "LigerRMSNorm",
    "model.layers.1.input_layernorm": "LigerRMSNorm",
    "model.layers.1.post_attention_layernorm": "LigerRMSNorm",
    "model.norm": "LigerRMSNorm",
}
ROTATIONS = {
    "model.layers.0.self_attn.rotary_pos_emb": "apply_rotary_transformers",
    "model.layers.1.self_attn.rotary_pos_emb": "apply_rotary_transformers",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        write_repositories(hub)
        yield hub


def run(python, hub, home, *scenarios, **environment):
    return run_scenarios("transformers", python, hub, home, *scenarios, **environment)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def log():
    """What the Hub was asked by our run."""
    return []


@pytest.fixture(scope="module")
def ours(hub, home, log):
    hub.reset_log()
    results = run(sys.executable, hub, home, *SCENARIOS)
    log += hub.log()
    return results


@pytest.fixture(scope="module")
def theirs(hub, peer, tmp_path_factory):
    return run(peer, hub, tmp_path_factory.mktemp("peer"), *SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transformers_sees_no_difference_to_upstream(ours, theirs, scenario):
    assert without_words(ours[scenario]) == without_words(theirs[scenario])


@pytest.mark.parametrize("kind", ["llama", "qwen3_moe", "bert", "mamba"])
def test_a_kernelized_model_computes_what_it_did(ours, kind):
    result = ours[kind]
    assert result["before"] == [{}, False]
    assert result["use_kernels"] is True
    assert (result["logits"], result["gradients"], result["text"]) == (0.0, 0.0, True)
    assert result["eval_again"] is True
    assert result["expected"] == {"calls": {}, "train": {}, "calls_of_train": {}} | (
        {} if kind == "bert" else {"calls_of_generate": {}}
    )


def test_layers_and_functions_of_llama_run_kernels_by_mode(ours):
    result = ours["llama"]
    assert result["eval"] == NORMS | ROTATIONS
    assert result["calls"] == {"LigerRMSNorm": 5, "apply_rotary_transformers": 2}
    assert result["calls_of_generate"] == {"LigerRMSNorm": 20, "apply_rotary_transformers": 8}
    assert result["train"] == NORMS  # rotary_pos_emb is mapped for inference only
    assert result["calls_of_train"] == {"LigerRMSNorm": 5}


def test_layers_and_functions_of_qwen3_moe_run_kernels_by_mode(ours):
    result = ours["qwen3_moe"]
    heads = {
        f"model.layers.{layer}.self_attn.{name}_norm": "LigerRMSNorm"
        for layer in (0, 1)
        for name in "qk"
    }
    assert result["eval"] == NORMS | ROTATIONS | heads
    assert result["calls"] == {"LigerRMSNorm": 9, "apply_rotary_transformers": 2}
    assert result["train"] == NORMS | heads
    assert result["calls_of_train"] == {"LigerRMSNorm": 9}


def test_activations_of_bert_run_kernels_in_inference(ours):
    result = ours["bert"]
    assert result["eval"] == {
        "bert.encoder.layer.0.intermediate.intermediate_act_fn": "Gelu",
        "bert.encoder.layer.1.intermediate.intermediate_act_fn": "Gelu",
        "cls.predictions.transform.transform_act_fn": "Gelu",
    }
    assert result["calls"] == {"Gelu": 3}
    assert (result["train"], result["calls_of_train"]) == ({}, {})


def test_functions_of_mamba_run_kernels(ours):
    result = ours["mamba"]
    functions = (
        "mamba_inner_fn",
        "selective_scan_fn",
        "selective_state_update",
        "causal_conv1d_fn",
        "causal_conv1d_update",
    )
    every = {f"backbone.layers.{n}.mixer.{name}": name for n in (0, 1) for name in functions}
    assert (result["eval"], result["train"]) == (every, every)
    assert result["calls"] == {"causal_conv1d_fn": 2, "selective_scan_fn": 2}
    assert result["calls_of_generate"] == {
        "causal_conv1d_fn": 2,
        "selective_scan_fn": 2,
        "causal_conv1d_update": 6,
        "selective_state_update": 6,
    }
    assert result["calls_of_train"] == {"mamba_inner_fn": 2}


def test_the_mapping_of_transformers_has_one_layer_for_cpus(ours):
    assert ours["own_mapping"] == {
        "replaced": {
            "model.layers.0.mlp": "CPUMegaBlocksMoeMLP",
            "model.layers.1.mlp": "CPUMegaBlocksMoeMLP",
        },
        "difference": 0.0,
        "calls": {"CPUMegaBlocksMoeMLP": 2},
        "train": {},
    }


def test_use_kernels_is_taken_where_transformers_takes_it(ours):
    result = ours["from_pretrained"]
    assert result["replaced"] == NORMS
    assert result["difference"] == 0.0
    assert result["without"] == [{}, False]
    assert result["from_config"]["raises"] == "TypeError"  # transformers takes it after from_config
    assert result["switched_on"] is True
    # transformers knows no way back; kernels.unkernelize is one.
    assert result["switched_off"] == result["set_off"] == [False, True]


def test_a_mode_of_the_callers_own_decides(ours):
    result = ours["modes"]
    assert result.pop("fallback")["raises"] == "ValueError"
    assert result == {
        "Mode.INFERENCE": ["LigerRMSNorm", "Silu", "apply_rotary_transformers"],
        "Mode.TRAINING": ["LigerRMSNorm"],
        "Mode.INFERENCE|TORCH_COMPILE": ["Silu"],
        "Mode.TRAINING|TORCH_COMPILE": [],
    }


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("kernels-community/flash-attn2", "flash_attn_func"),
        ("kernels-community/flash-attn2@main", "flash_attn_func"),
        ("somebody/attention@v2 allowed", "flash_attn_func"),
        ("somebody/named:plain_attention allowed", "plain_attention"),
        ("somebody/named@v1:plain_attention allowed", "plain_attention"),
    ],
)
def test_attention_is_named_by_repository_revision_and_function(ours, name, function):
    assert ours["attention"][name] == {
        "is": name.removesuffix(" allowed"),
        "difference": 0.0,
        "calls": {function: 2},
    }


def test_attention_that_is_not_installed_comes_from_the_hub(ours):
    assert ours["attention"]["flash_attention_2"] == {
        "is": "kernels-community/flash-attn2",
        "difference": 0.0,
        "calls": {"flash_attn_func": 2},
    }
    assert ours["attention"]["from_config"] is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("somebody/attention", "not from a trusted publisher"),
        ("somebody/named@v1:plain_attention", "not from a trusted publisher"),
        ("kernels-community/nowhere", "no such repository"),
        ("kernels-community/flash-attn2@nowhere", "no such branch, tag or commit"),
        ("kernels-community/deep-gemm@v2", "Cannot find a build variant for this system"),
    ],
)
def test_attention_that_cannot_be_had_is_an_error_that_says_why(ours, name, says):
    assert ours["attention"][name]["raises"] == "ValueError"
    assert says in ours["attention"][name]["says"]


def test_modules_of_kernels_are_loaded_once(ours):
    result = ours["module_kernels"]
    assert result.pop("get_kernel untrusted")["raises"] == "ValueError"
    assert result.pop("nvfp4")["raises"] == "OSError"  # there is no such repository here
    assert result == {
        "finegrained-fp8": "fp8",
        "finegrained-fp8 again": True,
        "sonic-moe": "sonic",  # by branch
        "sonic-moe again": True,
        "deep-gemm": None,  # no build for this machine
        "deep-gemm again": True,
        "unknown": None,
        "unknown again": True,
        "get_kernel": "rwkv",
        "get_kernel main": "rwkv",
        "get_kernel allowed": [
            "flash_attn_func",
            "flash_attn_varlen_func",
            "flash_attn_with_kvcache",
        ],
        "flash attention 2": True,
        "flash attention 3": False,
    }


def test_models_that_bring_a_kernel_of_their_own_find_it(ours):
    assert ours["model_kernels"] == {
        "rwkv": ["rwkv", 16],
        "mra": "mra",
        "yoso": "yoso",
        "sam3": "cv-utils",
        "gguf": False,
        "ggml": {},
    }


def test_decorators_make_layers_of_ones_own_replaceable(ours):
    assert ours["decorators"] == {
        "replaced": {"own": "Gelu", "foreign": "Silu", "uses.SiLU": "Silu"},
        "difference": 0.0,
        "calls": {"Silu": 2, "Gelu": 1},
    }


def test_kernel_config_knows_no_cpu(ours):
    result = ours["kernel_config"]
    for name in ("cpu", "cuda is dropped", "cpu by name"):
        assert result[name] == {
            "raises": "ValueError",
            "says": "Only devices in ['cuda', 'rocm', 'xpu', 'npu', 'neuron', 'tpu', 'mps'] are supported, got: cpu",
        }
    for name in ("version and revision", "other devices"):
        assert result[name] == {"left": {}, "replaced": {}}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no such version", "Version 1 not found, available versions: 3"),
        ("no such layer", "Layer `Nothing` not found in kernel repo"),
        ("untrusted", "not from a trusted publisher"),
        ("update_kernel both", "Either a revision or a version must be specified, not both."),
    ],
)
def test_what_a_kernel_config_cannot_get_is_an_error_that_says_why(ours, name, says):
    assert ours["kernel_config"][name]["raises"] == "ValueError"
    assert says in ours["kernel_config"][name]["says"]
    assert ours["kernel_config"]["update_kernel"] == "LigerRMSNorm"


def test_a_kernel_config_extends_or_replaces_what_is_registered(ours):
    assert ours["another_device"] == {
        "inherit True": ["LigerRMSNorm", "apply_rotary_transformers"],
        "inherit False": ["LigerRMSNorm"],
    }


def test_use_hub_kernels_0_makes_nothing_replaceable(hub, home, peer):
    expected = {
        "enabled": False,
        "llama": [True, {}, False],
        "bert": [True, {}, False],
        "mamba": [True, {}, False],
        "lazy": None,
        "get_kernel": "rwkv",
    }
    for python in (sys.executable, peer):
        found = run(python, hub, home, "without_hub_kernels", USE_HUB_KERNELS="0")
        assert found == {"without_hub_kernels": expected}


def test_a_model_is_kernelized_again_without_a_request_and_offline(hub, home, ours):
    hub.reset_log()
    assert run(sys.executable, hub, home, "llama")["llama"] == ours["llama"]
    assert hub.log() == []
    again = run(
        sys.executable, hub, home, "llama", HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert again["llama"] == ours["llama"]


def test_the_hub_is_told_that_transformers_asks(ours, log):
    agents = {line["user_agent"] for line in log}
    asks = f"framework/transformers; version/{transformers.__version__}"
    assert any(asks in each for each in agents)


def imported():
    """{module: names} that transformers imports from kernels, anywhere in its source."""
    found = {}
    for file in Path(transformers.__file__).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "kernels" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                if node.module.split(".")[0] == "kernels":
                    found.setdefault(node.module, set()).update(alias.name for alias in node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == "kernels":
                        found.setdefault(alias.name, set())
    return found


def test_every_name_that_transformers_imports_is_there():
    names = imported()
    assert names == {
        "kernels": {
            "CUDAProperties",
            "Device",
            "KernelizeFallback",
            "LayerRepository",
            "LocalLayerRepository",
            "Mode",
            "ROCMProperties",
            "get_kernel",
            "kernelize",
            "register_kernel_mapping",
            "replace_kernel_forward_from_hub",
            "use_kernel_forward_from_hub",
            "use_kernel_mapping",
            "use_kernelized_func",
        },
        "kernels.layer.mode": {"Mode"},
    }
    for module, members in names.items():
        for name in members:
            assert hasattr(import_module(module), name)


def test_transformers_takes_this_version():
    from transformers.utils.import_utils import is_kernels_available

    assert is_kernels_available()

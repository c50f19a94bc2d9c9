# SPDX-License-Identifier: Apache-2.0
"""The mapping that transformers brings, planned for devices that are not there."""

from pathlib import Path

import pytest
import torch
import transformers
from torch import nn
from transformers.integrations import hub_kernels

from kernels import Mode, plan, use_kernel_forward_from_hub

CHOICES = Path(__file__).with_name("data") / "transformers-mapping.txt"
MODES = {
    "INFERENCE": Mode.INFERENCE,
    "TRAINING": Mode.TRAINING,
    "INFERENCE|TORCH_COMPILE": Mode.INFERENCE | Mode.TORCH_COMPILE,
    "TRAINING|TORCH_COMPILE": Mode.TRAINING | Mode.TORCH_COMPILE,
    "FALLBACK": Mode.FALLBACK,
}


@pytest.fixture(autouse=True)
def own_mapping(clean_slate, offline):
    hub_kernels.register_kernel_mapping_transformers()


def named(layer_name):
    @use_kernel_forward_from_hub(layer_name)
    class Layer(nn.Module):
        def forward(self, x):
            return x

    return Layer()


def choices():
    """(device, mode): {layer: (repository, layer in it, its mode) or (reason,)}, as upstream chooses."""
    found = {}
    for line in CHOICES.read_text().splitlines():
        if line.startswith("#"):
            continue
        layer, device, mode, *choice = line.split()
        if len(choice) == 2:
            repo, _, repo_layer = choice[0].partition(":")
            choice = repo, repo_layer, MODES[choice[1]]
        found.setdefault((device, mode), {})[layer] = tuple(choice)
    return found


@pytest.mark.parametrize(("device", "mode"), choices())
def test_every_layer_gets_the_repository_that_upstream_chooses(device, mode):
    expected = choices()[device, mode]
    kind, _, capability = device.partition("-")
    capability = int(capability) if capability else None
    model = nn.ModuleDict({name: named(name) for name in expected})
    planned = plan(model, mode=MODES[mode], device=kind, capability=capability)
    found = {}
    for decision in planned:
        assert decision.paths == (decision.layer_name,)
        assert (decision.device, decision.capability) == (kind, capability)
        assert (decision.stage, decision.commit, decision.variant) == ("select", None, None)
        assert not decision.applied
        if decision.action == "replace":
            assert decision.reason == "mapped"
            found[decision.layer_name] = (decision.repo, decision.repo_layer, decision.repo_mode)
        else:
            assert (decision.repo, decision.repo_layer, decision.repo_mode) == (None, None, None)
            found[decision.layer_name] = (decision.reason,)
    assert found == expected


def test_the_choices_are_for_every_layer_of_the_mapping():
    layers = {layer for expected in choices().values() for layer in expected}
    assert layers == set(hub_kernels.get_kernel_mapping_transformers())
    assert len(layers) == 28


META = {
    "llama": lambda: transformers.LlamaConfig(num_hidden_layers=2),
    "qwen3_moe": lambda: transformers.Qwen3MoeConfig(num_hidden_layers=2, num_experts=4),
    "bert": lambda: transformers.BertConfig(num_hidden_layers=2),
    "mamba": lambda: transformers.MambaConfig(num_hidden_layers=2),
}
LIGER, ACTIVATION = "kernels-community/liger-kernels", "kernels-community/activation"
ROTARY, SSM = "kernels-community/rotary", "kernels-community/mamba-ssm"
MIXER = {
    f"backbone.layers.0.mixer.{name}": f"{SSM}:{name}"
    for name in (
        "mamba_inner_fn",
        "selective_scan_fn",
        "selective_state_update",
        "causal_conv1d_fn",
        "causal_conv1d_update",
    )
}
# A function is one object for all layers and is listed where it is met first.
PLANNED = {
    ("llama", "cuda", 90): {
        "model.layers.0.self_attn.rotary_pos_emb": f"{ROTARY}:apply_rotary_transformers",
        "model.layers.0.mlp.act_fn (+1)": f"{ACTIVATION}:Silu",
        "model.layers.0.input_layernorm (+4)": f"{LIGER}:LigerRMSNorm",
    },
    ("llama", "rocm", None): {  # a capability that nobody tells
        "model.layers.0.self_attn.rotary_pos_emb": "no-compatible-properties",
        "model.layers.0.mlp.act_fn (+1)": "no-device",
        "model.layers.0.input_layernorm (+4)": "no-compatible-properties",
    },
    ("llama", "rocm", 94): {
        "model.layers.0.self_attn.rotary_pos_emb": "kernels-community/aiter-rope:apply_rotary_transformers",
        "model.layers.0.mlp.act_fn (+1)": "no-device",
        "model.layers.0.input_layernorm (+4)": f"{LIGER}:LigerRMSNorm",
    },
    ("llama", "xpu", None): {
        "model.layers.0.self_attn.rotary_pos_emb": f"{ROTARY}:apply_rotary_transformers",
        "model.layers.0.mlp.act_fn (+1)": f"{ACTIVATION}:Silu",
        "model.layers.0.input_layernorm (+4)": "kernels-community/rmsnorm:RMSNorm",
    },
    ("llama", "npu", None): {
        "model.layers.0.self_attn.rotary_pos_emb": "no-device",
        "model.layers.0.mlp.act_fn (+1)": "no-device",
        "model.layers.0.input_layernorm (+4)": f"{LIGER}:LigerRMSNorm",
    },
    ("qwen3_moe", "cuda", 90): {
        "model.layers.0.self_attn.rotary_pos_emb": f"{ROTARY}:apply_rotary_transformers",
        "model.layers.0.self_attn.q_norm (+8)": f"{LIGER}:LigerRMSNorm",
        "model.layers.0.mlp.experts.act_fn (+1)": f"{ACTIVATION}:Silu",
    },
    ("bert", "cuda", 90): {
        "encoder.layer.0.intermediate.intermediate_act_fn (+1)": f"{ACTIVATION}:Gelu",
    },
    ("bert", "npu", None): {
        "encoder.layer.0.intermediate.intermediate_act_fn (+1)": "no-device",
    },
    ("mamba", "cuda", 90): MIXER | {"backbone.layers.0.mixer.act (+1)": f"{ACTIVATION}:Silu"},
    ("mamba", "xpu", None): MIXER | {"backbone.layers.0.mixer.act (+1)": f"{ACTIVATION}:Silu"},
    ("mamba", "rocm", None): dict.fromkeys(
        [*MIXER, "backbone.layers.0.mixer.act (+1)"], "no-device"
    ),
}


@pytest.mark.parametrize(("kind", "device", "capability"), PLANNED)
def test_a_model_on_the_meta_device_is_planned(kind, device, capability):
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(META[kind]())
        whole = nn.ModuleDict({"model" if kind in ("llama", "qwen3_moe") else "backbone": model})
    planned = plan(
        model if kind == "bert" else whole,
        mode=Mode.INFERENCE,
        device=device,
        capability=capability,
    )
    found = {}
    for decision in planned:
        more = len(decision.paths) - 1
        path = decision.paths[0] + (f" (+{more})" if more else "")
        kernel = f"{decision.repo}:{decision.repo_layer}"
        found[path] = kernel if decision.action == "replace" else decision.reason
    assert found == PLANNED[kind, device, capability]

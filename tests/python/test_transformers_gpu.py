# SPDX-License-Identifier: Apache-2.0
"""transformers on a CUDA device: its own mapping, and KernelConfig, which knows no CPU.

Needs torch with CUDA, transformers 5.22 and this package, no network and no Hub: the kernels are directories in the
place of the repositories that transformers names. Without pytest: `python tests/python/test_transformers_gpu.py`."""

import contextlib
import copy
import os
import sys
import tempfile
from pathlib import Path
from unittest import SkipTest

import torch
import transformers
from hub_support import kernel_files
from transformers import AutoModelForCausalLM, KernelConfig
from transformers.integrations import hub_kernels
from transformers.monkey_patching import unregister_patch_mapping
from transformers.utils import is_accelerate_available
from transformers_scenarios import IDS, calls, failure, replaced
from transformers_support import FUSED, REPOSITORIES, layers, small_model

import kernels
from kernels import CUDAProperties, Device, LayerRepository, Mode, explain, plan, unkernelize

if not torch.cuda.is_available():
    raise SkipTest("needs a CUDA device, which KernelConfig is for")

DEVICE = "cuda"
LIGER = "kernels-community/liger-kernels:LigerRMSNorm"
NORMS = {"LigerRMSNorm"}
EVERYTHING = {"LigerRMSNorm", "Silu", "apply_rotary_transformers"}


def write_directories(folder):
    """The repositories of transformers_support, as directories; {repository: path}."""
    paths = {}
    contents = {repo_id: content for (repo_id, _), content in REPOSITORIES.items()}
    contents["somebody/fused"] = {"layers": layers(FUSED)}
    for repo_id, content in contents.items():
        paths[repo_id] = folder / repo_id.replace("/", "--")
        files = kernel_files(
            repo_id.split("/")[1],
            variants=("torch-cuda", "torch-universal"),
            metadata={"backend": {"type": "cuda"}},
            **content,
        )
        for path, text in files.items():
            file = paths[repo_id] / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
    return paths


@contextlib.contextmanager
def directories():
    """The kernels are at hand, and nothing is registered, also afterwards."""
    kernels.register_kernel_mapping({}, inherit_mapping=False)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_directories(Path(folder))
        before = os.environ.get("LOCAL_KERNELS")
        os.environ["LOCAL_KERNELS"] = ":".join(f"{name}={path}" for name, path in paths.items())
        try:
            yield paths
        finally:
            os.environ.pop("LOCAL_KERNELS")
            if before is not None:
                os.environ["LOCAL_KERNELS"] = before
            kernels.register_kernel_mapping({}, inherit_mapping=False)


def on_device(kind, **more):
    return small_model(kind, **more).to(DEVICE)


def logits(model):
    with torch.no_grad():
        return model(IDS.to(model.device)).logits.float().cpu()


def gradients(model):
    ids = IDS.to(model.device)
    model.zero_grad()
    model(ids, labels=ids).loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).cpu()


def same(one, other, tolerance=1e-4):
    torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


def saved(folder, kind="llama"):
    model = small_model(kind)
    model.save_pretrained(folder)
    return model


def load_on_device(folder, config):
    """from_pretrained with kernels, onto the device, which needs accelerate; without it the same in its steps."""
    if is_accelerate_available():
        return AutoModelForCausalLM.from_pretrained(
            folder, device_map=DEVICE, use_kernels=True, kernel_config=config
        )
    hub_kernels.register_kernel_replacements_and_fusions(
        transformers.LlamaForCausalLM, transformers.LlamaConfig.from_pretrained(folder), config
    )
    model = AutoModelForCausalLM.from_pretrained(folder).to(DEVICE)
    model.set_use_kernels(True, config)
    return model


def test_the_mapping_of_transformers_serves_each_kind_of_model():
    expected = {
        "llama": EVERYTHING,
        "qwen3_moe": EVERYTHING,
        "bert": {"Gelu"},
        "mamba": {
            "Silu",
            "causal_conv1d_fn",
            "causal_conv1d_update",
            "mamba_inner_fn",
            "selective_scan_fn",
            "selective_state_update",
        },
    }
    with directories():
        for kind, names in expected.items():
            plain = on_device(kind)
            if kind == "qwen3_moe":
                plain.set_experts_implementation("eager")  # whatever products of groups torch has
            before = logits(plain)
            model = copy.deepcopy(plain)
            model.use_kernels = True
            assert set(replaced(model).values()) == names, kind
            calls()
            same(logits(model), before)
            assert calls(), kind
            unkernelize(model)
            assert replaced(model) == {}, kind


def test_training_takes_the_kernels_for_training():
    with directories():
        plain = on_device("llama").train()
        expected = gradients(plain)
        model = on_device("llama")
        model.use_kernels = True
        assert set(replaced(model).values()) == EVERYTHING
        model.train()
        assert set(replaced(model).values()) == NORMS
        same(gradients(model), expected)
        model.eval()
        assert set(replaced(model).values()) == EVERYTHING
        unkernelize(model)


def test_half_precision_stays_as_close_as_the_model_itself():
    with directories():
        model = on_device("llama").to(torch.bfloat16)
        before = logits(model)
        model.use_kernels = True
        same(logits(model), before, tolerance=2e-2)
        unkernelize(model)


def test_a_plan_says_what_kernelize_does_on_this_device():
    major, minor = torch.cuda.get_device_capability()
    with directories():
        hub_kernels.register_kernel_mapping_transformers()
        model = on_device("llama")
        decisions = {decision.layer_name: decision for decision in plan(model, mode=Mode.INFERENCE)}
        assert {decision.device for decision in decisions.values()} == {"cuda"}
        assert {decision.capability for decision in decisions.values()} == {10 * major + minor}
        assert decisions["RMSNorm"].repo == "kernels-community/liger-kernels"
        hub_kernels.kernelize(model)
        assert {decision.reason for decision in explain(model)} == {"mapped"}
        assert all(decision.applied for decision in explain(model))
        unkernelize(model)


def test_the_capability_of_the_device_decides():
    major, minor = torch.cuda.get_device_capability()
    here = 10 * major + minor
    norm = LayerRepository("kernels-community/liger-kernels", "LigerRMSNorm", version=3)
    for low, high, expected in ((here, here, NORMS), (here + 1, here + 9, set())):
        with directories():
            fits = Device("cuda", CUDAProperties(low, high))
            hub_kernels.register_kernel_mapping({"RMSNorm": {fits: norm}})
            model = on_device("llama")
            hub_kernels.kernelize(model)
            assert set(replaced(model).values()) == expected


def test_kernel_config_takes_each_form_of_a_mapping():
    with directories() as paths:
        local = f"{paths['kernels-community/liger-kernels']}:LigerRMSNorm"
        plain = on_device("llama")
        expected = logits(plain)
        for mapping, options in (
            ({"RMSNorm": LIGER}, {}),
            ({"RMSNorm": (LIGER, {"version": 3})}, {}),
            ({"RMSNorm": (LIGER, {"revision": "main", "trust_remote_code": True})}, {}),
            ({"RMSNorm": {"cuda": (LIGER, {"version": 3}), "rocm": "no/where:Nothing"}}, {}),
            ({"RMSNorm": local}, {"use_local_kernel": True}),
            ({"RMSNorm": {"cuda": local}}, {"use_local_kernel": True}),
        ):
            model = on_device("llama")
            config = KernelConfig(mapping, inherit_mapping=False, **options)
            model.set_use_kernels(True, config)
            assert set(replaced(model).values()) == NORMS, mapping
            [by_device] = config.kernel_mapping.values()
            assert list(by_device["cuda"]) == [Mode.INFERENCE], mapping
            same(logits(model), expected)


def test_kernel_config_extends_what_is_registered_unless_told_otherwise():
    with directories():
        model = on_device("llama")
        model.set_use_kernels(True, KernelConfig({"RMSNorm": LIGER}))
        assert set(replaced(model).values()) == EVERYTHING
        unkernelize(model)


def test_kernel_config_is_for_the_mode_that_the_model_is_in():
    with directories():
        model = on_device("llama")
        config = KernelConfig({"RMSNorm": LIGER}, inherit_mapping=False)
        model.set_use_kernels(True, config)
        assert set(replaced(model).values()) == NORMS
        # transformers made it for inference, and train() does not make another.
        model.train()
        assert replaced(model) == {}
        model.eval()
        assert set(replaced(model).values()) == NORMS


def test_kernel_config_goes_through_from_pretrained():
    with directories(), tempfile.TemporaryDirectory() as folder:
        expected = logits(saved(folder).to(DEVICE))
        for config in (
            KernelConfig({"RMSNorm": LIGER}),
            KernelConfig({"RMSNorm": {"cuda": (LIGER, {"version": 3})}}),
        ):
            model = load_on_device(folder, config)
            assert set(replaced(model).values()) == EVERYTHING
            same(logits(model), expected)
            unkernelize(model)


def test_a_kernel_with_a_layout_takes_the_place_of_a_class():
    with directories(), tempfile.TemporaryDirectory() as folder:
        expected = logits(saved(folder).to(DEVICE))
        config = KernelConfig({"LlamaMLP": "somebody/fused:GatedMLP"}, inherit_mapping=False)
        try:
            model = load_on_device(folder, config)
        finally:
            unregister_patch_mapping(["LlamaMLP"])
        assert type(model.model.layers[0].mlp).__name__ == "GatedMLPLayout"
        calls()
        same(logits(model), expected)
        assert calls() == {"GatedMLP": 2}


def test_a_kernel_that_fuses_layers_takes_the_place_of_both():
    with directories(), tempfile.TemporaryDirectory() as folder:
        expected = logits(saved(folder).to(DEVICE))
        fused = (
            ("RMSNorm", "model.layers.*.post_attention_layernorm"),
            ("MLP", "model.layers.*.mlp"),
        )
        config = KernelConfig({fused: "somebody/fused:NormedMLP"}, inherit_mapping=False)
        try:
            model = load_on_device(folder, config)
        finally:
            unregister_patch_mapping(["LlamaDecoderLayer"])
        layer = model.model.layers[0]
        assert type(layer.post_attention_layernorm).__name__ == "NormedMLPLayout"
        assert type(layer.mlp) is torch.nn.Identity
        calls()
        same(logits(model), expected)
        assert calls() == {"NormedMLP": 2}


def test_compiled_models_run_the_kernels_that_can_be_compiled():
    with directories():
        model = on_device("llama")
        expected = logits(model)
        model.set_use_kernels(True, mode=Mode.INFERENCE | Mode.TORCH_COMPILE)
        assert set(replaced(model).values()) == {"Silu"}
        same(logits(torch.compile(model, backend="eager")), expected)
        unkernelize(
            model
        )  # torch keeps compiled models, which would go on to claim their functions


def test_attention_is_named_by_its_repository():
    with directories():
        expected = logits(on_device("llama", attn_implementation="eager"))
        model = on_device("llama")
        model.set_attn_implementation("kernels-community/flash-attn2")
        calls()
        same(logits(model), expected)
        assert calls() == {"flash_attn_func": 2}


def main():
    failed = 0
    for name, test in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        try:
            test()
            print(f"ok      {name}")
        except Exception as problem:
            failed += 1
            print(f"FAILED  {name}: {failure(problem)}")
            sys.excepthook(type(problem), problem, problem.__traceback__)
    print(f"{failed} failed; torch {torch.__version__}, transformers {transformers.__version__}")
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)

# SPDX-License-Identifier: Apache-2.0
"""What a program that uses transformers does with kernels, one function for each way to use them; prints what came of
it as JSON. Runs unchanged under this package and under upstream's: `python transformers_scenarios.py NAME...`."""

import json
import logging
import sys
import tempfile

import torch
from transformers_support import small_model

IDS = torch.tensor([[1, 5, 9, 2, 33, 60, 7, 3]])
LAYERS = {
    "llama": ("RMSNorm", "rotary_pos_emb"),
    "qwen3_moe": ("RMSNorm", "rotary_pos_emb"),
    "bert": ("GeLU",),
    "mamba": (
        "causal_conv1d_fn",
        "causal_conv1d_update",
        "mamba_inner_fn",
        "selective_scan_fn",
        "selective_state_update",
    ),
}


def own_mapping_for_cpu(*names):
    """What transformers maps for CUDA, for the CPU."""
    from transformers.integrations import hub_kernels

    own = hub_kernels.get_kernel_mapping_transformers()
    hub_kernels.register_kernel_mapping({name: {"cpu": own[name]["cuda"]} for name in names})


def replaced(model):
    """{path of a module or function: the class that its forward comes from} for what does not run its own."""
    found = {}
    for path, module in model.named_modules():
        functions = getattr(module, "_kernel_funcs", {})
        for name, each in {"": module, **functions}.items():
            forward = getattr(each.forward, "__func__", each.forward)
            if forward is not type(each).forward:
                found[f"{path}.{name}" if name else path] = forward.__qualname__.split(".")[0]
    return found


def calls():
    """How often each layer or function of a kernel ran since the last time."""
    from kernels import get_loaded_kernels

    total = {}
    for loaded in get_loaded_kernels():
        for module in (loaded.module, getattr(loaded.module, "layers", None)):
            counter = getattr(module, "CALLS", {})
            total.update({name: total.get(name, 0) + count for name, count in counter.items()})
            counter.clear()
    return total


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


def largest_difference(one, other):
    return round(float((one - other).abs().max()), 5)


def gradients(model):
    model.zero_grad()
    model(IDS, labels=IDS).loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def error(call, *args, **kwargs):
    """What a call raises: the builtin class that it derives from, which is what callers catch, and the text."""
    try:
        call(*args, **kwargs)
    except Exception as problem:
        return failure(problem)
    return None


def failure(problem):
    known = next(cls for cls in type(problem).__mro__ if cls.__module__ == "builtins")
    return {"raises": known.__name__, "says": str(problem)}


def answers(model):
    """What a model computes, before and after: logits, a generated text, and gradients in training."""
    calls()
    found = {"logits": logits(model), "calls": calls()}
    if model.can_generate():
        options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
        found["text"] = model.generate(IDS, **options).tolist()
        found["calls_of_generate"] = calls()
    model.train()
    found["train"] = replaced(model)
    torch.manual_seed(1)
    found["gradients"] = gradients(model)
    found["calls_of_train"] = calls()
    model.eval()
    return found


def _kernelize(kind):
    """hub_kernels.kernelize, then train() and eval()."""
    from transformers.integrations import hub_kernels

    own_mapping_for_cpu(*LAYERS[kind])
    # First, since the functions that a model uses are replaced for all models of its kind.
    expected = answers(small_model(kind))
    model = small_model(kind)
    out = {"before": [replaced(model), model.use_kernels]}
    hub_kernels.kernelize(model)
    out |= {"eval": replaced(model), "use_kernels": model.use_kernels}
    found = answers(model)
    for name in ("logits", "gradients"):
        out[name] = largest_difference(expected.pop(name), found.pop(name))
    out["text"] = found.pop("text", None) == expected.pop("text", None)
    out["eval_again"] = replaced(model) == out["eval"]
    return out | found | {"expected": expected}


def llama():
    return _kernelize("llama")


def qwen3_moe():
    return _kernelize("qwen3_moe")


def bert():
    return _kernelize("bert")


def mamba():
    return _kernelize("mamba")


def own_mapping():
    """The one layer that transformers maps for CPUs."""
    plain, model = small_model("gpt_oss"), small_model("gpt_oss")
    model.use_kernels = True
    calls()
    expected = logits(plain)
    out = {
        "replaced": replaced(model),
        "difference": largest_difference(expected, logits(model)),
        "calls": calls(),
    }
    model.train()  # the kernel is for inference only
    return out | {"train": replaced(model)}


def from_pretrained():
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    own_mapping_for_cpu("RMSNorm")
    plain = small_model("llama")
    with tempfile.TemporaryDirectory() as folder:
        plain.save_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, use_kernels=True)
        without = AutoModelForCausalLM.from_pretrained(folder)
        out = {
            "replaced": replaced(model),
            "difference": largest_difference(logits(plain), logits(model)),
            "without": [replaced(without), without.use_kernels],
        }
    out["from_config"] = error(LlamaForCausalLM._from_config, plain.config, use_kernels=True)
    made = AutoModelForCausalLM.from_config(plain.config).eval()
    made.use_kernels = True
    out["switched_on"] = replaced(made) == out["replaced"]
    made.use_kernels = False
    out["switched_off"] = [made.use_kernels, replaced(made) == out["replaced"]]
    made.set_use_kernels(False)
    return out | {"set_off": [made.use_kernels, replaced(made) == out["replaced"]]}


def modes():
    """set_use_kernels with a mode of the caller's own."""
    from kernels import Mode

    own_mapping_for_cpu("RMSNorm", "SiLU", "rotary_pos_emb")
    model, out = small_model("llama"), {}
    for mode in (
        Mode.INFERENCE,
        Mode.TRAINING,
        Mode.INFERENCE | Mode.TORCH_COMPILE,
        Mode.TRAINING | Mode.TORCH_COMPILE,
    ):
        model.set_use_kernels(True, mode=mode)
        out[str(mode)] = sorted(set(replaced(model).values()))
    out["fallback"] = error(model.set_use_kernels, True, mode=Mode.FALLBACK)
    return out


def attention():
    """Kernels by the name of the attention."""
    plain = small_model("llama", attn_implementation="eager")
    expected, out = logits(plain), {}
    for name, more in (
        ("kernels-community/flash-attn2", {}),
        ("flash_attention_2", {}),
        ("kernels-community/flash-attn2@main", {}),
        ("somebody/named:plain_attention", {"allow_all_kernels": True}),
        ("somebody/named@v1:plain_attention", {"allow_all_kernels": True}),
        ("somebody/attention@v2", {"allow_all_kernels": True}),
        ("somebody/attention", {}),
        ("somebody/named@v1:plain_attention", {}),
        ("somebody/named:nothing", {"allow_all_kernels": True}),
        ("kernels-community/nowhere", {}),
        ("kernels-community/flash-attn2@nowhere", {}),
        ("kernels-community/deep-gemm@v2", {}),
        ("kernels-community/rwkv", {}),
    ):
        calls()
        model = small_model("llama")
        problem = error(model.set_attn_implementation, name, **more)
        entry = f"{name}{' allowed' if more else ''}"
        if problem:
            out[entry] = problem
            continue
        out[entry] = {
            "is": model.config._attn_implementation,
            "difference": largest_difference(expected, logits(model)),
            "calls": calls(),
        }
    made = error(small_model, "llama", attn_implementation="kernels-community/flash-attn2")
    return out | {"from_config": made}


def module_kernels():
    """Where transformers takes a kernel's module rather than a layer."""
    from transformers.integrations import hub_kernels
    from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

    out = {}
    for name in ("finegrained-fp8", "sonic-moe", "deep-gemm", "unknown"):
        kernel = hub_kernels.lazy_load_kernel(name)
        out[name] = kernel and kernel.SAYS
        out[f"{name} again"] = hub_kernels.lazy_load_kernel(name) is kernel
    out["nvfp4"] = error(hub_kernels.lazy_load_kernel, "nvfp4")
    out["get_kernel"] = hub_kernels.get_kernel("kernels-community/rwkv", version=1).SAYS
    out["get_kernel main"] = hub_kernels.get_kernel("kernels-community/rwkv", revision="main").SAYS
    out["get_kernel untrusted"] = error(hub_kernels.get_kernel, "somebody/attention", version=1)
    allowed = hub_kernels.get_kernel("somebody/attention", version=1, allow_all_kernels=True)
    out["get_kernel allowed"] = sorted(key for key in vars(allowed) if key.startswith("flash"))
    out["flash attention 2"] = is_flash_attn_2_available(kernels_fallback_ok=True)
    out["flash attention 3"] = is_flash_attn_3_available(kernels_fallback_ok=True)
    return out


def model_kernels():
    """Models that bring a kernel of their own."""
    from transformers.integrations.gguf.kernels import get_gguf_kernel, kernelize_ggml_layers
    from transformers.models.mra import modeling_mra
    from transformers.models.rwkv import modeling_rwkv
    from transformers.models.sam3_video import modeling_sam3_video
    from transformers.models.yoso import modeling_yoso

    modeling_rwkv.load_wkv_cuda_kernel(16)
    modeling_mra.load_cuda_kernels()
    modeling_yoso.load_cuda_kernels()
    modeling_sam3_video._load_cv_utils_kernel_once()
    model = small_model("llama")
    kernelize_ggml_layers(model)
    return {
        "rwkv": [
            modeling_rwkv.rwkv_cuda_kernel.SAYS,
            modeling_rwkv.rwkv_cuda_kernel.max_seq_length,
        ],
        "mra": modeling_mra.mra_cuda_kernel.SAYS,
        "yoso": modeling_yoso.lsh_cumulation,
        "sam3": modeling_sam3_video.cv_utils_kernel.SAYS,
        "gguf": get_gguf_kernel(),
        "ggml": replaced(model),
    }


def decorators():
    """The decorators and functions of hub_kernels on layers of one's own."""
    from torch import nn
    from transformers.integrations import hub_kernels

    @hub_kernels.use_kernel_forward_from_hub("GeLU")
    class Own(nn.Module):
        def forward(self, x):
            return nn.functional.gelu(x)

    class Foreign(nn.Module):
        def forward(self, x):
            return nn.functional.silu(x)

    hub_kernels.replace_kernel_forward_from_hub(Foreign, "SiLU")

    @hub_kernels.use_kernel_func_from_hub("SiLU")
    def silu(x):
        return nn.functional.silu(x)

    @hub_kernels.use_kernelized_func(silu)
    class Uses(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return silu(self.linear(x))

    class Model(nn.Module):
        device, kernel_config = torch.device("cpu"), None

        def __init__(self):
            super().__init__()
            self.own, self.foreign, self.uses = Own(), Foreign(), Uses()

        def forward(self, x):
            return self.own(self.foreign(self.uses(x)))

    own_mapping_for_cpu("GeLU", "SiLU")
    torch.manual_seed(0)
    model = Model().eval()
    x = torch.randn(3, 4)
    before = model(x)
    calls()
    hub_kernels.kernelize(model)
    return {
        "replaced": replaced(model),
        "difference": largest_difference(before, model(x)),
        "calls": calls(),
    }


def kernel_config():
    """KernelConfig, which knows no CPU."""
    from transformers import AutoModelForCausalLM, KernelConfig

    from kernels import Mode

    norm = "kernels-community/liger-kernels:LigerRMSNorm"
    pinned = (norm, {"version": 3})

    def load(mapping, **options):
        return error(
            AutoModelForCausalLM.from_pretrained,
            folder,
            use_kernels=True,
            kernel_config=KernelConfig(mapping, **options),
        )

    out = {}
    with tempfile.TemporaryDirectory() as folder:
        small_model("llama").save_pretrained(folder)
        out["cpu"] = load({"RMSNorm": pinned})
        out["cuda is dropped"] = load({"RMSNorm": {"cuda": pinned}})
        out["no such version"] = load({"RMSNorm": norm})
        out["no such layer"] = load(
            {"RMSNorm": ("kernels-community/liger-kernels:Nothing", {"version": 3})}
        )
        out["untrusted"] = load({"RMSNorm": ("somebody/attention:Anything", {"version": 1})})
        out["two devices"] = load({"RMSNorm": {"cuda": pinned, "rocm": pinned}})
        out["no layer name"] = load({"RMSNorm": "kernels-community/liger-kernels"})
    for name, mapping in (
        ("not registered", {"Nothing": norm}),
        ("unknown device", {"RMSNorm": {"abacus": norm}}),
        ("cpu by name", {"RMSNorm": {"cpu": norm}}),
        ("no version", {"RMSNorm": (norm, {})}),
        ("version and revision", {"RMSNorm": {"cuda": (norm, {"version": 3, "revision": "main"})}}),
        ("trust", {"RMSNorm": (norm, {"version": 3, "trust_remote_code": "yes"})}),
        ("other devices", {"RMSNorm": {"cuda": pinned, "npu": norm}}),
    ):
        model, config = small_model("llama"), KernelConfig(mapping)
        out[name] = error(model.set_use_kernels, True, config)
        if out[name] is None:
            out[name] = {"left": config.kernel_mapping, "replaced": replaced(model)}
    out["another type"] = error(small_model("llama").set_use_kernels, True, {"RMSNorm": norm})
    config = KernelConfig()
    arguments = {"device": "cuda", "mode": Mode.INFERENCE, "version": 3}
    config.update_kernel("kernels-community/liger-kernels", "RMSNorm", "LigerRMSNorm", **arguments)
    [made] = config.kernel_mapping["RMSNorm"]["cuda"].values()
    out["update_kernel"] = made.load().__name__
    out["update_kernel both"] = error(
        config.update_kernel, "a/b", "RMSNorm", "LigerRMSNorm", revision="main", **arguments
    )
    return out


def another_device():
    """The kernel_config of a model, with a mapping for the device that it is on."""
    from transformers import KernelConfig
    from transformers.integrations import hub_kernels

    from kernels import LayerRepository, Mode

    own_mapping_for_cpu("RMSNorm", "rotary_pos_emb")
    norm = LayerRepository("kernels-community/liger-kernels", layer_name="LigerRMSNorm", version=3)
    out = {}
    for inherit in (True, False):
        model = small_model("llama")
        model.kernel_config = KernelConfig(
            {"RMSNorm": {"cpu": {Mode.INFERENCE: norm}}}, inherit_mapping=inherit
        )
        hub_kernels.kernelize(model)
        out[f"inherit {inherit}"] = sorted(set(replaced(model).values()))
    return out


def without_hub_kernels():
    """For USE_HUB_KERNELS=0."""
    from transformers.integrations import hub_kernels

    own_mapping_for_cpu("RMSNorm", "rotary_pos_emb", "GeLU")
    out = {"enabled": hub_kernels._kernels_enabled}
    for kind in ("llama", "bert", "mamba"):
        model = small_model(kind)
        model.use_kernels = True
        out[kind] = [model.use_kernels, replaced(model), hasattr(model, "_kernel_funcs")]
    out["lazy"] = hub_kernels.lazy_load_kernel("finegrained-fp8")
    out["get_kernel"] = hub_kernels.get_kernel("kernels-community/rwkv", version=1).SAYS
    return out


def main(functions, names):
    from kernels import register_kernel_mapping

    logging.disable(logging.WARNING)
    results = {}
    for name in names:
        register_kernel_mapping({}, inherit_mapping=False)
        try:
            results[name] = functions[name]()
        except Exception as problem:
            import traceback

            traceback.print_exc()
            results[name] = failure(problem)
    print(json.dumps(results))


if __name__ == "__main__":
    main(globals(), sys.argv[1:])

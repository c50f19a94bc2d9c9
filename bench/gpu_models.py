# SPDX-License-Identifier: Apache-2.0
"""What a process of bench_gpu_models.py does: one model, with or without kernels, its tasks, their times."""

import re
import time
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import DynamicCache, StaticCache
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.models.llama.modeling_llama import LlamaMLP

PROMPT = 32  # tokens before the first that is decoded
ROOM = 128  # tokens in a static cache
WARM_UP = 3

LLAMA = {"vocab_size": 128256, "max_position_embeddings": 8192, "tie_word_embeddings": True}
MODELS = {
    "llama-1b": {
        "config": LLAMA
        | {
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
        },
        "batches": (1, 16),
        "prefill": 4096,
        "training": (1, 2048),
    },
    # AdamW's states, gradients and weights of a training step would take 64 GB before the first activation.
    "llama-8b": {
        "config": LLAMA
        | {
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "tie_word_embeddings": False,
        },
        "batches": (1, 16),
        "prefill": 4096,
    },
    "bert-base": {
        "config": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
        "inputs": ((1, 128), (32, 128)),
        "training": (32, 128),
    },
    "tiny-llama": {
        "config": {
            "vocab_size": 256,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
        "batches": (1, 2),
        "prefill": 16,
        "training": (1, 16),
    },
    "tiny-bert": {
        "config": {
            "vocab_size": 256,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        "inputs": ((1, 16),),
        "training": (2, 16),
    },
}


def build(name, device):
    """A model of random weights, the same in every process."""
    torch.manual_seed(0)
    options = MODELS[name]["config"]
    with torch.device(device):
        if "bert" in name:
            config = transformers.BertConfig(**options)
            return transformers.AutoModelForMaskedLM.from_config(config, dtype=torch.bfloat16)
        config = transformers.LlamaConfig(**options)
        return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def kernelized(model, device):
    """With all kernels of `builtin_mapping()`. transformers names norms, activations and the rotation itself."""
    from kernels import (
        Mode,
        builtin_mapping,
        explain,
        kernelize,
        replace_kernel_forward_from_hub,
        use_kernel_forward_from_hub,
        use_kernel_mapping,
    )

    replace_kernel_forward_from_hub(LlamaMLP, "SwiGLUMLP")
    replace_kernel_forward_from_hub(nn.LayerNorm, "LayerNorm")
    if "Llama" in type(model).__name__:
        model.loss_function = use_kernel_forward_from_hub("ForCausalLMLoss")(ForCausalLMLoss)
    with use_kernel_mapping(builtin_mapping(), inherit_mapping=False):
        kernelize(model, mode=Mode.TRAINING | Mode.TORCH_COMPILE, device=device)
    layers = {each.layer_name: each.repo for each in explain(model) if each.applied}
    if not layers:
        raise SystemExit(f"nothing was replaced on {device}: is there a build for it?")
    return layers


def tokens(model, batch, length):
    made = torch.Generator().manual_seed(1)
    ids = torch.randint(model.config.vocab_size, (batch, length), generator=made)
    return ids.to(model.device)


class Task:
    """A model and a way to run it. `calls` of step() are timed after a restart(); outcome() is what the ways are
    compared by."""

    def __init__(self, model, run):
        self.model, self.run = model, run

    def outcome(self):
        self.restart()
        return self.step()


class Decoding(Task):
    """Greedy decoding after a short prompt, a token a call."""

    calls = 12

    def __init__(self, model, run, batch, grows=False):
        super().__init__(model, run)
        self.grows = grows
        self.prompt, self.first = tokens(model, batch, PROMPT), tokens(model, batch, 1)
        self.cache = None if grows else StaticCache(config=model.config, max_cache_len=ROOM)

    def restart(self):
        self.model.eval()
        if self.grows:
            self.cache = DynamicCache(config=self.model.config)
        else:
            self.cache.reset()
        with torch.no_grad():
            self.model(self.prompt, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.token = self.first

    @torch.no_grad()
    def step(self):
        torch.compiler.cudagraph_mark_step_begin()
        logits = self.run(self.token, past_key_values=self.cache, use_cache=True).logits
        self.token = logits.argmax(-1)
        return logits


class Inference(Task):
    """A call over whole sequences; a decoder keeps keys and values and gives the logits of the last token."""

    calls = 4

    def __init__(self, model, run, batch, length):
        super().__init__(model, run)
        self.ids = tokens(model, batch, length)
        is_decoder = hasattr(model, "lm_head")
        self.options = {"use_cache": True, "logits_to_keep": 1} if is_decoder else {}

    def restart(self):
        self.model.eval()

    @torch.no_grad()
    def step(self):
        torch.compiler.cudagraph_mark_step_begin()
        return self.run(self.ids, **self.options).logits


class Training(Task):
    """Forward, backward and a step of AdamW. Its rate is 0: every step meets the same weights."""

    calls = 2

    def __init__(self, model, run, batch, length):
        super().__init__(model, run)
        self.ids = tokens(model, batch, length)
        self.options = {"use_cache": False} if hasattr(model, "lm_head") else {}
        fused = model.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=0.0, weight_decay=0.0, fused=fused
        )

    def restart(self):
        self.model.train()

    def backward(self):
        torch.compiler.cudagraph_mark_step_begin()
        loss = self.run(self.ids, labels=self.ids, **self.options).loss
        loss.backward()
        return loss

    def step(self):
        self.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def outcome(self):
        """The gradients of all vectors, which come from every layer, and the loss."""
        self.restart()
        loss = self.backward().detach()
        gradients = [p.grad.flatten() for p in self.model.parameters() if p.ndim == 1]
        found = torch.cat([loss.reshape(1), *gradients])
        self.optimizer.zero_grad(set_to_none=True)
        return found


def tasks_of(name, model):
    """{task: function that makes the task for a way to run the model}"""
    spec, tasks = MODELS[name], {}
    for batch in spec.get("batches", ()):
        tasks[f"decode, batch {batch}"] = lambda run, b=batch: Decoding(model, run, b)
    if "batches" in spec:
        tasks["decode, batch 1, growing cache"] = lambda run: Decoding(model, run, 1, grows=True)
        tasks[f"prefill of {spec['prefill']}"] = lambda run: Inference(
            model, run, 1, spec["prefill"]
        )
    for shape in spec.get("inputs", ()):
        tasks[f"forward, {shape[0]} x {shape[1]}"] = lambda run, s=shape: Inference(model, run, *s)
    if "training" in spec:
        batch, length = spec["training"]
        tasks[f"training step, {batch} x {length}"] = lambda run: Training(
            model, run, batch, length
        )
    return tasks


def synchronize():
    if state["device"] == "cuda":
        torch.cuda.synchronize()


def prepare(task, way):
    """Compiles and warms up; keeps what the way computes, for comparison."""
    mode, run = state["ways"][way][0], state["model"]
    if mode is not None:
        run = torch.compile(run, mode=mode, fullgraph=True, dynamic=False)
    made = state["tasks"][task](run)
    result = made.outcome().detach().float().cpu()
    torch.save(result, Path(state["folder"], f"{task}-{way}.pt"))
    made.restart()
    for _ in range(WARM_UP):
        made.step()
    synchronize()
    return made


def time_calls(made):
    made.restart()
    made.step()
    synchronize()
    start = time.perf_counter()
    for _ in range(made.calls):
        made.step()
    synchronize()
    return (time.perf_counter() - start) * 1e3 / made.calls


KINDS = {  # what a kernel on the device is for, by its name; the first that fits
    "ours": r"\b(norm|activation|loss|turn)_job\b",
    "attention": r"flash|fmha|attention|softmax",
    "matrix products": r"gemm|gemv|nvjet|cutlass|cublas|splitK|xmma|dot_kernel",
    "optimizer": r"multi_tensor_apply|FusedAdam",
}


def kind_of(name):
    found = (kind for kind, pattern in KINDS.items() if re.search(pattern, name, re.IGNORECASE))
    return next(found, "other")


def profile(made):
    """Milliseconds of a call: in all, on the device by kind of kernel, and without any."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    wall = time_calls(made)
    made.restart()
    with profiler(activities=[ProfilerActivity.CUDA], acc_events=True) as found:
        for _ in range(made.calls):
            made.step()
        synchronize()
    kinds, launches = dict.fromkeys([*KINDS, "other"], 0.0), 0
    for event in found.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            kinds[kind_of(event.name)] += event.device_time_total / 1e3 / made.calls
            launches += 1
    busy = sum(kinds.values())
    return {
        "ms": wall,
        "kinds": kinds,
        "no kernel": max(wall - busy, 0.0),
        "launches": launches / made.calls,
    }


state = {"made": {}, "errors": {}}


def start(model, with_kernels, device, folder, ways):
    state.update(device=device, folder=folder, ways=ways)
    torch._dynamo.config.recompile_limit = 64
    if device == "cpu":
        torch.set_num_threads(1)  # several processes prepare at a time
    state["model"] = build(model, device)
    layers = kernelized(state["model"], device) if with_kernels else {}
    state["tasks"] = tasks_of(model, state["model"])
    return {"layers": layers}


def prepare_all(pairs, seconds):
    begun = time.perf_counter()
    for task, way in pairs:
        if time.perf_counter() - begun > seconds:
            state["errors"][task, way] = "not begun: the time for preparations was over"
            continue
        try:
            state["made"][task, way] = prepare(task, way)
        except Exception as error:  # torch.compile raises what it likes; the others go on
            state["errors"][task, way] = f"{type(error).__name__}: {str(error)[:500]}"
        if state["device"] == "cuda":
            torch.cuda.empty_cache()
    return {"seconds": time.perf_counter() - begun}


def measure(action, **arguments):
    if action == "start":
        return start(**arguments)
    if action == "prepare":
        return prepare_all(**arguments)
    key = arguments["task"], arguments["way"]
    if key not in state["made"]:
        return {"error": state["errors"][key]}
    try:
        made = state["made"][key]
        return {"ms": time_calls(made)} if action == "time" else profile(made)
    except torch.OutOfMemoryError as error:
        return {"error": str(error)[:500]}

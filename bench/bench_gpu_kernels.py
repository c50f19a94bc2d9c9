# SPDX-License-Identifier: Apache-2.0
"""The CUDA builds of the first-party kernels against a copy, eager torch, torch.compile and Liger.

    bench_gpu_kernels.py [--kernels build/kernels/out] [--only host,norm,activation,rotary,loss] [--json FILE]

Times are those of one call among many in a CUDA graph, bfloat16: the median of the replays, the
ways taken in turns. "of copy" is the bytes that the operation must move, per second, over those of
a copy that moves as many. Liger is measured where it is installed.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

VARIANT = "torch-stable-abi210-cu130-x86_64-linux"
BF16 = torch.bfloat16
NAMES = ("activation", "loss", "mlp", "norm", "rotary")
MISSED = []
RESULTS = []  # what --json writes


def load_kernel(directory, name):
    """Imports the build for CUDA of a kernel."""
    variant = directory / name / "build" / VARIANT
    if not variant.is_dir():
        sys.exit(f"there is no {variant}: `make kernels` makes it, with nvcc")
    module_name = json.loads((variant / "metadata.json").read_text())["id"]
    spec = importlib.util.spec_from_file_location(module_name, variant / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


def made(*shape, dtype=BF16):
    return torch.randn(*shape, device="cuda", dtype=torch.float32).to(dtype)


def graph_of(function, bytes_moved):
    """A graph of as many calls as take about a millisecond, and their number."""
    calls = max(3, min(200, int(3e9 / max(bytes_moved, 1))))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            function()
    return graph, calls


def calls_of(way):
    """What replays as a graph does, of a way that waits for the device and cannot be in one."""

    class Calls:
        def replay(self):
            for _ in range(3):
                way()

    Calls().replay()
    return Calls(), 3


def seconds_of(ways, bytes_moved, waiting=(), rounds=25):
    """Median seconds of one call of each way; a way that fails has none."""
    graphs, found = {}, {}
    for name, way in ways.items():
        try:
            graphs[name] = calls_of(way) if name in waiting else graph_of(way, bytes_moved)
        except Exception as error:
            print(f"  {name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
    times = {name: [] for name in graphs}
    for _ in range(rounds):
        for name, (graph, calls) in graphs.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            times[name].append(start.elapsed_time(end) / 1e3 / calls)
    for name in graphs:
        found[name] = statistics.median(times[name][3:])
    return found


def copy_of(bytes_moved):
    source = torch.empty(max(bytes_moved // 2, 16), dtype=torch.uint8, device="cuda")
    source.random_()
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def report(what, ways, bytes_moved, goal_us=None, goal_of_copy=None, waiting=()):
    """Measures and prints one line; a goal in microseconds, or as a share of the copy's rate.

    `waiting` names the ways that wait for the device, which no graph can hold.
    """
    times = seconds_of(ways | {"copy": copy_of(bytes_moved)}, bytes_moved, waiting)
    ours, copy = times["ours"], times["copy"]
    others = {n: t for n, t in times.items() if n not in ("ours", "copy")}
    parts = [f"{what}: ours {ours * 1e6:.2f} us ({bytes_moved / ours / 1e9:.0f} GB/s)"]
    parts.append(f"copy {copy * 1e6:.2f}, of copy {copy / ours:.3f}")
    parts += [f"{name} {t * 1e6:.2f}" for name, t in others.items()]
    if others:
        parts.append(f"best other / ours {min(others.values()) / ours:.2f}")
    reached = True
    if goal_us is not None:
        reached = ours * 1e6 <= goal_us
        parts.append(f"goal <= {goal_us} us")
    if goal_of_copy is not None:
        reached = copy / ours >= goal_of_copy
        parts.append(f"goal >= {goal_of_copy} of copy")
    if others and min(others.values()) * 1.02 < ours:
        reached = False
    parts.append("reached" if reached else "MISSED")
    if not reached:
        MISSED.append(what)
    goal = f"<= {goal_us} us" if goal_us is not None else ""
    goal = goal if goal_of_copy is None else f">= {goal_of_copy} of copy"
    us = {name: seconds * 1e6 for name, seconds in times.items()}
    RESULTS.append({"what": what, "us": us, "goal": goal, "reached": reached})
    print(" | ".join(parts), flush=True)
    torch.cuda.empty_cache()


def eager_rms(x, weight, eps):
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * wide.to(x.dtype)


def compiled(function):
    torch._dynamo.reset()
    return torch.compile(function, dynamic=False)


def liger():
    try:
        import liger_kernel.ops as ops
    except ImportError:
        return None
    return ops


def both_ways(function, inputs, grads):
    def run():
        outputs = function(*inputs)
        return torch.autograd.grad(outputs, inputs, grads)

    return run


def rms_norm(norm, rows, width, goal_us=None, share=None):
    x, weight, other = made(rows, width), made(width), compiled(eager_rms)
    ways = {
        "ours": lambda: norm.rms_norm(x, weight, 1e-6, cast_first=True),
        "eager": lambda: eager_rms(x, weight, 1e-6),
        "F": lambda: F.rms_norm(x, (width,), weight, 1e-6),
        "compiled": lambda: other(x, weight, 1e-6),
    }
    if ops := liger():
        apply = ops.LigerRMSNormFunction.apply
        ways["liger"] = lambda: apply(x, weight, 1e-6, 0.0, "llama", False)
    report(f"RMSNorm {rows} x {width}", ways, 4 * rows * width, goal_us, share)


def layer_norm(norm, rows, width, goal_us=None, share=None):
    x, weight, bias, other = made(rows, width), made(width), made(width), compiled(F.layer_norm)
    ways = {
        "ours": lambda: norm.layer_norm(x, weight, bias, 1e-6),
        "F": lambda: F.layer_norm(x, (width,), weight, bias, 1e-6),
        "compiled": lambda: other(x, (width,), weight, bias, 1e-6),
    }
    if ops := liger():
        ways["liger"] = lambda: ops.LigerLayerNormFunction.apply(x, weight, bias, 1e-6)
    report(f"LayerNorm {rows} x {width}", ways, 4 * rows * width, goal_us, share)


def eager_add(x, residual, weight):
    total = x + residual
    return eager_rms(total, weight, 1e-6), total


def add_norm(norm, rows, width, goal_us):
    x, residual, weight = made(rows, width), made(rows, width), made(width)
    other = compiled(eager_add)
    ways = {
        "ours": lambda: norm.fused_add_rms_norm(x, residual, weight, 1e-6, cast_first=True),
        "compiled": lambda: other(x, residual, weight),
    }
    if ops := liger():
        apply = ops.LigerFusedAddRMSNormFunction.apply
        ways["liger"] = lambda: apply(x, residual, weight, 1e-6)
    report(f"add + RMSNorm {rows} x {width}", ways, 8 * rows * width, goal_us)


def norm_both_ways(norm, rows, width, goal_us, share):
    x, weight = made(rows, width).requires_grad_(), made(width).requires_grad_()
    bias, grad = made(width).requires_grad_(), made(rows, width)
    other = compiled(eager_rms)
    ways = {
        "ours": both_ways(lambda a, w: norm.rms_norm(a, w, 1e-6), (x, weight), grad),
        "F": both_ways(lambda a, w: F.rms_norm(a, (width,), w, 1e-6), (x, weight), grad),
        "compiled": both_ways(lambda a, w: other(a, w, 1e-6), (x, weight), grad),
    }
    if ops := liger():
        apply = ops.LigerRMSNormFunction.apply
        ways["liger"] = both_ways(
            lambda a, w: apply(a, w, 1e-6, 0.0, "llama", False), (x, weight), grad
        )
    moved = 10 * rows * width
    report(f"RMSNorm forward + backward {rows} x {width}", ways, moved, goal_us)
    inputs, other = (x, weight, bias), compiled(F.layer_norm)
    ways = {
        "ours": both_ways(lambda a, w, b: norm.layer_norm(a, w, b, 1e-6), inputs, grad),
        "F": both_ways(lambda a, w, b: F.layer_norm(a, (width,), w, b, 1e-6), inputs, grad),
        "compiled": both_ways(lambda a, w, b: other(a, (width,), w, b, 1e-6), inputs, grad),
    }
    if ops := liger():
        apply = ops.LigerLayerNormFunction.apply
        ways["liger"] = both_ways(lambda a, w, b: apply(a, w, b, 1e-6), inputs, grad)
    report(f"LayerNorm forward + backward {rows} x {width}", ways, moved, None, share)


def bench_norm(kernels):
    norm = kernels["norm"]
    with torch.no_grad():
        for bench in (rms_norm, layer_norm):
            bench(norm, 1, 4096, goal_us=1.6)
            bench(norm, 16, 4096, goal_us=1.7)
            bench(norm, 1024, 4096, goal_us=4.1)
            bench(norm, 8192, 4096, share=0.98)
            bench(norm, 16384, 8192, share=0.98)
        rms_norm(norm, 262144, 128, share=0.98)
        add_norm(norm, 1024, 4096, 8.0)
        add_norm(norm, 8192, 4096, 90)
        add_norm(norm, 16384, 8192, 362)
    norm_both_ways(norm, 8192, 4096, 160, 0.9)


def gate_one(x):
    half = x.shape[-1] // 2
    return F.silu(x[..., :half]) * x[..., half:]


def gate_two(a, b):
    return F.silu(a) * b


def silu_and_mul(activation, rows, width, goal_us=None, share=None):
    x, other = made(rows, 2 * width), compiled(gate_one)
    ways = {
        "ours": lambda: activation.silu_and_mul(x),
        "eager": lambda: gate_one(x),
        "compiled": lambda: other(x),
    }
    report(f"SiluAndMul {rows} x {width}", ways, 6 * rows * width, goal_us, share)


def silu_mul(mlp, rows, width, goal_us):
    a, b, other = made(rows, width), made(rows, width), compiled(gate_two)
    ways = {"ours": lambda: mlp.silu_mul(a, b), "compiled": lambda: other(a, b)}
    if ops := liger():
        ways["liger"] = lambda: ops.LigerSiLUMulFunction.apply(a, b)
    report(f"SiLU(a) * b {rows} x {width}", ways, 6 * rows * width, goal_us)


def flat(name, mine, function):
    x = made(8192, 4096)
    ways = {"ours": lambda: mine(x), "eager": lambda: function(x)}
    report(f"{name} 8192 x 4096", ways, 4 * x.numel(), None, 0.98)


def bench_activation(kernels):
    activation, mlp = kernels["activation"], kernels["mlp"]
    with torch.no_grad():
        silu_and_mul(activation, 1, 4096, goal_us=1.1)
        silu_and_mul(activation, 1024, 4096, goal_us=6.2)
        silu_and_mul(activation, 8192, 4096, share=1.0)
        silu_mul(mlp, 1024, 4096, 5.0)
        silu_mul(mlp, 8192, 4096, 63.5)
        silu_mul(mlp, 16384, 8192, 262)
        flat("SiLU", activation.silu, F.silu)
        flat("GELU", activation.gelu, F.gelu)
        flat("GELU (tanh)", activation.gelu_tanh, lambda x: F.gelu(x, approximate="tanh"))
    a, b = made(8192, 4096).requires_grad_(), made(8192, 4096).requires_grad_()
    grad, other = made(8192, 4096), compiled(gate_two)
    ways = {
        "ours": both_ways(mlp.silu_mul, (a, b), grad),
        "eager": both_ways(gate_two, (a, b), grad),
        "compiled": both_ways(other, (a, b), grad),
    }
    report("SiLU(a) * b forward + backward 8192 x 4096", ways, 16 * a.numel(), None, 0.9)


def rotate(x):
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


def eager_rotary(q, k, cos, sin):
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return q * cos + rotate(q) * sin, k * cos + rotate(k) * sin


def eager_rotary_in_place(q, k, cos, sin):
    for tensor, turned in zip((q, k), eager_rotary(q, k, cos, sin), strict=True):
        tensor.copy_(turned)


def rotary_of(rotary, what, q, k):
    cos, sin, other = made(1, 8192, 128), made(1, 8192, 128), compiled(eager_rotary)
    ways = {
        "ours": lambda: rotary.apply_rotary(q, k, cos, sin),
        "eager": lambda: eager_rotary(q, k, cos, sin),
        "compiled": lambda: other(q, k, cos, sin),
    }
    if ops := liger():
        ways["liger"] = lambda: ops.LigerRopeFunction.apply(q, k, cos, sin)
    moved = 4 * (q.numel() + k.numel())
    report(f"rotary, 32 + 8 heads, 8192 x 128, {what}", ways, moved, 57)
    other = compiled(eager_rotary_in_place)
    ways = {
        "ours": lambda: rotary.apply_rotary(q, k, cos, sin, out=(q, k)),
        "compiled": lambda: other(q, k, cos, sin),
    }
    report(f"the same in place, {what}", ways, moved, 57)


def bench_rotary(kernels):
    with torch.no_grad():
        rotary_of(kernels["rotary"], "by head", made(1, 32, 8192, 128), made(1, 8, 8192, 128))
        q, k = (made(1, 8192, heads, 128).transpose(1, 2) for heads in (32, 8))
        rotary_of(kernels["rotary"], "by position", q, k)


def bench_loss(kernels):
    cross_entropy, rows, classes = kernels["loss"].cross_entropy, 4096, 128256
    logits = made(rows, classes).requires_grad_()
    target = torch.randint(classes, (rows,), device="cuda")
    other = compiled(lambda x, t: F.cross_entropy(x.float(), t))

    def way(function):
        return lambda: torch.autograd.grad(function(logits, target), logits)

    ways = {"ours": way(cross_entropy), "compiled": way(other)}
    peaks = {}
    for name, run in (ways | {"in place": way(in_place(cross_entropy))}).items():
        run()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        peaks[name] = (torch.cuda.max_memory_allocated() - before) / 1e9
    print("peak over the logits, GB: " + ", ".join(f"{n} {p:.3f}" for n, p in peaks.items()))
    if peaks["in place"] > 0.1:
        MISSED.append("memory of the loss in place")
    moved = 4 * logits.numel()
    report(f"cross entropy forward + backward {rows} x {classes}", ways, moved, 1250)
    ways = {"ours": way(in_place(cross_entropy))}
    if ops := liger():  # in place, too
        apply = ops.LigerCrossEntropyFunction.apply
        ways["liger"] = way(lambda x, t: apply(x, t, None)[0])
    report(f"the same in place {rows} x {classes}", ways, moved, 1250, waiting=("liger",))


def in_place(cross_entropy):
    return lambda x, t: cross_entropy(x, t, in_place=True)


def host_seconds(way, calls=300):
    way()
    torch.cuda.synchronize()
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(calls):
            way()
        best = min(best, (time.perf_counter() - start) / calls)
        torch.cuda.synchronize()
    return best


def bench_host(kernels):
    norm, x, weight = kernels["norm"], made(1, 4096), made(4096)
    layer, plain = (torch.nn.RMSNorm(4096, 1e-6, device="cuda", dtype=BF16) for _ in range(2))
    layer.forward = norm.layers.RMSNorm.forward.__get__(layer)
    out, kern = torch.empty_like(x), norm._ops._norm_kern
    with torch.no_grad():
        other = compiled(eager_rms)
        ways = {
            "ours": lambda: layer(x),
            "rms_norm": lambda: norm.rms_norm(x, weight, 1e-6),
            "rms_norm, out=": lambda: norm.rms_norm(x, weight, 1e-6, out=out),
            "direct call": lambda: kern.rms_norm(x, weight, 1, 1e-6, False),
            "registered op": lambda: norm._ops._rms_norm(x, weight, 1, 1e-6, False),
            "F": lambda: plain(x),
            "eager": lambda: eager_rms(x, weight, 1e-6),
            "compiled": lambda: other(x, weight, 1e-6),
            "empty_like": lambda: torch.empty_like(x),
        }
        found = {name: host_seconds(way) * 1e6 for name, way in ways.items()}
    reached = "reached" if found["ours"] <= 5.0 else "MISSED"
    print("host us of one RMSNorm call: " + ", ".join(f"{n} {t:.2f}" for n, t in found.items()))
    RESULTS.append(
        {"what": "host time of one call of the layer RMSNorm", "us": found, "goal": "<= 5 us"}
    )
    RESULTS[-1]["reached"] = reached == "reached"
    print(f"host us of the layer: {found['layer (ours)']:.2f}, goal <= 5: {reached}")


BENCHES = {
    "host": bench_host,
    "norm": bench_norm,
    "activation": bench_activation,
    "rotary": bench_rotary,
    "loss": bench_loss,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[1] / "build/kernels/out"
    parser.add_argument("--kernels", type=Path, default=default)
    parser.add_argument("--only", default="host,norm,activation,rotary,loss")
    parser.add_argument("--json", type=Path, help="a file for what was measured")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench_gpu_kernels: there is no CUDA device")
        return
    torch.manual_seed(0)
    kernels = {n: load_kernel(arguments.kernels, n) for n in NAMES}
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    for name in arguments.only.split(","):
        BENCHES[name](kernels)
    if arguments.json is not None:
        machine = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
        report = {"machine": machine, "results": RESULTS}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print("missed: " + (", ".join(MISSED) or "nothing"))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Host time of a call with a gradient, and of the call with its backward: ours against eager torch.

    python bench/bench_grad_call.py [--rounds N]

Small tensors, one thread, all ways in turns; the least time of each counts. The gradient of the result is
given, and the gradients of the inputs are returned, not stored. "torch" is torch.nn.functional's own function
where there is one, else the ops that a model spells out. KN_BUILTIN_DIR names the folder of the built kernels; by
default that of the installed package.
"""

import argparse

import torch
import torch.nn.functional as F
from bench_cpu_kernels import eager_rms, eager_rotary, gated
from bench_rmsnorm_call import least_times, load
from side_by_side import table

KERNELS = ("norm", "activation", "mlp", "rotary", "loss")


def leaf(*shape):
    return torch.randn(*shape, requires_grad=True)


def eager_fused(x, residual, w, b):
    total = x + residual
    return F.layer_norm(total, (64,), w, b), total


def cases(norm, act, mlp, rotary, loss):
    """Name, inputs to differentiate, ours, torch's."""
    x, other, wide, w, b = leaf(4, 64), leaf(4, 64), leaf(4, 128), leaf(64), leaf(64)
    q, k, cos, sin = leaf(1, 4, 4, 16), leaf(1, 2, 4, 16), *torch.randn(2, 1, 4, 16)
    target = torch.tensor([1, 5, 0, 7])
    return [
        ("LayerNorm", (x, w, b), norm.layer_norm, lambda x, w, b: F.layer_norm(x, (64,), w, b)),
        ("RMSNorm", (x, w), lambda x, w: norm.rms_norm(x, w, 1e-6),
         lambda x, w: F.rms_norm(x, (64,), w, 1e-6)),
        ("RMSNorm of a model", (x, w), lambda x, w: norm.rms_norm(x, w, 1e-6, cast_first=True),
         eager_rms),
        ("add and LayerNorm", (x, other, w, b), norm.fused_add_layer_norm, eager_fused),
        ("gated RMSNorm", (x, other, w), norm.rms_norm_gated,
         lambda x, gate, w: F.rms_norm(x, (64,), w) * F.silu(gate)),
        ("GELU", (x,), act.gelu, F.gelu),
        ("SiLU", (x,), act.silu, F.silu),
        ("SiluAndMul", (wide,), act.silu_and_mul, gated(F.silu)),
        ("SiLU times up", (x, other), mlp.silu_mul, lambda gate, up: F.silu(gate) * up),
        ("rotary", (q, k), lambda q, k: rotary.apply_rotary(q, k, cos, sin),
         lambda q, k: eager_rotary(q, k, cos, sin)),
        ("cross entropy", (x,), lambda x: loss.cross_entropy(x, target),
         lambda x: F.cross_entropy(x, target)),
    ]  # fmt: skip


def with_backward(function, inputs):
    """The call and its backward, and the gradients that this gives."""
    example = function(*inputs)
    grads = torch.ones_like(example) if isinstance(example, torch.Tensor) else None
    grads = tuple(map(torch.ones_like, example)) if grads is None else grads
    return lambda: torch.autograd.grad(function(*inputs), inputs, grads)


def compare(name, inputs, ours, theirs, rounds):
    both_ours, both_theirs = with_backward(ours, inputs), with_backward(theirs, inputs)
    for found, expected in zip(both_ours(), both_theirs(), strict=True):
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4), name
    ways = {
        "torch": lambda x: theirs(*inputs),
        "ours": lambda x: ours(*inputs),
        "torch both": lambda x: both_theirs(),
        "ours both": lambda x: both_ours(),
    }
    times = least_times(ways, None, rounds)
    ratio = times["torch both"] / times["ours both"]
    return [name, *(f"{time:.1f}" for time in times.values()), f"{ratio:.2f}x"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [compare(*case, rounds) for case in cases(*map(load, KERNELS))]
    print("us on the host, 4 rows of 64 float32, one thread")
    head = ["", "torch: call", "ours", "torch: with backward", "ours", "torch / ours"]
    table(head, lines)


if __name__ == "__main__":
    main()

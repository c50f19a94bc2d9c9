# SPDX-License-Identifier: Apache-2.0
"""Every CUDA kernel at a few sizes, for compute-sanitizer: see tools/test_sanitized_cuda.sh.

Not a test by itself: the sanitizer's findings are what counts.
"""

import os
import sys
from functools import partial
from pathlib import Path

import torch
from conftest import CUDA_VARIANT, load_variant

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def made(*shape, dtype):
    return torch.randn(*shape, device="cuda").to(dtype).requires_grad_()


def run(function, *inputs):
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    torch.autograd.grad(outputs, inputs, [torch.ones_like(y) for y in outputs])


def norms(norm, dtype):
    for rows, width in ((3, 1), (700, 7), (70, 128), (5, 1000), (300, 4096), (9, 4097), (3, 40000)):
        x, weight, bias = (
            made(rows, width, dtype=dtype),
            made(width, dtype=dtype),
            made(width, dtype=dtype),
        )
        run(norm.rms_norm, x, weight)
        run(norm.layer_norm, x, weight, bias)
        run(norm.fused_add_rms_norm, x, made(rows, width, dtype=dtype), weight)
        run(norm.rms_norm_gated, x, made(rows, width, dtype=dtype), weight)
        wide = made(width, dtype=torch.float32)
        run(partial(norm.rms_norm, cast_first=True), x, wide)


def activations(activation, mlp, dtype):
    for rows, width in ((1, 1), (3, 7), (33, 128), (9, 5001)):
        x, y = made(rows, 2 * width, dtype=dtype), made(rows, 2 * width, dtype=dtype)
        for name in ("silu", "gelu", "gelu_tanh", "quick_gelu", "silu_and_mul", "gelu_and_mul"):
            run(getattr(activation, name), x)
        run(mlp.silu_mul, x, y)
        run(mlp.silu_mul, x[:, :width], y[:, width:])


def rotaries(rotary, dtype):
    for width, positions in ((6, 5), (80, 3), (128, 37)):
        q, k = (made(2, h, positions, width, dtype=dtype) for h in (5, 2))
        cos, sin = (torch.randn(2, positions, width, device="cuda").to(dtype) for _ in range(2))
        for side in (False, True):
            turn = partial(rotary.apply_rotary, cos=cos, sin=sin, interleaved=side)
            run(turn, q, k)


def losses(loss, dtype):
    for classes in (1, 7, 1000, 40000, 40001):
        logits, target = made(5, classes, dtype=dtype), torch.randint(classes, (5,), device="cuda")
        target[1] = -100
        for options in ({}, {"reduction": "none"}, {"in_place": True}):
            run(partial(loss.cross_entropy, target=target, **options), logits)


def main():
    directory = Path(os.environ["KN_BUILTIN_DIR"])
    names = ("activation", "loss", "mlp", "norm", "rotary")
    kernels = {n: load_variant(directory / n / "build" / CUDA_VARIANT) for n in names}
    for dtype in DTYPES:
        norms(kernels["norm"], dtype)
        activations(kernels["activation"], kernels["mlp"], dtype)
        rotaries(kernels["rotary"], dtype)
        losses(kernels["loss"], dtype)
    torch.cuda.synchronize()
    print("done", file=sys.stderr)


if __name__ == "__main__":
    main()

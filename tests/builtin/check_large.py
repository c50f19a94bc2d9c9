# SPDX-License-Identifier: Apache-2.0
"""More than 2^31 elements in one call, in bfloat16: needs about 10 GiB, so it is run by `make test-large` only."""

import torch
import torch.nn.functional as F
from conftest import KERNELS, VARIANT, find_builtin_dir, load_variant

ROWS, WIDTH = 2**16 + 1, 2**15  # 2^31 + 2^15 elements
SAMPLES = (0, ROWS // 2, ROWS - 1)


def close(found, exact):
    return torch.allclose(found.float(), exact.float(), rtol=1e-2, atol=1e-2)


def turned(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def cases(kernels, x):
    """Name, a call that gives a result, and what that is for some rows. One more tensor of x's size at a time."""
    activation, norm, mlp = kernels["activation"], kernels["norm"], kernels["mlp"]
    weight = torch.ones(WIDTH, dtype=x.dtype)
    cos, sin = (torch.randn(WIDTH).to(x.dtype) for _ in range(2))
    target = torch.arange(ROWS) % WIDTH
    half = WIDTH // 2
    yield "silu_mul", lambda: mlp.silu_mul(x, x), lambda rows: F.silu(x[rows]) * x[rows]
    yield (
        "silu_and_mul",
        lambda: activation.silu_and_mul(x),
        lambda rows: F.silu(x[rows, :half]) * x[rows, half:],
    )
    yield (
        "cross_entropy",
        lambda: kernels["loss"].cross_entropy(x, target, reduction="none"),
        lambda rows: F.cross_entropy(x[rows].float(), target[rows], reduction="none"),
    )
    out = torch.empty_like(x)
    yield "silu", lambda: activation.silu(x, out=out), lambda rows: F.silu(x[rows])
    yield (
        "rms_norm",
        lambda: norm.rms_norm(x, weight, 1e-6, out=out),
        lambda rows: F.rms_norm(x[rows], (WIDTH,), weight, 1e-6),
    )
    yield (
        "layer_norm",
        lambda: norm.layer_norm(x, weight, weight, out=out),
        lambda rows: F.layer_norm(x[rows], (WIDTH,), weight, weight),
    )
    yield (
        "apply_rotary",
        lambda: kernels["rotary"].apply_rotary(x, x[:1], cos, sin, 0, out=(out, out[:1].clone()))[
            0
        ],
        lambda rows: turned(x[rows].float(), cos.float(), sin.float()),
    )


def main():
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    folder = find_builtin_dir()
    kernels = {name: load_variant(folder / name / "build" / VARIANT) for name in KERNELS}
    x = torch.zeros(ROWS, WIDTH, dtype=torch.bfloat16)
    x[0], x[-1] = torch.randn(WIDTH), torch.randn(WIDTH)
    rows = torch.tensor(SAMPLES)
    for name, run, expected in cases(kernels, x):
        found = run()
        assert close(found[rows], expected(rows)), name
        print(f"{name} of {x.numel():,} elements: ok", flush=True)
        del found


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""More than 2^31 elements in one call, in bfloat16: needs about 10 GiB, so it is run by `make test-large` only."""

import torch
import torch.nn.functional as F
from conftest import VARIANT, find_builtin_dir, load_variant

ROWS, WIDTH = 2**16 + 1, 2**15  # 2^31 + 2^15 elements


def main():
    torch.set_grad_enabled(False)
    folder = find_builtin_dir()
    kernels = {
        name: load_variant(folder / name / "build" / VARIANT) for name in ("activation", "norm")
    }
    x = torch.zeros(ROWS, WIDTH, dtype=torch.bfloat16)
    x[0], x[-1] = torch.randn(WIDTH), torch.randn(WIDTH)
    out = torch.empty_like(x)
    weight = torch.ones(WIDTH, dtype=torch.bfloat16)
    for name, run, expected in [
        ("silu", lambda: kernels["activation"].silu(x, out=out), F.silu),
        ("rms_norm", lambda: kernels["norm"].rms_norm(x, weight, 1e-6, out=out),
         lambda t: F.rms_norm(t, (WIDTH,), weight, 1e-6)),
    ]:  # fmt: skip
        run()
        for row in (0, ROWS // 2, ROWS - 1):
            exact = expected(x[row : row + 1])[0]
            assert torch.allclose(out[row].float(), exact.float(), rtol=1e-2, atol=1e-2), (
                name,
                row,
            )
        print(f"{name} of {x.numel():,} elements: ok")


if __name__ == "__main__":
    main()

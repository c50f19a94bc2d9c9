# SPDX-License-Identifier: Apache-2.0
"""Sixty seconds to a first kernelized model."""

import torch
from torch import nn

from kernels import (
    Mode,
    builtin_mapping,
    explain,
    kernelize,
    replace_kernel_forward_from_hub,
    unkernelize,
    use_kernel_mapping,
)

model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64), nn.LayerNorm(64)).eval()
x = torch.randn(8, 64)
before = model(x)

# 1. Give layers a name that a mapping knows. (For a class of your own: @use_kernel_forward_from_hub("...").)
replace_kernel_forward_from_hub(nn.GELU, "GELU")
replace_kernel_forward_from_hub(nn.LayerNorm, "LayerNorm")

# 2. Say which kernels serve those names, and put them in place.
with use_kernel_mapping(builtin_mapping()):
    model = kernelize(model, mode=Mode.INFERENCE)

# 3. See what runs now, and that the results are the same.
print(explain(model))
torch.testing.assert_close(model(x), before)

# 4. And back.
unkernelize(model)

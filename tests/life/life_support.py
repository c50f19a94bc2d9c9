# SPDX-License-Identifier: Apache-2.0
"""A small model whose layers get kernels of every kind, and what is asked of it before and after."""

import torch
import torch.nn as nn
from kernel_support import write_kernel

from kernels import (
    LayerRepository,
    LocalLayerRepository,
    Mode,
    explain,
    kernelize,
    replace_kernel_forward_from_hub,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
)

INFERENCE, TRAINING, COMPILE = Mode.INFERENCE, Mode.TRAINING, Mode.TORCH_COMPILE
SIZE = 8


class Norm(nn.LayerNorm):
    """Gets a first-party kernel that names its parameter likewise."""


class RootNorm(nn.RMSNorm):
    """Gets a first-party kernel that names its parameter otherwise."""


class Gelu(nn.GELU):
    pass


for cls, layer_name in ((Norm, "life-norm"), (RootNorm, "life-root-norm"), (Gelu, "life-gelu")):
    replace_kernel_forward_from_hub(cls, layer_name)


@use_kernel_forward_from_hub("life-scale")
class Scale(nn.Module):
    """Gets a local kernel that names every parameter otherwise."""

    def __init__(self, size=SIZE):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, size))

    def forward(self, hidden, factor=1.0, *, shift=0.0):
        return hidden * self.weight * factor + shift


@use_kernel_forward_from_hub("life-gate")
class Gate(nn.Module):
    """Gets a local kernel that can neither be trained nor compiled."""

    def forward(self, hidden):
        return hidden * torch.sigmoid(hidden)


class Block(nn.Module):
    def __init__(self, size=SIZE):
        super().__init__()
        self.norm = Norm(size)
        self.up = nn.Linear(size, 2 * size)
        self.act = Gelu()
        self.down = nn.Linear(2 * size, size)
        self.scale = Scale(size)
        self.gate = Gate()
        self.root_norm = RootNorm(size, eps=1e-6)

    def forward(self, x, extra=None):
        hidden = self.down(self.act(self.up(self.norm(x))))
        hidden = self.scale(hidden, factor=2.0, shift=0.25)
        if extra is not None:
            hidden = hidden + extra
        return x + self.root_norm(self.gate(hidden))


class Model(nn.Module):
    def __init__(self, size=SIZE, blocks=2):
        super().__init__()
        self.blocks = nn.ModuleList([Block(size) for _ in range(blocks)])
        self.last = Norm(size)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.last(x)


LAYERS = """
    import torch
    import torch.nn as nn


    class Scale(nn.Module):
        can_torch_compile = True

        def forward(self, x, times=1.0, *, plus=0.0):
            return x * self.weight * times + plus


    class Gate(nn.Module):
        has_backward = False
        can_torch_compile = False

        def forward(self, x):
            with torch.no_grad():
                return x / (1 + torch.exp(-x))
"""

# The paths that get a kernel, by what was asked for.
TRAINABLE = {f"blocks.{n}.{name}" for n in (0, 1) for name in ("norm", "act", "scale", "root_norm")}
TRAINABLE |= {"last"}
ALL = TRAINABLE | {"blocks.0.gate", "blocks.1.gate"}


def write_life_kernel(folder):
    return write_kernel(folder, name="life", layers=LAYERS)


def life_mapping(folder):
    return {
        "life-norm": {"cpu": LayerRepository("builtin/norm", "LayerNorm")},
        "life-root-norm": {"cpu": LayerRepository("builtin/norm", "RMSNorm")},
        "life-gelu": {"cpu": LayerRepository("builtin/activation", "Gelu")},
        "life-scale": {"cpu": LocalLayerRepository(folder, "Scale")},
        "life-gate": {"cpu": LocalLayerRepository(folder, "Gate")},
    }


class Life:
    """Makes models, and kernelizes them with the mapping above."""

    def __init__(self, folder):
        self.mapping = life_mapping(folder)

    def kernelize(self, model, mode=INFERENCE, **how):
        with use_kernel_mapping(self.mapping, inherit_mapping=False):
            return kernelize(model, mode=mode, device="cpu", **how)

    def model(self):
        torch.manual_seed(0)
        return Model().eval()

    def kernelized(self, mode=INFERENCE):
        return self.kernelize(self.model(), mode)


def inputs(dtype=torch.float32, rows=4):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, SIZE, generator=generator).to(dtype)


def applied(model):
    """The paths whose modules run a kernel."""
    return {path for decision in explain(model) if decision.applied for path in decision.paths}


TOLERANCES = {
    torch.float64: (1e-12, 1e-12),
    torch.float32: (1e-4, 1e-5),
    torch.bfloat16: (5e-2, 5e-2),
    torch.float16: (1e-2, 1e-2),
}


def loss_of(output):
    """A number for each row, on average; its gradient does not vanish behind a norm, as that of the squares does."""
    weights = torch.arange(output.shape[-1], device=output.device).mul(0.7).sin()
    loss = (output.double() * weights).sum(-1).mean()
    return loss.to(torch.promote_types(output.dtype, torch.float32))


def assert_alike(ours, expected):
    """Within the tolerance of the dtype."""
    assert ours.dtype == expected.dtype
    rtol, atol = TOLERANCES[expected.dtype]
    torch.testing.assert_close(ours, expected, rtol=rtol, atol=atol)


def _shape_of(value):
    if isinstance(value, torch.Tensor):
        values = None if value.is_meta else value.tolist()
        return type(value), value.dtype, value.requires_grad, values
    if isinstance(value, dict):
        # Hooks are numbered through all modules of the process.
        items = [(None if isinstance(key, int) else key, _shape_of(value[key])) for key in value]
        return type(value), items
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value), [_shape_of(item) for item in value]
    if isinstance(value, (int, float, str, type(None), set, torch.Size)):
        return value
    return type(value).__qualname__


def _entries(module):
    """Without a forward that is the class's own: accelerate leaves one on the instance."""
    return {
        key: _shape_of(value)
        for key, value in module.__dict__.items()
        if key != "forward" or getattr(value, "__func__", None) is not type(module).forward
    }


def state_of(model):
    """What stands in the `__dict__` of every module: comparable between models that were made alike."""
    return {path: _entries(module) for path, module in model.named_modules(remove_duplicate=False)}

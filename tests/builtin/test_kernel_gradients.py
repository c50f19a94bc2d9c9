# SPDX-License-Identifier: Apache-2.0
"""torch.autograd.gradcheck over every function of every first-party kernel.

The kernels compute float32 and narrower types (float64 goes to torch's own functions), so the differences are taken in
float32: with steps of 2^-6, over which a product of such functions bends by some 1e-4 and sums round by 1e-5. What is
more exact than that is compared with float64 in the tests of each kernel.
"""

import pytest
import torch

STEPS = {"eps": 2**-6, "atol": 3e-3, "rtol": 3e-3}
ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "quick_gelu")
GATED = ("silu_and_mul", "gelu_and_mul", "gelu_tanh_and_mul")
MLP = ("silu_mul", "gelu_mul", "gelu_tanh_mul")
NORMS = ("rms_norm", "layer_norm", "fused_add_rms_norm", "fused_add_layer_norm", "rms_norm_gated")
LOSSES = ("mean", "sum", "none", "smooth", "z_loss")


def leaf(*shape):
    return torch.randn(*shape, requires_grad=True)


def gradients_are_right(function, *inputs):
    return torch.autograd.gradcheck(function, inputs, **STEPS)


pytestmark = pytest.mark.filterwarnings("ignore:Input #:UserWarning")


@pytest.mark.parametrize("name", ACTIVATIONS + GATED)
def test_activation(activation, isa, name):
    assert gradients_are_right(getattr(activation, name), leaf(2, 3, 18))


@pytest.mark.parametrize("name", MLP)
def test_mlp(mlp, isa, name):
    assert gradients_are_right(getattr(mlp, name), leaf(3, 17), leaf(3, 17))


@pytest.mark.parametrize("name", NORMS)
def test_norm(norm, isa, name):
    function, weight, bias = getattr(norm, name), leaf(17), leaf(17)
    others = [leaf(3, 17)] if name.startswith("fused") or name.endswith("gated") else []
    parameters = [weight, bias] if "layer" in name else [weight]

    def call(*tensors):
        count = 1 + len(others)
        tail = () if "layer" in name else (1e-6,)
        return function(*tensors[:count], *tensors[count:], *tail)

    assert gradients_are_right(call, leaf(3, 17), *others, *parameters)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary(rotary, isa, interleaved):
    def call(q, k, cos, sin):
        return rotary.apply_rotary(q, k, cos, sin, 0, interleaved=interleaved, turned=6)

    assert gradients_are_right(call, leaf(2, 3, 7), leaf(1, 3, 7), leaf(3, 6), leaf(3, 6))


@pytest.mark.parametrize("kind", LOSSES)
def test_loss(loss, isa, kind):
    target = torch.tensor([3, -100, 0, 18])
    options = {"smooth": {"label_smoothing": 0.1}, "z_loss": {"z_weight": 0.01}}
    options = options.get(kind, {"reduction": kind})
    assert gradients_are_right(lambda x: loss.cross_entropy(x, target, **options), leaf(4, 19))

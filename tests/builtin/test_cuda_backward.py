# SPDX-License-Identifier: Apache-2.0
"""Calls with a gradient on CUDA devices: the direct backward is the op's, bit by bit."""

import pytest
import torch
from test_kernel_backward import BACKWARD_OPS, SHAPES, gradients, same
from test_kernel_modes import RecordDispatch


@pytest.fixture(scope="module")
def modules(load_cuda):
    return {name: load_cuda(name) for name in ("norm", "activation", "mlp", "rotary")}


@pytest.fixture
def functions(modules):
    return {
        name: next(getattr(m, name) for m in modules.values() if hasattr(m, name))
        for name in SHAPES
    }


def leaves(name, dtype, device="cuda"):
    """Larger than on the CPU: several blocks of rows, and rows of several packs."""
    shapes = [tuple(32 * n if n == 8 else 64 * n if n == 3 else n for n in s) for s in SHAPES[name]]
    tensors = [torch.randn(shape, device=device).to(dtype) for shape in shapes]
    angles = 2 if name == "apply_rotary" else len(tensors)
    return [t.requires_grad_(i < angles) for i, t in enumerate(tensors)]


def like_outputs(function, inputs):
    outputs = function(*inputs)
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    return [torch.randn_like(y) for y in outputs]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SHAPES)
def test_direct_gradients_are_those_of_the_op(functions, name, dtype):
    inputs, mode = leaves(name, dtype), RecordDispatch()
    grads = like_outputs(functions[name], inputs)
    found = gradients(functions[name], inputs, grads)
    same(found, gradients(functions[name], inputs, grads, around=mode))
    op = BACKWARD_OPS.get(name, f"{name}_backward")
    assert [seen.split(".")[1] for seen in mode.seen if not seen.startswith("aten.")] == [op]


def test_plain_tensors_take_the_direct_backward(modules):
    x, weight = torch.randn(4, 64, device="cuda"), torch.randn(64, device="cuda")
    kern = modules["norm"]._ops._norm_kern
    direct = kern.layer_norm_backward
    assert isinstance(direct(x, x, weight, weight, 1, 1e-5, True, True), tuple)
    assert direct(x.cpu(), x, weight, weight, 1, 1e-5, True, True) is NotImplemented
    assert torch.is_tensor(modules["activation"]._ops._activation_kern.gelu_backward(x, x))
    assert isinstance(modules["mlp"]._ops._mlp_kern.silu_mul_backward(x, x, x), tuple)
    recorded = kern.rms_norm(x.requires_grad_(), weight, 1, 1e-5, False)
    assert recorded.grad_fn.name() == "Direct_rms_normBackward"


@pytest.mark.parametrize("name", ["layer_norm", "silu_mul", "apply_rotary"])
def test_backward_goes_to_the_stream_of_the_forward(functions, name):
    inputs, side = leaves(name, torch.float32), torch.cuda.Stream()
    grads = like_outputs(functions[name], inputs)
    expected = gradients(functions[name], inputs, grads)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)  # work on another stream would come too early
        late = [t.detach().clone().requires_grad_(t.requires_grad) for t in inputs]
        found = gradients(functions[name], late, grads)
    side.synchronize()
    same(found, expected)

# SPDX-License-Identifier: Apache-2.0
"""The tvm-ffi builds on a CUDA device: numbers as those for torch, on the caller's stream, and errors."""

from pathlib import Path

import pytest
import torch
from conftest import load_variant

pytest.importorskip("tvm_ffi")
TVM_VARIANT = "tvm-ffi01-cu130-x86_64-linux"
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(scope="module")
def load_both(load_cuda):
    """The ops of a kernel's build for torch, and its build for tvm-ffi."""

    def load(name):
        torch_build = load_cuda(name)
        tvm_build = load_variant(Path(torch_build.__file__).parent.parent / TVM_VARIANT)
        return torch_build._ops.ops, tvm_build

    return load


def random(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, device="cuda")


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_family_gives_the_bits_of_the_build_for_torch(load_both, dtype):
    x, up = random(33, 258, dtype=dtype), random(33, 258, dtype=dtype)
    weight, out = random(258, dtype=dtype), torch.empty_like(x)
    ops, ours = load_both("norm")
    ours.rms_norm(out, x, weight, 1e-6)
    assert torch.equal(out, ops.rms_norm(x, weight, 1, 1e-6, False))
    ops, ours = load_both("activation")
    half = torch.empty(33, 129, dtype=dtype, device="cuda")
    ours.silu_and_mul(half, x)
    assert torch.equal(half, ops.silu_and_mul(x))
    ops, ours = load_both("mlp")
    ours.silu_mul(out, x, up)
    assert torch.equal(out, ops.silu_mul(x, up))
    ops, ours = load_both("rotary")
    q, k, angles = (
        random(2, 8, 7, 64, dtype=dtype),
        random(2, 2, 7, 64, dtype=dtype),
        random(2, 7, 64),
    )
    q_out, k_out = torch.empty_like(q), torch.empty_like(k)
    ours.apply_rotary(q_out, k_out, q, k, angles.cos(), angles.sin())
    expected = ops.apply(q, k, angles.cos(), angles.sin(), 1, 64, False, False)
    assert torch.equal(q_out, expected[0]) and torch.equal(k_out, expected[1])
    ops, ours = load_both("loss")
    target = torch.arange(33, device="cuda")
    losses = torch.empty(33, device="cuda")
    ours.cross_entropy(losses, x, target)
    assert torch.equal(losses, ops.cross_entropy(x, target, -100, 0.0, 0.0, 0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [0, 33, 20_000])
def test_gradients_of_norms_are_the_bits_of_the_build_for_torch(load_both, dtype, rows):
    ops, ours = load_both("norm")
    x, grad, weight, bias = (random(*s, dtype=dtype) for s in ((rows, 258),) * 2 + ((258,),) * 2)
    outputs = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
    arguments = (grad, x, weight, bias, 1e-5)
    needed = ours.layer_norm_backward(*outputs, None, *arguments)
    ours.layer_norm_backward(*outputs, torch.empty(needed, device="cuda"), *arguments)
    expected = ops.layer_norm_backward(grad, x, weight, bias, 1, 1e-5, True, True)
    assert all(map(torch.equal, outputs, expected))


def test_work_goes_to_the_current_stream(load_both):
    _, norm = load_both("norm")
    x, out = random(4096, 4096), torch.empty(4096, 4096, device="cuda")
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    norm.rms_norm(out, x, None, 1e-6)  # what is done once is done
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream):  # an error where another stream were used
        norm.rms_norm(out, x, None, 1e-6)
    out.zero_()
    graph.replay()
    torch.testing.assert_close(out, torch.nn.functional.rms_norm(x, (4096,), None, 1e-6))


def test_tensors_of_two_devices_and_products_are_errors(load_both):
    x = random(2, 8)
    with pytest.raises(ValueError, match="silu: x is on another device than the tensors before it"):
        load_both("activation")[1].silu(torch.empty(2, 8), x)
    with pytest.raises(ValueError, match="linear: products are for the CPU"):
        load_both("mlp")[1].linear(torch.empty(2, 8, device="cuda"), x, random(8, 8))

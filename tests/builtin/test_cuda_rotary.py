# SPDX-License-Identifier: Apache-2.0
"""builtin/rotary on CUDA devices: values and gradients against float64, layouts."""

import pytest
import torch

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Two products of numbers of about 1 to 4 and one rounding.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2.5e-3}


@pytest.fixture(scope="module")
def rotary(load_cuda):
    return load_cuda("rotary")


def turn64(x, cos, sin, interleaved=False, dim=1):
    x, cos, sin = x.double(), cos.double().unsqueeze(dim), sin.double().unsqueeze(dim)
    turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    if interleaved:
        swapped = torch.stack((-turned[..., 1::2], turned[..., ::2]), -1).flatten(-2)
    else:
        first, second = turned.chunk(2, -1)
        swapped = torch.cat((-second, first), -1)
    return torch.cat((turned * cos + swapped * sin, rest), -1)


def sample(dtype, width=128, turned=None, angle_dtype=None, positions=37, heads=(6, 2), laid=True):
    """q and k as attention has them, and angles for each element."""
    shapes = [(2, positions, h, width) if laid else (2, h, positions, width) for h in heads]
    q, k = (torch.randn(*shape, device="cuda").to(dtype) for shape in shapes)
    if laid:
        q, k = q.transpose(1, 2), k.transpose(1, 2)
    angles = torch.randn(2, positions, turned or width, device="cuda")
    return q, k, angles.cos().to(angle_dtype or dtype), angles.sin().to(angle_dtype or dtype)


def check(found, inputs, cos, sin, dtype, interleaved=False):
    for y, x in zip(found, inputs, strict=True):
        tolerance = TOLERANCE[dtype]
        assert y.dtype == dtype and y.stride() == torch.empty_like(x).stride()
        expected = turn64(x, cos, sin, interleaved)
        assert torch.allclose(y.double(), expected, rtol=tolerance, atol=2 * tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("width", [2, 6, 16, 64, 80, 128, 256])
@pytest.mark.parametrize("laid", [False, True])
def test_agrees_with_float64(rotary, laid, width, interleaved, dtype):
    q, k, cos, sin = sample(dtype, width, laid=laid)
    found = rotary.apply_rotary(q, k, cos, sin, interleaved=interleaved)
    check(found, (q, k), cos, sin, dtype, interleaved)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("heads", [(1, 1), (3, 5), (32, 8)])
def test_numbers_of_heads_and_one_position(rotary, heads, interleaved, dtype):
    q, k, cos, sin = sample(dtype, heads=heads, positions=1)
    found = rotary.apply_rotary(q, k, cos, sin, interleaved=interleaved)
    check(found, (q, k), cos, sin, dtype, interleaved)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("interleaved", [False, True])
def test_float32_angles(rotary, interleaved, dtype):
    q, k, cos, sin = sample(dtype, angle_dtype=torch.float32)
    found = rotary.apply_rotary(q, k, cos, sin, interleaved=interleaved)
    check(found, (q, k), cos, sin, dtype, interleaved)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleaved", [False, True])
def test_angles_for_each_pair_and_elements_that_are_not_turned(rotary, interleaved, dtype):
    q, k, cos, sin = sample(dtype, 128, turned=64)
    check(rotary.apply_rotary(q, k, cos, sin, interleaved=interleaved, turned=64), (q, k), cos, sin,
          dtype, interleaved)  # fmt: skip
    q, k, cos, sin = sample(dtype, 128, turned=64)
    full = [
        t.repeat_interleave(2, -1) if interleaved else torch.cat((t, t), -1) for t in (cos, sin)
    ]
    check(rotary.apply_rotary(q, k, cos, sin, interleaved=interleaved), (q, k), *full, dtype,
          interleaved)  # fmt: skip


def test_one_batch_of_angles_for_all(rotary):
    q, k, cos, sin = sample(torch.float32)
    cos, sin = cos[:1], sin[:1]
    check(rotary.apply_rotary(q, k, cos, sin), (q, k), cos, sin, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_unaligned_rows_and_in_place(rotary, dtype):
    q, k, cos, sin = sample(dtype, 131)
    for begin in (0, 1, 3):
        views = q[..., begin : begin + 128], k[..., begin : begin + 128]
        found = rotary.apply_rotary(*views, cos[..., :128], sin[..., :128])
        for y, x in zip(found, views, strict=True):
            expected = turn64(x, cos[..., :128], sin[..., :128])
            assert torch.allclose(
                y.double(), expected, rtol=TOLERANCE[dtype], atol=2 * TOLERANCE[dtype]
            )
    q, k, cos, sin = sample(dtype)
    expected = rotary.apply_rotary(q, k, cos, sin)
    with torch.no_grad():
        rotary.apply_rotary(q, k, cos, sin, out=(q, k))
    assert torch.equal(q, expected[0]) and torch.equal(k, expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleaved", [False, True])
def test_gradients_agree_with_float64(rotary, interleaved, dtype):
    q, k, cos, sin = sample(dtype)
    q, k = q.requires_grad_(), k.requires_grad_()
    grads = torch.randn_like(q), torch.randn_like(k)
    found = torch.autograd.grad(
        rotary.apply_rotary(q, k, cos, sin, interleaved=interleaved), (q, k), grads
    )
    exact = [t.detach().double().requires_grad_() for t in (q, k)]
    outputs = [turn64(t, cos, sin, interleaved) for t in exact]
    expected = torch.autograd.grad(outputs, exact, [g.double() for g in grads])
    for mine, right in zip(found, expected, strict=True):
        assert torch.allclose(
            mine.double(), right, rtol=TOLERANCE[dtype], atol=2 * TOLERANCE[dtype]
        )


def test_empty_inputs(rotary):
    q, k, cos, sin = sample(torch.float32, positions=0)
    assert rotary.apply_rotary(q, k, cos, sin)[0].shape == q.shape


def test_direct_call_graph_and_compile(rotary):
    q, k, cos, sin = sample(torch.bfloat16)
    kern = rotary._ops._rotary_kern
    assert isinstance(kern.apply(q, k, cos, sin, 1, 128, False, False), tuple)
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        found = rotary.apply_rotary(q, k, cos, sin)
    q.normal_()
    graph.replay()
    assert torch.equal(found[0], rotary.apply_rotary(q, k, cos, sin)[0])
    compiled = torch.compile(lambda *a: rotary.apply_rotary(*a), fullgraph=True)
    torch.testing.assert_close(compiled(q, k, cos, sin)[1], found[1])

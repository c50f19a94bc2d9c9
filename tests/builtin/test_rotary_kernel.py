# SPDX-License-Identifier: Apache-2.0
"""builtin/rotary: values and gradients against float64, and in the place of transformers' functions."""

import importlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Two products of numbers of about 1 to 4 and one rounding.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 2e-2, torch.float16: 2.5e-3}


def turn64(x, cos, sin, interleaved, dim=1):
    x, cos, sin = x.double(), cos.double().unsqueeze(dim), sin.double().unsqueeze(dim)
    turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    if interleaved:
        swapped = torch.stack((-turned[..., 1::2], turned[..., ::2]), -1).flatten(-2)
    else:
        first, second = turned.chunk(2, -1)
        swapped = torch.cat((-second, first), -1)
    return torch.cat((turned * cos + swapped * sin, rest), -1)


def sample(dtype=torch.float32, width=64, turned=None, angle_dtype=None):
    """q and k as attention has them, and angles for each element."""
    q = torch.randn(2, 5, 4, width).to(dtype).transpose(1, 2)
    k = torch.randn(2, 5, 2, width).to(dtype).transpose(1, 2)
    angles = torch.randn(2, 5, turned or width)
    return q, k, angles.cos().to(angle_dtype or dtype), angles.sin().to(angle_dtype or dtype)


def same(ours, exact, dtype):
    return torch.allclose(ours.double(), exact, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("width, turned", [(2, 2), (6, 6), (64, 64), (80, 32), (7, 4), (128, 128)])
def test_values_agree_with_float64(rotary, isa, width, turned, interleaved, dtype):
    for angle_dtype in (dtype, torch.float32):
        q, k, cos, sin = sample(dtype, width, turned, angle_dtype)
        pair = rotary.apply_rotary(q, k, cos, sin, interleaved=interleaved, turned=turned)
        for x, y in zip((q, k), pair, strict=True):
            assert y.dtype == dtype and y.stride() == x.stride()
            assert same(y, turn64(x, cos, sin, interleaved), dtype)


def test_angles_for_each_pair(rotary, isa):
    q, k, cos, sin = sample()
    cos, sin = cos[..., :32], sin[..., :32]
    y, _ = rotary.apply_rotary(q, k, cos, sin)
    assert same(y, turn64(q, torch.cat((cos, cos), -1), torch.cat((sin, sin), -1), False), q.dtype)
    y, _ = rotary.apply_rotary(q, k, cos, sin, interleaved=True)
    twice = [a.repeat_interleave(2, -1) for a in (cos, sin)]
    assert same(y, turn64(q, *twice, True), q.dtype)


def test_results_are_written_where_they_are_wanted(rotary, isa):
    q, k, cos, sin = sample()
    expected = [turn64(x, cos, sin, False) for x in (q, k)]
    for out in ((torch.empty(2, 4, 5, 64), torch.empty(2, 2, 5, 64)), (q, k)):
        pair = rotary.apply_rotary(q, k, cos, sin, out=out)
        for y, place, exact in zip(pair, out, expected, strict=True):
            assert y is place and y._version > 0 and same(y, exact, y.dtype)


@pytest.mark.parametrize("interleaved", [False, True])
def test_large_results_are_streamed(rotary, isa, interleaved):
    q, k, cos, sin = sample(width=128)
    q = q.repeat(1, 1, 7000, 1)[:, :, :9000]
    cos, sin = torch.randn(2, 9000, 128), torch.randn(2, 9000, 128)
    y, z = rotary.apply_rotary(q, q, cos, sin, interleaved=interleaved)
    assert same(y, turn64(q, cos, sin, interleaved), q.dtype) and torch.equal(y, z)


@pytest.mark.parametrize("interleaved", [False, True])
def test_gradients_agree_with_float64(rotary, isa, interleaved):
    q, k, cos, sin = sample()
    q, k = q.detach().requires_grad_(), k.detach().requires_grad_()
    pair = rotary.apply_rotary(q, k, cos, sin, interleaved=interleaved)
    grads = [torch.randn_like(y) for y in pair]
    ours = torch.autograd.grad(pair, (q, k), grads)
    exact = [turn64(x, cos, sin, interleaved) for x in (q, k)]
    expected = torch.autograd.grad(exact, (q, k), [g.double() for g in grads])
    for one, other in zip(ours, expected, strict=True):
        assert torch.allclose(one, other, atol=2e-6)


def test_gradients_of_the_angles_and_second_gradients(rotary):
    q, k, cos, sin = (t.detach().requires_grad_() for t in sample(width=4))
    function = rotary.apply_rotary

    def by_op(*inputs):
        return sum(y.pow(2).sum() for y in function(*inputs))

    def by_formula(q, k, cos, sin):
        return sum(turn64(x, cos, sin, False).pow(2).sum().float() for x in (q, k))

    ours = torch.autograd.grad(by_op(q, k, cos, sin), (q, cos), create_graph=True)
    expected = torch.autograd.grad(by_formula(q, k, cos, sin), (q, cos), create_graph=True)
    for one, other in zip(ours, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    half=st.integers(1, 20),
    step=st.integers(1, 2),
    dim=st.integers(0, 2),
    data=st.data(),
)
def test_any_layout_and_any_missing_dimension(rotary, sizes, half, step, dim, data):
    order = data.draw(st.permutations(range(3)))
    q = torch.randn(*sizes, 2 * half * step).permute(*order, 3)[..., ::step]
    kept = [size for i, size in enumerate(q.shape[:-1]) if i != dim]
    angles = torch.randn(*kept, 2 * half)
    y, _ = rotary.apply_rotary(q, q, angles.cos(), angles.sin(), dim, turned=2 * half)
    expected = turn64(q, angles.cos(), angles.sin(), False, dim)
    assert y.shape == q.shape and torch.allclose(y.double(), expected, atol=2e-6)


@pytest.mark.parametrize("interleaved", [False, True])
def test_opcheck(rotary, interleaved):
    q, k, cos, sin = sample(width=8)
    q.requires_grad_()
    torch.library.opcheck(rotary._ops.ops.apply.default, (q, k, cos, sin, 1, 8, interleaved, False))


def put_in_place(function, layer):
    """What kernelize does to a function that was made a module."""
    function.forward = layer.forward.__get__(function)


@pytest.mark.parametrize(
    "model", ["llama", "olmo", "esm", "gpt_oss", "hunyuan_vl", "nanochat", "modernbert"]
)
def test_functions_of_transformers_keep_their_result(rotary, model):
    module = importlib.import_module(f"transformers.models.{model}.modeling_{model}")
    function = module.apply_rotary_pos_emb
    q, k, _, _ = sample(width=16)
    angles = torch.randn(2, 5, 8)
    if model != "gpt_oss":
        angles = torch.cat((angles, angles), -1)
    expected = function(q, k, angles.cos(), angles.sin())
    put_in_place(function, rotary.layers.apply_rotary_transformers)
    try:
        found = function(q, k, angles.cos(), angles.sin())
        compiled = torch.compile(lambda *args: function(*args), fullgraph=True, backend="aot_eager")
        compiled_pair = compiled(q, k, angles.cos(), angles.sin())
    finally:
        del function.forward
        torch._dynamo.reset()
    for one, other, third in zip(expected, found, compiled_pair, strict=True):
        assert torch.allclose(one, other, atol=1e-6) and torch.allclose(one, third, atol=1e-6)


def test_a_function_of_another_style_goes_on_doing_the_work(rotary):
    class Other(torch.nn.Module):
        def forward(self, q, k, cos, sin, unsqueeze_dim=1):
            return q + 1, k + 1

    function = Other()
    put_in_place(function, rotary.layers.apply_rotary_transformers)
    q, k, cos, sin = sample(width=16)
    assert torch.equal(function(q, k, cos, sin)[0], q + 1)


def test_bad_arguments_are_named(rotary):
    q, k, cos, sin = sample(width=8)
    with pytest.raises(ValueError, match=r"k \(2, 2, 5, 6\)"):
        rotary.apply_rotary(q, k[..., :6], cos, sin)
    with pytest.raises(ValueError, match=r"7 of 8 elements cannot be turned"):
        rotary.apply_rotary(q, k, cos, sin, turned=7)
    with pytest.raises(ValueError, match="unsqueeze_dim 3 do not lie over q"):
        rotary.apply_rotary(q, k, cos, sin, 3)
    with pytest.raises(TypeError, match="q has dtype torch.int64"):
        rotary.apply_rotary(q.long(), k, cos, sin)

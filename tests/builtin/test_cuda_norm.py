# SPDX-License-Identifier: Apache-2.0
"""builtin/norm on CUDA devices: values and gradients against float64, layouts, streams, graphs."""

import pytest
import torch
import torch.nn.functional as F

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Relative to results of about 1; half an ulp of the dtype at 4, and a little more.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2.5e-3}
# Scalars, short rows, rows of a warp and of a block, rows that registers do not hold; odd lengths.
WIDTHS = [1, 2, 7, 8, 33, 100, 128, 264, 1000, 1024, 4096, 4097, 8200, 16384, 40000, 65536, 65537]


@pytest.fixture(scope="module")
def norm(load_cuda):
    return load_cuda("norm")


def made(*shape, dtype=torch.float32):
    return torch.randn(*shape, device="cuda").to(dtype)


def weight_of(width, dtype):
    return (1 + 0.2 * torch.randn(width, device="cuda")).to(dtype)


def rms64(x, weight, eps=1e-6):
    x = x.double()
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight.double()


def layer64(x, weight, bias, eps=1e-5):
    return F.layer_norm(x.double(), (x.shape[-1],), weight.double(), bias.double(), eps)


def close(found, expected, dtype, scale=1.0):
    tolerance = TOLERANCE[dtype] * scale
    return torch.allclose(found.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rows", [1, 5, 600])
def test_rms_norm_agrees_with_float64(norm, rows, width, dtype):
    x, weight = made(rows, width, dtype=dtype), weight_of(width, dtype)
    with torch.no_grad():
        y = norm.rms_norm(x, weight, 1e-6)
    assert y.dtype == dtype and y.is_cuda
    assert close(y, rms64(x, weight), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rows", [5, 600])
def test_layer_norm_agrees_with_float64(norm, rows, width, dtype):
    x, weight, bias = (
        made(rows, width, dtype=dtype),
        weight_of(width, dtype),
        made(width, dtype=dtype),
    )
    y = norm.layer_norm(x + 3, weight, bias, 1e-5)
    # Two or three numbers may be so close that their difference has few digits.
    assert close(y, layer64(x + 3, weight, bias), dtype, 2 if width > 8 else 100)


@pytest.mark.parametrize("width", [7, 100, 128, 1000, 4096, 4097, 16384])
@pytest.mark.parametrize("rows", [4, 600])
def test_layer_norm_far_from_zero_and_beside_outliers(norm, rows, width):
    x = made(rows, width) + 100
    x[1, 0] = 1e5  # what the row's sums are taken about
    x[2, width // 2] = -1e5
    x[3] = 7
    weight, bias, grad = weight_of(width, torch.float32), made(width), made(rows, width)
    found = norm.layer_norm(x, weight, bias, 1e-5)
    expected = layer64(x, weight, bias)
    assert torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-4)
    found = gradients(lambda a: norm.layer_norm(a, weight, bias, 1e-5), (x,), grad)[0][:3]
    expected = gradients(lambda a: layer64(a, weight, bias), (x.double(),), grad)[0][:3]
    assert ((found.double() - expected).norm(dim=1) <= 2e-4 * expected.norm(dim=1)).all()


def test_layer_norm_of_what_is_not_finite_is_not_a_number(norm):
    x, weight = made(3, 4096), weight_of(4096, torch.float32)
    x[0, 0], x[1, 4000], x[2, 77] = float("inf"), float("-inf"), float("nan")
    assert norm.layer_norm(x, weight, weight, 1e-5).isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_fused_additions_give_the_norm_of_the_rounded_sum_and_the_sum(norm, width, dtype):
    x, residual = made(40, width, dtype=dtype), made(40, width, dtype=dtype)
    weight, bias = weight_of(width, dtype), made(width, dtype=dtype)
    y, total = norm.fused_add_rms_norm(x, residual, weight, 1e-6)
    assert torch.equal(total, x + residual)
    assert close(y, rms64(total, weight), dtype)
    y, total = norm.fused_add_layer_norm(x, residual, weight, bias, 1e-5)
    assert torch.equal(total, x + residual)
    assert close(y, layer64(total, weight, bias), dtype, 2)


@pytest.mark.parametrize("activation", ["silu", "sigmoid"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [7, 128, 4096, 65537])
def test_gated_norm_agrees_with_float64(norm, width, dtype, activation):
    x, gate, weight = (
        made(40, width, dtype=dtype),
        made(40, width, dtype=dtype),
        weight_of(width, dtype),
    )
    y = norm.rms_norm_gated(x, gate, weight, 1e-6, activation=activation)
    function = F.silu if activation == "silu" else torch.sigmoid
    assert close(y, rms64(x, weight) * function(gate.double()), dtype, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cast_first_rounds_as_transformers(norm, dtype):
    x, weight = made(64, 4096, dtype=dtype), weight_of(4096, dtype)
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    expected = weight * wide.to(dtype)
    y = norm.rms_norm(x, weight, 1e-6, cast_first=True)
    limit = 1e-6 if dtype == torch.float32 else 0
    assert ((y - expected).abs() > limit + limit * expected.abs()).float().mean() <= 0.002


@pytest.mark.parametrize("width", [7, 4096, 65537])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float32_weights_of_half_precision_layers(norm, dtype, width):
    x, weight = made(9, width, dtype=dtype), weight_of(width, torch.float32)
    y = norm.rms_norm(x, weight, 1e-6, cast_first=True)
    assert y.dtype == torch.float32
    assert torch.allclose(y.double(), rms64(x, weight), rtol=1e-2, atol=1e-2)
    y = norm.rms_norm(x, weight, 1e-6)
    assert y.dtype == dtype and close(y, rms64(x, weight), dtype)


def gradients(function, tensors, *grads):
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    outputs = function(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    pairs = zip(grads, outputs, strict=True)
    return torch.autograd.grad(outputs, leaves, [g.to(o.dtype) for g, o in pairs])


def check_gradients(found, expected, dtype):
    limit = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}[dtype]
    for mine, right in zip(found, expected, strict=True):
        assert mine.dtype == dtype
        assert (mine.double() - right).abs().max() <= limit * right.abs().max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rows", [3, 700])
def test_gradients_agree_with_float64(norm, rows, width, dtype):
    x, weight, bias = (
        made(rows, width, dtype=dtype),
        weight_of(width, dtype),
        made(width, dtype=dtype),
    )
    grad = made(rows, width, dtype=dtype)
    found = gradients(lambda a, w: norm.rms_norm(a, w, 1e-6), (x, weight), grad)
    expected = gradients(rms64, (x.double(), weight.double()), grad)
    if width > 1:  # for one element the exact gradient is about 0
        check_gradients(found, expected, dtype)
    found = gradients(lambda a, w, b: norm.layer_norm(a, w, b, 1e-5), (x, weight, bias), grad)
    expected = gradients(layer64, (x.double(), weight.double(), bias.double()), grad)
    if width > 2:
        check_gradients(found, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [7, 128, 4096, 40000])
def test_gradients_of_fused_and_gated_forms(norm, width, dtype):
    x, other, weight = (
        made(70, width, dtype=dtype),
        made(70, width, dtype=dtype),
        weight_of(width, dtype),
    )
    grad, sum_grad = made(70, width, dtype=dtype), made(70, width, dtype=dtype)
    total = (x + other).double()

    def fused64(a, w):
        return rms64(a, w), a

    found = gradients(
        lambda a, r, w: norm.fused_add_rms_norm(a, r, w, 1e-6), (x, other, weight), grad, sum_grad
    )
    expected = gradients(fused64, (total, weight.double()), grad, sum_grad)
    check_gradients(found, (expected[0], expected[0], expected[1]), dtype)
    found = gradients(lambda a, g, w: norm.rms_norm_gated(a, g, w, 1e-6), (x, other, weight), grad)
    expected = gradients(
        lambda a, g, w: rms64(a, w) * F.silu(g), (x.double(), other.double(), weight.double()), grad
    )
    check_gradients(found, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [8, 4096, 40000])
def test_weight_gradients_are_the_same_bits_in_every_run(norm, width, dtype):
    x, weight, grad = (
        made(999, width, dtype=dtype),
        weight_of(width, dtype),
        made(999, width, dtype=dtype),
    )
    first = gradients(lambda a, w: norm.rms_norm(a, w, 1e-6), (x, weight), grad)
    for _ in range(3):
        again = gradients(lambda a, w: norm.rms_norm(a, w, 1e-6), (x, weight), grad)
        assert all(map(torch.equal, first, again))


def test_gradient_of_a_frozen_weight_is_not_made(norm):
    x = made(9, 64).requires_grad_()
    norm.rms_norm(x, weight_of(64, torch.float32), 1e-6).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 3, 8])
def test_rows_with_gaps_and_unaligned_rows(norm, offset, dtype):
    whole, weight = made(11, 300, dtype=dtype), weight_of(256, dtype)
    for x in (whole[:, offset : offset + 256], whole.t()[offset : offset + 256].t()):
        assert close(norm.rms_norm(x, weight, 1e-6), rms64(x, weight), dtype)
    shifted = weight_of(300, dtype)[offset : offset + 256]
    x = whole[:, :256]
    assert close(norm.rms_norm(x, shifted, 1e-6), rms64(x, shifted), dtype)


def test_other_orders_of_dimensions(norm):
    x, weight = made(4, 6, 5, 64).permute(2, 0, 1, 3), weight_of(64, torch.float32)
    assert close(norm.rms_norm(x, weight, 1e-6), rms64(x, weight), torch.float32)


@pytest.mark.parametrize("shape", [(0, 64), (3, 0), (0,)])
def test_empty_inputs(norm, shape):
    x = made(*shape).requires_grad_()
    weight = torch.ones(shape[-1], device="cuda", requires_grad=True)
    y = norm.rms_norm(x, weight, 1e-6)
    assert y.shape == x.shape
    y.sum().backward()
    assert torch.equal(weight.grad, torch.zeros_like(weight))


def test_more_than_two_to_the_31_elements(norm):
    rows = 2**31 // 4096 + 3
    x, weight = (
        torch.empty(rows, 4096, device="cuda", dtype=torch.bfloat16),
        weight_of(4096, torch.bfloat16),
    )
    x.normal_()
    y = norm.rms_norm(x, weight, 1e-6)
    for part in (slice(0, 5), slice(rows - 5, rows)):
        assert close(y[part], rms64(x[part], weight), torch.bfloat16)


def test_plain_tensors_take_the_direct_call(norm):
    x, weight = made(4, 64), weight_of(64, torch.float32)
    kern = norm._ops._norm_kern
    assert torch.is_tensor(kern.rms_norm(x, weight, 1, 1e-6, False))
    assert kern.rms_norm(x, weight.cpu(), 1, 1e-6, False) is NotImplemented


def test_tensors_of_two_devices_are_an_error(norm):
    with pytest.raises((RuntimeError, ValueError)):
        norm.rms_norm(made(4, 64), torch.ones(64), 1e-6)
    with pytest.raises(RuntimeError, match="device"):
        norm._ops.ops.rms_norm(made(4, 64), torch.ones(64), 1, 1e-6, False)


def test_work_goes_to_the_current_stream(norm):
    x, weight = made(4096, 4096), weight_of(4096, torch.float32)
    expected = rms64(x + 1, weight)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)  # what follows on another stream would come too early
        moved = x + 1
        y = norm.rms_norm(moved, weight, 1e-6)
    side.synchronize()
    assert close(y, expected, torch.float32)


def test_one_kernel_follows_the_next_in_order(norm):
    """Launches may overlap their ends: what one has written, the next must read."""
    weight = weight_of(4096, torch.float32)
    x = made(2000, 4096)
    expected = x.double()
    y = x
    for _ in range(30):
        y = norm.rms_norm(y, weight, 1e-6)
        expected = rms64(expected, weight)
    assert (y.double() - expected).abs().max() < 1e-4


def test_forward_and_backward_are_captured_by_graphs(norm):
    x, weight = made(64, 4096).requires_grad_(), weight_of(4096, torch.float32).requires_grad_()

    def step():
        y = norm.rms_norm(x, weight, 1e-6)
        return y, *torch.autograd.grad(y, (x, weight), torch.ones_like(y))

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        step()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    with torch.no_grad():
        x.copy_(made(64, 4096))
    graph.replay()
    assert all(map(torch.equal, found, step()))


def test_the_compiler_gets_the_formula_where_no_gradient_is_wanted(norm):
    x, weight, targets = made(64, 4096), weight_of(4096, torch.float32), []

    def seen(graph, inputs):
        targets.append({str(n.target) for n in graph.graph.nodes if n.op == "call_function"})
        return graph.forward

    compiled = torch.compile(lambda a, w: norm.rms_norm(a, w, 1e-6), backend=seen, fullgraph=True)
    torch.testing.assert_close(compiled(x, weight), norm.rms_norm(x, weight, 1e-6))
    compiled(x.requires_grad_(), weight)
    op = str(norm._ops.ops.rms_norm.default)
    assert [op in found for found in targets] == [False, True]


def test_compiles_as_a_whole(norm):
    x, weight = made(64, 4096).requires_grad_(), weight_of(4096, torch.float32).requires_grad_()

    def function(a, w):
        return norm.rms_norm(a, w, 1e-6) * 2

    compiled = torch.compile(function, fullgraph=True)
    expected = torch.autograd.grad(function(x, weight).sum(), (x, weight))
    found = torch.autograd.grad(compiled(x, weight).sum(), (x, weight))
    assert torch.equal(compiled(x, weight), function(x, weight))
    assert all(
        torch.allclose(a, b, rtol=1e-5, atol=1e-4) for a, b in zip(found, expected, strict=True)
    )

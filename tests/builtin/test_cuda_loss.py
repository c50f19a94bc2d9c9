# SPDX-License-Identifier: Apache-2.0
"""builtin/loss on CUDA devices: values and gradients against float64, memory, graphs."""

import pytest
import torch
import torch.nn.functional as F

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Of gradients, whose largest are about 1; losses are float32.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}


@pytest.fixture(scope="module")
def loss(load_cuda):
    return load_cuda("loss")


def loss64(logits, target, smoothing=0.0, z_weight=0.0, reduction="mean"):
    logits = logits.double()
    losses = F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
    counted = target != -100
    losses = torch.where(counted, losses + z_weight * logits.logsumexp(-1).square(), 0.0)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / counted.sum()}[reduction]


def sample(classes, dtype=torch.float32, rows=6):
    logits = (3 * torch.randn(rows, classes, device="cuda")).to(dtype)
    target = torch.randint(classes, (rows,), device="cuda")
    target[2] = -100
    return logits, target


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing, z_weight", [(0.0, 0.0), (0.1, 0.01)])
@pytest.mark.parametrize("classes", [1, 7, 1000, 1025, 32000, 40001, 128256])
@pytest.mark.parametrize("in_place", [False, True])
def test_loss_and_gradient_agree_with_float64(
    loss, in_place, classes, smoothing, z_weight, reduction, dtype
):
    logits, target = sample(classes, dtype)
    exact_logits = logits.double().requires_grad_()
    logits.requires_grad_()
    options = {"label_smoothing": smoothing, "z_weight": z_weight, "reduction": reduction}
    y = loss.cross_entropy(logits, target, in_place=in_place, **options)
    exact = loss64(exact_logits, target, smoothing, z_weight, reduction)
    assert y.dtype == torch.float32 and y.shape == exact.shape
    assert torch.allclose(y.double(), exact, rtol=4e-6, atol=4e-6)
    grad = torch.randn_like(y)
    y.backward(grad)
    exact.backward(grad.double())
    assert logits.grad.dtype == dtype
    error = (logits.grad.double() - exact_logits.grad).abs().max()
    assert error <= TOLERANCE[dtype] * max(1.0, grad.abs().max().item()) * 4
    with torch.no_grad():
        if not in_place:
            assert torch.equal(loss.cross_entropy(logits, target, **options), y)


@pytest.mark.parametrize("offset", [0, 1])
def test_rows_with_gaps(loss, offset):
    whole, target = sample(1100)
    logits = whole[:, offset : offset + 1000]
    target.clamp_(max=999)
    assert torch.allclose(
        loss.cross_entropy(logits, target).double(), loss64(logits, target), atol=4e-6
    )


def test_rows_that_do_not_count(loss):
    logits, target = sample(100)
    target.fill_(-100)
    assert loss.cross_entropy(logits, target).isnan()
    logits.requires_grad_()
    loss.cross_entropy(logits, target, reduction="sum").backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_target_that_is_no_class_gives_nan(loss):
    logits, target = sample(100)
    target[0] = 100
    losses = loss.cross_entropy(logits, target, reduction="none")
    assert losses[0].isnan() and not losses[1:].isnan().any()


def test_in_place_needs_no_memory_for_the_gradient(loss):
    logits, target = sample(128256, torch.bfloat16, rows=512)
    logits.requires_grad_()
    size = logits.numel() * 2
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    (grad,) = torch.autograd.grad(loss.cross_entropy(logits, target, in_place=True), logits)
    assert grad.data_ptr() == logits.data_ptr()
    assert torch.cuda.max_memory_allocated() - before < 0.02 * size


def test_a_second_backward_in_place_is_an_error(loss):
    logits, target = sample(100)
    y = loss.cross_entropy(logits.requires_grad_(), target, in_place=True)
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward"):
        y.backward()


def test_values_that_autograd_has_kept_are_not_lost_silently(loss):
    logits, target = sample(100)
    capped = torch.tanh(logits.requires_grad_())  # its gradient needs its result
    y = loss.cross_entropy(capped, target, in_place=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_forward_and_backward_are_captured_by_graphs(loss):
    logits, target = sample(5000)
    logits.requires_grad_()

    def step():
        y = loss.cross_entropy(logits, target)
        return y, *torch.autograd.grad(y, (logits,))

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        step()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    with torch.no_grad():
        logits.normal_()
    graph.replay()
    assert all(map(torch.equal, found, step()))


def test_compiles_as_a_whole(loss):
    logits, target = sample(5000, torch.bfloat16)
    logits.requires_grad_()
    compiled = torch.compile(lambda a, b: loss.cross_entropy(a, b) * 2, fullgraph=True)
    (found,) = torch.autograd.grad(compiled(logits, target), logits)
    (expected,) = torch.autograd.grad(loss.cross_entropy(logits, target) * 2, logits)
    assert torch.allclose(found.float(), expected.float(), atol=1e-2)

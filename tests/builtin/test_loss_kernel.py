# SPDX-License-Identifier: Apache-2.0
"""builtin/loss: values and gradients against float64, and in the place of transformers' function."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Of gradients, whose largest are about 1; losses are float32.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}


def loss64(logits, target, smoothing=0.0, z_weight=0.0, reduction="mean"):
    logits = logits.double()
    losses = F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
    counted = target != -100
    losses = torch.where(counted, losses + z_weight * logits.logsumexp(-1).square(), 0.0)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / counted.sum()}[reduction]


def sample(classes, dtype=torch.float32):
    logits = (3 * torch.randn(6, classes)).to(dtype)
    target = torch.randint(classes, (6,))
    target[2] = -100
    return logits, target


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing, z_weight", [(0.0, 0.0), (0.1, 0.0), (0.1, 0.01)])
@pytest.mark.parametrize("classes", [1, 7, 1000, 1025, 65536])
def test_loss_and_gradient_agree_with_float64(
    loss, isa, classes, smoothing, z_weight, reduction, dtype
):
    logits, target = sample(classes, dtype)
    logits.requires_grad_()
    options = {"label_smoothing": smoothing, "z_weight": z_weight, "reduction": reduction}
    y = loss.cross_entropy(logits, target, **options)
    exact_logits = logits.detach().double().requires_grad_()
    exact = loss64(exact_logits, target, smoothing, z_weight, reduction)
    assert y.dtype == torch.float32 and y.shape == exact.shape
    assert torch.allclose(y.double(), exact, rtol=2e-6, atol=2e-6)
    grad = torch.randn_like(y)
    y.backward(grad)
    exact.backward(grad.double())
    assert logits.grad.dtype == dtype
    error = (logits.grad.double() - exact_logits.grad).abs().max()
    assert error <= TOLERANCE[dtype] * max(1.0, grad.abs().max().item()) * 4


@settings(max_examples=60, deadline=None)
@given(
    batch=st.lists(st.integers(0, 4), min_size=0, max_size=3),
    classes=st.integers(1, 40),
    step=st.integers(1, 2),
    ignored=st.floats(0, 1),
    data=st.data(),
)
def test_any_shape_and_layout_of_logits_and_target(loss, batch, classes, step, ignored, data):
    order = data.draw(st.permutations(range(len(batch) + 1)))
    sizes = [*batch, classes * step]
    logits = torch.randn([sizes[i] for i in order]).permute(
        [order.index(i) for i in range(len(sizes))]
    )[..., ::step]
    target = torch.randint(classes, (*batch, 2))[..., 0]  # of any stride, too
    target = torch.where(torch.rand(batch) < ignored, -100, target)
    logits.requires_grad_()
    y = loss.cross_entropy(logits, target, reduction="none", label_smoothing=0.1)
    rows, flat = logits.detach().double().reshape(-1, classes), target.reshape(-1)
    rows.requires_grad_()
    exact = loss64(rows, flat, 0.1, reduction="none")
    assert y.shape == target.shape
    assert torch.allclose(y.double(), exact.reshape(target.shape), rtol=2e-6, atol=2e-6)
    (grad,) = torch.autograd.grad(y.sum(), logits)
    (expected,) = torch.autograd.grad(exact.sum(), rows)
    assert grad.shape == logits.shape
    assert torch.allclose(grad.double(), expected.reshape(logits.shape), atol=2e-6)


def test_a_second_backward_gives_the_same_gradient(loss):
    logits, target = sample(100)
    logits.requires_grad_()
    y = loss.cross_entropy(logits, target)
    (first,) = torch.autograd.grad(y, logits, torch.tensor(2.0), retain_graph=True)
    (second,) = torch.autograd.grad(y, logits, torch.tensor(2.0))
    assert torch.allclose(first, second, atol=1e-7)


def test_gradient_of_the_gradient(loss):
    logits, target = sample(10)
    logits.requires_grad_()

    def penalty(function):
        (grad,) = torch.autograd.grad(function(logits, target), logits, create_graph=True)
        return torch.autograd.grad(grad.pow(2).sum(), logits)[0]

    assert torch.allclose(penalty(loss.cross_entropy), penalty(F.cross_entropy), atol=1e-6)


def test_only_ignored_rows_give_what_torch_gives(loss):
    logits, target = sample(5)
    target[:] = -100
    assert loss.cross_entropy(logits, target).isnan()
    assert loss.cross_entropy(logits, target, reduction="sum") == 0.0
    assert torch.equal(loss.cross_entropy(logits, target, reduction="none"), torch.zeros(6))


def test_the_result_does_not_depend_on_the_number_of_threads(loss):
    logits, target = torch.randn(64, 5000, requires_grad=True), torch.randint(5000, (64,))
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        y = loss.cross_entropy(logits, target)
        results.append((y.item(), torch.autograd.grad(y, logits)[0]))
    torch.set_num_threads(before)
    assert results[0][0] == results[1][0] and torch.equal(results[0][1], results[1][1])


def test_besides_the_logits_only_their_gradient_is_allocated(loss):
    logits, target = torch.randn(64, 20000, requires_grad=True), torch.randint(20000, (64,))
    with torch.profiler.profile(profile_memory=True) as profile:
        torch.autograd.grad(loss.cross_entropy(logits, target), logits)
    sizes = [e.self_cpu_memory_usage for e in profile.events() if e.self_cpu_memory_usage > 0]
    assert sum(sizes) <= 1.1 * logits.numel() * 4


def test_opcheck(loss):
    logits, target = sample(9)
    ops = loss._ops.ops
    arguments = (logits.requires_grad_(), target, -100, 0.1, 0.01, 1)
    torch.library.opcheck(ops.cross_entropy.default, arguments)
    detached = (logits.detach(), *arguments[1:])
    torch.library.opcheck(ops.cross_entropy_backward.default, (torch.tensor(1.0), *detached))


def test_compile_fullgraph(loss):
    logits, target = sample(9)
    logits.requires_grad_()
    compiled = torch.compile(loss.cross_entropy, fullgraph=True, backend="aot_eager")
    (ours,) = torch.autograd.grad(compiled(logits, target), logits)
    (expected,) = torch.autograd.grad(F.cross_entropy(logits, target), logits)
    assert torch.allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("items", [None, 7, torch.tensor(7)])
@pytest.mark.parametrize("shifted", [False, True])
def test_the_loss_of_transformers(loss, items, shifted):
    from transformers.loss.loss_utils import ForCausalLMLoss

    logits, labels = torch.randn(2, 5, 11), torch.randint(11, (2, 5))
    labels[0, 3] = -100
    options = {"shift_labels": labels} if shifted else {}
    expected = ForCausalLMLoss(logits, labels, 11, items, **options)
    found = loss.layers.ForCausalLMLoss()(logits, labels, 11, items, **options)
    assert torch.allclose(found, expected, rtol=1e-6)


def test_bad_arguments_are_named(loss):
    logits, target = sample(5)
    with pytest.raises(RuntimeError, match="neither a class nor ignore_index"):
        loss.cross_entropy(logits, target + 5)
    with pytest.raises(ValueError, match="reduction is 'max'"):
        loss.cross_entropy(logits, target, reduction="max")
    with pytest.raises(ValueError, match=r"target \(5,\); a target for each row"):
        loss.cross_entropy(logits, target[:5])
    with pytest.raises(TypeError, match="target has dtype torch.int32"):
        loss.cross_entropy(logits, target.int())


@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_in_place_the_gradient_takes_the_memory_of_the_logits(loss, scale):
    logits, target = sample(100)
    expected = logits.clone().requires_grad_()
    (loss.cross_entropy(expected, target) * scale).backward()
    logits.requires_grad_()
    (grad,) = torch.autograd.grad(loss.cross_entropy(logits, target, in_place=True) * scale, logits)
    assert grad.data_ptr() == logits.data_ptr()
    assert torch.allclose(grad, expected.grad, atol=1e-7)


def test_a_second_backward_in_place_is_an_error(loss):
    logits, target = sample(100)
    y = loss.cross_entropy(logits.requires_grad_(), target, in_place=True)
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward"):
        y.backward()

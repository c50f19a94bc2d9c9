# SPDX-License-Identifier: Apache-2.0
"""The first-party kernels on several streams of a CUDA device, and on two devices of one host."""

import threading

import pytest
import torch

KERNELS = ("activation", "loss", "mlp", "norm", "rotary")
CASES = ["rms_norm", "layer_norm", "fused_add", "gated", "silu", "silu_mul", "rotary", "loss"]


@pytest.fixture(scope="module")
def kernels(load_cuda):
    return {name: load_cuda(name) for name in KERNELS}


@pytest.fixture(scope="module")
def second(kernels):
    """The device that is not the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device")
    return torch.device("cuda:1")


def sample(device, *shape):
    return torch.randn(*shape).to(device).requires_grad_()


def case_of(kernels, name, device):
    """A function and its inputs, the same numbers on every device."""
    norm = kernels["norm"]
    torch.manual_seed(1)
    x, y, weight, bias = (sample(device, *s) for s in ((96, 512), (96, 512), (512,), (512,)))
    q, k = sample(device, 2, 4, 9, 64), sample(device, 2, 2, 9, 64)
    angles = torch.randn(2, 9, 64).to(device)
    target = torch.randint(512, (96,)).to(device)
    return {
        "rms_norm": (lambda a, w: norm.rms_norm(a, w, 1e-6), (x, weight)),
        "layer_norm": (lambda a, w, b: norm.layer_norm(a, w, b, 1e-6), (x, weight, bias)),
        "fused_add": (lambda a, r, w: norm.fused_add_rms_norm(a, r, w, 1e-6), (x, y, weight)),
        "gated": (lambda a, g, w: norm.rms_norm_gated(a, g, w, 1e-6), (x, y, weight)),
        "silu": (kernels["activation"].silu, (x,)),
        "silu_mul": (kernels["mlp"].silu_mul, (x, y)),
        "rotary": (
            lambda a, b: kernels["rotary"].apply_rotary(a, b, angles.cos(), angles.sin()),
            (q, k),
        ),
        "loss": (lambda a: kernels["loss"].cross_entropy(a, target), (x,)),
    }[name]


def results_of(kernels, name, device):
    """What a case gives: without gradients, with them, and the gradients."""
    function, inputs = case_of(kernels, name, device)

    def outputs():
        found = function(*inputs)
        return found if isinstance(found, tuple) else (found,)

    with torch.no_grad():
        plain = outputs()
    recorded = outputs()
    grads = torch.autograd.grad(recorded, inputs, [torch.ones_like(y) for y in recorded])
    return [t.detach() for t in (*plain, *recorded, *grads)]


def same(found, expected):
    """Devices may differ in the last bits of exponentials."""
    pairs = zip(found, expected, strict=True)
    return all(torch.allclose(a.cpu(), b.cpu(), rtol=1e-5, atol=1e-5) for a, b in pairs)


@pytest.mark.parametrize("name", CASES)
def test_streams_run_beside_each_other(kernels, name):
    expected = results_of(kernels, name, "cuda:0")
    streams = [torch.cuda.Stream() for _ in range(4)]
    found = []
    torch.cuda.synchronize()
    for stream in streams * 3:
        with torch.cuda.stream(stream):
            torch.cuda._sleep(1_000_000)
            found.append(results_of(kernels, name, "cuda:0"))
    torch.cuda.synchronize()
    assert all(all(map(torch.equal, f, expected)) for f in found)


def test_a_thread_that_has_not_met_the_device_launches(kernels):
    norm = kernels["norm"]
    x, weight = torch.randn(4, 64, device="cuda"), torch.randn(64, device="cuda")
    out, expected = torch.empty_like(x), norm.rms_norm(x, weight, 1e-6)
    thread = threading.Thread(target=norm.rms_norm, args=(x, weight, 1e-6), kwargs={"out": out})
    thread.start()
    thread.join()
    assert torch.equal(out, expected)


@pytest.mark.parametrize("name", CASES)
def test_a_device_that_is_not_current_does_the_work(kernels, second, name):
    expected = results_of(kernels, name, "cuda:0")
    found = results_of(kernels, name, second)
    assert torch.cuda.current_device() == 0
    assert all(t.device == second for t in found)
    assert same(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_the_device_that_is_current_may_be_any(kernels, second, name):
    expected = results_of(kernels, name, "cuda:0")
    with torch.cuda.device(second):
        found = results_of(kernels, name, second)
        other = results_of(kernels, name, "cuda:0")
        assert torch.cuda.current_device() == 1
    assert same(found, expected) and same(other, expected)


@pytest.mark.parametrize("name", CASES)
def test_work_goes_to_the_current_stream_of_the_tensors_device(kernels, second, name):
    """Each device has a current stream of its own, whichever device is current."""
    expected = results_of(kernels, name, "cuda:0")
    function, inputs = case_of(kernels, name, second)
    late = [torch.zeros_like(t) for t in inputs]
    torch.cuda.synchronize(second)
    with torch.cuda.stream(torch.cuda.Stream(second)):
        torch.cuda._sleep(50_000_000)  # work on another stream would read the zeros
        for there, value in zip(late, inputs, strict=True):
            there.copy_(value.detach())
        with torch.cuda.device(0), torch.no_grad():
            found = function(*late)
    torch.cuda.synchronize(second)
    found = found if isinstance(found, tuple) else (found,)
    assert same(found, expected[: len(found)])


@pytest.mark.parametrize("name", CASES)
def test_threads_work_on_two_devices_at_once(kernels, second, name):
    expected = results_of(kernels, name, "cuda:0")
    cases = {device: case_of(kernels, name, device) for device in ("cuda:0", "cuda:1")}
    found = {}

    def work(device):
        function, inputs = cases[device]
        with torch.cuda.device(device), torch.no_grad():
            found[device] = [function(*inputs) for _ in range(50)]

    threads = [threading.Thread(target=work, args=(device,)) for device in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outputs in (y for device in cases for y in found[device]):
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert same(outputs, expected[: len(outputs)])


@pytest.mark.parametrize("name", CASES)
def test_graphs_of_a_second_device_replay_there(kernels, second, name):
    function, inputs = case_of(kernels, name, second)
    with torch.cuda.device(second), torch.no_grad():
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            expected = function(*inputs)
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            found = function(*inputs)
        for y in found if isinstance(found, tuple) else (found,):
            y.zero_()
    graph.replay()
    torch.cuda.synchronize(second)
    pairs = zip(*(y if isinstance(y, tuple) else (y,) for y in (found, expected)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_tensors_of_two_devices_are_refused(kernels, second):
    """Also where one device could read the memory of the other."""
    norm, mlp, rotary = kernels["norm"], kernels["mlp"], kernels["rotary"]
    x, there = torch.randn(4, 64, device="cuda:0"), torch.randn(4, 64, device=second)
    q = torch.randn(1, 2, 4, 64, device="cuda:0")
    for call in (
        lambda: norm.rms_norm(x, there[0], 1e-6),
        lambda: norm.layer_norm(there, x[0], x[0], 1e-6),
        lambda: norm.fused_add_rms_norm(x, there, x[0], 1e-6),
        lambda: mlp.silu_mul(x, there),
        lambda: rotary.apply_rotary(q, q.to(second), x[None], x[None]),
    ):
        with pytest.raises((RuntimeError, ValueError)):
            call()

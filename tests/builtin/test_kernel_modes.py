# SPDX-License-Identifier: Apache-2.0
"""Both kernels under everything that watches, transforms or compiles a call."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class RecordDispatch(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class RecordFunction(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class LoggingTensor(torch.Tensor):
    """A subclass whose functions all pass through __torch_function__."""


@pytest.fixture
def calls(norm, activation):
    """Name, our function, torch's function, each of one tensor of shape (..., 8)."""
    weight, bias = torch.randn(8), torch.randn(8)
    half = 4
    return [
        ("rms_norm", lambda x: norm.rms_norm(x, weight, 1e-6),
         lambda x: F.rms_norm(x, (8,), weight, 1e-6)),
        ("layer_norm", lambda x: norm.layer_norm(x, weight, bias),
         lambda x: F.layer_norm(x, (8,), weight, bias)),
        ("silu", activation.silu, F.silu),
        ("gelu", activation.gelu, F.gelu),
        ("gelu_tanh", activation.gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
        ("silu_and_mul", activation.silu_and_mul,
         lambda x: F.silu(x[..., :half]) * x[..., half:]),
    ]  # fmt: skip


def close(ours, expected):
    assert ours.shape == expected.shape and ours.dtype == expected.dtype
    assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_opcheck_norm(norm, requires_grad, weight, dtype):
    x = torch.randn(3, 4, 8).to(dtype).requires_grad_(requires_grad)
    w = torch.randn(8).to(dtype).requires_grad_(requires_grad) if weight else None
    torch.library.opcheck(norm._ops.ops.rms_norm.default, (x, w, 1, 1e-6, True))
    torch.library.opcheck(norm._ops.ops.layer_norm.default, (x, w, w, 1, 1e-6))
    strided = x.detach().transpose(0, 1)
    torch.library.opcheck(norm._ops.ops.layer_norm.default, (strided, w, None, 1, 1e-6))
    grads = (x.detach(), x.detach(), w, 1, 1e-6, weight)
    torch.library.opcheck(norm._ops.ops.rms_norm_backward.default, grads)


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh", "silu_and_mul"])
def test_opcheck_activation(activation, name, requires_grad):
    ops = activation._ops.ops
    x = torch.randn(3, 4, 8)
    for layout in (x, x.transpose(0, 1), x[:, ::2], x[:, :, ::2]):
        argument = layout.detach().requires_grad_(requires_grad)
        torch.library.opcheck(getattr(ops, name).default, (argument,))
    grad = torch.randn(getattr(activation, name)(x).shape)
    torch.library.opcheck(getattr(ops, f"{name}_backward").default, (grad, x))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_fullgraph_forward_and_backward(norm, activation, backend, dynamic):
    torch._dynamo.reset()

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer_norm = torch.nn.LayerNorm(8)
            self.rms_norm = torch.nn.RMSNorm(8, eps=1e-6)
            self.llama = torch.nn.RMSNorm(8)
            self.gelu = torch.nn.GELU()
            self.silu = torch.nn.SiLU()

        def forward(self, x):
            return self.silu(self.llama(self.gelu(self.rms_norm(self.layer_norm(x)))))

    module = Block()
    eager = Block()
    for one in (module, eager):
        del one.llama.normalized_shape, one.llama.eps
        one.llama.variance_epsilon = 1e-5
    eager.llama.forward = lambda x: F.rms_norm(x, (8,), eager.llama.weight, 1e-5)
    for name, layer in [
        ("layer_norm", norm.layers.LayerNorm),
        ("rms_norm", norm.layers.RMSNorm),
        ("llama", norm.layers.RMSNorm),
        ("gelu", activation.layers.Gelu),
        ("silu", activation.layers.Silu),
    ]:
        child = getattr(module, name)
        child.forward = layer.forward.__get__(child)
    compiled = torch.compile(module, fullgraph=True, backend=backend, dynamic=dynamic)
    for rows in (3, 5):
        x = torch.randn(rows, 8, requires_grad=True)
        expected_x = x.detach().clone().requires_grad_()
        y, expected = compiled(x), eager(expected_x)
        close(y, expected)
        y.pow(2).sum().backward()
        expected.pow(2).sum().backward()
        close(x.grad, expected_x.grad)
        close(module.rms_norm.weight.grad, eager.rms_norm.weight.grad)
        close(module.layer_norm.bias.grad, eager.layer_norm.bias.grad)
        with torch.no_grad():
            close(compiled(x), expected.detach())


def test_compiled_graph_holds_our_op(norm, activation, calls):
    torch._dynamo.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(str(graph.graph))
        return graph

    for name, ours, _ in calls:
        torch.compile(ours, fullgraph=True, backend=backend)(torch.randn(2, 8))
        assert f".{name}." in graphs[-1], name


def test_export_holds_our_op(norm):
    module = torch.nn.RMSNorm(8, eps=1e-6)
    module.forward = norm.layers.RMSNorm.forward.__get__(module)
    for strict in (False, True):
        program = torch.export.export(module, (torch.randn(2, 8),), strict=strict)
        assert "rms_norm" in str(program.graph) and "_norm_cpu_" in str(program.graph)


def test_dispatch_mode_sees_one_op_of_ours(calls):
    x = torch.randn(3, 8)
    for name, ours, torchs in calls:
        with RecordDispatch() as mode:
            y = ours(x)
        close(y, torchs(x))
        assert len(mode.seen) == 1 and mode.seen[0].endswith(f".{name}.default"), mode.seen


def test_function_mode_sees_our_op(calls):
    x = torch.randn(3, 8)
    for name, ours, torchs in calls:
        with RecordFunction() as mode:
            y = ours(x)
        close(y, torchs(x))
        assert any(seen.endswith(f".{name}.default") for seen in mode.seen)


def test_fake_tensors(calls):
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    real = torch.randn(3, 8)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        for _, ours, torchs in calls:
            for x in (mode.from_tensor(real), real):
                y = ours(x)
                assert isinstance(y, FakeTensor)
                assert y.shape == torchs(x).shape


def test_meta_tensors(calls):
    x = torch.randn(3, 8, device="meta")
    for name, ours, _ in calls:
        if "norm" not in name:  # their weights are on the CPU
            y = ours(x)
            assert y.device.type == "meta" and y.shape == (3, 4 if name == "silu_and_mul" else 8)


@pytest.mark.parametrize("in_dim", [0, 1])
def test_vmap(calls, in_dim):
    x = torch.randn(3, 4, 8)
    for _, ours, torchs in calls:
        expected = torch.func.vmap(torchs, in_dims=in_dim)(x)
        close(torch.func.vmap(ours, in_dims=in_dim)(x), expected)


def test_vmap_inside_a_compiled_function(calls, norm):
    torch._dynamo.reset()
    x, weights = torch.randn(3, 4, 8), torch.randn(3, 8)
    for _, ours, torchs in calls:
        compiled = torch.compile(torch.func.vmap(ours), fullgraph=True, backend="aot_eager")
        close(compiled(x), torch.func.vmap(torchs)(x))
    each = torch.func.vmap(lambda t, w: norm.rms_norm(t, w, 1e-6))
    expected = torch.stack([F.rms_norm(t, (8,), w, 1e-6) for t, w in zip(x, weights, strict=True)])
    close(torch.compile(each, fullgraph=True, backend="aot_eager")(x, weights), expected)


def test_function_transforms(calls):
    x, tangent = torch.randn(3, 8), torch.randn(3, 8)
    for _, ours, torchs in calls:
        close(
            torch.func.vmap(torch.func.grad(lambda t, f=ours: f(t).sum()))(x),
            torch.func.vmap(torch.func.grad(lambda t, f=torchs: f(t).sum()))(x),
        )
        close(
            torch.func.jvp(ours, (x,), (tangent,))[1], torch.func.jvp(torchs, (x,), (tangent,))[1]
        )
        close(torch.func.functionalize(ours)(x), torchs(x))


def test_forward_mode_differentiation(calls):
    x, tangent = torch.randn(3, 8), torch.randn(3, 8)
    for _, ours, torchs in calls:
        with torch.no_grad(), torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, tangent)
            ours_tangent = torch.autograd.forward_ad.unpack_dual(ours(dual)).tangent
            expected = torch.autograd.forward_ad.unpack_dual(torchs(dual)).tangent
        close(ours_tangent, expected)


def test_jit_trace(calls):
    x, other = torch.randn(3, 8), torch.randn(3, 8)
    for _, ours, torchs in calls:
        close(torch.jit.trace(ours, (x,), check_trace=False)(other), torchs(other))


def test_subclasses_keep_their_type(calls):
    x = torch.randn(3, 8).as_subclass(LoggingTensor)
    for _, ours, torchs in calls:
        y = ours(x)
        assert type(y) is type(torchs(x)) is LoggingTensor
        close(y, torchs(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_is_as_in_eager_mode(calls, dtype):
    x = torch.randn(3, 8).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        for name, ours, torchs in calls:
            if dtype == torch.bfloat16 and "norm" in name:
                continue  # float32 weights: see the tests of the layers
            y, expected = ours(x), torchs(x)
            assert y.dtype == expected.dtype
            assert torch.allclose(y.float(), expected.float(), rtol=1e-2, atol=1e-2)


def test_inference_mode(calls):
    x = torch.randn(3, 8)
    for _, ours, torchs in calls:
        with torch.inference_mode():
            y = ours(x)
            assert y.is_inference()
            close(y, torchs(x))
        close(ours(y if y.shape == x.shape else x), torchs(y if y.shape == x.shape else x))


def test_result_is_an_ordinary_tensor(calls):
    x = torch.randn(3, 8)
    for _, ours, _ in calls:
        y = ours(x)
        assert y.data_ptr() != x.data_ptr() and not y.requires_grad
        y.resize_(100)


def test_gradient_is_never_lost(calls):
    for _, ours, _ in calls:
        x = torch.randn(3, 8, requires_grad=True)
        with torch.no_grad():
            assert not ours(x).requires_grad
        assert ours(x).requires_grad


def test_profiler_shows_our_op(calls):
    x = torch.randn(3, 8)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _, ours, _ in calls:
            ours(x)
    names = [event.key for event in profile.key_averages()]
    for name, _, _ in calls:
        assert any(key.endswith(f"::{name}") for key in names), name


@pytest.mark.parametrize("name", ["norm", "activation"])
def test_extension_needs_only_stable_functions(variant_of, name):
    out = subprocess.run(
        ["nm", "-D", str(variant_of(name) / f"_{name}_kern.abi3.so")],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in out.stdout.splitlines()]
    assert [line[-1] for line in lines if line[-2] == "T"] == [f"PyInit__{name}_kern"]
    for line in lines:
        if line[-2] == "U" and "@" not in line[-1]:  # those with @ are libc's and libgcc's
            assert line[-1].startswith(("Py", "_Py", "aoti_torch_", "torch_")), line[-1]


def test_two_copies_in_one_process(norm, activation, load_copy):
    x = torch.randn(2, 8)
    other = load_copy("norm", "_norm_copy_for_test")
    assert other._ops.ops is not norm._ops.ops
    close(other._ops.ops.rms_norm(x, None, 1, 1e-6, False), F.rms_norm(x, (8,), None, 1e-6))
    other = load_copy("activation", "_activation_copy_for_test")
    close(other.silu(x), F.silu(x))


def test_layers_hold_to_the_rules_of_upstream(norm, activation):
    import inspect

    allowed = {name for name, _ in inspect.getmembers(torch.nn.Module)}
    allowed |= {"can_torch_compile", "has_backward"}
    for module in (norm, activation):
        for name in module.layers.__all__:
            layer = getattr(module.layers, name)
            assert layer.__init__ is torch.nn.Module.__init__
            assert {member for member, _ in inspect.getmembers(layer)} <= allowed
            assert layer.can_torch_compile and layer.has_backward
            assert len(inspect.signature(layer.forward).parameters) == 2


@pytest.mark.parametrize("name", ["norm", "activation"])
def test_environment_forces_the_serial_version(builtin_dir, variant_of, name):
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('k', sys.argv[1] + '/__init__.py')\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['k'] = module\n"
        "spec.loader.exec_module(module)\n"
        f"print(module._ops._{name}_kern.current_isa())\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(variant_of(name))],
        env={"KERNELS_CPU_ISA": "serial", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "serial"


@pytest.mark.parametrize("name", ["norm", "activation"])
def test_docstring_examples(norm, activation, name):
    import doctest

    module = {"norm": norm, "activation": activation}[name]
    names = {"norm": norm, "activation": activation, "torch": torch}
    results = doctest.testmod(sys.modules[module.__name__ + ".functional"], extraglobs=names)
    assert results.attempted > 0 and results.failed == 0

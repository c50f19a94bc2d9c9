# SPDX-License-Identifier: Apache-2.0
"""All kernels under everything that watches, transforms or compiles a call."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import KERNELS
from torch._subclasses.fake_tensor import FakeTensorMode
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


def turned(x, cos, sin):
    """What a rotary embedding makes of x, in torch's own functions."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def make_calls(norm, activation, mlp, rotary, loss, place):
    """Name of the op, our function, torch's function, each of one tensor of shape (..., 8); the other
    arguments are made by `place`."""
    weight, bias = place(torch.randn(8)), place(torch.randn(8))
    cos, sin = place(torch.randn(8)), place(torch.randn(8))
    target = place(torch.tensor([1, 5, -100, 7]))
    half = 4
    gate, up, down = (place(torch.randn(shape) / 4) for shape in ((16, 8), (16, 8), (8, 16)))
    wide = place(torch.randn(16))
    return [
        ("rms_norm", lambda x: norm.rms_norm(x, weight, 1e-6),
         lambda x: F.rms_norm(x, (8,), weight, 1e-6)),
        ("layer_norm", lambda x: norm.layer_norm(x, weight, bias),
         lambda x: F.layer_norm(x, (8,), weight, bias)),
        ("silu", activation.silu, F.silu),
        ("gelu", activation.gelu, F.gelu),
        ("gelu_tanh", activation.gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
        ("quick_gelu", activation.quick_gelu, lambda x: x * torch.sigmoid(1.702 * x)),
        ("silu_and_mul", activation.silu_and_mul,
         lambda x: F.silu(x[..., :half]) * x[..., half:]),
        ("gelu_and_mul", activation.gelu_and_mul,
         lambda x: F.gelu(x[..., :half]) * x[..., half:]),
        ("gelu_tanh_and_mul", activation.gelu_tanh_and_mul,
         lambda x: F.gelu(x[..., :half], approximate="tanh") * x[..., half:]),
        ("rms_norm_gated", lambda x: norm.rms_norm_gated(x, x, weight, 1e-6),
         lambda x: F.rms_norm(x, (8,), weight, 1e-6) * F.silu(x)),
        ("silu_mul", lambda x: mlp.silu_mul(x, x), lambda x: F.silu(x) * x),
        ("gelu_mul", lambda x: mlp.gelu_mul(x, x), lambda x: F.gelu(x) * x),
        ("apply", lambda x: rotary.apply_rotary(x, x, cos, sin, 0)[0],
         lambda x: turned(x, cos, sin)),
        ("cross_entropy",
         lambda x: loss.cross_entropy(x, target[: x.shape[0]], reduction="none"),
         lambda x: F.cross_entropy(x, target[: x.shape[0]], reduction="none")),
        ("linear", lambda x: mlp.linear(x, gate, wide), lambda x: F.linear(x, gate, wide)),
        ("gated_mlp", lambda x: mlp.gated_mlp(x, gate, up, down, wide),
         lambda x: F.linear(F.silu(F.linear(x, gate, wide)) * F.linear(x, up), down)),
    ]  # fmt: skip


@pytest.fixture
def calls_with(norm, activation, mlp, rotary, loss):
    return lambda place: make_calls(norm, activation, mlp, rotary, loss, place)


@pytest.fixture
def calls(calls_with):
    return calls_with(lambda tensor: tensor)


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
def test_opcheck_fused_norms(norm, requires_grad):
    x, other, w = (torch.randn(3, 4, 8), torch.randn(4, 3, 8).transpose(0, 1), torch.randn(8))
    x.requires_grad_(requires_grad)
    ops = norm._ops.ops
    torch.library.opcheck(ops.fused_add_rms_norm.default, (x, other, w, 1, 1e-6, True))
    torch.library.opcheck(ops.fused_add_layer_norm.default, (x, other, w, w, 1, 1e-6))
    torch.library.opcheck(ops.rms_norm_gated.default, (x, other, w, 1, 1e-6, False, 2))
    x = x.detach()
    gated = (x, x, other, w, 1, 1e-6, 1, True)
    torch.library.opcheck(ops.rms_norm_gated_backward.default, gated)
    summed = (x, x, w, w, 1, 1e-6, True, True, other)
    torch.library.opcheck(ops.layer_norm_backward.default, summed)


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "silu",
        "gelu",
        "gelu_tanh",
        "quick_gelu",
        "silu_and_mul",
        "gelu_and_mul",
        "gelu_tanh_and_mul",
    ],
)
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
        assert f"{norm.__name__}.rms_norm" in str(program.graph)


def test_dispatch_mode_sees_one_op_of_ours(calls):
    x = torch.randn(3, 8)
    for name, ours, torchs in calls:
        with RecordDispatch() as mode:
            y = ours(x)
        close(y, torchs(x))
        ours = [seen for seen in mode.seen if not seen.startswith("aten.")]
        assert len(ours) == 1 and ours[0].endswith(f".{name}.default"), mode.seen
        assert len(mode.seen) == 1 or name == "cross_entropy"  # which takes views of its arguments


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


def test_meta_tensors(calls_with):
    x = torch.randn(3, 8, device="meta")
    for _, ours, torchs in calls_with(lambda tensor: tensor.to("meta")):
        y, expected = ours(x), torchs(x)
        assert (y.device.type, y.shape, y.dtype) == ("meta", expected.shape, x.dtype)


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
        torch._dynamo.reset()
        compiled = torch.compile(torch.func.vmap(ours), fullgraph=True, backend="aot_eager")
        close(compiled(x), torch.func.vmap(torchs)(x))
    each = torch.func.vmap(lambda t, w: norm.rms_norm(t, w, 1e-6))
    expected = torch.stack([F.rms_norm(t, (8,), w, 1e-6) for t, w in zip(x, weights, strict=True)])
    close(torch.compile(each, fullgraph=True, backend="aot_eager")(x, weights), expected)


def test_function_transforms(calls):
    x, tangent, batch = torch.randn(3, 8), torch.randn(3, 8), torch.randn(3, 2, 8)
    for _, ours, torchs in calls:
        close(
            torch.func.vmap(torch.func.grad(lambda t, f=ours: f(t).sum()))(batch),
            torch.func.vmap(torch.func.grad(lambda t, f=torchs: f(t).sum()))(batch),
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
def test_autocast_is_as_in_eager_mode(calls_with, dtype):
    x = torch.randn(3, 8).to(dtype)
    calls = calls_with(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        for _, ours, torchs in calls:
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


@pytest.mark.parametrize("name", KERNELS)
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
            two = name.startswith("Fused") or name.endswith("Gated")
            assert len(inspect.signature(layer.forward).parameters) == (3 if two else 2)


@pytest.mark.parametrize("name", KERNELS)
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


@pytest.mark.parametrize("name", KERNELS)
def test_docstring_examples(request, name):
    import doctest

    module = request.getfixturevalue(name)
    functional = sys.modules[module.__name__ + ".functional"]
    results = doctest.testmod(functional, extraglobs={name: module, "torch": torch})
    assert results.attempted > 0 and results.failed == 0


def test_an_unknown_instruction_set_is_named(variant_of):
    variant = variant_of("norm")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import torch, _norm_kern"
    out = subprocess.run(
        [sys.executable, "-c", code, str(variant)],
        env={"KERNELS_CPU_ISA": "sse9", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = (
        "ImportError: KERNELS_CPU_ISA is 'sse9'; serial, avx2, avx512 or avx512_bf16 is needed"
    )
    assert expected in out.stderr


def test_views_with_the_other_sign_are_seen(calls):
    x = torch._neg_view(torch.randn(3, 8))
    assert x.is_neg() and x.is_contiguous()
    for _, ours, torchs in calls:
        close(ours(x), torchs(x))


def test_a_weight_with_the_other_sign_is_seen(norm):
    x, weight = torch.randn(3, 8), torch._neg_view(torch.randn(8))
    close(norm.rms_norm(x, weight, 1e-6), F.rms_norm(x, (8,), weight, 1e-6))


def test_deterministic_mode(calls):
    x = torch.randn(3, 8)
    torch.use_deterministic_algorithms(True)
    try:
        for _, ours, torchs in calls:
            close(ours(x), torchs(x))
    finally:
        torch.use_deterministic_algorithms(False)


def test_distributed_tensors_stay_distributed(calls_with, tmp_path):
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Replicate, distribute_tensor

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        x = distribute_tensor(torch.randn(3, 8), mesh, [Replicate()])
        for _, ours, torchs in calls_with(lambda t: distribute_tensor(t, mesh, [Replicate()])):
            y = ours(x)
            assert isinstance(y, DTensor)
            close(y.to_local(), torchs(x).to_local())
    finally:
        dist.destroy_process_group()


def test_out_is_written_and_its_version_counted(norm, activation):
    x, w = torch.randn(3, 8), torch.randn(8)
    for ours, expected in [
        (lambda out: activation.silu(x, out=out), F.silu(x)),
        (lambda out: activation.silu_and_mul(x, out=out), F.silu(x[:, :4]) * x[:, 4:]),
        (lambda out: norm.rms_norm(x, w, 1e-6, out=out), F.rms_norm(x, (8,), w, 1e-6)),
        (lambda out: norm.layer_norm(x, w, w, out=out), F.layer_norm(x, (8,), w, w)),
    ]:
        for out in (torch.zeros_like(expected), torch.zeros_like(expected.t()).t()):
            version = out._version
            assert ours(out) is out and out._version > version
            close(out, expected)
        with torch.inference_mode():
            close(ours(torch.empty_like(expected)), expected)
        with pytest.raises(ValueError, match="out has shape"):
            ours(torch.zeros(5))


def test_a_tensor_that_autograd_keeps_is_not_overwritten_unseen(activation):
    kept = torch.randn(3, 8)
    leaf = torch.randn(3, 8, requires_grad=True)
    product = leaf * kept
    with torch.no_grad():
        activation.silu(kept, out=kept)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


@pytest.mark.parametrize("name", ["FusedAddRMSNorm", "FusedAddLayerNorm", "RMSNormGated"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_of_two_tensors(norm, name, dtype):
    base = torch.nn.LayerNorm(8) if "Layer" in name else torch.nn.RMSNorm(8, eps=1e-6)
    module = base.to(dtype)
    x, other = (torch.randn(3, 8).to(dtype).requires_grad_() for _ in range(2))
    wide = [t.detach().double().requires_grad_() for t in (x, other)]
    if name == "RMSNormGated":
        expected = [F.rms_norm(wide[0], (8,), module.weight.double(), 1e-6) * F.silu(wide[1])]
    else:
        total = wide[0] + wide[1]
        expected = [copy.deepcopy(module).double()(total), total]
    module.forward = getattr(norm.layers, name).forward.__get__(module)
    with torch.no_grad():
        direct = module(x, other)
    found = module(x, other)
    found, direct = ([y] if isinstance(y, torch.Tensor) else list(y) for y in (found, direct))
    tolerance = 1e-5 if dtype == torch.float32 else 4e-2
    for y, z, exact in zip(found, direct, expected, strict=True):
        assert torch.equal(y, z) and y.dtype == dtype
        assert torch.allclose(y.double(), exact, rtol=tolerance, atol=tolerance)
    grads = [torch.randn_like(y) for y in found]
    ours = torch.autograd.grad(found, (x, other), grads)
    exact = torch.autograd.grad(expected, wide, [g.double() for g in grads])
    for one, other_grad in zip(ours, exact, strict=True):
        assert torch.allclose(one.double(), other_grad, rtol=4 * tolerance, atol=4 * tolerance)


def test_the_gated_norms_of_transformers(norm):
    from transformers.models.kimi_linear.modeling_kimi_linear import KimiLinearRMSNormGated
    from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextRMSNormGated

    for cls in (Qwen3NextRMSNormGated, KimiLinearRMSNormGated):
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
            module = cls(8).to(dtype)
            x, gate = torch.randn(3, 8).to(dtype), torch.randn(3, 8).to(dtype)
            with torch.no_grad():
                expected = module(x, gate)
                module.forward = norm.layers.RMSNormGated.forward.__get__(module)
                found = module(x, gate)
            assert torch.allclose(found.float(), expected.float(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("device", "compiling", "wants_gradient", "takes_op"),
    [
        ("cuda", True, False, False),  # the compiler fuses the formula with its neighbours
        ("cuda", True, True, True),
        ("cuda", False, False, True),
        ("cpu", True, False, True),
    ],
)
def test_a_compiler_gets_the_formula_on_gpus_where_no_gradient_is_wanted(
    norm, monkeypatch, device, compiling, wants_gradient, takes_op
):
    glue = sys.modules[f"{norm.__name__}._glue"]
    monkeypatch.setattr(glue, "DEVICES", ("cpu", "cuda"))
    monkeypatch.setattr(glue, "is_compiling", lambda: compiling)
    with FakeTensorMode():
        x = torch.empty(2, 8, device=device, requires_grad=wants_gradient)
    assert glue.takes_op(x, None, x) is takes_op
    with torch.no_grad():
        assert glue.takes_op(x) is (takes_op and not (device == "cuda" and compiling))


@pytest.mark.parametrize(
    ("name", "takes_op"),
    [("gelu", False), ("silu", False), ("silu_and_mul", True), ("layer_norm", False),
     ("rms_norm", True), ("fused_add_layer_norm", True)],
)  # fmt: skip
def test_which_formula_a_compiler_gets_on_gpus_where_a_gradient_is_wanted(
    norm, activation, monkeypatch, name, takes_op
):
    kernel = activation if hasattr(activation, name) else norm
    glue = sys.modules[f"{kernel.__name__}._glue"]
    functional = sys.modules[f"{kernel.__name__}.functional"]
    monkeypatch.setattr(glue, "DEVICES", ("cpu", "cuda"))
    monkeypatch.setattr(glue, "is_compiling", lambda: True)

    class Asked(Exception):
        """Ends the call: a torch without CUDA computes nothing there."""

    def ask(*tensors, **options):
        raise Asked(glue.takes_op(*tensors, **options))

    monkeypatch.setattr(functional, "takes_op", ask)
    with FakeTensorMode(), pytest.raises(Asked) as asked:
        x = torch.empty(2, 8, device="cuda", requires_grad=True)
        getattr(functional, name)(x, *((x,) if name.startswith("fused") else ()))
    assert asked.value.args == (takes_op,)

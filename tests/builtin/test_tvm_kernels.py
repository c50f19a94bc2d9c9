# SPDX-License-Identifier: Apache-2.0
"""The variants for tvm-ffi: numbers as those for torch, clear errors, threads, the ABI that they are written for."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import tvm_ffi
from conftest import load_variant

ROOT = Path(__file__).parents[2]
# The build for CUDA has the same CPU kernels: these tests run on it where this names it.
TVM_VARIANT = os.environ.get("KN_BUILTIN_TVM_VARIANT", "tvm-ffi01-cpu-x86_64-linux")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(scope="module")
def tvm(builtin_dir):
    """Imports the tvm-ffi variant of a kernel."""
    return lambda name: load_variant(builtin_dir / name / "build" / TVM_VARIANT)


def same(ours, expected):
    assert ours.dtype == expected.dtype and torch.equal(ours, expected)


def test_the_declared_abi_is_that_of_the_headers(tmp_path):
    include = Path(tvm_ffi.libinfo.find_include_path())
    dlpack = Path(tvm_ffi.libinfo.find_dlpack_include_path())
    command = [os.environ.get("CC", "cc"), "-std=c11", "-fsyntax-only"]
    folders = [f"-I{include}", f"-I{dlpack}", f"-I{ROOT}/builtin/common"]
    run = subprocess.run(
        [*command, *folders, str(ROOT / "tests/builtin/tvm_layout.c")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


# ---- numbers: bit for bit those of the variant for torch ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 130), (0, 8)])
def test_element_wise_activations_are_those_of_torch(tvm, activation, dtype, shape):
    x, grad = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
    ops = activation._ops.ops
    for name in ("silu", "gelu", "gelu_tanh", "quick_gelu"):
        out = torch.empty_like(x)
        getattr(tvm("activation"), name)(out, x)
        same(out, getattr(ops, name)(x))
        getattr(tvm("activation"), name + "_backward")(out, grad, x)
        same(out, getattr(ops, name + "_backward")(grad, x))


def test_element_wise_activations_take_any_order_in_memory(tvm):
    x = torch.randn(4, 6).t()
    out = torch.empty(4, 6).t()
    tvm("activation").silu(out, x)
    torch.testing.assert_close(out, torch.nn.functional.silu(x))
    with pytest.raises(ValueError, match="silu: out and x must lie in memory alike"):
        tvm("activation").silu(torch.empty(6, 4), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gated_activations_are_those_of_torch_with_gaps_between_rows(tvm, activation, dtype):
    x = torch.randn(5, 300, dtype=dtype)[:, :260]
    grad = torch.randn(5, 200, dtype=dtype)[:, :130]
    ops = activation._ops.ops
    for name in ("silu_and_mul", "gelu_and_mul", "gelu_tanh_and_mul"):
        out = torch.empty(5, 150, dtype=dtype)[:, :130]
        getattr(tvm("activation"), name)(out, x)
        same(out, getattr(ops, name)(x))
        grad_x = torch.empty(5, 260, dtype=dtype)
        getattr(tvm("activation"), name + "_backward")(grad_x, grad, x)
        same(grad_x, getattr(ops, name + "_backward")(grad, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("parameter", ["same", "float32", "none"])
def test_norms_are_those_of_torch(tvm, norm, dtype, parameter):
    ours, ops = tvm("norm"), norm._ops.ops
    x, residual, gate = (torch.randn(3, 4, 200, dtype=dtype)[..., :129] for _ in range(3))
    kind = torch.float32 if parameter == "float32" else dtype
    given = parameter != "none"
    weight = torch.randn(129).to(kind) if given else None
    bias = torch.randn(129).to(kind) if given else None
    out, total = torch.empty(3, 4, 129, dtype=dtype), torch.empty(3, 4, 129, dtype=dtype)
    ours.rms_norm(out, x, weight, 1e-6)
    same(out, ops.rms_norm(x, weight, 1, 1e-6, False))
    expected = ops.rms_norm(x, weight, 1, 1e-6, True)
    wide = torch.empty(3, 4, 129, dtype=expected.dtype)
    ours.rms_norm(wide, x, weight, 1e-6, cast_first=True)
    same(wide, expected)
    ours.layer_norm(out, x, weight, bias, 1e-5)
    same(out, ops.layer_norm(x, weight, bias, 1, 1e-5))
    ours.fused_add_rms_norm(out, total, x, residual, weight, 1e-6)
    for mine, theirs in zip(
        (out, total), ops.fused_add_rms_norm(x, residual, weight, 1, 1e-6, False), strict=True
    ):
        same(mine, theirs)
    ours.fused_add_layer_norm(out, total, x, residual, weight, bias, 1e-5)
    for mine, theirs in zip(
        (out, total), ops.fused_add_layer_norm(x, residual, weight, bias, 1, 1e-5), strict=True
    ):
        same(mine, theirs)
    for number, name in ((1, "silu"), (2, "sigmoid")):
        ours.rms_norm_gated(out, x, gate, weight, 1e-6, name)
        same(out, ops.rms_norm_gated(x, gate, weight, 1, 1e-6, False, number))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("rows", [0, 3, 17, 2000])
def test_gradients_of_norms_are_those_of_torch(tvm, norm, dtype, wide, rows):
    ours, ops = tvm("norm"), norm._ops.ops
    x, gate, grad, grad_sum = (torch.randn(rows, 2, 65, dtype=dtype) for _ in range(4))
    kind = torch.float32 if wide else dtype
    weight, bias = torch.randn(65).to(kind), torch.randn(65).to(kind)
    grad_x, grad_gate = torch.empty_like(x), torch.empty_like(x)
    grad_weight, grad_bias = torch.empty_like(weight), torch.empty_like(bias)

    def computed(function, outputs, *arguments):
        """What it writes into its outputs, with the workspace that it asks for."""
        needed = function(*outputs, None, *arguments)
        workspace = torch.full((needed,), float("nan"))
        assert function(*outputs, workspace, *arguments) == needed
        return outputs

    outputs = computed(
        ours.rms_norm_backward, (grad_x, grad_weight), grad, x, weight, 1e-6, grad_sum
    )
    expected = ops.rms_norm_backward(grad, x, weight, 1, 1e-6, True, grad_sum)
    for mine, theirs in zip(outputs, expected[:2], strict=True):
        same(mine, theirs)
    outputs = (grad_x, grad_weight, grad_bias)
    computed(ours.layer_norm_backward, outputs, grad, x, weight, bias, 1e-5)
    expected = ops.layer_norm_backward(grad, x, weight, bias, 1, 1e-5, True, True, None)
    for mine, theirs in zip(outputs, expected, strict=True):
        same(mine, theirs)
    for number, name in ((1, "silu"), (2, "sigmoid")):
        outputs = (grad_x, grad_gate, grad_weight)
        computed(ours.rms_norm_gated_backward, outputs, grad, x, gate, weight, 1e-6, name)
        expected = ops.rms_norm_gated_backward(grad, x, gate, weight, 1, 1e-6, number, True)
        for mine, theirs in zip(outputs, expected, strict=True):
            same(mine, theirs)


def test_a_workspace_is_for_the_gradients_of_weight_and_bias(tvm, norm):
    ours, ops = tvm("norm"), norm._ops.ops
    x, grad, weight = torch.randn(40, 8), torch.randn(40, 8), torch.randn(8)
    grad_x, grad_weight = torch.zeros_like(x), torch.zeros(8)
    assert ours.rms_norm_backward(grad_x, None, None, grad, x, weight, 1e-6) == 0
    same(grad_x, ops.rms_norm_backward(grad, x, weight, 1, 1e-6, False)[0])
    assert ours.rms_norm_backward(grad_x.zero_(), grad_weight, None, grad, x, weight, 1e-6) == 48
    assert not grad_x.any() and not grad_weight.any()
    bias_alone = (grad_x, None, grad_weight, torch.empty(48))
    ours.layer_norm_backward(*bias_alone, grad, x, weight, weight, 1e-5)
    expected = ops.layer_norm_backward(grad, x, weight, weight, 1, 1e-5, False, True)
    same(grad_x, expected[0])
    same(grad_weight, expected[2])


def test_the_weight_tells_the_normalized_dimensions(tvm):
    x, weight, out = torch.randn(3, 4, 5), torch.randn(4, 5), torch.empty(3, 4, 5)
    tvm("norm").rms_norm(out, x, weight, 1e-6)
    torch.testing.assert_close(out, torch.nn.functional.rms_norm(x, (4, 5), weight, 1e-6))


def test_a_fused_add_may_write_over_its_inputs(tvm):
    x, residual, weight = torch.randn(3, 64), torch.randn(3, 64), torch.randn(64)
    total = x + residual
    tvm("norm").fused_add_rms_norm(x, residual, x, residual, weight, 1e-6)
    same(residual, total)
    torch.testing.assert_close(x, torch.nn.functional.rms_norm(total, (64,), weight, 1e-6))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_is_that_of_torch_also_in_place_and_back(tvm, rotary, dtype, interleaved):
    q = torch.randn(2, 8, 7, 64, dtype=dtype)
    k = torch.randn(2, 7, 2, 64, dtype=dtype).transpose(1, 2)
    angles = torch.randn(2, 7, 48)
    options = (1, 48, interleaved)
    for transposed in (False, True):
        expected = rotary._ops.ops.apply(q, k, angles.cos(), angles.sin(), *options, transposed)
        q_out, k_out = q.clone(), k.clone()
        tvm("rotary").apply_rotary(
            q_out, k_out, q_out, k_out, angles.cos(), angles.sin(), 1, interleaved, 48, transposed
        )
        same(q_out, expected[0])
        same(k_out, expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_gates_and_products_are_those_of_torch(tvm, mlp, dtype):
    ours, ops = tvm("mlp"), mlp._ops.ops
    gate, up, grad = (torch.randn(3, 70, dtype=dtype) for _ in range(3))
    for name in ("silu_mul", "gelu_mul", "gelu_tanh_mul"):
        out, other = torch.empty_like(gate), torch.empty_like(gate)
        getattr(ours, name)(out, gate, up)
        same(out, getattr(ops, name)(gate, up))
        getattr(ours, name + "_backward")(out, other, grad, gate, up)
        expected = getattr(ops, name + "_backward")(grad, gate, up)
        same(out, expected[0])
        same(other, expected[1])
    x = torch.randn(3, 40, dtype=dtype)
    first, second = (torch.randn(70, 40, dtype=dtype) for _ in range(2))
    down, bias = torch.randn(50, 70, dtype=dtype), torch.randn(50, dtype=dtype)
    out, hidden = torch.empty(3, 50, dtype=dtype), torch.empty(3, 70, dtype=dtype)
    ours.linear(out, gate, down, bias)
    same(out, ops.linear(gate, down, bias))
    for kind, name in enumerate(("silu", "gelu", "gelu_tanh")):
        ours.gated_mlp(out, hidden, x, first, second, down, down_bias=bias, activation=name)
        same(out, ops.gated_mlp(x, first, None, second, None, down, bias, kind))


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_is_that_of_torch(tvm, loss, dtype):
    ours, ops = tvm("loss"), loss._ops.ops
    logits = torch.randn(6, 50, dtype=dtype)[:, :37]
    target = torch.tensor([0, 36, 5, -100, 7, 8])
    options = (-100, 0.1, 0.01)
    losses, grad = torch.empty(6), torch.empty(6, 37, dtype=dtype)
    ours.cross_entropy(losses, logits, target, *options)
    same(losses, ops.cross_entropy(logits, target, *options, 0))
    one = torch.ones(())
    ours.cross_entropy_with_gradient(losses, grad, logits, target, 1 / 5, *options)
    same(grad, ops.cross_entropy_backward(one, logits, target, *options, 1))
    each = torch.randn(6)
    ours.cross_entropy_backward(grad, each, logits, target, *options)
    same(grad, ops.cross_entropy_backward(each, logits, target, *options, 0))


def test_arrays_of_numpy_do_as_well(tvm):
    x = np.array([[3.0, 4.0]], dtype=np.float32)
    out = np.empty_like(x)
    tvm("norm").rms_norm(out, x, None, 0.0)
    np.testing.assert_allclose(out, [[0.8485281, 1.1313708]], rtol=1e-6)


# ---- what is wrong with an argument ----

F = np.float32
WRONG = [
    ("activation", "silu", lambda: (np.zeros(3, F), 3), TypeError, "silu: x must be a tensor"),
    ("activation", "silu", lambda: (np.zeros(3, F), np.zeros(4, F)), ValueError,
     "silu: out has the shape (3); (4) is needed"),
    ("activation", "silu", lambda: (np.zeros(3), np.zeros(3)), TypeError,
     "silu: out must be of float32, bfloat16 or float16; its DLPack code is 2, of 64 bits"),
    ("activation", "silu", lambda: (np.zeros(3, np.float16), np.zeros(3, F)), TypeError,
     "silu: out is of float16, x of float32; one type is needed"),
    ("activation", "silu_and_mul", lambda: (np.zeros(1, F), np.zeros(3, F)), ValueError,
     "silu_and_mul: the last dimension of x, 3, must be even"),
    ("norm", "rms_norm", lambda: (np.zeros((2, 3), F), np.zeros((2, 6), F)[:, ::2], None), ValueError,
     "rms_norm: x has the shape (2, 3) and the strides (6, 2); rows must be contiguous and evenly spaced"),
    ("norm", "rms_norm", lambda: (np.zeros((2, 6), F)[:, :3], np.zeros((2, 3), F), None), ValueError,
     "rms_norm: out has the shape (2, 3) and the strides (6, 1); it must be contiguous"),
    ("norm", "rms_norm", lambda: (np.zeros((2, 3), F), np.zeros((2, 3), F), np.ones(4, F)), ValueError,
     "rms_norm: weight has the shape (4); (3) is needed"),
    ("norm", "rms_norm", lambda: (np.zeros(3, F), np.zeros(3, F), np.ones((1, 3), F)), ValueError,
     "rms_norm: weight has 2 dimensions and x has 1; 1 to as many as x has are needed"),
    ("norm", "rms_norm", lambda: (np.zeros(3, F), np.zeros(3, F), None, "1"), TypeError,
     "rms_norm: eps must be a number"),
    ("norm", "rms_norm_backward", lambda: (np.zeros((2, 3), F), np.zeros(3, F), np.zeros(5, F),
                                           *(np.zeros((2, 3), F) for _ in range(2)), np.ones(3, F)), ValueError,
     "rms_norm_backward: workspace has 5 elements; 6 are needed"),
    ("norm", "rms_norm_backward", lambda: (np.zeros((2, 3), F), np.zeros(3, F), np.zeros(6, np.float16),
                                           *(np.zeros((2, 3), F) for _ in range(2)), np.ones(3, F)), ValueError,
     "rms_norm_backward: workspace must be of float32"),
    ("norm", "rms_norm_backward", lambda: (np.zeros((2, 3), F), np.zeros(3, F), None,
                                           *(np.zeros((2, 3), F) for _ in range(2)), None), ValueError,
     "rms_norm_backward: grad_weight needs the weight, which is None"),
    ("norm", "rms_norm_backward", lambda: (np.zeros((2, 3), F), np.zeros(2, F), None,
                                           *(np.zeros((2, 3), F) for _ in range(2)), np.ones(3, F)), ValueError,
     "rms_norm_backward: grad_weight has the shape (2); (3) is needed"),
    ("norm", "rms_norm_backward", lambda: (np.zeros((2, 3), F), None, None, np.zeros((2, 2), F),
                                           np.zeros((2, 3), F), np.ones(3, F)), ValueError,
     "rms_norm_backward: grad has the shape (2, 2); (2, 3) is needed"),
    ("norm", "rms_norm_gated", lambda: (*(np.zeros(3, F) for _ in range(3)), None, 0.0, "relu"), ValueError,
     "rms_norm_gated: unknown activation 'relu'; there are 'silu', 'sigmoid'"),
    ("rotary", "apply_rotary", lambda: (*(np.zeros((2, 3, 4), F) for _ in range(4)),
                                        *(np.zeros((3, 8), F) for _ in range(2))), ValueError,
     "apply_rotary: 8 of 4 elements cannot be turned by 8 cosines and 8 sines"),
    ("rotary", "apply_rotary", lambda: (*(np.zeros((2, 3, 4), F) for _ in range(4)),
                                        *(np.zeros((5, 4), F) for _ in range(2))), ValueError,
     "apply_rotary: cos and sin, without dimension 1, do not lie over q"),
    ("mlp", "linear", lambda: (np.zeros((1, 2), F), np.zeros((1, 3), F), np.zeros((2, 4), F)), ValueError,
     "linear: weight has the shape (2, 4); (2, 3) is needed"),
    ("loss", "cross_entropy", lambda: (np.zeros(1, F), np.zeros((1, 3), F), np.array([3])), ValueError,
     "cross_entropy: a target is neither a class nor ignore_index"),
    ("loss", "cross_entropy", lambda: (np.zeros(1, F), np.zeros((1, 3), F), np.array([1], np.int32)), TypeError,
     "cross_entropy: target must be of int64"),
]  # fmt: skip


@pytest.mark.parametrize(("kernel", "function", "arguments", "kind", "message"), WRONG)
def test_a_wrong_argument_is_an_error_that_says_what_is_needed(
    tvm, kernel, function, arguments, kind, message
):
    with pytest.raises(kind) as error:
        getattr(tvm(kernel), function)(*arguments())
    assert str(error.value) == message


def test_a_wrong_number_of_arguments_is_told(tvm):
    with pytest.raises(TypeError, match="silu: 1 arguments were given; 2 are needed"):
        tvm("activation")._ops.ops.silu(np.zeros(3, F))
    with pytest.raises(TypeError, match="rms_norm: 0 arguments were given; at least 4 are needed"):
        tvm("norm")._ops.ops.rms_norm()


# ---- processes of their own: settings from the environment, forks ----

SUM = """
import hashlib, importlib.util, sys
import numpy as np

sys.modules["torch"] = None  # it takes long, and is not needed
spec = importlib.util.spec_from_file_location("norm", {variant!r} + "/__init__.py")
norm = sys.modules["norm"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(norm)
x = np.random.default_rng(0).standard_normal((4099, 517), dtype=np.float32)
out = np.empty_like(x)


def digest():
    out[:] = 0
    norm.rms_norm(out, x, None, 1e-6)
    return hashlib.sha256(out.tobytes()).hexdigest()
"""


@pytest.fixture
def in_process(builtin_dir, tmp_path):
    def run(code, **environment):
        variant = str(builtin_dir / "norm" / "build" / TVM_VARIANT)
        prefix = SUM.format(variant=variant)
        return subprocess.run(
            [sys.executable, "-c", prefix + textwrap.dedent(code)],
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


COUNT = """
import os
before = len(os.listdir("/proc/self/task"))
print(digest(), len(os.listdir("/proc/self/task")) - before)
"""


def test_the_number_of_threads_is_set_and_changes_no_bit(in_process):
    outputs = {n: in_process(COUNT, KERNELS_NUM_THREADS=n).stdout.split() for n in ("1", "2", "5")}
    assert [int(output[1]) for output in outputs.values()] == [0, 1, 4]
    assert len({output[0] for output in outputs.values()}) == 1


def test_callers_at_a_time_and_children_of_a_fork_have_their_results(in_process):
    run = in_process(
        """
        import os
        import threading
        first = digest()
        wrong = []

        def work():
            mine = np.empty_like(x)
            for _ in range(5):
                norm.rms_norm(mine, x, None, 1e-6)
                if hashlib.sha256(mine.tobytes()).hexdigest() != first:
                    wrong.append(1)

        callers = [threading.Thread(target=work) for _ in range(3)]
        for caller in callers:
            caller.start()
        for _ in range(3):
            child = os.fork()
            if child == 0:
                os._exit(0 if digest() == first else 1)
            assert os.waitpid(child, 0)[1] == 0
        for caller in callers:
            caller.join()
        print(wrong)
        """,
        KERNELS_NUM_THREADS="3",
    )
    assert run.stdout.strip() == "[]", run.stderr


@pytest.mark.parametrize("isa", ["serial", "avx2", "avx512", "avx512_bf16"])
def test_every_instruction_set_computes_the_norm(in_process, isa):
    run = in_process(
        """
        norm.rms_norm(out, x, None, 1e-6)
        wide = x.astype(np.float64)
        np.testing.assert_allclose(out, wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6), rtol=1e-5)
        print("right")
        """,
        KERNELS_CPU_ISA=isa,
    )
    assert run.stdout.strip() == "right", run.stderr


def test_an_unknown_instruction_set_is_an_error_of_the_call(in_process):
    run = in_process("digest()", KERNELS_CPU_ISA="mmx")
    assert "KERNELS_CPU_ISA is 'mmx'; serial, avx2, avx512 or avx512_bf16 is needed" in run.stderr

# SPDX-License-Identifier: Apache-2.0
"""What the first-party kernels share on the Python side: choosing a way, and registering ops."""

import torch
from torch.compiler import is_compiling, is_dynamo_compiling

from ._build import DEVICES

DTYPES = (torch.float32, torch.bfloat16, torch.float16)

try:
    from torch._subclasses.fake_tensor import FakeTensor
    from torch._subclasses.functional_tensor import FunctionalTensor

    _TYPES = (torch.Tensor, torch.nn.Parameter, FakeTensor, FunctionalTensor)
except ImportError:
    _TYPES = (torch.Tensor, torch.nn.Parameter)


def _functorch_is_active():
    return torch._C._functorch.maybe_current_level() is not None


def _forward_ad_is_active():
    return torch.autograd.forward_ad._current_level >= 0


def _is_transformed():
    """Whether something that our ops have no rule for watches this call."""
    return torch.jit.is_tracing() or _functorch_is_active() or _forward_ad_is_active()


def _is_op_tensor(tensor):
    return (
        type(tensor) in _TYPES
        and tensor.dtype in DTYPES
        and (tensor.device.type in DEVICES or tensor.device.type == "meta")
        and tensor.layout == torch.strided
        and not tensor.is_nested
    )


def _is_for_compiler(tensors, fuses_backward):
    """Whether a compiler had better see the formula: on a GPU it makes one pass of a formula and
    what stands around it, where an op would be a pass of its own. For gradients most ops are quicker."""
    if any(tensor.device.type != "cuda" for tensor in tensors):
        return False
    if fuses_backward or not torch.is_grad_enabled():
        return True
    return not any(tensor.requires_grad for tensor in tensors)


def takes_op(*tensors, fuses_backward=False):
    """Whether our op computes this call; if not, torch's own functions do.

    They do for other dtypes, devices and layouts, tensors of several devices, tensor subclasses
    (which may distribute or quantize), and under `torch.func` transforms, forward-mode
    differentiation and jit tracing. A compiler is given them for GPUs where no gradient is wanted,
    and where `fuses_backward` says that its backward in one pass with others is as quick as ours.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    if _is_for_compiler(given, fuses_backward) if is_compiling() else _is_transformed():
        return False
    return all(_is_op_tensor(t) and t.device == given[0].device for t in given)


class ArgumentError(ValueError, RuntimeError):
    """Also the RuntimeError that torch's own functions raise: callers of a layer may know that one."""


class DtypeError(TypeError, RuntimeError):
    """Likewise."""


def check_float(name, argument, tensor):
    """Raises TypeError unless `tensor` is a real floating-point tensor."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name}: {argument} must be a torch.Tensor, not {type(tensor).__name__}")
    if not tensor.dtype.is_floating_point:
        raise DtypeError(
            f"{name}: {argument} has dtype {tensor.dtype}; float32, bfloat16 or float16 is needed"
        )


def register_ops(kern, build_id, first_op):
    """Registers the C ops of this copy of the kernel and returns their `torch.ops` namespace.

    The namespace carries the build's id. A second copy in one process gets a number behind it, as
    does one whose first import failed half-way.
    """
    name, number = build_id, 0
    while hasattr(getattr(torch.ops, name), first_op):
        number += 1
        name = f"{build_id}_{number}"
    kern.register_ops(name)
    return getattr(torch.ops, name)


def wants_direct_grad(kern, *tensors):
    """Whether a gradient is recorded and the op itself need not be seen.

    Then an autograd function around the direct call takes a third of the time of the op's.
    """
    if is_compiling() or not torch.is_grad_enabled() or not kern.is_quiet():
        return False
    given = [tensor for tensor in tensors if tensor is not None]
    return any(t.requires_grad for t in given) and all(type(t) in _TYPES[:2] for t in given)


def direct_or_op(direct, op):
    """The direct call, or the op where that declines or a compiler is to see it."""

    def call(*inputs):
        if not is_dynamo_compiling():
            output = direct(*inputs)
            if output is not NotImplemented:
                return output
        return op(*inputs)

    return call


def define_gradient(kern, name, op, setup, grads):
    """Registers the gradient of the op, and with the direct call of this name what records it there.

    Returns a function that takes the op or, where only a gradient is asked for, the shorter way.
    """
    torch.library.register_autograd(op, grads, setup_context=setup)
    register_vmap(op)
    compute = direct_or_op(getattr(kern, name), op)

    def forward(ctx, *inputs):
        output = compute(*inputs)
        setup(ctx, inputs, output)
        return output

    members = {"forward": staticmethod(forward), "backward": staticmethod(grads)}
    function = type(f"Direct_{name}", (torch.autograd.Function,), members)
    # What apply does in Python is for torch.func alone, under which the direct calls do not record.
    kern.set_recorder(name, super(torch.autograd.Function, function).apply)

    def call(*inputs):
        tensors = [t for t in inputs if isinstance(t, torch.Tensor)]
        return function.apply(*inputs) if wants_direct_grad(kern, *tensors) else op(*inputs)

    return call


def register_vmap(op):
    """Lets the op run under `torch.func.vmap` inside a compiled function.

    One call does it where only the tensors of the input's shape are batched, one call for each
    element where a parameter is, too.
    """
    whole = [i for i, a in enumerate(op._schema.arguments) if a.name in ("x", "grad")]

    def rule(info, in_dims, *inputs):
        batched = [i for i, dim in enumerate(in_dims) if dim is not None]
        if batched == whole and len(op._schema.returns) == 1:
            moved = [a.movedim(in_dims[i], 0) if i in whole else a for i, a in enumerate(inputs)]
            return op(*moved), 0
        rows = []
        for row in range(info.batch_size):
            pairs = zip(inputs, in_dims, strict=True)
            rows.append(op(*[a if dim is None else a.select(dim, row) for a, dim in pairs]))
        if isinstance(rows[0], torch.Tensor):
            return torch.stack(rows), 0
        columns = zip(*rows, strict=True)
        return tuple(torch.stack(column) for column in columns), (0,) * len(rows[0])

    torch.library.register_vmap(op, rule)


def write_out(out, result):
    """Puts a result that was computed elsewhere into the caller's tensor."""
    if out.shape != result.shape or out.dtype != result.dtype:
        raise ArgumentError(
            f"out has shape {tuple(out.shape)} and dtype {out.dtype}; the result has shape "
            f"{tuple(result.shape)} and dtype {result.dtype}"
        )
    return out.copy_(result)


def wrote_to(out):
    """Tells autograd that a direct call has changed this tensor."""
    torch.autograd.graph.increment_version(out)
    return out


def backward_through(reference, inputs, grad):
    """Gradients that can be differentiated again: those of the reference in torch's own ops.

    They are taken at aliases of the inputs: one tensor may be given twice, or depend on another.
    """
    with torch.enable_grad():
        aliases = [
            t.view_as(t) if isinstance(t, torch.Tensor) and t.requires_grad else None
            for t in inputs
        ]
        given = [t if alias is None else alias for t, alias in zip(inputs, aliases, strict=True)]
        output = reference(*given)
        wanted = [alias for alias in aliases if alias is not None]
        found = iter(
            torch.autograd.grad(output, wanted, grad, create_graph=True, allow_unused=True)
        )
    return tuple(None if alias is None else next(found) for alias in aliases)

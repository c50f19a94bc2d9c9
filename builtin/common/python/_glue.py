# SPDX-License-Identifier: Apache-2.0
"""What the first-party kernels share on the Python side: choosing a way, and registering ops."""

import torch
from torch.compiler import is_compiling

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
        and tensor.device.type in ("cpu", "meta")
        and tensor.layout == torch.strided
        and not tensor.is_nested
    )


def takes_op(*tensors):
    """Whether our op computes this call; if not, torch's own functions do.

    They do for other dtypes, devices and layouts, for tensor subclasses (which may distribute or
    quantize), and under `torch.func` transforms, forward-mode differentiation and jit tracing.
    """
    if not is_compiling() and _is_transformed():
        return False
    for tensor in tensors:
        if tensor is not None and not _is_op_tensor(tensor):
            return False
    return True


def check_float(name, argument, tensor):
    """Raises TypeError unless `tensor` is a real floating-point tensor."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name}: {argument} must be a torch.Tensor, not {type(tensor).__name__}")
    if not tensor.dtype.is_floating_point:
        raise TypeError(
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


def backward_through(reference, inputs, grad):
    """Gradients that can be differentiated again: those of the reference in torch's own ops."""
    wanted = [t for t in inputs if isinstance(t, torch.Tensor) and t.requires_grad]
    with torch.enable_grad():
        output = reference(*inputs)
        found = iter(torch.autograd.grad(output, wanted, grad, create_graph=True))
    return tuple(
        next(found) if isinstance(t, torch.Tensor) and t.requires_grad else None for t in inputs
    )

# SPDX-License-Identifier: Apache-2.0
"""What is particular to torch: called by the extension, decides nothing itself."""

import functools
import importlib
import inspect
import sys

import torch
from torch.nn import Module

# ---- the machine ----


def version():
    """(major, minor, C++11 ABI) of torch"""
    major, minor = torch.__version__.split("+")[0].split(".")[:2]
    return int(major), int(minor), int(torch.compiled_with_cxx11_abi())


def backend():
    """The backend that this torch was built for, as variants name it."""
    if hasattr(torch.backends, "tpu"):
        return "tpu"
    if hasattr(torch, "neuron"):
        return "neuron"
    version = torch.version
    if version.cuda is not None:
        return "cu" + "".join(version.cuda.split(".")[:2])
    if version.hip is not None:
        return "rocm" + "".join(version.hip.split("-")[0].split(".")[:2])
    if torch.backends.mps.is_available():
        return "metal"
    if getattr(version, "xpu", None) is not None:
        return f"xpu{version.xpu[0:4]}{version.xpu[5:6]}"
    if torch._C._get_privateuse1_backend_name() == "npu":
        from torch_npu.utils.collect_env import get_cann_version

        cann = get_cann_version()
        return f"cann{cann[0]}{cann[2]}"
    return "cpu"


def _type_name(device_type):
    return "rocm" if device_type == "cuda" and torch.version.hip is not None else device_type


def device_of(tensor):
    """(type, index) of a tensor's device; -1 for the current one."""
    device = tensor.device
    return _type_name(device.type), -1 if device.index is None else device.index


def requested_device(device):
    """(type, index) of a torch.device or a kernels.Device."""
    if isinstance(device, torch.device):
        return _type_name(device.type), -1 if device.index is None else device.index
    from kernels.layer.device import Device

    if isinstance(device, Device) and isinstance(device.type, str):
        return device.type, -1
    raise TypeError(f"device must be text, a torch.device or a kernels.Device, not {device!r}")


def _can_ask(device_type):
    built_for = torch.version.hip if device_type == "rocm" else torch.version.cuda
    return built_for is not None and torch.cuda.is_available()


def _capability_of(index=None):
    major, minor = torch.cuda.get_device_capability(index)
    return major * 10 + minor


def capability(device_type):
    """major * 10 + minor of the current device, or None where it cannot be asked."""
    return _capability_of() if _can_ask(device_type) else None


def has_unlike_devices(device_type):
    if not _can_ask(device_type):
        return False
    return len({_capability_of(index) for index in range(torch.cuda.device_count())}) > 1


def first_parameter(model):
    return next(iter(model.parameters()), None)


def module_device(module):
    """(type, index, capability) of the first parameter or buffer of a module or, failing that, its descendants."""
    for below in module.modules():
        for tensors in (below._parameters, below._buffers):
            for tensor in tensors.values():
                if tensor is None:
                    continue
                name, index = device_of(tensor)
                known = (
                    _capability_of(tensor.device)
                    if name in ("cuda", "rocm") and _can_ask(name)
                    else None
                )
                return name, index, known
    return None


# ---- kernels ----


def gpu():
    """(capability of the current CUDA device as a number, or -1; architecture of the ROCm device, or None)."""
    if not torch.cuda.is_available():
        return -1, None
    if torch.version.hip is not None:
        return -1, torch.cuda.get_device_properties(torch.cuda.current_device()).gcnArchName
    return _capability_of(), None


def find_layer(kernel, name, repo):
    layers = getattr(kernel, "layers", None)
    if layers is None:
        raise ValueError(f"Kernel repo {repo} does not define any layers.")
    layer = getattr(layers, name, None)
    if layer is None:
        there = sorted(
            key
            for key, value in vars(layers).items()
            if isinstance(value, type) and issubclass(value, Module)
        )
        raise ValueError(
            f"Layer `{name}` not found in kernel repo {repo}; it has: {', '.join(there) or 'none'}."
        )
    return layer


def layer_flags(layer):
    """(has_backward, can_torch_compile)"""
    if not (isinstance(layer, type) and issubclass(layer, Module)):
        name = getattr(layer, "__name__", repr(layer))
        raise TypeError(
            f"Layer `{name}` is not a Torch layer: a subclass of torch.nn.Module is needed."
        )
    return bool(getattr(layer, "has_backward", True)), bool(
        getattr(layer, "can_torch_compile", False)
    )


# ---- putting a layer in the place of a class ----

_FLAGS = {"can_torch_compile", "has_backward"}


def _check_layer(layer, cls, repo):
    if layer.__init__ is not Module.__init__:
        raise TypeError(
            f"{repo} must not override nn.Module constructor: layer `{layer.__name__}` has an __init__."
        )
    extra = set(dir(layer)) - set(dir(Module)) - _FLAGS
    # What a class that runs Python annotations or pickling support adds is no member of the layer.
    extra = sorted(
        name
        for name in extra
        if name not in ("__annotations__", "__firstlineno__", "__static_attributes__")
    )
    if extra:
        raise TypeError(
            f"{repo} must not contain additional members compared to `{cls.__name__}`: layer `{layer.__name__}` has "
            f"{', '.join(extra)}."
        )


def _check_signature(signature, replaced, layer, cls, repo):
    ours, theirs = list(signature.parameters.values()), list(replaced.parameters.values())
    problem = None
    if len(ours) != len(theirs):
        problem = "different number of arguments"
    for mine, other in zip(ours, theirs, strict=False):
        if problem is None and mine.kind != other.kind:
            kinds = f"{mine} is {mine.kind.description}, {other} is {other.kind.description}"
            problem = f"different kind of arguments ({kinds})"
    if problem:
        raise TypeError(
            f"Forward signature of {repo} does not match `{cls.__name__}`: {problem}: "
            f"`{layer.__name__}.forward{signature}` and `{cls.__name__}.forward{replaced}`."
        )


def _renamed(forward, names):
    """`forward` that also takes keyword arguments by the names of the class that it replaces."""

    @functools.wraps(forward)
    def renamed(self, *args, **kwargs):
        if kwargs:
            kwargs = {names.get(key, key): value for key, value in kwargs.items()}
        return forward(self, *args, **kwargs)

    renamed.__name__ = "forward"
    return renamed


def bind_layer(layer, cls, repo):
    """The function that becomes the forward of instances of `cls`; TypeError where the layer does not fit."""
    _check_layer(layer, cls, repo)
    signature, replaced = inspect.signature(layer.forward), inspect.signature(cls.forward)
    _check_signature(signature, replaced, layer, cls, repo)
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {
        theirs.name: ours.name
        for ours, theirs in zip(
            signature.parameters.values(), replaced.parameters.values(), strict=True
        )
        if ours.kind in by_keyword and ours.name != theirs.name
    }
    # `self` is never given by keyword.
    names.pop(next(iter(replaced.parameters), None), None)
    return _renamed(layer.forward, names) if names else layer.forward


# ---- functions as modules ----


def _find_by_name(module_name, qualified_name):
    found = (
        sys.modules[module_name]
        if module_name in sys.modules
        else importlib.import_module(module_name)
    )
    for part in qualified_name.split("."):
        found = getattr(found, part)
    return found


class FunctionModule(Module):
    """The base of functions that were made replaceable. The one instance of such a class is called like the function,
    is kept by copies and pickles by the function's name."""

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return _find_by_name, (type(self).__module__, type(self).__qualname__)


def function_module(function, base=FunctionModule):
    """A module class whose forward is `function`."""

    def forward(self, *args, **kwargs):
        return function(*args, **kwargs)

    signature = inspect.signature(function)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    first = next(iter(signature.parameters.values()), None)
    if first is None or first.kind != inspect.Parameter.POSITIONAL_ONLY:
        own = own.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    forward.__signature__ = signature.replace(parameters=[own, *signature.parameters.values()])
    forward.__doc__ = function.__doc__
    members = {
        "forward": forward,
        "can_torch_compile": getattr(function, "can_torch_compile", False),
        "has_backward": getattr(function, "has_backward", True),
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
    }
    return type(function.__name__, (base,), members)

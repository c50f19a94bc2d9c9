# SPDX-License-Identifier: Apache-2.0
"""Running a layer aside: on copies of its inputs and of its own state, so that the model does not notice."""

import contextlib
import copy
import dataclasses
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from types import MethodType, ModuleType

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from kernels import _core
from kernels._compare import VALUES, tensors_of
from kernels._torch import FunctionModule
from kernels.layer.kernelize import explain

# Watching a model changes its modules for the time: what does is done by one thread at a time.
one_at_a_time = threading.RLock()

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_SAME = (*VALUES, Module, ModuleType, torch.Size, range, slice)


def call_of(inputs):
    """The function of a model that `inputs`, as users give them, stand for."""
    if isinstance(inputs, Tensor):
        return lambda model: model(inputs)
    if isinstance(inputs, tuple):
        return lambda model: model(*inputs)
    if isinstance(inputs, Mapping):
        return lambda model: model(**inputs)
    if callable(inputs) and not isinstance(inputs, Module):
        return inputs
    raise TypeError(
        "inputs must be a tensor, a tuple of positional arguments, a dict of keyword arguments or a function that "
        f"calls the model it is given, not {type(inputs).__name__}"
    )


# ---- copies ----


def copied(value, memo):
    """A copy of an argument, to which nothing can be done that the original would show. What occurs twice is copied
    once."""
    if isinstance(value, _SAME) or (callable(value) and not isinstance(value, Tensor)):
        return value
    if id(value) in memo:
        return memo[id(value)][0]
    made = _copied(value, memo)
    memo[id(value)] = made, value
    return made


def _copied(value, memo):
    if isinstance(value, Tensor):
        made = value.clone()
        return made.requires_grad_() if value.requires_grad and not made.requires_grad else made
    if isinstance(value, torch.Generator):
        return value.clone_state()
    if type(value) in (list, set):
        return type(value)(copied(member, memo) for member in value)
    if type(value) is dict:
        return {key: copied(member, memo) for key, member in value.items()}
    if isinstance(value, tuple):
        parts = [copied(member, memo) for member in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return _copied_object(value, memo)


def _copied_object(value, memo):
    made = copy.copy(value)
    memo[id(value)] = made, value  # it may hold itself
    if isinstance(made, dict):
        for key in list(made):
            made[key] = copied(made[key], memo)
    elif isinstance(made, list):
        made[:] = [copied(member, memo) for member in made]
    if hasattr(made, "__dict__"):
        made.__dict__.update({name: copied(member, memo) for name, member in vars(made).items()})
    elif dataclasses.is_dataclass(made):
        for field in dataclasses.fields(made):
            object.__setattr__(made, field.name, copied(getattr(made, field.name), memo))
    elif not isinstance(made, (dict, list)):
        return copy.deepcopy(value)
    return made


def own_of(value, module, made):
    """What the twin has in the place of an attribute of the module."""
    if isinstance(value, MethodType) and value.__self__ is module:
        return MethodType(value.__func__, made)
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return copied(value, {})
    return value.copy() if type(value) in (dict, list, set, OrderedDict) else value


def twin(module, *, originals=None, memo=None):
    """A module that computes what `module` does, with the same parameters, and with buffers, attributes and children
    of its own. With `originals`, a function that gives what `_core.forward_pair` does, it runs original forwards and
    has no hooks."""
    memo = {} if memo is None else memo
    if isinstance(module, (torch.jit.ScriptModule, FunctionModule)):
        return module
    if id(module) in memo:
        return memo[id(module)]
    made = memo[id(module)] = object.__new__(type(module))  # whatever the class makes of `cls()`
    own = {name: own_of(value, module, made) for name, value in module.__dict__.items()}
    own["_buffers"] = {name: copied(value, {}) for name, value in module._buffers.items()}
    own["_modules"] = {
        name: child if child is None else twin(child, originals=originals, memo=memo)
        for name, child in module._modules.items()
    }
    pair = originals(module) if originals else None
    if pair:
        key, _, original = pair
        own.pop("_kernel_forward", None)
        own.pop(key)
        if original is not None:
            own[key] = own_of(original, module, made)
    if originals:
        own.update({name: OrderedDict() for name in _HOOKS if name in own})
    own.pop("_compiled_call_impl", None)  # it would run the module, not its twin
    made.__dict__.update(own)
    return made


class RandomState:
    """The state of torch's generators: the processor's and those of the devices of some tensors."""

    def __init__(self, tensors):
        kinds = {tensor.device for tensor in tensors} - {torch.device("cpu"), torch.device("meta")}
        self._devices = [
            device
            for device in kinds
            if hasattr(getattr(torch, device.type, None), "get_rng_state")
        ]
        self._before = self.now()

    def now(self):
        return torch.get_rng_state(), *(
            getattr(torch, device.type).get_rng_state(device) for device in self._devices
        )

    def set(self, state):
        torch.set_rng_state(state[0])
        for device, value in zip(self._devices, state[1:], strict=True):
            getattr(torch, device.type).set_rng_state(value, device)

    def rewind(self):
        self.set(self._before)


def finish_work(tensors):
    """Waits until the devices of the tensors have done what they were asked to."""
    for device in {tensor.device for tensor in tensors}:
        wait = getattr(getattr(torch, device.type, None), "synchronize", None)
        if device.type != "cpu" and wait is not None:
            wait(device)


def eager():
    """A block in which compiled code runs as it was before; what was compiled stays."""
    if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
        return torch.compiler.set_stance("force_eager")
    return contextlib.nullcontext()


# ---- watching layers ----


class Watched:
    """A module, or function, whose kernel is in place."""

    def __init__(self, path, module, decision):
        self.path = path
        self.module = module
        self.decision = decision
        self.pair = self.key, self.kernel, self._original = _core.forward_pair(module)

    def original_of(self, module):
        """The original forward, bound to the module or to its twin."""
        if self._original is None:
            return MethodType(type(module).forward, module)
        return own_of(self._original, self.module, module)


def _at(model, path):
    """The module at a path as `explain` gives it."""
    while path:
        name, _, rest = path.partition(".")
        child = model._modules.get(name, model.__dict__.get("_kernel_funcs", {}).get(name))
        if child is None:  # a class that names its modules in its own way
            return dict(model.named_modules())[path]
        model, path = child, rest
    return model


def watched_layers(model):
    """What `explain` says is applied, module by module."""
    return [
        Watched(path, _at(model, path), decision)
        for decision in explain(model)
        if decision.applied
        for path in decision.paths
    ]


@contextlib.contextmanager
def watching(layers, called):
    """In the block each call of a layer's forward by this thread becomes `called(layer, args, kwargs)`. Other threads
    go on running the kernel."""
    thread = threading.get_ident()
    placed = []

    def watch(layer):
        def forward(*args, **kwargs):
            if threading.get_ident() != thread:
                return layer.kernel(*args, **kwargs)
            return called(layer, args, kwargs)

        # What asks for the signature gets that of the kernel.
        forward.__wrapped__ = layer.kernel
        return forward

    try:
        for layer in layers:
            forward = layer.module.__dict__[layer.key] = watch(layer)
            placed.append((layer, forward))
        yield
    finally:
        for layer, forward in placed:
            if layer.module.__dict__.get(layer.key) is forward:
                layer.module.__dict__[layer.key] = layer.kernel


def devices_of(layer, args, kwargs):
    """Tensors that tell which devices a call works on."""
    return [*tensors_of(args, kwargs), *layer.module.parameters()]

# SPDX-License-Identifier: Apache-2.0
"""Mappings, kernelize, and what goes with it: plan, explain, unkernelize."""

from kernels import _core, _older
from kernels.layer.layer import KernelizeFallback

_DEFAULT, _NONE = KernelizeFallback.DEFAULT.value, KernelizeFallback.NONE.value


def _fallback(use_fallback):
    if use_fallback is True:
        return _DEFAULT
    if use_fallback is False:
        return _NONE
    if isinstance(use_fallback, KernelizeFallback):
        return use_fallback.value
    raise TypeError(
        f"use_fallback must be a bool or a kernels.KernelizeFallback, not {use_fallback!r}"
    )


class use_kernel_mapping:
    """Context manager under which a mapping is in force, in the current
    context only (thread, asyncio task).

    It stacks, and what was in force before is restored on exit, also after an
    exception. The dicts are read on entering. `register_kernel_mapping`
    inside the block changes the mapping of the block.

    Args:
        mapping (`dict[str, dict[Device | str, Any]]`): From layer names to
            devices to repositories, or to repositories by mode
            (`dict[Mode, Any]`).
        inherit_mapping (`bool`, *optional*, defaults to `True`): Whether the
            mapping in force is extended; with `False` only `mapping` is in
            force.

    Raises:
        TypeError, ValueError: On entering, for a mapping that is malformed;
            nothing has changed then.

    Example:
        >>> from kernels import LayerRepository, use_kernel_mapping
        >>> norm = LayerRepository("builtin/norm", "RMSNorm")
        >>> with use_kernel_mapping({"LlamaRMSNorm": {"cpu": norm}}):
        ...     pass
    """

    __slots__ = ("_mapping", "_inherit", "_tokens")

    def __init__(self, mapping, inherit_mapping=True):
        self._mapping = mapping
        self._inherit = inherit_mapping
        self._tokens = []

    def __enter__(self):
        self._tokens.append(_core.enter_mapping(self._mapping, self._inherit))

    def __exit__(self, exc_type, exc_value, traceback):
        _core.exit_mapping(self._tokens.pop())


def register_kernel_mapping(mapping, inherit_mapping=True):
    """Registers kernels globally: from layer names to devices to repositories.

    A repository without a mode is registered under `Mode.FALLBACK`. Later
    entries replace earlier ones for the same layer, device and range of
    capabilities; a dict by mode replaces the whole dict.

    Args:
        mapping (`dict[str, dict[Device | str, Any]]`): From layer names to
            devices to repositories, or to repositories by mode
            (`dict[Mode, Any]`). Any object with a `load()` that returns a
            subclass of `torch.nn.Module` is a repository.
        inherit_mapping (`bool`, *optional*, defaults to `True`): With `False`
            what was registered is erased first.

    Raises:
        TypeError, ValueError: For a mapping that is malformed, an unknown
            device or modes that cannot go together; nothing has changed then.

    Example:
        >>> from kernels import LayerRepository, Mode, register_kernel_mapping
        >>> norm = LayerRepository("builtin/norm", "RMSNorm")
        >>> register_kernel_mapping(
        ...     {"LlamaRMSNorm": {"cpu": {Mode.INFERENCE: norm}}}
        ... )
    """
    _core.register(mapping, inherit_mapping)


@_older.kernelize
def kernelize(model, mode, device=None, use_fallback=True, *, include=None, exclude=None):
    """Replaces the forward of extensible layers by the kernels that the
    mapping gives.

    Either every replacement is made or none: a call that raises leaves the
    model as it was. Kernelizing again decides again; `unkernelize`
    undoes it.

    Args:
        model (`torch.nn.Module`): The model.
        mode (`Mode`): What the model is going to be used for; has
            `Mode.INFERENCE` or `Mode.TRAINING`.
        device (`str`, `torch.device` or `Device`, *optional*): The type of
            device to load kernels for: "cpu", "cuda", "mps", "neuron", "npu",
            "rocm", "tpu", "xpu". By default that of the model's first
            parameter.
        use_fallback (`bool` or `KernelizeFallback`, *optional*, defaults to
            `True`): Whether a layer for which there is no kernel keeps its own
            forward. `False`: ValueError. A `KernelizeFallback` names the
            cases.
        include, exclude (`str`, `list[str]` or `Callable`, *optional*): Which
            modules to look at: shell patterns over module paths, or a function
            of path and module that returns a bool. Others are left untouched.

    Returns:
        `torch.nn.Module`: `model`.

    Raises:
        ValueError: For a mode that cannot be asked for, an unknown device, a
            model without parameters when `device` is not given, a layer that
            is registered for a mode that it does not support, or a fallback
            that is not allowed.
        TypeError: When a layer does not fit the class that it is to replace,
            or for an argument of another type.
        FileNotFoundError: When a kernel is not there, unless
            `KernelizeFallback.CANNOT_LOAD` is allowed.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import Mode, kernelize
        >>> model = kernelize(nn.Linear(2, 2), mode=Mode.INFERENCE)
    """
    return _core.kernelize(
        model, mode, device, None, _fallback(use_fallback), include, exclude, True
    )


def plan(
    model,
    *,
    mode,
    device=None,
    capability=None,
    use_fallback=True,
    include=None,
    exclude=None,
    fetch=False,
):
    """Decides what `kernelize` would do, and changes nothing.

    Args:
        model (`torch.nn.Module`): The model; it may be on the meta device.
        mode, device, use_fallback, include, exclude: As for `kernelize`.
            `device` may be one that this machine does not have.
        capability (`int`, *optional*): The capability to plan for, major * 10
            + minor: 90 for 9.0. By default that of the current device.
        fetch (`bool`, *optional*, defaults to `False`): Load the kernels, too,
            and check that they fit.

    Returns:
        `Plan`: A sequence of `Decision`. `str(plan)` is a table,
        `plan.to_json()` a record, `plan.apply(model)` carries it out.

    Raises:
        TypeError, ValueError, FileNotFoundError: As for `kernelize`, as far
            as the plan goes.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import Mode, plan
        >>> len(plan(nn.Linear(2, 2), mode=Mode.INFERENCE))
        0
    """
    from kernels._plan import Plan

    return Plan(
        _core.plan(
            model, mode, device, capability, _fallback(use_fallback), include, exclude, fetch
        )
    )


def explain(model):
    """Says what every extensible module of a model runs now, and why.

    Args:
        model (`torch.nn.Module`): The model. Reasons for modules that keep
            their own forward are those of the last `kernelize` of this
            very object.

    Returns:
        `Plan`: With `applied` set in each decision whose kernel is in place.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import explain
        >>> str(explain(nn.Linear(2, 2)))
        'no extensible modules'
    """
    from kernels._plan import Plan

    return Plan(_core.explain(model))


def unkernelize(model):
    """Puts back, in the whole model, what stood in place of every kernel's
    forward.

    Args:
        model (`torch.nn.Module`): The model.

    Returns:
        `torch.nn.Module`: `model`.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import unkernelize
        >>> model = unkernelize(nn.Linear(2, 2))
    """
    return _core.unkernelize(model, False)


class unkernelized:
    """Context manager under which a model runs its original forwards.

    Args:
        model (`torch.nn.Module`): The model. On exit it is as it was on
            entering, also after an exception.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import unkernelized
        >>> with unkernelized(nn.Linear(2, 2)) as model:
        ...     pass
    """

    __slots__ = ("_model", "_undos")

    def __init__(self, model):
        self._model = model
        self._undos = []

    def __enter__(self):
        self._undos.append(_core.unkernelize(self._model, True))
        return self._model

    def __exit__(self, exc_type, exc_value, traceback):
        _core.restore(self._undos.pop())

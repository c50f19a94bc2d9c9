# SPDX-License-Identifier: Apache-2.0
"""Devices, and the ranges of compute capability that a kernel is registered for."""

import sys

from kernels import _core


class _Frozen:
    """What a frozen dataclass is, without importing `dataclasses`: that takes longer than all of this package."""

    def __setattr__(self, name, value):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self):
        return hash(tuple(self.__dict__.values()))

    def __repr__(self):
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{self.__class__.__qualname__}({fields})"


def _invalid(kind, name, cause):
    """`cause` itself or, where huggingface_hub is imported, an error that is also its strict-dataclass error."""
    errors = sys.modules.get("huggingface_hub.errors")
    base = getattr(errors, f"StrictDataclass{kind}ValidationError", None)
    if base is None:
        return cause
    derived = type(base.__name__, (base, type(cause)), {"__module__": __name__})
    return derived(name, cause)


def _check_range(**bounds):
    for name, value in bounds.items():
        if not isinstance(value, int):
            message = f"{name} must be an integer, major * 10 + minor as 90 for 9.0, not {value!r}"
            raise _invalid("Field", name, TypeError(message))
    try:
        _core.check_range(*bounds.values())
    except (ValueError, OverflowError) as cause:
        if isinstance(cause, OverflowError):
            message = f"a capability must be major * 10 + minor as 90 for 9.0, not one of {tuple(bounds.values())}"
            cause = ValueError(message)
        error = _invalid("Class", "validate_capability_range", cause)
        raise error from (None if error is cause else cause)


class CUDAProperties(_Frozen):
    """The compute capabilities of CUDA devices that a kernel is registered
    for.

    Args:
        min_capability (`int`): The lowest, as major * 10 + minor: 75 for 7.5.
        max_capability (`int`): The highest, included.

    Raises:
        ValueError: When the lowest is above the highest.
        TypeError: When one of them is not an integer.

    Example:
        >>> from kernels import CUDAProperties
        >>> CUDAProperties(min_capability=75, max_capability=90).max_capability
        90
    """

    __match_args__ = ("min_capability", "max_capability")

    def __init__(self, min_capability, max_capability):
        _check_range(min_capability=min_capability, max_capability=max_capability)
        self.__dict__.update(min_capability=min_capability, max_capability=max_capability)


class ROCMProperties(_Frozen):
    """The capabilities of ROCm devices that a kernel is registered for; see
    `CUDAProperties`.

    Args:
        min_capability (`int`): The lowest.
        max_capability (`int`): The highest, included.

    Example:
        >>> from kernels import ROCMProperties
        >>> ROCMProperties(90, 94).min_capability
        90
    """

    __match_args__ = ("min_capability", "max_capability")

    def __init__(self, min_capability, max_capability):
        _check_range(min_capability=min_capability, max_capability=max_capability)
        self.__dict__.update(min_capability=min_capability, max_capability=max_capability)


class Device(_Frozen):
    """A device type, with the properties that a kernel needs of it.

    The type is not checked here but when the device is used in a mapping.

    Args:
        type (`str`): "cpu", "cuda", "mps", "neuron", "npu", "rocm", "tpu" or
            "xpu".
        properties (`CUDAProperties` or `ROCMProperties`, *optional*): For
            "cuda" and "rocm". Without them the device stands for every
            capability.

    Raises:
        ValueError: For properties that belong to another type.

    Example:
        >>> from kernels import CUDAProperties, Device
        >>> hopper = Device("cuda", CUDAProperties(90, 90))
        >>> hopper == Device("cuda", CUDAProperties(90, 90))
        True
    """

    __match_args__ = ("type", "properties")

    def __init__(self, type, properties=None):
        if isinstance(properties, CUDAProperties) and type != "cuda":
            raise ValueError("CUDAProperties is only supported for 'cuda' devices.")
        if isinstance(properties, ROCMProperties) and type != "rocm":
            raise ValueError("ROCMProperties is only supported for 'rocm' devices.")
        self.__dict__.update(type=type, properties=properties)

    def create_repo(self):
        """Returns an empty set of repositories for this type of device.

        Returns:
            `DeviceRepos`: with ``insert(device, {mode: repository})`` and
            ``repos``.

        Raises:
            ValueError: For an unknown type.

        Example:
            >>> from kernels import Device
            >>> Device("cpu").create_repo().repos
            {}
        """
        from kernels.layer.repos import DeviceRepos

        return DeviceRepos.create_repo(self)

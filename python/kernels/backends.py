# SPDX-License-Identifier: Apache-2.0
"""Backends that kernels are built for, as the names of build variants write them."""

import ctypes
import ctypes.util
import importlib.util
import logging
import re
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from kernels._core import Version

_logger = logging.getLogger(__name__)


@runtime_checkable
class Backend(Protocol):
    """What every backend has."""

    @property
    def name(self):
        """`str`: Its short name, such as "cuda"."""
        ...

    @property
    def variant_str(self):
        """`str`: Its name in build variants, such as "cu128" for CUDA 12.8."""
        ...


class _Named:
    """A backend without a version: one name is all."""

    _NAME = ""

    @property
    def name(self):
        return self._NAME

    @property
    def variant_str(self):
        return self._NAME

    @classmethod
    def parse(cls, s):
        """Returns the backend of that name; ValueError for any other text."""
        if s != cls._NAME:
            raise ValueError(f"Invalid {cls.__name__} variant string: {s!r}")
        return cls()


class _Versioned:
    """A backend with a version, whose minor number is the last digit of the name in variants."""

    _NAME = ""
    _PREFIX = ""

    @property
    def name(self):
        return self._NAME

    @property
    def variant_str(self):
        return f"{self._PREFIX}{self.version.major}{self.version.minor}"

    @classmethod
    def parse(cls, s):
        """Returns the backend of a name such as "cu128"; ValueError for other text."""
        match = re.fullmatch(rf"{cls._PREFIX}([0-9]+)([0-9])", s)
        if not match:
            raise ValueError(f"Invalid {cls.__name__} variant string: {s!r}")
        return cls(version=Version(f"{match[1]}.{match[2]}"))


@dataclass(unsafe_hash=True)
class CANN(_Versioned):
    """Huawei's CANN, such as "cann83"."""

    version: Version
    _NAME = "cann"
    _PREFIX = "cann"


@dataclass(unsafe_hash=True)
class CPU(_Named):
    """The processor."""

    _NAME = "cpu"


@dataclass(unsafe_hash=True)
class CUDA(_Versioned):
    """NVIDIA's CUDA.

    Example:
        >>> from kernels.backends import CUDA
        >>> CUDA.parse("cu128")
        CUDA(version=<Version('12.8')>)
        >>> CUDA.parse("cu128").name
        'cuda'
    """

    version: Version
    _NAME = "cuda"
    _PREFIX = "cu"


@dataclass(unsafe_hash=True)
class Metal(_Named):
    """Apple's Metal."""

    _NAME = "metal"


@dataclass(unsafe_hash=True)
class Neuron(_Named):
    """AWS Neuron."""

    _NAME = "neuron"


@dataclass(unsafe_hash=True)
class ROCm(_Versioned):
    """AMD's ROCm, such as "rocm64"."""

    version: Version
    _NAME = "rocm"
    _PREFIX = "rocm"


@dataclass(unsafe_hash=True)
class TPU(_Named):
    """Google's TPU."""

    _NAME = "tpu"


@dataclass(unsafe_hash=True)
class XPU(_Versioned):
    """Intel's XPU, such as "xpu20252"."""

    version: Version
    _NAME = "xpu"
    _PREFIX = "xpu"


_NAMED = {cls._NAME: cls for cls in (CPU, Metal, Neuron, TPU)}
# The order is that in which upstream looks: a name that begins with one is parsed as that.
_VERSIONED = (CUDA, ROCm, XPU, CANN)


def parse_backend(s):
    """Returns the backend of its name in a build variant.

    Args:
        s (`str`): For example "cu128", "rocm64" or "cpu".

    Raises:
        ValueError: For text that names no backend.

    Example:
        >>> from kernels.backends import parse_backend
        >>> parse_backend("rocm64").version.major
        6
    """
    if s in _NAMED:
        return _NAMED[s].parse(s)
    for cls in _VERSIONED:
        if s.startswith(cls._PREFIX):
            return cls.parse(s)
    raise ValueError(f"Unknown backend variant string: {s!r}")


def _backend():
    """The backend that torch was built for; without torch that of the CUDA runtime, or the processor."""
    if importlib.util.find_spec("torch") is None:
        return _get_cuda() or CPU()
    import torch

    if hasattr(torch.backends, "tpu"):
        return TPU()
    if hasattr(torch, "neuron"):  # before the others: it can be loaded into their torch
        return Neuron()
    version = torch.version
    if version.cuda is not None:
        return CUDA(version=Version(version.cuda))
    if version.hip is not None:
        return ROCm(version=Version(version.hip.split("-")[0]))
    if torch.backends.mps.is_available():
        return Metal()
    if getattr(version, "xpu", None) is not None:
        return XPU(version=Version(f"{version.xpu[0:4]}.{version.xpu[5:6]}"))
    if _get_torch_privateuse_backend_name() == "npu":
        from torch_npu.utils.collect_env import get_cann_version

        cann = get_cann_version()
        return CANN(version=Version(f"{cann[0]}.{cann[2]}"))
    return CPU()


def _get_torch_privateuse_backend_name():
    import torch

    name = getattr(torch._C, "_get_privateuse1_backend_name", None)
    return name() if name else None


def _supported_backends():
    backend = _backend()
    return {"cpu": CPU(), backend.name: backend}


def _select_backend(backend):
    """The backend of this machine, or the one asked for by name: it or the processor."""
    if backend is None:
        return _backend()
    supported = _supported_backends()
    if backend in supported:
        return supported[backend]
    raise ValueError(
        f"Invalid backend '{backend}', system supported backends: {', '.join(sorted(supported))}"
    )


def _get_cuda():
    """The version of the CUDA runtime library on this machine, or None."""
    name = ctypes.util.find_library("cudart")
    try:
        library = ctypes.CDLL(name) if name else None
    except OSError:
        return None
    if library is None:
        return None
    version = ctypes.c_int(0)
    if library.cudaRuntimeGetVersion(ctypes.byref(version)) != 0:
        _logger.warning("System has CUDA runtime library, but cannot get runtime version.")
        return None
    # major * 1000 + minor * 10
    return CUDA(version=Version(f"{version.value // 1000}.{version.value % 1000 // 10}"))

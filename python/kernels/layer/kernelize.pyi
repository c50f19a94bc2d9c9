# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch.nn import Module

from kernels._plan import Plan
from kernels.layer.device import Device
from kernels.layer.layer import KernelizeFallback
from kernels.layer.mode import Mode
from kernels.layer.repos import RepositoryProtocol

_M = TypeVar("_M", bound=Module)

# Layer names to devices to repositories. The key of the inner mapping is `Device | str`: it stands here as Any
# because keys are invariant, and a dict with keys of one of the two types must be accepted, too.
_KernelMapping: TypeAlias = Mapping[
    str, Mapping[Any, RepositoryProtocol | Mapping[Mode, RepositoryProtocol]]
]
_Device: TypeAlias = str | torch.device | Device
_Choice: TypeAlias = str | Iterable[str] | Callable[[str, Module], bool]

class use_kernel_mapping:
    def __init__(self, mapping: _KernelMapping, inherit_mapping: bool = True) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

def register_kernel_mapping(mapping: _KernelMapping, inherit_mapping: bool = True) -> None: ...
def kernelize(
    model: _M,
    mode: Mode,
    device: _Device | None = None,
    use_fallback: bool | KernelizeFallback = True,
    *,
    include: _Choice | None = None,
    exclude: _Choice | None = None,
) -> _M: ...
def plan(
    model: Module,
    *,
    mode: Mode,
    device: _Device | None = None,
    capability: int | None = None,
    use_fallback: bool | KernelizeFallback = True,
    include: _Choice | None = None,
    exclude: _Choice | None = None,
    fetch: bool = False,
) -> Plan: ...
def explain(model: Module) -> Plan: ...
def unkernelize(model: _M) -> _M: ...

class unkernelized(Generic[_M]):
    def __init__(self, model: _M) -> None: ...
    def __enter__(self) -> _M: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

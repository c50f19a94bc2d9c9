# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from enum import Flag
from os import PathLike
from types import ModuleType
from typing import Any, TypeVar

from torch.nn import Module

from kernels._rust import KernelDependency, KernelLocks
from kernels.layer.globals import _DISABLE_KERNEL_MAPPING as _DISABLE_KERNEL_MAPPING
from kernels.layer.globals import _KERNEL_MAPPING as _KERNEL_MAPPING
from kernels.layer.repos import LayerRepositoryProtocol as LayerRepositoryProtocol
from kernels.layer.repos import RepositoryProtocol as RepositoryProtocol

_T = TypeVar("_T", bound=Callable[..., object])
_C = TypeVar("_C", bound=type[Module])

class KernelizeFallback(Flag):
    NONE = 0
    NO_LAYER = 1
    NO_DEVICE = 2
    NO_COMPATIBLE_PROPERTIES = 4
    NO_COMPATIBLE_MODE = 8
    CANNOT_LOAD = 16
    DEFAULT = 15
    ALL = 31

class LayerRepository:
    layer_name: str
    def __init__(
        self,
        repo_id: str,
        layer_name: str,
        revision: str | None = None,
        version: int | str | None = None,
        trust_remote_code: bool | list[str] = False,
        user_agent: str | dict[str, Any] | None = None,
    ) -> None: ...
    def load(self) -> type[Module]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class LocalLayerRepository:
    layer_name: str
    def __init__(self, repo_path: str | PathLike[str], layer_name: str) -> None: ...
    def load(self) -> type[Module]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class LockedLayerRepository:
    layer_name: str
    kernel_locks: KernelLocks
    kernel_dep: KernelDependency
    def __init__(
        self,
        repo_id: str,
        lockfile: str | PathLike[str] | None = None,
        layer_name: str = ...,
        trust_remote_code: bool | list[str] = False,
    ) -> None: ...
    def load(self) -> type[Module]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

def replace_kernel_forward_from_hub(
    cls: type[Module],
    layer_name: str,
    condition: Callable[[Any], bool] | None = None,
) -> None: ...
def use_kernel_forward_from_hub(
    layer_name: str,
    condition: Callable[[Any], bool] | None = None,
) -> Callable[[_T], _T]: ...
def use_kernelized_func(*args: Callable[..., object]) -> Callable[[_C], _C]: ...
def _validate_layer(
    *, check_cls: type[Module], cls: type[Module], repo: RepositoryProtocol
) -> None: ...
def _create_func_module(func: Callable[..., object]) -> type[Module]: ...
def _get_kernel_layer(repo: LayerRepositoryProtocol, kernel: ModuleType) -> type[Module]: ...

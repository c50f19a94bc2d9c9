# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from os import PathLike
from typing import TypeVar

from torch.nn import Module

from kernels._rust import KernelDependency, KernelLocks
from kernels.layer.repos import FuncRepositoryProtocol as FuncRepositoryProtocol

_T = TypeVar("_T", bound=Callable[..., object])

class FuncRepository:
    func_name: str
    def __init__(
        self,
        repo_id: str,
        func_name: str,
        revision: str | None = None,
        version: int | str | None = None,
        trust_remote_code: bool | list[str] = False,
    ) -> None: ...
    def load(self) -> type[Module]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class LocalFuncRepository:
    func_name: str
    def __init__(self, repo_path: str | PathLike[str], func_name: str) -> None: ...
    def load(self) -> type[Module]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class LockedFuncRepository:
    func_name: str
    kernel_locks: KernelLocks
    kernel_dep: KernelDependency
    def __init__(
        self,
        repo_id: str,
        lockfile: str | PathLike[str] | None = None,
        func_name: str = ...,
        trust_remote_code: bool | list[str] = False,
    ) -> None: ...
    def load(self) -> type[Module]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

def use_kernel_func_from_hub(func_name: str) -> Callable[[_T], _T]: ...

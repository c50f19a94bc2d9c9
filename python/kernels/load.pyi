# SPDX-License-Identifier: Apache-2.0
from os import PathLike
from types import ModuleType
from typing import Any

def get_kernel(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | str | None = None,
    backend: str | None = None,
    user_agent: str | dict[str, Any] | None = None,
    trust_remote_code: bool | list[str] = False,
    check_arch: bool = True,
    refresh: bool = False,
) -> ModuleType: ...
def get_local_kernel(
    repo_path: str | PathLike[str],
    *,
    backend: str | None = None,
    trust_remote_code: bool | list[str] = False,
    user_agent: str | dict[str, Any] | None = None,
) -> ModuleType: ...
def get_locked_kernel(
    repo_id: str,
    *,
    lockfile: str | PathLike[str] | None = None,
    trust_remote_code: bool | list[str] = False,
    user_agent: str | dict[str, Any] | None = None,
) -> ModuleType: ...
def load_kernel(
    repo_id: str,
    *,
    lockfile: str | PathLike[str] | None = None,
    backend: str | None = None,
) -> ModuleType: ...
def has_kernel(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | str | None = None,
    backend: str | None = None,
    trust_remote_code: bool | list[str] = False,
    check_arch: bool = True,
) -> bool: ...

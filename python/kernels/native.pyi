# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from os import PathLike
from typing import Any, final

@final
class NativeKernel:
    __kernel__: str
    __variant__: str
    __folder__: str
    __library__: str
    def __getattr__(self, name: str) -> Callable[..., Any]: ...

def get_kernel(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | str | None = None,
    backend: str | None = None,
    user_agent: str | dict[str, str] | None = None,
    trust_remote_code: bool | list[str] = False,
    check_arch: bool = True,
    refresh: bool = False,
) -> NativeKernel: ...
def get_local_kernel(
    repo_path: str | PathLike[str], *, backend: str | None = None
) -> NativeKernel: ...

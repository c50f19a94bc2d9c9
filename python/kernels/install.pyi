# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kernels.layer.kernelize import _KernelMapping
from kernels.layer.repos import RepositoryProtocol

def install_kernel(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | str | None = None,
    backend: str | None = None,
    local_files_only: bool = False,
    user_agent: str | dict[str, Any] | None = None,
    trust_remote_code: bool | list[str] = False,
    refresh: bool = False,
) -> Path: ...
def install_kernel_all_variants(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | str | None = None,
) -> Path: ...
def prefetch(
    specs_or_mapping: str
    | RepositoryProtocol
    | Iterable[str | RepositoryProtocol]
    | _KernelMapping
    | None = None,
    *,
    all_modes: bool = False,
    trust_remote_code: bool | list[str] = False,
) -> str: ...

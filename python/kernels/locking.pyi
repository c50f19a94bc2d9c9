# SPDX-License-Identifier: Apache-2.0
from os import PathLike
from typing import Any

from kernels._rust import KernelDependency, KernelLocks

def get_locked_kernel_revision(
    repo_id: str, lockfile: str | PathLike[str]
) -> tuple[KernelLocks, KernelDependency]: ...
def get_caller_locked_kernel_revision(repo_id: str) -> tuple[KernelLocks, KernelDependency]: ...
def write_egg_lockfile(cmd: Any, basename: str, filename: str) -> None: ...

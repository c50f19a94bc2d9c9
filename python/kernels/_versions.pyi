# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass

from kernels._rust import KernelDependency, KernelVersion

@dataclass(frozen=True)
class GitRefInfo:
    name: str
    ref: str
    target_commit: str

def resolve_version_spec_as_ref(
    repo_id: str, version_spec: int, local_files_only: bool = False
) -> GitRefInfo: ...
def revision_or_version(*, revision: str | None, version: int | None) -> KernelVersion: ...
def select_revision_or_version(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | None = None,
    local_files_only: bool = False,
) -> str: ...
def resolve_kernel_version(kernel: KernelDependency, local_files_only: bool = False) -> str: ...

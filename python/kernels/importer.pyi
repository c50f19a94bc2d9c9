# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from kernels._rust import Metadata as Metadata
from kernels.hf_hub import RepoInfo

@dataclass(frozen=True)
class LoadedKernel:
    metadata: Metadata
    module: ModuleType
    repo_info: RepoInfo | None

def get_loaded_kernels() -> list[LoadedKernel]: ...

_loaded_kernels: dict[Path, LoadedKernel]

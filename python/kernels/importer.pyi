# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass
from os import PathLike
from types import ModuleType
from typing import Any

from kernels.hf_hub import RepoInfo

@dataclass(frozen=True)
class LoadedKernel:
    metadata: Metadata | None
    module: ModuleType
    repo_info: RepoInfo | None

class Metadata:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @staticmethod
    def read_from_file(path: str | PathLike[str]) -> Metadata: ...

def get_loaded_kernels() -> list[LoadedKernel]: ...

# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass

from kernels.layer.repos import DeviceRepos

@dataclass(frozen=True)
class CUDAProperties:
    min_capability: int
    max_capability: int

@dataclass(frozen=True)
class ROCMProperties:
    min_capability: int
    max_capability: int

@dataclass(frozen=True)
class Device:
    type: str
    properties: CUDAProperties | ROCMProperties | None = None
    def create_repo(self) -> DeviceRepos: ...

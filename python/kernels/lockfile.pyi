# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass
from typing import Any

@dataclass
class VariantLock:
    hash: str
    hash_type: str = "git_lfs_concat"

@dataclass
class KernelLock:
    repo_id: str
    sha: str
    variants: dict[str, VariantLock] = ...
    @classmethod
    def from_json(cls, o: dict[str, Any]) -> KernelLock: ...

# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass
from typing import Any

@dataclass(unsafe_hash=True)
class VariantAccepted:
    variant: Any

@dataclass(unsafe_hash=True)
class VariantRejected:
    variant: Any
    reason: str

def get_kernel_variants(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | str | None = None,
    backend: str | None = None,
) -> list[VariantAccepted | VariantRejected]: ...

# SPDX-License-Identifier: Apache-2.0
"""Build variants of a kernel."""

from dataclasses import dataclass
from typing import Any


@dataclass(unsafe_hash=True)
class VariantAccepted:
    """A build variant that runs on this machine."""

    variant: Any


@dataclass(unsafe_hash=True)
class VariantRejected:
    """A build variant that does not, with the reason."""

    variant: Any
    reason: str


def get_kernel_variants(repo_id, *, revision=None, version=None, backend=None):
    """Returns how each build variant of a kernel fits this machine. Not available yet."""
    raise NotImplementedError("get_kernel_variants is not available in this version")

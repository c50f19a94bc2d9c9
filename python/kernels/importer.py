# SPDX-License-Identifier: Apache-2.0
"""Kernels that were loaded into this process."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class LoadedKernel:
    """A kernel that was loaded.

    Attributes:
        metadata (`Metadata` or `None`): What its metadata.json says; not available in this version.
        module (`ModuleType`): The imported module.
        repo_info (`RepoInfo` or `None`): Where it came from, for kernels of the Hub.
    """

    metadata: Any
    module: ModuleType
    repo_info: Any | None


class Metadata:
    """The metadata of a kernel. Not available yet."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("Metadata is not available in this version")

    @staticmethod
    def read_from_file(path):
        raise NotImplementedError("Metadata is not available in this version")


# By the folder of the variant. Clearing it does not unload anything.
_loaded_kernels: "dict[str, LoadedKernel]" = {}


def get_loaded_kernels():
    """Returns the kernels that were loaded into this process, in the order of loading.

    Returns:
        `list[LoadedKernel]`: A new list.

    Example:
        >>> from kernels import get_loaded_kernels
        >>> isinstance(get_loaded_kernels(), list)
        True
    """
    return list(_loaded_kernels.values())

# SPDX-License-Identifier: Apache-2.0
"""Kernels that were loaded into this process."""

import sys
from pathlib import Path

from kernels import _core
from kernels.hf_hub import RepoInfo, _FieldsOnDemand, _Frozen

_Module = type(sys)


class _Unread:
    """Metadata as it was when the kernel was loaded, to be parsed when somebody asks for it."""

    __slots__ = ("content",)

    def __init__(self, content):
        self.content = content


def _metadata_of(folder):
    """The metadata of the variant in `folder`, to give to `LoadedKernel`."""
    with open(f"{folder}/metadata.json", "rb") as file:
        return _Unread(file.read())


class LoadedKernel(_Frozen):
    """A kernel that was loaded.

    Attributes:
        metadata (`Metadata`): What its metadata.json says.
        module (`ModuleType`): The imported module.
        repo_info (`RepoInfo` or `None`): Where it came from, for kernels of
            the Hub.
    """

    __slots__ = ("_metadata", "module", "repo_info")
    _fields = __match_args__ = ("metadata", "module", "repo_info")
    __annotations__ = {"metadata": "Metadata", "module": _Module, "repo_info": RepoInfo | None}
    __dataclass_fields__ = _FieldsOnDemand()

    def __init__(self, metadata, module, repo_info):
        object.__setattr__(self, "_metadata", metadata)
        object.__setattr__(self, "module", module)
        object.__setattr__(self, "repo_info", repo_info)

    @property
    def metadata(self):
        metadata = self._metadata
        if type(metadata) is _Unread:
            from kernels._rust import Metadata

            metadata = Metadata.from_bytes(metadata.content)
            object.__setattr__(self, "_metadata", metadata)
        return metadata


class _LoadedKernels(dict):
    """Folder of the variant -> kernel. What is taken out counts as never loaded: the next one who asks for it gets it
    imported anew."""

    __slots__ = ()

    def _forget(self, path, loaded):
        _core.forget_kernels(path)
        name = loaded.module.__name__
        if sys.modules.get(name) is loaded.module:
            for key in [key for key in sys.modules if key == name or key.startswith(name + ".")]:
                del sys.modules[key]

    def __delitem__(self, path):
        loaded = self[path]
        super().__delitem__(path)
        self._forget(path, loaded)

    def pop(self, path, *default):
        if path not in self and default:
            return default[0]
        loaded = self[path]
        del self[path]
        return loaded

    def popitem(self):
        path, loaded = super().popitem()
        self._forget(path, loaded)
        return path, loaded

    def clear(self):
        while self:
            self.popitem()


_loaded_kernels: "dict[Path, LoadedKernel]" = _LoadedKernels()


def get_loaded_kernels():
    """Returns the kernels that were loaded into this process, in the order of
    loading.

    Returns:
        `list[LoadedKernel]`: A new list.

    Example:
        >>> from kernels import get_loaded_kernels
        >>> isinstance(get_loaded_kernels(), list)
        True
    """
    return list(_loaded_kernels.values())


def __getattr__(name):
    if name == "Metadata":
        from kernels._rust import Metadata

        return Metadata
    raise AttributeError(f"module 'kernels.importer' has no attribute '{name}'")

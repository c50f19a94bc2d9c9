# SPDX-License-Identifier: Apache-2.0
"""Functions as layers: deprecated forms of what `kernels.layer.layer` does for both."""

from kernels import _core, _older
from kernels._source import Source
from kernels.layer.layer import _create_func_module, use_kernel_forward_from_hub


def _deprecated(name, instead, stacklevel=4):
    _older.warn(name, f"use {instead}", stacklevel)


def _get_func(kernel, repository):
    function = getattr(kernel, repository.func_name, None)
    if function is None:
        raise ValueError(
            f"Function `{repository.func_name}` not found in kernel repo {repository}."
        )
    return _create_func_module(function)


class FuncRepository:
    """A function of a kernel in a Hub repository. Deprecated: use
    `LayerRepository`.

    Args:
        repo_id (`str`): The repository, "org/name".
        func_name (`str`): The name of the function within the kernel.
        revision, version, trust_remote_code: As for `LayerRepository`.
    """

    def __init__(self, repo_id, func_name, revision=None, version=None, trust_remote_code=False):
        _deprecated("FuncRepository", "LayerRepository")
        if revision is not None and version is not None:
            raise ValueError("Either a revision or a version must be specified, not both.")
        self._repo_id = repo_id
        self.func_name = func_name
        self._revision = revision
        self._version = version
        self._trust_remote_code = trust_remote_code

    def load(self):
        """Returns a layer whose forward is the function."""
        from kernels.load import get_kernel

        kernel = get_kernel(
            self._repo_id,
            revision=self._revision,
            version=self._version,
            trust_remote_code=self._trust_remote_code,
        )
        return _get_func(kernel, self)

    def _key(self):
        return (
            self._repo_id,
            self.func_name,
            self._revision,
            self._version,
            str(self._trust_remote_code),
        )

    def __eq__(self, other):
        return isinstance(other, FuncRepository) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __str__(self):
        return f"`{self._repo_id}`, function `{self.func_name}`"


class LocalFuncRepository:
    """A function of a kernel in a directory. Deprecated: use
    `LocalLayerRepository`.

    Args:
        repo_path (`Path` or `str`): The directory.
        func_name (`str`): The name of the function within the kernel.
    """

    @_older.without_package_name("LocalFuncRepository")
    def __init__(self, repo_path, func_name):
        _deprecated("LocalFuncRepository", "LocalLayerRepository", 5)
        self._repo_path = repo_path
        self.func_name = func_name

    def load(self):
        """Returns a layer whose forward is the function."""
        from kernels.load import get_local_kernel

        return _get_func(get_local_kernel(self._repo_path), self)

    def __eq__(self, other):
        return (
            isinstance(other, LocalFuncRepository)
            and self.func_name == other.func_name
            and self._repo_path == other._repo_path
        )

    def __hash__(self):
        return hash((self.func_name, self._repo_path))

    def __str__(self):
        return f"`{self._repo_path}`, function `{self.func_name}`"


class LockedFuncRepository:
    """A function of a kernel that a lock file pins. Deprecated: use
    :class:`LockedLayerRepository`.

    Args:
        repo_id (`str`): The repository, "org/name".
        lockfile (`Path`, *optional*): The lock file. By default that of the
            caller's package.
        func_name (`str`): The name of the function within the kernel.
        trust_remote_code: As for :class:`LayerRepository`.
    """

    def __init__(self, repo_id, lockfile=None, func_name=None, trust_remote_code=False):
        from kernels import locking

        _deprecated("LockedFuncRepository", "LockedLayerRepository")
        self._repo_id = repo_id
        self._lockfile = lockfile
        self.func_name = func_name
        self._trust_remote_code = trust_remote_code
        lock = locking._lock_text(lockfile)
        self.kernel_locks, self.kernel_dep = locking._get_locked_kernel_revision(repo_id, lock)
        self._source = Source.hub(repo_id, trust_remote_code=trust_remote_code, lock=lock)

    def load(self):
        """Returns a layer whose forward is the function."""
        return _get_func(_core.get_kernel(self._source), self)

    def _key(self):
        return (
            self._repo_id,
            self.func_name,
            self.kernel_dep,
            self.kernel_locks,
            str(self._trust_remote_code),
        )

    def __eq__(self, other):
        return isinstance(other, LockedFuncRepository) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __str__(self):
        commit = self.kernel_locks[self.kernel_dep].commit
        return f"`{self._repo_id}` (revision: {commit}), function `{self.func_name}`"


def use_kernel_func_from_hub(func_name):
    """Deprecated: use `use_kernel_forward_from_hub`, which takes
    functions, too.
    """
    _deprecated("use_kernel_func_from_hub", "use_kernel_forward_from_hub")
    return use_kernel_forward_from_hub(func_name)


def __getattr__(name):
    if name == "FuncRepositoryProtocol":
        from kernels.layer import repos

        return repos.FuncRepositoryProtocol
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

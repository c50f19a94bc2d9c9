# SPDX-License-Identifier: Apache-2.0
"""Kernels as modules."""

import os

from kernels import _core


class _Source:
    """A kernel for the engine: what `_describe` of a layer repository is, without a layer."""

    def __init__(self, kind, identifier, revision=None, version=None, backend=None):
        self._description = (
            kind,
            identifier,
            None,
            revision,
            None if version is None else str(version),
            backend,
            identifier,
        )

    def _describe(self):
        return self._description


def get_kernel(
    repo_id,
    *,
    revision=None,
    version=None,
    backend=None,
    user_agent=None,
    trust_remote_code=False,
    check_arch=True,
):
    """Loads a kernel and returns its module.

    In this version kernels come from the directories that the environment variable LOCAL_KERNELS names
    (``org/name=path[:org/name=path]``) and from this package (``builtin/name``), not from the Hub.

    Args:
        repo_id (`str`): The repository, "org/name". "builtin/name" needs no version.
        revision (`str`, *optional*): The branch, tag or commit. Not together with `version`.
        version (`int` or `str`, *optional*): The version. Not together with `revision`.
        backend (`str`, *optional*): "cpu" or the backend of this torch. By default the latter.
        user_agent, trust_remote_code, check_arch: As for kernels of the Hub; without effect on the others.

    Returns:
        `ModuleType`: The imported kernel.

    Raises:
        ValueError: When both `revision` and `version` are given, or for an unknown backend.
        FileNotFoundError: When the kernel is not there or has no variant for this machine.

    Example:
        >>> from kernels import get_kernel
        >>> norm = get_kernel("builtin/norm")
        >>> norm.layers.RMSNorm.__name__
        'RMSNorm'
    """
    if not isinstance(repo_id, str):
        raise TypeError(f"repo_id must be text, not {repo_id!r}")
    if revision is not None and version is not None:
        raise ValueError("Only one of `revision` or `version` must be specified.")
    return _core.get_kernel(_Source("hub", repo_id, revision, version, backend))


def get_local_kernel(repo_path, *, backend=None, trust_remote_code=False, user_agent=None):
    """Loads a kernel from a directory and returns its module.

    Args:
        repo_path (`Path` or `str`): The directory of the repository, of its `build`, or of one variant.
        backend (`str`, *optional*): "cpu" or the backend of this torch. By default the latter.
        trust_remote_code, user_agent: As for :func:`get_kernel`; without effect on a directory.

    Returns:
        `ModuleType`: The imported kernel.

    Raises:
        FileNotFoundError: When nothing is there, or no variant fits this machine.
        ValueError: When its metadata is broken, or for an unknown backend.

    Example:
        >>> from kernels import get_local_kernel
        >>> get_local_kernel("/no/such/kernel")
        Traceback (most recent call last):
        ...
        FileNotFoundError: ...
    """
    return _core.get_kernel(_Source("local", os.fsdecode(repo_path), backend=backend))


def _not_yet(name, instead):
    raise NotImplementedError(f"{name} is not available in this version; {instead}")


def get_locked_kernel(repo_id, *, lockfile=None, trust_remote_code=False, user_agent=None):
    """Loads a kernel that a lock file pins. Not available yet."""
    _not_yet("get_locked_kernel", "use get_local_kernel or get_kernel")


def load_kernel(repo_id, *, lockfile=None, backend=None):
    """Loads a kernel that was downloaded before. Not available yet."""
    _not_yet("load_kernel", "use get_local_kernel or get_kernel")


def has_kernel(
    repo_id, *, revision=None, version=None, backend=None, trust_remote_code=False, check_arch=True
):
    """Whether a kernel has a build for this machine. Not available yet."""
    _not_yet("has_kernel", "try get_kernel and catch FileNotFoundError")

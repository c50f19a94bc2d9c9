# SPDX-License-Identifier: Apache-2.0
"""Kernels as modules."""

import os

from kernels import _core, _older
from kernels._source import Source


@_older.by_position(
    "get_kernel",
    *("revision", "version", "backend", "user_agent", "trust_remote_code", "check_arch"),
)
def get_kernel(
    repo_id,
    *,
    revision=None,
    version=None,
    backend=None,
    user_agent=None,
    trust_remote_code=False,
    check_arch=True,
    refresh=False,
):
    """Loads a kernel and returns its module.

    The kernel is taken from a directory that the environment variable
    LOCAL_KERNELS names (``org/name=path[:org/name=path]``), from this package
    (``builtin/name``), from the cache, or from the Hub. What is in the cache
    and was verified there loads with no request: a version is believed for a
    day, a branch or tag for ten minutes, a commit for ever (see
    KERNELS_REFRESH_AFTER). Kernels that it depends on are loaded before it.

    Args:
        repo_id (`str`): The repository, "org/name". "builtin/name" needs no
            version.
        revision (`str`, *optional*): The branch, tag or commit; "main" where
            neither this nor `version` is given. Not together with `version`.
        version (`int` or `str`, *optional*): An integer, or text that is one,
            for the version's branch; other text is a version specifier such as
            ">=0.1,<0.2" over the repository's tags. Not together with
            `revision`.
        backend (`str`, *optional*): "cpu" or the backend of this torch. By
            default the latter.
        user_agent (`str` or `dict`, *optional*): Added to what requests say
            about their sender.
        trust_remote_code (`bool` or `list[str]`, *optional*, defaults to
            `False`): Whether code of publishers that the Hub does not call
            trusted may run; a list names the repositories whose code may.
        check_arch (`bool`, *optional*, defaults to `True`): Whether a build
            without code for this GPU is refused.
        refresh (`bool`, *optional*, defaults to `False`): Asks the Hub again,
            however fresh its last answer is.

    Returns:
        `ModuleType`: The imported kernel.

    Raises:
        ValueError: When both `revision` and `version` are given, for an
            unknown version or backend, for a publisher that is not trusted,
            and for kernels that depend on each other.
        FileNotFoundError: When the kernel has no variant for this machine, or
            it is not in the cache in offline mode.
        OSError: When the Hub cannot be reached and the cache does not help,
            when there is no such repository or revision, when a file is not
            what it should be (see `kernels.errors`).
        ImportError: When Python packages that the kernel needs are missing.
        RuntimeError: When the kernel needs a newer version of this package, or
            has no code for this GPU.

    Example:
        >>> from kernels import get_kernel
        >>> norm = get_kernel("builtin/norm")
        >>> norm.layers.RMSNorm.__name__
        'RMSNorm'
    """
    source = Source.hub(
        repo_id,
        revision=revision,
        version=version,
        backend=backend,
        user_agent=user_agent,
        trust_remote_code=trust_remote_code,
        refresh=refresh,
        any_arch=not check_arch,
    )
    return _core.get_kernel(source)


@_older.local_kernel
def get_local_kernel(repo_path, *, backend=None, trust_remote_code=False, user_agent=None):
    """Loads a kernel from a directory and returns its module.

    Args:
        repo_path (`Path` or `str`): The directory of the repository, of its
            `build`, or of one variant.
        backend (`str`, *optional*): "cpu" or the backend of this torch. By
            default the latter.
        trust_remote_code, user_agent: As for `get_kernel`, for the
            kernels that it depends on.

    Returns:
        `ModuleType`: The imported kernel.

    Raises:
        FileNotFoundError: When nothing is there, or no variant fits this
            machine.
        ValueError: When its metadata is broken, or for an unknown backend.

    Example:
        >>> from kernels import get_local_kernel
        >>> get_local_kernel("/no/such/kernel")
        Traceback (most recent call last):
        ...
        FileNotFoundError: ...
    """
    source = Source.local(
        os.fsdecode(repo_path),
        backend=backend,
        user_agent=user_agent,
        trust_remote_code=trust_remote_code,
        any_arch=True,
    )
    return _core.get_kernel(source)


@_older.locked_kernel
def get_locked_kernel(repo_id, *, lockfile=None, trust_remote_code=False, user_agent=None):
    """Loads a kernel, and those that it depends on, at the commits that a lock
    file gives, and returns its module.

    A lock file of the form before 0.17 also has a hash of each build, which
    the files are compared with.

    Args:
        repo_id (`str`): The repository, "org/name".
        lockfile (`Path`, *optional*): The lock file. By default that of the
            caller's package: `kernels.lock` in the metadata of its
            distribution, or beside its code.
        trust_remote_code, user_agent: As for :func:`get_kernel`.

    Returns:
        `ModuleType`: The imported kernel.

    Raises:
        ValueError: When there is no lock file, it is malformed, or it does not
            lock the kernel or one that it depends on; for a publisher that is
            not trusted.
        FileNotFoundError: When `lockfile` is not there, the kernel has no
            variant for this machine, or it is not in the cache in offline
            mode.
        OSError: As for :func:`get_kernel`; `kernels.errors.IntegrityError` for
            a build that is not the locked one.

    Example:
        >>> from kernels import get_locked_kernel
        >>> get_locked_kernel("org/relu", lockfile="/no/such/kernels.lock")
        Traceback (most recent call last):
        FileNotFoundError: ...
    """
    from kernels.locking import _lock_text

    source = Source.hub(
        repo_id,
        user_agent=user_agent,
        trust_remote_code=trust_remote_code,
        any_arch=True,
        lock=_lock_text(lockfile),
    )
    return _core.get_kernel(source)


def load_kernel(repo_id, *, lockfile=None, backend=None):
    """Loads a kernel that is in the cache at the commit that a lock file gives,
    and returns its module. Makes no request.

    Args:
        repo_id (`str`): The repository, "org/name".
        lockfile (`Path`, *optional*): As for :func:`get_locked_kernel`.
        backend (`str`, *optional*): As for :func:`get_kernel`.

    Returns:
        `ModuleType`: The imported kernel.

    Raises:
        ValueError: As for :func:`get_locked_kernel`.
        FileNotFoundError: When the kernel is not in the cache, or has no
            variant for this machine.

    Example:
        >>> from kernels import load_kernel
        >>> load_kernel("org/relu", lockfile="/no/such/kernels.lock")
        Traceback (most recent call last):
        FileNotFoundError: ...
    """
    from kernels.locking import _lock_text

    source = Source.hub(
        repo_id, backend=backend, cache_only=True, any_arch=True, lock=_lock_text(lockfile)
    )
    return _core.get_kernel(source)


@_older.by_position("has_kernel", "revision", "version", "backend")
def has_kernel(
    repo_id, *, revision=None, version=None, backend=None, trust_remote_code=False, check_arch=True
):
    """Tells whether a kernel, and every kernel that it depends on, has a build
    for this machine.

    Only their metadata is downloaded.

    Args:
        repo_id, revision, version, backend, trust_remote_code: As for
            `get_kernel`.
        check_arch (`bool`, *optional*, defaults to `True`): Whether a variant
            that has no code for this GPU counts as none.

    Returns:
        `bool`: `False` where there is no variant for this machine or, with
        `check_arch`, none for this GPU.

    Raises:
        OSError: When the Hub cannot be reached and the cache does not help,
            and for an unknown repository.
        ValueError: For an unknown version, and for a publisher that is not
            trusted.

    Example:
        >>> from kernels import has_kernel
        >>> has_kernel("builtin/norm")
        True
    """
    source = Source.hub(
        repo_id,
        revision=revision,
        version=version,
        backend=backend,
        trust_remote_code=trust_remote_code,
        any_arch=not check_arch,
    )
    return _core.has_kernel(source)

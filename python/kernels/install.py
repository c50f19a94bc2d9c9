# SPDX-License-Identifier: Apache-2.0
"""Kernels into the cache."""

from pathlib import Path

from kernels import _core, _older
from kernels._source import Source


@_older.install
def install_kernel(
    repo_id,
    *,
    revision=None,
    version=None,
    backend=None,
    local_files_only=False,
    user_agent=None,
    trust_remote_code=False,
    refresh=False,
):
    """Downloads a kernel for this machine, and the kernels that it depends on,
    into the cache; runs none of their code.

    Args:
        repo_id (`str`): The repository, "org/name".
        local_files_only (`bool`, *optional*, defaults to `False`): Makes no
            request: the kernel must be in the cache.
        revision, version, backend, user_agent, trust_remote_code, refresh: As
            for `kernels.get_kernel`.

    Returns:
        `Path`: The directory of the variant.

    Raises:
        FileNotFoundError: When the kernel has no variant for this machine, or
            must be in the cache and is not.
        OSError, ValueError: As for `kernels.get_kernel`.

    Example:
        >>> from kernels import install_kernel
        >>> install_kernel("builtin/norm").parent.name
        'build'
    """
    source = Source.hub(
        repo_id,
        revision=revision,
        version=version,
        backend=backend,
        user_agent=user_agent,
        trust_remote_code=trust_remote_code,
        refresh=refresh,
        cache_only=local_files_only,
    )
    return Path(_core.install(source))

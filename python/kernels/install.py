# SPDX-License-Identifier: Apache-2.0
"""Kernels into the cache."""

from pathlib import Path

from kernels import _core, _older
from kernels._source import Source, _allowed_text


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


def install_kernel_all_variants(repo_id, *, revision=None, version=None):
    """Downloads every build of a kernel, and of the kernels that any of them
    depends on, into the cache; runs none of their code, and so asks for no
    trust.

    Args:
        repo_id (`str`): The repository, "org/name".
        revision, version: As for `kernels.get_kernel`.

    Returns:
        `Path`: The directory `build` with a directory for each variant.

    Raises:
        FileNotFoundError: When the kernel has no builds.
        OSError, ValueError: As for `kernels.get_kernel`.

    Example:
        >>> from kernels.install import install_kernel_all_variants
        >>> install_kernel_all_variants("builtin/norm").name
        'build'
    """
    source = Source.hub(repo_id, revision=revision, version=version, trust_remote_code=True)
    return Path(_core.install_all(source)).parent


def prefetch(specs_or_mapping=None, *, all_modes=False, trust_remote_code=False):
    """Downloads many kernels for this machine, and those that they depend on,
    into the cache at once; runs none of their code.

    Any number of processes that call it at the same time download everything
    once: the first does, and the others wait for it.

    Args:
        specs_or_mapping (`list` or `dict`, *optional*): Either a list of
            kernels: text ("org/name", "org/name@v1" for the version 1,
            "org/name@main" or another branch, tag or commit,
            "org/name@>=0.1,<0.2"), and repositories such as
            :class:`LayerRepository` and :class:`LockedLayerRepository`. Or a
            mapping, in the form that `register_kernel_mapping` takes: then all
            that its layers can get on the devices of this machine. By default
            the mapping in force. Of a mapping, repositories with a `load` of
            their own are left to that.
        all_modes (`bool`, *optional*, defaults to `False`): Of a mapping, the
            repositories of every mode; else those that a layer gets in
            `Mode.INFERENCE`.
        trust_remote_code (`bool` or `list[str]`, *optional*, defaults to
            `False`): As for :func:`get_kernel`, for what is given as text.

    Returns:
        `str`: A digest of what was resolved: repositories, commits and build
        variants. Two processes with the same one have the same kernels,
        wherever their caches are.

    Raises:
        OSError, ValueError: As for :func:`get_kernel`. Everything that failed
            is in the message; the class is that of the first failure.

    Example:
        >>> from kernels import prefetch
        >>> digest = prefetch(["builtin/norm", "builtin/activation"])
        >>> digest == prefetch(["builtin/activation", "builtin/norm"])
        True
    """
    wanted = specs_or_mapping
    if isinstance(wanted, str) or hasattr(wanted, "_describe"):
        wanted = [wanted]
    elif wanted is not None and not hasattr(wanted, "keys"):
        wanted = list(wanted)
    return _core.prefetch(wanted, all_modes, _allowed_text(trust_remote_code))

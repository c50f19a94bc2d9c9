# SPDX-License-Identifier: Apache-2.0
"""Which commit a version of a kernel is."""

from kernels import _core
from kernels._source import Source
from kernels.hf_hub import _Frozen

_NEITHER = (
    "A kernel version or revision must be specified. Use `version=<major>` for a stable kernel API version or "
    "`revision=<branch/tag/commit>` for an explicit Hub revision."
)


class GitRefInfo(_Frozen):
    """A branch of a repository.

    Attributes:
        name (`str`): Its name, "v1" for version 1.
        ref (`str`): Its full name.
        target_commit (`str`): The commit that it points at.
    """

    __slots__ = _fields = __match_args__ = ("name", "ref", "target_commit")

    def __init__(self, name, ref, target_commit):
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "ref", ref)
        object.__setattr__(self, "target_commit", target_commit)


def resolve_version_spec_as_ref(repo_id, version_spec, local_files_only=False):
    """Returns the branch of a version.

    Args:
        repo_id (`str`): The repository, "org/name".
        version_spec (`int`): The version.
        local_files_only (`bool`, *optional*, defaults to `False`): Makes no request: the cache must know it.

    Returns:
        `GitRefInfo`: The branch.

    Raises:
        ValueError: When there is no such version, or the cache does not know it.
        OSError: As for :func:`kernels.get_kernel`.

    Example:
        >>> from kernels._versions import resolve_version_spec_as_ref
        >>> resolve_version_spec_as_ref("org/relu", 1, local_files_only=True)
        Traceback (most recent call last):
        ValueError: Version 1 of 'org/relu' is not available in the local cache ...
    """
    source = Source.hub(repo_id, version=version_spec, cache_only=local_files_only)
    try:
        commit = _core.resolve_commit(source)
    except FileNotFoundError as error:
        raise ValueError(
            f"Version {version_spec} of '{repo_id}' is not available in the local cache and Hugging Face Hub is in "
            "offline mode. Download the kernel while online first, or pass an explicit `revision=<commit>`."
        ) from error
    name = f"v{version_spec}"
    return GitRefInfo(name, f"refs/heads/{name}", commit)


def revision_or_version(*, revision, version):
    """Returns what was given as a `KernelVersion`; ValueError where it is both or neither."""
    from kernels._rust import KernelVersion

    if revision is not None and version is not None:
        raise ValueError("Only one of `revision` or `version` must be specified.")
    if revision is not None:
        return KernelVersion.Revision(revision)
    if version is not None:
        return KernelVersion.Version(version)
    raise ValueError(_NEITHER)


def select_revision_or_version(repo_id, *, revision=None, version=None, local_files_only=False):
    """Returns `revision`, or the commit of `version`; ValueError where it is both or neither."""
    revision_or_version(revision=revision, version=version)
    if revision is not None:
        return revision
    return resolve_version_spec_as_ref(repo_id, version, local_files_only).target_commit


def resolve_kernel_version(kernel, local_files_only=False):
    """Returns the revision that a `KernelDependency` asks for, or the commit of its version."""
    version = kernel.version
    return select_revision_or_version(
        kernel.repo_id,
        revision=getattr(version, "revision", None),
        version=getattr(version, "version", None),
        local_files_only=local_files_only,
    )

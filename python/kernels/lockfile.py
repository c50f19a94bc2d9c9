# SPDX-License-Identifier: Apache-2.0
"""Lock files as versions before 0.17 had them: a commit, and a hash of each build variant. Deprecated: use
:mod:`kernels.locking`, which reads both forms."""

from dataclasses import dataclass, field

from kernels._older import warn

_INSTEAD = "kernels.locking reads lock files of both forms, and get_locked_kernel checks the hashes"


@dataclass
class VariantLock:
    """The hash of a build variant.

    Attributes:
        hash (`str`): "sha256-" and 64 hexadecimal digits.
        hash_type (`str`): How it is computed.
    """

    hash: str
    hash_type: str = "git_lfs_concat"


@dataclass
class KernelLock:
    """A kernel that is locked.

    Attributes:
        repo_id (`str`): The repository.
        sha (`str`): The commit.
        variants (`dict[str, VariantLock]`): The hashes of its build variants.
    """

    repo_id: str
    sha: str
    variants: dict = field(default_factory=dict)

    @classmethod
    def from_json(cls, o):
        """Makes it from an entry of a lock file of that form, a dict."""
        warn("kernels.lockfile.KernelLock", _INSTEAD, 3)
        variants = {name: VariantLock(**lock) for name, lock in o["variants"].items()}
        return cls(repo_id=o["repo_id"], sha=o["sha"], variants=variants)

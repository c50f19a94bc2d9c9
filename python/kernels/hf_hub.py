# SPDX-License-Identifier: Apache-2.0
"""What is known about a repository of the Hub."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RepoInfo:
    """A repository and the revision of it that was loaded.

    Attributes:
        repo_id (`str`): "org/name".
        revision (`str`): The branch, tag or commit.
    """

    repo_id: str
    revision: str

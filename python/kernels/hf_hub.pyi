# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass

@dataclass(frozen=True)
class RepoInfo:
    repo_id: str
    revision: str

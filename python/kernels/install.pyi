# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any

def install_kernel(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | str | None = None,
    backend: str | None = None,
    local_files_only: bool = False,
    user_agent: str | dict[str, Any] | None = None,
    trust_remote_code: bool | list[str] = False,
    refresh: bool = False,
) -> Path: ...

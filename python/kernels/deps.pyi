# SPDX-License-Identifier: Apache-2.0
from types import ModuleType

def get_kernel_dep(repo_id: str) -> ModuleType: ...

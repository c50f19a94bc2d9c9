# SPDX-License-Identifier: Apache-2.0
from kernels.layer.repos import DeviceRepos

class _MappingInForce:
    @property
    def name(self) -> str: ...
    def get(self) -> dict[str, dict[str, DeviceRepos]]: ...

_KERNEL_MAPPING: _MappingInForce
_DISABLE_KERNEL_MAPPING: bool

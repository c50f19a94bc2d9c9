# SPDX-License-Identifier: Apache-2.0
from kernels.layer.device import Device
from kernels.layer.layer import LayerRepository

def builtin_mapping() -> dict[str, dict[Device | str, LayerRepository]]: ...

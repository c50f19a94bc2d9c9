# SPDX-License-Identifier: Apache-2.0
from kernels.layer.layer import LayerRepository

def builtin_mapping() -> dict[str, dict[str, LayerRepository]]: ...

# SPDX-License-Identifier: Apache-2.0
"""Layers: modes, devices, mappings and kernelize."""

from kernels.layer.device import CUDAProperties, Device, ROCMProperties
from kernels.layer.kernelize import (
    kernelize,
    register_kernel_mapping,
    use_kernel_mapping,
)
from kernels.layer.layer import (
    KernelizeFallback,
    LayerRepository,
    LocalLayerRepository,
    replace_kernel_forward_from_hub,
    use_kernel_forward_from_hub,
    use_kernelized_func,
)
from kernels.layer.mode import Mode

_LAZY = {
    "FuncRepository": "kernels.layer.func",
    "LocalFuncRepository": "kernels.layer.func",
    "LockedFuncRepository": "kernels.layer.func",
    "LockedLayerRepository": "kernels.layer.layer",
    "use_kernel_func_from_hub": "kernels.layer.func",
}

__all__ = [
    "CUDAProperties",
    "Device",
    "FuncRepository",
    "KernelizeFallback",
    "LayerRepository",
    "LocalFuncRepository",
    "LocalLayerRepository",
    "LockedFuncRepository",
    "LockedLayerRepository",
    "Mode",
    "ROCMProperties",
    "kernelize",
    "register_kernel_mapping",
    "replace_kernel_forward_from_hub",
    "use_kernel_forward_from_hub",
    "use_kernel_func_from_hub",
    "use_kernel_mapping",
    "use_kernelized_func",
]


def __getattr__(name):
    if name in ("_KERNEL_MAPPING", "_validate_layer"):
        from kernels import _older

        return _older.moved(__name__, {name: ("kernels.layer.layer", name)})(name)
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'kernels.layer' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(module), name)

# SPDX-License-Identifier: Apache-2.0
"""Optimized kernels from the Hugging Face Hub in the place of a model's own layers.

Make layers extensible, say which kernels serve them, and kernelize::

    from kernels import Mode, builtin_mapping, kernelize, use_kernel_mapping

    with use_kernel_mapping(builtin_mapping()):
        model = kernelize(model, mode=Mode.INFERENCE)

Importing this package imports neither torch nor anything outside the standard library.
"""

import os.path as _path
import sys as _sys

from kernels import _core
from kernels._core import __version__
from kernels.layer.device import CUDAProperties, Device, ROCMProperties
from kernels.layer.kernelize import (
    explain,
    kernelize,
    plan,
    register_kernel_mapping,
    unkernelize,
    unkernelized,
    use_kernel_mapping,
)
from kernels.layer.layer import (
    KernelizeFallback,
    LayerRepository,
    LocalLayerRepository,
    _no_condition,
    replace_kernel_forward_from_hub,
    use_kernel_forward_from_hub,
    use_kernelized_func,
)
from kernels.layer.mode import Mode

_core._setup(
    Mode,
    _no_condition,
    _path.join(_path.dirname(_path.abspath(__file__)), "builtin"),
    _path.join(_sys.prefix, "etc", "kernels", "kernels.toml"),
)

# Names that few programs use are imported when they are asked for.
_LAZY = {
    "Benchmark": "kernels.benchmark",
    "CompileReport": "kernels.compilation",
    "CompileResult": "kernels.compilation",
    "Decision": "kernels._plan",
    "FuncRepository": "kernels.layer.func",
    "LayerNumerics": "kernels.numerics",
    "LoadedKernel": "kernels.importer",
    "LocalFuncRepository": "kernels.layer.func",
    "LockedFuncRepository": "kernels.layer.func",
    "LockedLayerRepository": "kernels.layer.layer",
    "Metadata": "kernels.importer",
    "NumericsReport": "kernels.numerics",
    "Plan": "kernels._plan",
    "RepoInfo": "kernels.hf_hub",
    "VariantAccepted": "kernels.variants",
    "VariantRejected": "kernels.variants",
    "builtin_mapping": "kernels._builtin",
    "compile_check": "kernels.compilation",
    "get_kernel": "kernels.load",
    "get_kernel_dep": "kernels.deps",
    "get_kernel_variants": "kernels.variants",
    "get_loaded_kernels": "kernels.importer",
    "get_local_kernel": "kernels.load",
    "get_locked_kernel": "kernels.load",
    "has_kernel": "kernels.load",
    "install_kernel": "kernels.install",
    "load_kernel": "kernels.load",
    "prefetch": "kernels.install",
    "use_kernel_func_from_hub": "kernels.layer.func",
    "verify_numerics": "kernels.numerics",
}

__all__ = [
    "__version__",
    "Benchmark",
    "CUDAProperties",
    "CompileReport",
    "CompileResult",
    "Decision",
    "Device",
    "FuncRepository",
    "KernelizeFallback",
    "LayerNumerics",
    "LayerRepository",
    "LoadedKernel",
    "LocalFuncRepository",
    "LocalLayerRepository",
    "LockedFuncRepository",
    "LockedLayerRepository",
    "Metadata",
    "Mode",
    "NumericsReport",
    "Plan",
    "ROCMProperties",
    "RepoInfo",
    "VariantAccepted",
    "VariantRejected",
    "builtin_mapping",
    "compile_check",
    "explain",
    "get_kernel",
    "get_kernel_dep",
    "get_kernel_variants",
    "get_loaded_kernels",
    "get_local_kernel",
    "get_locked_kernel",
    "has_kernel",
    "install_kernel",
    "kernelize",
    "load_kernel",
    "plan",
    "prefetch",
    "register_kernel_mapping",
    "replace_kernel_forward_from_hub",
    "unkernelize",
    "unkernelized",
    "use_kernel_forward_from_hub",
    "use_kernel_func_from_hub",
    "use_kernel_mapping",
    "use_kernelized_func",
    "verify_numerics",
]


def __getattr__(name):
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'kernels' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))

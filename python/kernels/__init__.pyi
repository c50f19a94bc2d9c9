# SPDX-License-Identifier: Apache-2.0
from kernels._builtin import builtin_mapping
from kernels._plan import Decision, Plan
from kernels.benchmark import Benchmark
from kernels.compilation import CompileReport, CompileResult, compile_check
from kernels.deps import get_kernel_dep
from kernels.hf_hub import RepoInfo
from kernels.importer import LoadedKernel, Metadata, get_loaded_kernels
from kernels.install import install_kernel, prefetch
from kernels.layer.device import CUDAProperties, Device, ROCMProperties
from kernels.layer.func import (
    FuncRepository,
    LocalFuncRepository,
    LockedFuncRepository,
    use_kernel_func_from_hub,
)
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
    LockedLayerRepository,
    replace_kernel_forward_from_hub,
    use_kernel_forward_from_hub,
    use_kernelized_func,
)
from kernels.layer.mode import Mode
from kernels.load import (
    get_kernel,
    get_local_kernel,
    get_locked_kernel,
    has_kernel,
    load_kernel,
)
from kernels.numerics import LayerNumerics, NumericsReport, verify_numerics
from kernels.variants import VariantAccepted, VariantRejected, get_kernel_variants

__version__: str

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

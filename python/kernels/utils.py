# SPDX-License-Identifier: Apache-2.0
"""Where versions before 0.17 had what is elsewhere now. Deprecated."""

from kernels._older import moved

_MOVED = {
    name: ("kernels", name)
    for name in (
        "LoadedKernel",
        "RepoInfo",
        "get_kernel",
        "get_kernel_variants",
        "get_loaded_kernels",
        "get_local_kernel",
        "get_locked_kernel",
        "has_kernel",
        "install_kernel",
        "load_kernel",
    )
} | {"_backend": ("kernels.backends", "_backend")}

__getattr__ = moved("kernels.utils", _MOVED)


def __dir__():
    return sorted(_MOVED)

# SPDX-License-Identifier: Apache-2.0
"""Kernels that depend on kernels."""

from contextvars import ContextVar

# The kernels that the one being imported may ask for, by repository; None: none is being imported.
_KERNEL_DEPS = ContextVar("_KERNEL_DEPS", default=None)


class use_kernel_deps:
    """Context manager: within it `get_kernel_dep` gives the kernels of `deps`.

    Args:
        deps (`dict[str, ModuleType]`): Repository -> the module of its kernel.
    """

    __slots__ = ("_deps", "_token")

    def __init__(self, deps):
        self._deps = deps

    def __enter__(self):
        self._token = _KERNEL_DEPS.set(self._deps)

    def __exit__(self, exc_type, exc_value, traceback):
        _KERNEL_DEPS.reset(self._token)


def get_kernel_dep(repo_id):
    """Returns a kernel that the kernel being loaded depends on.

    A kernel calls this while it is imported. Which version or revision it gets
    stands in its metadata.

    Args:
        repo_id (`str`): The repository of the dependency, "org/name".

    Returns:
        `ModuleType`: Its module.

    Raises:
        RuntimeError: When no kernel is being loaded, or the kernel's metadata
            does not name the dependency.

    Example:
        >>> from kernels import get_kernel_dep
        >>> get_kernel_dep("org/relu")
        Traceback (most recent call last):
        RuntimeError: `get_kernel_dep` only works during kernel loading.
    """
    deps = _KERNEL_DEPS.get()
    if deps is None:
        raise RuntimeError("`get_kernel_dep` only works during kernel loading.")
    module = deps.get(repo_id)
    if module is None:
        raise RuntimeError(
            f"Dependency '{repo_id}' not found in kernel dependencies. Ensure the dependency is added to `kernel-deps` "
            "in build.toml."
        )
    return module

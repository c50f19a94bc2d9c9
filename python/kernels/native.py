# SPDX-License-Identifier: Apache-2.0
"""Native kernels: builds for tvm-ffi, called without torch and without the Python package tvm_ffi.

Tensors are those of any library that knows DLPack: NumPy, torch, JAX, CuPy.
"""

import importlib.util
import os

from kernels import _core
from kernels._source import Source
from kernels.compat import has_torch


class NativeKernel:
    """The functions of a native kernel, as attributes.

    Arguments are tensors of any library with ``__dlpack__`` (which share their
    memory with the kernel), None, bools, numbers, text, bytes, lists and tuples
    of these, data types and devices of torch and NumPy, functions of kernels and
    callables. A function returns None, a number, text, bytes, a tuple, a function,
    or a tensor with ``__dlpack__``. An error of the kernel is the builtin
    exception of its kind, else a RuntimeError. Functions run without the GIL.

    Attributes:
        __kernel__ (`str`): The kernel's name.
        __variant__ (`str`): The build variant.
        __folder__ (`str`): Its folder.
        __library__ (`str`): The file with the functions.
    """

    def __init__(self, source):
        (
            self._handle,
            self.__kernel__,
            self.__variant__,
            self.__folder__,
            self.__library__,
        ) = _core.native_kernel(source, _tvm_ffi_library(), has_torch)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        function = _core.native_function(self._handle, name)
        self.__dict__[name] = function
        return function

    def __repr__(self):
        return f"<native kernel {self.__kernel__!r} ({self.__variant__}) in {self.__folder__!r}>"


def _tvm_ffi_library():
    """The libtvm_ffi of this interpreter's environment, found without importing anything; None where there is none."""
    spec = importlib.util.find_spec("tvm_ffi")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = os.path.join(folder, "lib", "libtvm_ffi.so")
        if os.path.isfile(path):
            return path
    return None


def get_kernel(
    repo_id,
    *,
    revision=None,
    version=None,
    backend=None,
    user_agent=None,
    trust_remote_code=False,
    check_arch=True,
    refresh=False,
):
    """Loads the native build of a kernel for this machine and returns its functions.

    None of the kernel's Python code runs.

    Args:
        repo_id, revision, version, backend, user_agent, trust_remote_code, check_arch, refresh:
            As for `kernels.get_kernel`.

    Returns:
        `NativeKernel`: Its functions.

    Raises:
        FileNotFoundError: When the kernel has no native build for this machine, or
            needs libtvm_ffi, which is not installed.
        NotImplementedError: When the libtvm_ffi in the process is of another version
            than can be called.
        OSError: When the library cannot be loaded; otherwise as for
            `kernels.get_kernel`.

    Example:
        >>> from kernels import native
        >>> native.get_kernel("builtin/no-such-kernel")
        Traceback (most recent call last):
        ...
        FileNotFoundError: ...
    """
    return NativeKernel(
        Source.hub(
            repo_id,
            revision=revision,
            version=version,
            backend=backend,
            user_agent=user_agent,
            trust_remote_code=trust_remote_code,
            refresh=refresh,
            any_arch=not check_arch,
        )
    )


def get_local_kernel(repo_path, *, backend=None):
    """Loads the native build of a kernel in a directory and returns its functions.

    Args:
        repo_path (`Path` or `str`): The directory of the repository, of its
            `build`, or of one variant.
        backend (`str`, *optional*): "cpu" or the backend of this machine. By
            default the latter.

    Returns:
        `NativeKernel`: Its functions.

    Raises:
        FileNotFoundError, NotImplementedError, OSError: As for `get_kernel`.

    Example:
        >>> from kernels import native
        >>> native.get_local_kernel("/no/such/kernel")
        Traceback (most recent call last):
        ...
        FileNotFoundError: ...
    """
    return NativeKernel(Source.local(os.fsdecode(repo_path), backend=backend, any_arch=True))

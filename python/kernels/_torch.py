# SPDX-License-Identifier: Apache-2.0
"""What is particular to torch and to importing Python code: called by the extension, decides nothing itself."""

import functools
import importlib.util
import inspect
import logging
import os
import platform
import sys
import sysconfig
import threading
from pathlib import Path

import torch
from torch.nn import Module

from kernels.deps import use_kernel_deps
from kernels.hf_hub import RepoInfo
from kernels.importer import LoadedKernel, _loaded_kernels, _metadata_of

# By kn_log_topic of include/kernels/host.h: the modules of upstream that tell of the same.
_LOGGERS = [
    logging.getLogger(f"kernels.{name}")
    for name in ("layer.layer", "layer.kernelize", "_versions", "hf_hub", "status", "validate")
]


def log(level, topic, message):
    _LOGGERS[topic].log(level, message)


# ---- the machine ----


def _backend():
    """The backend that this torch was built for, as variants name it."""
    if hasattr(torch.backends, "tpu"):
        return "tpu"
    if hasattr(torch, "neuron"):
        return "neuron"
    version = torch.version
    if version.cuda is not None:
        return "cu" + "".join(version.cuda.split(".")[:2])
    if version.hip is not None:
        return "rocm" + "".join(version.hip.split("-")[0].split(".")[:2])
    if torch.backends.mps.is_available():
        return "metal"
    if getattr(version, "xpu", None) is not None:
        return f"xpu{version.xpu[0:4]}{version.xpu[5:6]}"
    if torch._C._get_privateuse1_backend_name() == "npu":
        from torch_npu.utils.collect_env import get_cann_version

        cann = get_cann_version()
        return f"cann{cann[0]}{cann[2]}"
    return "cpu"


def _major_minor(version):
    major, minor = version.split("+")[0].split(".")[:2]
    return int(major), int(minor)


def system():
    """(torch major, minor, C++11 ABI, tvm-ffi major, minor, backend, arch, os, free-threaded before 3.15)."""
    tvm_ffi = (-1, -1)
    if importlib.util.find_spec("tvm_ffi") is not None:
        import tvm_ffi as module

        tvm_ffi = _major_minor(module.__version__)
    free_threaded = sys.version_info < (3, 15) and bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    abi = int(torch.compiled_with_cxx11_abi())
    return (
        *_major_minor(torch.__version__),
        abi,
        *tvm_ffi,
        _backend(),
        platform.machine(),
        platform.system().lower(),
        free_threaded,
        f"{sys.version_info[0]}.{sys.version_info[1]}",
    )


def _type_name(device_type):
    return "rocm" if device_type == "cuda" and torch.version.hip is not None else device_type


def device_of(tensor):
    """(type, index) of a tensor's device; -1 for the current one."""
    device = tensor.device
    return _type_name(device.type), -1 if device.index is None else device.index


def requested_device(device):
    """(type, index) of a torch.device or a kernels.Device."""
    if isinstance(device, torch.device):
        return _type_name(device.type), -1 if device.index is None else device.index
    from kernels.layer.device import Device

    if isinstance(device, Device) and isinstance(device.type, str):
        return device.type, -1
    raise TypeError(f"device must be text, a torch.device or a kernels.Device, not {device!r}")


def _can_ask(device_type):
    built_for = torch.version.hip if device_type == "rocm" else torch.version.cuda
    return built_for is not None and torch.cuda.is_available()


def _capability_of(index=None):
    major, minor = torch.cuda.get_device_capability(index)
    return major * 10 + minor


def capability(device_type):
    """major * 10 + minor of the current device, or None where it cannot be asked."""
    return _capability_of() if _can_ask(device_type) else None


def has_unlike_devices(device_type):
    if not _can_ask(device_type):
        return False
    return len({_capability_of(index) for index in range(torch.cuda.device_count())}) > 1


def first_parameter(model):
    return next(iter(model.parameters()), None)


def module_device(module):
    """(type, index, capability) of the first parameter or buffer of a module or, failing that, its descendants."""
    for below in module.modules():
        for tensors in (below._parameters, below._buffers):
            for tensor in tensors.values():
                if tensor is None:
                    continue
                name, index = device_of(tensor)
                known = (
                    _capability_of(tensor.device)
                    if name in ("cuda", "rocm") and _can_ask(name)
                    else None
                )
                return name, index, known
    return None


# ---- kernels ----


class _Import:
    """A kernel that is being imported: by which thread of which process, and what there is of it so far."""

    def __init__(self, module):
        self.module, self.owner, self.process = module, threading.get_ident(), os.getpid()
        self.ended = threading.Event()


_imports_lock = (
    threading.Lock()
)  # of these and of what is loaded; never held while code of others runs
_imports = {}  # folder -> _Import
_waits = {}  # thread -> the _Import that it waits for


def _is_circle(running):
    """Whether this thread, if it waited for `running`, would wait for itself."""
    while running.owner != threading.get_ident():
        running = _waits.get(running.owner)
        if running is None or running.ended.is_set():
            return False
    return True


def _free_name(kernel_id, repo):
    """The name to import a kernel under: its id, with a number where another copy of it is loaded."""
    ours = {loaded.module for loaded in _loaded_kernels.values()}
    ours |= {running.module for running in _imports.values()}
    name, number = kernel_id, 1
    while name in sys.modules:
        other = sys.modules[name]
        if other not in ours:
            raise ImportError(
                f"kernel '{repo}' wants to be imported as '{name}', which is already taken by {other!r}; "
                "give its metadata.json an id of its own"
            )
        number += 1
        name = f"{kernel_id}_{number}"
    return name


def _loaded(folder, module, repo_info):
    return LoadedKernel(_metadata_of(folder), module, repo_info)


def can_import(name):
    return importlib.util.find_spec(name) is not None


def gpu():
    """(capability of the current CUDA device as a number, or -1; architecture of the ROCm device, or None)."""
    if not torch.cuda.is_available():
        return -1, None
    if torch.version.hip is not None:
        return -1, torch.cuda.get_device_properties(torch.cuda.current_device()).gcnArchName
    return _capability_of(), None


def progress(done, total):
    """Shows on a terminal how far downloads are; nothing where standard error is none."""
    switch = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "").upper()
    if switch in ("1", "ON", "YES", "TRUE") or not sys.stderr.isatty():
        return
    total = max(done, total)
    end = "\n" if done == total else ""
    sys.stderr.write(f"\rkernels: {done / 1e6:.1f} of {total / 1e6:.1f} MB{end}")
    sys.stderr.flush()


def _begin_import(entry, kernel_id, repo):
    kernel_id = _free_name(kernel_id, repo)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_file_location(kernel_id, entry)
    )
    sys.modules[kernel_id] = module
    return _Import(module)


def _forget_module(name):
    """What a module imported below its own name must not survive half done, either."""
    for key in list(sys.modules):
        if key == name or key.startswith(name + "."):
            sys.modules.pop(key, None)


def _claim_import(folder, entry, kernel_id, repo, repo_info):
    """(module, None) of a kernel that is imported, or (None, what this thread is to import). A thread that imports in a
    circle, by itself or through others that wait for it, gets what there is so far, as in Python's own imports."""
    while True:
        with _imports_lock:
            loaded = _loaded_kernels.get(folder)
            if loaded is not None:
                return loaded.module, None
            running = _imports.get(folder)
            if running is not None and running.process != os.getpid():
                # The thread that began it stayed behind in the parent.
                _forget_module(running.module.__name__)
                running = None
            if running is None:
                there = sys.modules.get(kernel_id)
                if there is not None and getattr(there, "__file__", None) == entry:
                    # Somebody imported this very file under the kernel's own name.
                    _loaded_kernels[folder] = _loaded(folder, there, repo_info)
                    return there, None
                _imports[folder] = _begin_import(entry, kernel_id, repo)
                return None, _imports[folder]
            if _is_circle(running):
                return running.module, None
            _waits[threading.get_ident()] = running
        try:
            running.ended.wait()
        finally:
            del _waits[threading.get_ident()]


def import_kernel(folder, entry, kernel_id, name, variant, repo, depends, repo_id, revision):
    """Imports the module of a kernel, each folder once, with the modules that it depends on at hand."""
    repo_info = None if repo_id is None else RepoInfo(repo_id=repo_id, revision=revision)
    folder = Path(folder)
    module, mine = _claim_import(folder, entry, kernel_id, repo, repo_info)
    if mine is None:
        return module
    module = mine.module
    try:
        with use_kernel_deps(depends):
            module.__spec__.loader.exec_module(module)
        loaded = _loaded(folder, module, repo_info)
        with _imports_lock:
            _loaded_kernels[folder] = loaded
        return module
    except BaseException as error:
        _forget_module(module.__name__)
        if hasattr(error, "add_note"):
            error.add_note(f"while importing kernel '{name}', variant '{variant}' ({repo})")
        raise
    finally:
        with _imports_lock:
            del _imports[folder]
        mine.ended.set()


def find_layer(kernel, name, repo):
    layers = getattr(kernel, "layers", None)
    if layers is None:
        raise ValueError(f"Kernel repo {repo} does not define any layers.")
    layer = getattr(layers, name, None)
    if layer is None:
        there = sorted(
            key
            for key, value in vars(layers).items()
            if isinstance(value, type) and issubclass(value, Module)
        )
        raise ValueError(
            f"Layer `{name}` not found in kernel repo {repo}; it has: {', '.join(there) or 'none'}."
        )
    return layer


def load_repository(repository):
    return repository.load()


def layer_flags(layer):
    """(has_backward, can_torch_compile)"""
    if not (isinstance(layer, type) and issubclass(layer, Module)):
        name = getattr(layer, "__name__", repr(layer))
        raise TypeError(
            f"Layer `{name}` is not a Torch layer: a subclass of torch.nn.Module is needed."
        )
    return bool(getattr(layer, "has_backward", True)), bool(
        getattr(layer, "can_torch_compile", False)
    )


# ---- putting a layer in the place of a class ----

_FLAGS = {"can_torch_compile", "has_backward"}


def _check_layer(layer, cls, repo):
    if layer.__init__ is not Module.__init__:
        raise TypeError(
            f"{repo} must not override nn.Module constructor: layer `{layer.__name__}` has an __init__."
        )
    extra = set(dir(layer)) - set(dir(Module)) - _FLAGS
    # What a class that runs Python annotations or pickling support adds is no member of the layer.
    extra = sorted(
        name
        for name in extra
        if name not in ("__annotations__", "__firstlineno__", "__static_attributes__")
    )
    if extra:
        raise TypeError(
            f"{repo} must not contain additional members compared to `{cls.__name__}`: layer `{layer.__name__}` has "
            f"{', '.join(extra)}."
        )


def _check_signature(signature, replaced, layer, cls, repo):
    ours, theirs = list(signature.parameters.values()), list(replaced.parameters.values())
    problem = None
    if len(ours) != len(theirs):
        problem = "different number of arguments"
    for mine, other in zip(ours, theirs, strict=False):
        if problem is None and mine.kind != other.kind:
            kinds = f"{mine} is {mine.kind.description}, {other} is {other.kind.description}"
            problem = f"different kind of arguments ({kinds})"
    if problem:
        raise TypeError(
            f"Forward signature of {repo} does not match `{cls.__name__}`: {problem}: "
            f"`{layer.__name__}.forward{signature}` and `{cls.__name__}.forward{replaced}`."
        )


def _renamed(forward, names):
    """`forward` that also takes keyword arguments by the names of the class that it replaces."""

    @functools.wraps(forward)
    def renamed(self, *args, **kwargs):
        if kwargs:
            kwargs = {names.get(key, key): value for key, value in kwargs.items()}
        return forward(self, *args, **kwargs)

    renamed.__name__ = "forward"
    return renamed


def bind_layer(layer, cls, repo):
    """The function that becomes the forward of instances of `cls`; TypeError where the layer does not fit."""
    _check_layer(layer, cls, repo)
    signature, replaced = inspect.signature(layer.forward), inspect.signature(cls.forward)
    _check_signature(signature, replaced, layer, cls, repo)
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {
        theirs.name: ours.name
        for ours, theirs in zip(
            signature.parameters.values(), replaced.parameters.values(), strict=True
        )
        if ours.kind in by_keyword and ours.name != theirs.name
    }
    # `self` is never given by keyword.
    names.pop(next(iter(replaced.parameters), None), None)
    return _renamed(layer.forward, names) if names else layer.forward


# ---- functions as modules ----


def _find_by_name(module_name, qualified_name):
    found = (
        sys.modules[module_name]
        if module_name in sys.modules
        else importlib.import_module(module_name)
    )
    for part in qualified_name.split("."):
        found = getattr(found, part)
    return found


class FunctionModule(Module):
    """The base of functions that were made replaceable. The one instance of such a class is called like the function,
    is kept by copies and pickles by the function's name."""

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return _find_by_name, (type(self).__module__, type(self).__qualname__)


def function_module(function, base=FunctionModule):
    """A module class whose forward is `function`."""

    def forward(self, *args, **kwargs):
        return function(*args, **kwargs)

    signature = inspect.signature(function)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    first = next(iter(signature.parameters.values()), None)
    if first is None or first.kind != inspect.Parameter.POSITIONAL_ONLY:
        own = own.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    forward.__signature__ = signature.replace(parameters=[own, *signature.parameters.values()])
    forward.__doc__ = function.__doc__
    members = {
        "forward": forward,
        "can_torch_compile": getattr(function, "can_torch_compile", False),
        "has_backward": getattr(function, "has_backward", True),
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
    }
    return type(function.__name__, (base,), members)

# SPDX-License-Identifier: Apache-2.0
"""What the library asks of Python, with or without torch: called by the extension, decides nothing itself. What needs
torch is in kernels._torch."""

import importlib.util
import logging
import os
import platform
import sys
import sysconfig
import threading
from pathlib import Path

from kernels import _core
from kernels.compat import has_torch, has_tvm_ffi
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


def can_import(name):
    return importlib.util.find_spec(name) is not None


def _torch_or_none():
    if not has_torch:
        return None
    from kernels import _torch

    return _torch


def _tvm_ffi_version():
    """As its package says: to import it for this would load what native kernels may do without."""
    if not has_tvm_ffi:
        return -1, -1
    from importlib import metadata

    try:
        version = metadata.version("apache-tvm-ffi")
    except metadata.PackageNotFoundError:
        import tvm_ffi

        version = tvm_ffi.__version__
    major, minor = version.split("+")[0].split(".")[:2]
    return int(major), int(minor)


def _backend_without_torch():
    from kernels.backends import _select_backend

    return _select_backend(None).variant_str


def system():
    """(torch major, minor, C++11 ABI, tvm-ffi major, minor, backend, arch, os, free-threaded before 3.15, Python)."""
    torch = _torch_or_none()
    free_threaded = sys.version_info < (3, 15) and bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    return (
        *(torch.version() if torch else (-1, -1, -1)),
        *_tvm_ffi_version(),
        torch.backend() if torch else _backend_without_torch(),
        platform.machine(),
        platform.system().lower(),
        free_threaded,
        f"{sys.version_info[0]}.{sys.version_info[1]}",
    )


def gpu():
    """(capability of the current CUDA device as a number, or -1; architecture of the ROCm device, or None)."""
    torch = _torch_or_none()
    return torch.gpu() if torch else (-1, None)


def progress(done, total):
    """Shows on a terminal how far downloads are; nothing where standard error is none."""
    switch = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "").upper()
    if switch in ("1", "ON", "YES", "TRUE") or not sys.stderr.isatty():
        return
    total = max(done, total)
    end = "\n" if done == total else ""
    sys.stderr.write(f"\rkernels: {done / 1e6:.1f} of {total / 1e6:.1f} MB{end}")
    sys.stderr.flush()


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


def _advice(words):
    return _core.loader_advice(words.replace("\0", " ").encode(errors="replace").decode())


def _explained(error, name, variant, repo, revision):
    """An error of the system's loader again, with which kernel it is about and what to do; None for any other. torch
    tells the loader's words as the cause of its own."""
    if type(error) not in (ImportError, OSError):
        return None
    words = str(error)
    advice = _advice(words)
    if advice is None and isinstance(error.__cause__, OSError):
        words = f"{words}: {error.__cause__}"
        advice = _advice(words)
    if advice is None:
        return None
    path = error.filename if isinstance(error, OSError) else error.path
    file = f", file '{path}'" if path and path not in words else ""
    at = f" at {revision}" if revision and revision not in repo else ""
    text = f"kernel '{name}' variant '{variant}' ({repo}{at}){file}: {words}; {advice}"
    if isinstance(error, ImportError):
        return ImportError(text, name=error.name, path=error.path)
    return OSError(text)


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
            if variant.startswith("tvm-ffi") and isinstance(error, ModuleNotFoundError):
                error.add_note(
                    "kernels.native.get_kernel calls its functions without its Python code"
                )
        explained = _explained(error, name, variant, repo, revision)
        if explained is None:
            raise
        raise explained from error
    finally:
        with _imports_lock:
            del _imports[folder]
        mine.ended.set()


def load_repository(repository):
    return repository.load()

# SPDX-License-Identifier: Apache-2.0
"""Calls as older versions took them, 0.6 to 0.16: with a DeprecationWarning that says what to write instead."""

import functools

_BACKENDS = {"cann", "cpu", "cuda", "metal", "neuron", "npu", "rocm", "tpu", "xpu"}


def warn(old, instead, stacklevel=4):
    """By default about the call of a decorated function, from its `adapt`."""
    import warnings

    warnings.warn(f"{old} is deprecated: {instead}", DeprecationWarning, stacklevel=stacklevel)


def accepts(is_older, adapt):
    """Decorator: a call for which `is_older(args, kwargs)` is made with what `adapt(args, kwargs)` returns."""

    def decorator(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            if is_older(args, kwargs):
                args, kwargs = adapt(args, kwargs)
            return function(*args, **kwargs)

        return call

    return decorator


def by_position(name, *names):
    """`accepts` for a function whose arguments behind the first were once taken by position, in this order."""

    def adapt(args, kwargs):
        warn(
            f"passing {', '.join(names[: len(args) - 1])} to {name} by position",
            f"write {name}({', '.join(['repo_id', *(f'{each}=...' for each in names[: len(args) - 1])])})",
        )
        given = dict(zip(names, args[1:], strict=False))
        twice = given.keys() & kwargs.keys()
        if len(args) - 1 > len(names) or twice:
            raise TypeError(f"{name} takes {', '.join(names)} once each, and by keyword")
        return args[:1], given | kwargs

    return accepts(lambda args, kwargs: len(args) > 1, adapt)


def _without_package(args, kwargs, name):
    warn(
        f"the argument package_name of {name}",
        "leave it out, the kernel's metadata names the package",
        5,
    )
    return args, {key: value for key, value in kwargs.items() if key != "package_name"}


def without_package_name(name):
    """`accepts` for what once took `package_name`."""
    return accepts(
        lambda args, kwargs: "package_name" in kwargs,
        lambda args, kwargs: _without_package(args, kwargs, name),
    )


def _adapt_local_kernel(args, kwargs):
    if "package_name" in kwargs:
        return _without_package(args, kwargs, "get_local_kernel")
    path, second = args
    if second is not None and second not in _BACKENDS:
        return _without_package((path,), kwargs, "get_local_kernel")
    warn(
        "passing backend to get_local_kernel by position",
        "write get_local_kernel(repo_path, backend=...)",
    )
    return (path,), kwargs | {"backend": second}


local_kernel = accepts(
    lambda args, kwargs: len(args) == 2 or "package_name" in kwargs, _adapt_local_kernel
)


def _adapt_kernelize(args, kwargs):
    from kernels.layer.mode import Mode

    given = dict(
        zip(("model", "device", "needs_torch_compile", "use_fallback"), args, strict=False)
    )
    given |= kwargs
    compiles = given.pop("needs_torch_compile", True)
    mode = Mode.TRAINING | Mode.TORCH_COMPILE if compiles else Mode.TRAINING
    warn("kernelize without a mode", f"write kernelize(model, mode={mode}), or the mode that fits")
    return (), given | {"mode": mode}


def _has_no_mode(args, kwargs):
    if "mode" in kwargs:
        return False
    # What stands second was once the device.
    return len(args) < 2 or args[1] is None or isinstance(args[1], str)


kernelize = accepts(
    lambda args, kwargs: _has_no_mode(args, kwargs) and (args or "model" in kwargs),
    _adapt_kernelize,
)


def locked_kernel(function):
    """Decorator of `get_locked_kernel`: with `local_files_only` it once was what `load_kernel` is now."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if len(args) < 2 and "local_files_only" not in kwargs:
            return function(*args, **kwargs)
        given = dict(zip(("repo_id", "local_files_only"), args, strict=False)) | kwargs
        warn(
            "the argument local_files_only of get_locked_kernel",
            "write load_kernel(repo_id) for a kernel that must be in the cache",
            3,
        )
        if not given.pop("local_files_only"):
            return function(**given)
        from kernels.load import load_kernel

        return load_kernel(**given)

    return call


def _adapt_install(args, kwargs):
    given = dict(zip(("repo_id", "revision", "local_files_only"), args, strict=False)) | kwargs
    if given.get("variant_locks") is not None or len(args) > 3:
        raise TypeError(
            "install_kernel does not take variant_locks any more: use get_locked_kernel(repo_id, lockfile=...), which "
            "checks the hashes of a lock file"
        )
    given.pop("variant_locks", None)
    given.pop("validate_dependencies", None)
    warn(
        "this form of install_kernel",
        "write install_kernel(repo_id, revision=...), with further arguments by keyword; what a kernel depends on is "
        "checked when the kernel is loaded",
    )
    return (given.pop("repo_id"),), given


install = accepts(
    lambda args, kwargs: (
        len(args) > 1 or "variant_locks" in kwargs or "validate_dependencies" in kwargs
    ),
    _adapt_install,
)


def moved(module, places):
    """`__getattr__` of a module whose names are elsewhere: {name: (module, name there)}."""

    def find(name):
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        from importlib import import_module

        place, there = places[name]
        warn(f"{module}.{name}", f"import {there} from {place}", 3)
        return getattr(import_module(place), there)

    return find

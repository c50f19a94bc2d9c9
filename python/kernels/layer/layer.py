# SPDX-License-Identifier: Apache-2.0
"""Layers that can be replaced, and the repositories that replace them."""

import os
from enum import Flag

from kernels import _core, _older, _source


class KernelizeFallback(Flag):
    """The cases in which `kernelize` keeps the original forward instead
    of raising.

    Attributes:
        NONE: Never.
        NO_LAYER: The mapping does not name the layer.
        NO_DEVICE: It does, but not for this type of device.
        NO_COMPATIBLE_PROPERTIES: It does, but not for the capability of this
            device.
        NO_COMPATIBLE_MODE: It does, but not for this mode, or the kernel does
            not support the mode.
        CANNOT_LOAD: The kernel is not there.
        DEFAULT: All but CANNOT_LOAD.
        ALL: All of them.

    Example:
        >>> from kernels import KernelizeFallback
        >>> KernelizeFallback.CANNOT_LOAD in KernelizeFallback.DEFAULT
        False
    """

    NONE = 0
    NO_LAYER = 1
    NO_DEVICE = 2
    NO_COMPATIBLE_PROPERTIES = 4
    NO_COMPATIBLE_MODE = 8
    CANNOT_LOAD = 16

    DEFAULT = NO_LAYER | NO_DEVICE | NO_COMPATIBLE_PROPERTIES | NO_COMPATIBLE_MODE
    ALL = DEFAULT | CANNOT_LOAD


def _check_text(**values):
    for name, value in values.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} must be text, not {value!r}")


class LayerRepository:
    """A layer of a kernel in a Hub repository.

    Nothing is looked up before the layer is needed.

    Args:
        repo_id (`str`): The repository, "org/name". "builtin/name" ships with
            this package.
        layer_name (`str`): The name of the layer within the kernel.
        revision (`str`, *optional*, defaults to "main"): The branch, tag or
            commit. Not together with `version`.
        version (`int` or `str`, *optional*): An integer, or text that is one,
            for a version branch; other text is a version specifier such as
            ">=1.0.0,<2.0.0". Not together with `revision`.
        trust_remote_code (`bool` or `list[str]`, *optional*, defaults to
            `False`): Whether repositories of publishers that are not trusted
            may be loaded; a list names those that may.
        user_agent (`str` or `dict`, *optional*): Added to what requests say
            about their sender.

    Raises:
        ValueError: When both `revision` and `version` are given.

    Example:
        >>> from kernels import LayerRepository
        >>> repo = LayerRepository(
        ...     "kernels-community/activation", "SiluAndMul", version=1
        ... )
        >>> repo.layer_name
        'SiluAndMul'
    """

    def __init__(
        self,
        repo_id,
        layer_name,
        revision=None,
        version=None,
        trust_remote_code=False,
        user_agent=None,
    ):
        _check_text(repo_id=repo_id, layer_name=layer_name)
        if revision is not None and version is not None:
            raise ValueError("Either a revision or a version must be specified, not both.")
        self._repo_id = repo_id
        self.layer_name = layer_name
        self._revision = revision
        self._version = version
        self._trust_remote_code = (
            list(trust_remote_code) if isinstance(trust_remote_code, list) else trust_remote_code
        )
        self._user_agent = user_agent

    def _describe(self):
        """What the engine is told; None where a subclass, or this object, loads in its own way."""
        if type(self).load is not LayerRepository.load or "load" in self.__dict__:
            return None
        description = self.__dict__.get("_description")
        if description is None:
            description = self._description = _source.describe(
                "hub",
                self._repo_id,
                layer_name=self.layer_name,
                revision=self._revision,
                version=self._version,
                user_agent=self._user_agent,
                trust_remote_code=self._trust_remote_code,
            )
        return description

    def load(self):
        """Returns the layer, a subclass of `torch.nn.Module`; loads the kernel
        if it has not been loaded yet.
        """
        return _core.get_layer(self)

    def _key(self):
        trusted = self._trust_remote_code
        return (
            self.layer_name,
            self._repo_id,
            self._revision,
            self._version,
            tuple(trusted) if isinstance(trusted, list) else trusted,
        )

    def __eq__(self, other):
        return isinstance(other, LayerRepository) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __str__(self):
        if self._version is not None:
            return f"`{self._repo_id}` (version: {self._version}), layer `{self.layer_name}`"
        return (
            f"`{self._repo_id}` (revision: {self._revision or 'main'}), layer `{self.layer_name}`"
        )

    def __repr__(self):
        return f"<{type(self).__name__} {self}>"


class LocalLayerRepository:
    """A layer of a kernel in a directory.

    Args:
        repo_path (`Path` or `str`): The directory: of the repository, of its
            `build`, or of one variant.
        layer_name (`str`): The name of the layer within the kernel.

    Example:
        >>> from kernels import LocalLayerRepository
        >>> repo = LocalLayerRepository("/kernels/activation", "SiluAndMul")
        >>> repo.layer_name
        'SiluAndMul'
    """

    @_older.without_package_name("LocalLayerRepository")
    def __init__(self, repo_path, layer_name):
        _check_text(layer_name=layer_name)
        os.fspath(repo_path)
        self._repo_path = repo_path
        self.layer_name = layer_name

    def _describe(self):
        """What the engine is told; None where a subclass, or this object, loads in its own way."""
        if type(self).load is not LocalLayerRepository.load or "load" in self.__dict__:
            return None
        description = self.__dict__.get("_description")
        if description is None:
            description = self._description = _source.describe(
                "local", os.fsdecode(self._repo_path), layer_name=self.layer_name, any_arch=True
            )
        return description

    def load(self):
        """Returns the layer, a subclass of `torch.nn.Module`; loads the kernel
        if it has not been loaded yet.
        """
        return _core.get_layer(self)

    def __eq__(self, other):
        return (
            isinstance(other, LocalLayerRepository)
            and self.layer_name == other.layer_name
            and self._repo_path == other._repo_path
        )

    def __hash__(self):
        return hash((self.layer_name, self._repo_path))

    def __str__(self):
        return f"`{self._repo_path}` (layer `{self.layer_name}`)"

    def __repr__(self):
        return f"<{type(self).__name__} {self}>"


class LockedLayerRepository:
    """A layer of a kernel at the commit that a lock file gives.

    Args:
        repo_id (`str`): The repository, "org/name".
        lockfile (`Path`, *optional*): The lock file. By default that of the
            caller's package.
        layer_name (`str`): The name of the layer within the kernel.
        trust_remote_code (`bool` or `list[str]`, *optional*, defaults to
            `False`): As for :class:`LayerRepository`.

    Attributes:
        kernel_locks (`KernelLocks`): What the lock file says.
        kernel_dep (`KernelDependency`): The key of the kernel in it.

    Raises:
        ValueError: When there is no lock file, it is malformed, or it does not
            lock the kernel.
        FileNotFoundError: When `lockfile` is not there.

    Example:
        >>> from kernels import LockedLayerRepository
        >>> LockedLayerRepository("org/relu", "/no/kernels.lock", "ReLU")
        Traceback (most recent call last):
        FileNotFoundError: ...
    """

    def __init__(self, repo_id, lockfile=None, layer_name=None, trust_remote_code=False):
        from kernels import locking

        _check_text(repo_id=repo_id, layer_name=layer_name)
        self._repo_id = repo_id
        self._lockfile = lockfile
        self.layer_name = layer_name
        self._trust_remote_code = (
            list(trust_remote_code) if isinstance(trust_remote_code, list) else trust_remote_code
        )
        lock = locking._lock_text(lockfile)
        self.kernel_locks, self.kernel_dep = locking._get_locked_kernel_revision(repo_id, lock)
        self._description = _source.describe(
            "hub", repo_id, layer_name=layer_name, trust_remote_code=trust_remote_code, lock=lock
        )

    def _describe(self):
        """What the engine is told; None where a subclass, or this object, loads in its own way."""
        if type(self).load is not LockedLayerRepository.load or "load" in self.__dict__:
            return None
        return self._description

    def load(self):
        """Returns the layer, a subclass of `torch.nn.Module`; loads the kernel if
        it has not been loaded yet.
        """
        return _core.get_layer(self)

    def _key(self):
        trusted = self._trust_remote_code
        return (
            self.layer_name,
            self._repo_id,
            self.kernel_dep,
            self.kernel_locks,
            tuple(trusted) if isinstance(trusted, list) else trusted,
        )

    def __eq__(self, other):
        return isinstance(other, LockedLayerRepository) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __str__(self):
        commit = self.kernel_locks[self.kernel_dep].commit
        return f"`{self._repo_id}` (revision: {commit}), layer `{self.layer_name}`"

    def __repr__(self):
        return f"<{type(self).__name__} {self}>"


def _no_condition(module):
    """What stands for no condition: the engine does not call it."""
    return True


def replace_kernel_forward_from_hub(cls, layer_name, condition=None):
    """Makes the forward of a class replaceable under a layer name.

    Prefer `use_kernel_forward_from_hub` for classes of your own. This is
    for classes of others, whose attributes and forward may change with their
    next version.

    Args:
        cls (`type`): The class, a subclass of `torch.nn.Module`.
        layer_name (`str`): The name that mappings know the layer by.
        condition (`Callable[[torch.nn.Module], bool]`, *optional*): Asked for
            each module at each kernelize; where it returns False the module is
            left untouched.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import replace_kernel_forward_from_hub
        >>> class MyNorm(nn.LayerNorm):
        ...     pass
        >>> replace_kernel_forward_from_hub(MyNorm, "LayerNorm")
    """
    if not isinstance(cls, type):
        raise TypeError(f"only the forward of a class can be made replaceable, not that of {cls!r}")
    _check_text(layer_name=layer_name)
    if condition is not None and not callable(condition):
        raise TypeError(f"condition must be a function of the module, not {condition!r}")
    cls.kernel_layer_name = layer_name
    # Without `staticmethod` access through an instance would bind it.
    cls.kernel_condition = staticmethod(condition or _no_condition)


def use_kernel_forward_from_hub(layer_name, condition=None):
    """Decorator that makes a layer, or a function, replaceable under a layer
    name.

    A function becomes a module that is called like it. It is one object for
    all models that use it: its replacement is for the whole process, and
    counted per kernelized model.

    Args:
        layer_name (`str`): The name that mappings know the layer by.
        condition (`Callable[[torch.nn.Module], bool]`, *optional*): Asked for
            each module at each kernelize; where it returns False the module is
            left untouched.

    Returns:
        `Callable`: The decorator.

    Raises:
        TypeError: When what is decorated is neither a class nor a function.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import use_kernel_forward_from_hub
        >>> @use_kernel_forward_from_hub("MyCustomLayer")
        ... class MyCustomLayer(nn.Module):
        ...     def forward(self, x):
        ...         return x
    """
    _check_text(layer_name=layer_name)

    def decorator(target):
        if isinstance(target, type):
            replace_kernel_forward_from_hub(target, layer_name, condition)
            return target
        if type(target).__name__ == "function":
            from kernels._torch import function_module

            cls = function_module(target)
            replace_kernel_forward_from_hub(cls, layer_name, condition)
            return cls()
        raise TypeError("@use_kernel_forward_from_hub can only be applied to classes or functions")

    return decorator


def use_kernelized_func(*args):
    """Class decorator that makes functions visible to kernelize on the modules
    that use them.

    Args:
        *args: Functions that were decorated with
            `use_kernel_forward_from_hub`.

    Returns:
        `Callable`: The decorator.

    Raises:
        ValueError: When a function was not decorated.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import use_kernel_forward_from_hub
        >>> from kernels import use_kernelized_func
        >>> @use_kernel_forward_from_hub("rotate")
        ... def rotate(x):
        ...     return x
        >>> @use_kernelized_func(rotate)
        ... class Attention(nn.Module):
        ...     def forward(self, x):
        ...         return rotate(x)
    """

    def decorator(cls):
        for function in args:
            if not hasattr(function, "kernel_layer_name"):
                name = getattr(function, "__name__", repr(function))
                raise ValueError(
                    f"Function `{name}` is not decorated with @use_kernel_forward_from_hub and cannot be used "
                    "with @use_kernelized_func"
                )
        original = cls.__init__

        def __init__(self, *init_args, **init_kwargs):
            original(self, *init_args, **init_kwargs)
            functions = self.__dict__.setdefault("_kernel_funcs", {})
            for function in args:
                functions[getattr(function, "__name__", None) or function.kernel_layer_name] = (
                    function
                )

        __init__.__wrapped__ = original
        __init__.__doc__ = original.__doc__
        cls.__init__ = __init__
        cls._has_kernel_funcs = True
        return cls

    return decorator


def _validate_layer(*, check_cls, cls, repo):
    """TypeError where the layer `cls` cannot stand in the place of `check_cls`."""
    from kernels import _torch

    _torch.layer_flags(cls)
    _torch.bind_layer(cls, check_cls, repo)


def _create_func_module(func):
    """A subclass of `torch.nn.Module` whose forward is the function."""
    from kernels import _torch

    return _torch.function_module(func, base=_torch.Module)


def _get_kernel_layer(repo, kernel):
    """The layer of a kernel's module that `repo` names."""
    from kernels import _torch

    return _torch.find_layer(kernel, repo.layer_name, repo)


def __getattr__(name):
    # `typing` is slow to import and only needed for annotations.
    if name in ("LayerRepositoryProtocol", "RepositoryProtocol"):
        from kernels.layer import repos

        return getattr(repos, name)
    if name in ("_DISABLE_KERNEL_MAPPING", "_KERNEL_MAPPING"):
        from kernels.layer import globals as in_force

        return getattr(in_force, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

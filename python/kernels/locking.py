# SPDX-License-Identifier: Apache-2.0
"""The lock file of a project: where it is, and what it locks.

A project names its kernels in pyproject.toml, and `kernels.lock` has the commit of each. It is found in the metadata of
the caller's distribution, or as data of the caller's package.
"""

import sys

_NOT_FOUND = (
    "Could not find a `kernels.lock` file in the caller's package metadata. Please lock kernels with "
    "`kernels lock <project>` and then reinstall the project."
)


def _get_caller_module():
    """The module, outside this package, that called us."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name in sys.modules and name.partition(".")[0] != "kernels":
            return sys.modules[name]
        frame = frame.f_back
    return None


def _get_caller_distributions(module):
    from importlib import metadata

    package = module.__name__.partition(".")[0]
    names = metadata.packages_distributions().get(package) or ()
    return [metadata.distribution(name) for name in names]


def _package_data(module):
    """The lock file beside the code of the module's topmost package, as text."""
    from pathlib import Path

    package = sys.modules.get(module.__name__.partition(".")[0])
    for folder in getattr(package, "__path__", ()):
        path = Path(folder, "kernels.lock")
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return None


def _caller_lock_text():
    module = _get_caller_module()
    if module is not None:
        for distribution in _get_caller_distributions(module):
            text = distribution.read_text("kernels.lock")
            if text is not None:
                return text
        text = _package_data(module)
        if text is not None:
            return text
    raise ValueError(_NOT_FOUND)


def _lock_text(lockfile):
    """The content of a lock file; `None`: of the caller's."""
    if lockfile is None:
        return _caller_lock_text()
    with open(lockfile, encoding="utf-8") as file:
        return file.read()


def _get_locked_kernel_revision(repo_id, lock_json):
    from kernels._rust import KernelLocks

    locks = KernelLocks.from_json(lock_json)
    for dependency in locks:
        if dependency.repo_id == repo_id:
            return locks, dependency
    raise ValueError(
        f"Kernel `{repo_id}` is not locked. Please lock it with `kernels lock <project>` and then reinstall the "
        "project."
    )


def get_locked_kernel_revision(repo_id, lockfile):
    """Returns what a lock file says of a kernel.

    Args:
        repo_id (`str`): The repository, "org/name".
        lockfile (`Path`): The lock file.

    Returns:
        `tuple[KernelLocks, KernelDependency]`: All locks, and the key of the kernel's in them.

    Raises:
        FileNotFoundError: When the file is not there.
        ValueError: When it is no lock file, or does not lock the kernel.

    Example:
        >>> from kernels.locking import get_locked_kernel_revision
        >>> get_locked_kernel_revision("org/relu", "/no/such/kernels.lock")
        Traceback (most recent call last):
        FileNotFoundError: ...
    """
    return _get_locked_kernel_revision(repo_id, _lock_text(lockfile))


def get_caller_locked_kernel_revision(repo_id):
    """Returns what the caller's lock file says of a kernel, as :func:`get_locked_kernel_revision` does.

    Args:
        repo_id (`str`): The repository, "org/name".

    Raises:
        ValueError: When the caller's distribution and package have no lock file, or it does not lock the kernel.
    """
    return _get_locked_kernel_revision(repo_id, _caller_lock_text())


def _names_kernels(pyproject):
    """Whether a project's pyproject.toml has a table of kernels."""
    try:
        import tomllib
    except ImportError:  # Python 3.10; setuptools, which calls us, brings a reader
        from setuptools.compat.py310 import tomllib

    with open(pyproject, "rb") as file:
        document = tomllib.load(file)
    return document.get("tool", {}).get("kernels", {}).get("dependencies") is not None


def write_egg_lockfile(cmd, basename, filename):
    """Puts `kernels.lock` of the project in the working directory into its
    metadata, where `get_locked_kernel` finds it once the project is installed.

    It has the form of a writer of setuptools ("egg_info.writers"), and this
    package registers none: a project that wants it says so, see docs/hub.md.
    Nothing is done where the project has no `[tool.kernels.dependencies]`.

    Args:
        cmd (`setuptools.Command`): The command egg_info.
        basename (`str`): What is written, "kernels.lock".
        filename (`str`): Where to.
    """
    from pathlib import Path

    folder = Path.cwd()
    pyproject, lock = folder / "pyproject.toml", folder / "kernels.lock"
    if not pyproject.exists() or not _names_kernels(pyproject):
        return
    data = None  # removes what an earlier run wrote
    if lock.exists():
        data = lock.read_text(encoding="utf-8")
    else:
        import logging

        logging.getLogger(__name__).warning(
            "'%s' does not exist: `kernels lock %s` makes it", lock, folder
        )
    cmd.write_or_delete_file(basename, filename, data)

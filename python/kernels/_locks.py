# SPDX-License-Identifier: Apache-2.0
"""Lock files as objects, under upstream's names. What the file `kernels.lock` says is read and checked in C."""

import json
from pathlib import Path

from kernels import _core
from kernels._rust import KernelDependency, KernelVersion, _dependency, _Equal, _quoted


def _check_commit(commit):
    if not isinstance(commit, str):
        raise TypeError(f"commit must be a str, not {commit!r}")
    lower = commit.lower()
    if len(lower) not in (40, 64) or set(lower) - set("0123456789abcdef"):
        raise ValueError(f"Invalid git object id, expected 40 or 64 hexadecimal digits: {commit}")
    return lower


def _pretty(document):
    return json.dumps(document, indent=2, ensure_ascii=False)


def _read_fields(cls, text):
    """The text fields of a JSON object, which are those of `cls` and no others."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ValueError(f"Cannot parse {cls.__name__}: {error}") from None
    known = isinstance(fields, dict) and set(fields) == set(cls._fields)
    if not known or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError(
            f"Cannot parse {cls.__name__}: expected an object of the texts {', '.join(cls._fields)}"
        )
    return fields


class KernelLock(_Equal):
    """The commit that a kernel is locked to.

    Args:
        commit (`str`): 40 or 64 hexadecimal digits; anything else is a ValueError.

    Example:
        >>> KernelLock("D649EFB56FB249AC8F7A57FA1866728AD0C60E52").commit
        'd649efb56fb249ac8f7a57fa1866728ad0c60e52'
    """

    __slots__ = _fields = ("commit",)

    def __new__(cls, commit):
        return cls._make(_check_commit(commit))

    @staticmethod
    def from_json(s):
        """Reads `{"commit": ...}`; ValueError for anything else."""
        return KernelLock(**_read_fields(KernelLock, s))

    def to_json(self):
        """Returns it as JSON."""
        return _pretty(self._document())

    def _document(self):
        return {"commit": self.commit}

    def __repr__(self):
        return f"KernelLock(commit={_quoted(self.commit)})"


class NixKernelLock(_Equal):
    """A commit, and the hash that Nix has of the repository's content.

    Args:
        commit (`str`): As for :class:`KernelLock`.
        hash (`str`): Such as "sha256-...=".
    """

    __slots__ = _fields = ("commit", "hash")

    def __new__(cls, commit, hash):
        if not isinstance(hash, str):
            raise TypeError(f"hash must be a str, not {hash!r}")
        return cls._make(_check_commit(commit), hash)

    @staticmethod
    def from_json(s):
        """Reads `{"commit": ..., "hash": ...}`; ValueError for anything else."""
        return NixKernelLock(**_read_fields(NixKernelLock, s))

    def to_json(self):
        """Returns it as JSON."""
        return _pretty(self._document())

    def _document(self):
        return {"commit": self.commit, "hash": self.hash}

    def __repr__(self):
        return f"NixKernelLock(commit={_quoted(self.commit)}, hash={_quoted(self.hash)})"


def _order(dependency):
    version = dependency.version
    if isinstance(version, KernelVersion.Version):
        return dependency.repo_id, 0, version.version, ""
    return dependency.repo_id, 1, 0, version.revision


def _dependency_document(dependency):
    version = dependency.version
    if isinstance(version, KernelVersion.Version):
        return {"repo-id": dependency.repo_id, "version": version.version}
    return {"repo-id": dependency.repo_id, "revision": version.revision}


class _ByDependency(_Equal):
    """A mapping from kernels to something, sorted and immutable."""

    __slots__ = _fields = ("_items",)

    @classmethod
    def _of(cls, items, check):
        for dependency, value in items:
            if not isinstance(dependency, KernelDependency):
                raise TypeError(f"a key must be a KernelDependency, not {dependency!r}")
            check(value)
        return cls._make(tuple(sorted(items, key=lambda item: _order(item[0]))))

    def __len__(self):
        return len(self._items)

    def __iter__(self):
        return iter(self.keys())

    def __contains__(self, dependency):
        return any(key == dependency for key, _ in self._items)

    def __getitem__(self, dependency):
        for key, value in self._items:
            if key == dependency:
                return value
        raise KeyError(repr(dependency))

    def get(self, dependency, default=None):
        """Returns what `dependency` is mapped to, or `default`."""
        return self[dependency] if dependency in self else default

    def keys(self):
        """Returns the kernels as a list."""
        return [key for key, _ in self._items]

    def values(self):
        """Returns what they are mapped to as a list."""
        return [value for _, value in self._items]

    def items(self):
        """Returns the pairs as a list."""
        return list(self._items)

    def __repr__(self):
        items = ", ".join(f"{key!r}: {value!r}" for key, value in self._items)
        return f"{type(self).__name__}({{{items}}})"


def _must_be(cls):
    def check(value):
        if not isinstance(value, cls):
            raise TypeError(f"a value must be a {cls.__name__}, not {value!r}")

    return check


def _key(repo_id, version, revision, commit, *others):
    """The older form locks a kernel by its name: then it is at its commit."""
    by_name = version is None and revision is None
    return _dependency(repo_id, version, commit if by_name else revision)


def _read_locks(cls, s, make):
    entries = _core.parse_lockfile(s, f"Cannot parse {cls.__name__}")
    return cls({_key(*entry): make(entry) for entry in entries})


def _nix_lock(entry):
    if entry[4] is None:
        raise ValueError(f"Cannot parse NixKernelLocks: '{entry[0]}' has no hash")
    return NixKernelLock(entry[3], entry[4])


def _locks_json(locks):
    return _pretty(
        [
            {"dependency": _dependency_document(key), "lock": value._document()}
            for key, value in locks.items()
        ]
    )


class KernelLocks(_ByDependency):
    """The locks of a project's kernels, and of those that they depend on: a mapping that cannot be changed.

    Args:
        locks (`dict[KernelDependency, KernelLock]`): The locks.
    """

    __slots__ = ()

    def __new__(cls, locks):
        return cls._of(list(locks.items()), _must_be(KernelLock))

    @staticmethod
    def from_json(s):
        """Reads the content of a `kernels.lock`; ValueError where it is none."""
        return _read_locks(KernelLocks, s, lambda entry: KernelLock(entry[3]))

    def to_json(self):
        """Returns the content of a `kernels.lock`."""
        return _locks_json(self)


class NixKernelLocks(_ByDependency):
    """As :class:`KernelLocks`, with a hash for each.

    Args:
        locks (`dict[KernelDependency, NixKernelLock]`): The locks.
    """

    __slots__ = ()

    def __new__(cls, locks):
        return cls._of(list(locks.items()), _must_be(NixKernelLock))

    @staticmethod
    def from_json(s):
        """Reads JSON; ValueError where it is not of this form."""
        return _read_locks(NixKernelLocks, s, _nix_lock)

    def to_json(self):
        """Returns the locks as JSON."""
        return _locks_json(self)


class KernelPaths(_ByDependency):
    """Directories of kernels: a mapping that cannot be changed.

    Args:
        paths (`dict[KernelDependency, Path or str]`): The directories.
    """

    __slots__ = ()

    def __new__(cls, paths):
        return cls._of([(key, Path(path)) for key, path in paths.items()], lambda path: None)

    @staticmethod
    def from_json(s):
        """Reads JSON; ValueError where it is not of this form."""
        try:
            entries = [
                (
                    _dependency(
                        entry["dependency"]["repo-id"],
                        entry["dependency"].get("version"),
                        entry["dependency"].get("revision"),
                    ),
                    entry["path"],
                )
                for entry in json.loads(s)
            ]
            paths = KernelPaths(dict(entries))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"Cannot parse KernelPaths: {error}") from None
        if len(paths) != len(entries):
            raise ValueError("Cannot parse KernelPaths: duplicate dependency")
        return paths

    def to_json(self):
        """Returns the directories as JSON."""
        return _pretty(
            [
                {"dependency": _dependency_document(key), "path": str(path)}
                for key, path in self.items()
            ]
        )

    def __repr__(self):
        items = ", ".join(f"{key!r}: {_quoted(str(path))}" for key, path in self.items())
        return f"KernelPaths({{{items}}})"

# SPDX-License-Identifier: Apache-2.0
"""Metadata of kernels and what it consists of, under the names of upstream's Rust module.

Everything in here is immutable. The metadata itself is read and checked in C.
"""

from enum import Enum

from kernels._core import (
    Version,
    __version__,
    digest_folder,
    parse_metadata,
    read_metadata,
)

__all__ = [
    "Backend",
    "BackendInfo",
    "Digest",
    "DigestAlgorithm",
    "DigestValidationError",
    "DigestViolation",
    "GitStatus",
    "KernelBuilderVersion",
    "KernelDependency",
    "KernelLock",  # noqa: F822
    "KernelLocks",  # noqa: F822
    "KernelName",
    "KernelPaths",  # noqa: F822
    "KernelVersion",
    "Metadata",
    "NixKernelLock",  # noqa: F822
    "NixKernelLocks",  # noqa: F822
    "Provenance",
    "Version",
    "__version__",
]


class _Fixed:
    """The base of immutable values: what stands in `_fields` is set once, by `_make`."""

    __slots__ = ()
    _fields = ()

    def __new__(cls, *args, **kwargs):
        raise TypeError(f"cannot create '{cls.__name__}' instances")

    @classmethod
    def _make(cls, *values):
        made = object.__new__(cls)
        for name, value in zip(cls._fields, values, strict=True):
            object.__setattr__(made, name, value)
        return made

    def _values(self):
        return tuple(getattr(self, name) for name in self._fields)

    def __setattr__(self, name, value):
        raise AttributeError(f"'{type(self).__name__}' objects cannot be changed")

    def __delattr__(self, name):
        raise AttributeError(f"'{type(self).__name__}' objects cannot be changed")

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return _rebuild, (type(self), self._values())


def _rebuild(cls, values):
    return cls._make(*values)


class _Equal(_Fixed):
    """Equal where the fields are."""

    __slots__ = ()

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self):
        return hash((type(self), self._values()))


def _quoted(text):
    """Text as a message of upstream's quotes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped.replace(chr(13), chr(92) + "r").replace(chr(9), chr(92) + "t")}"'


def _quoted_or_none(text):
    return "None" if text is None else f"Some({_quoted(text)})"


def _quoted_list(texts):
    return f"[{', '.join(map(_quoted, texts))}]"


class _Named(Enum):
    """Members print as their names in code, and as text like in files."""

    def __repr__(self):
        return f"{type(self).__name__}.{self.name}"

    def __str__(self):
        return self.value.lower()


class Backend(_Named):
    """What a kernel was built for."""

    CANN = "CANN"
    CPU = "CPU"
    CUDA = "CUDA"
    Metal = "Metal"
    Neuron = "Neuron"
    ROCm = "ROCm"
    TPU = "TPU"
    XPU = "XPU"

    @staticmethod
    def from_str(s):
        """Returns the backend of a name.

        Args:
            s (`str`): "cann", "cpu", "cuda", "metal", "neuron", "rocm", "tpu" or "xpu", in any case.

        Raises:
            ValueError: For any other name.

        Example:
            >>> Backend.from_str("rocm")
            Backend.ROCm
        """
        backend = _BACKENDS.get(s.lower())
        if backend is None:
            raise ValueError(f"Unknown backend: {s}")
        return backend

    def __int__(self):
        return list(Backend).index(self)


_BACKENDS = {str(backend): backend for backend in Backend}


class BackendInfo(_Fixed):
    """The backend of a build, and the architectures that it has code for.

    Attributes:
        backend_type (`Backend`, `str` or `None`): Text where this version does not know the backend, None where the
            metadata does not say.
        archs (`list[str]` or `None`): None where the metadata lists none.
    """

    __slots__ = _fields = ("backend_type", "_archs")

    @property
    def archs(self):
        return None if self._archs is None else list(self._archs)

    def __repr__(self):
        archs = "None" if self._archs is None else f"Some({_quoted_list(self._archs)})"
        return f"BackendInfo(backend_type={self.backend_type!r}, archs={archs})"


class GitStatus(_Fixed):
    """The state of a git tree.

    Attributes:
        commit (`str`): The commit that was checked out.
        dirty (`bool`): Whether there were changes that were not committed.
    """

    __slots__ = _fields = ("commit", "dirty")

    def __repr__(self):
        return f"GitStatus(commit={_quoted(self.commit)}, dirty={str(self.dirty).lower()})"


class KernelBuilderVersion(_Fixed):
    """The kernel-builder that a kernel was built with.

    Attributes:
        version (`str`): Its version.
        git (`GitStatus` or `None`): The state of its sources, where it is known.
    """

    __slots__ = _fields = ("version", "git")

    def __repr__(self):
        return f"KernelBuilderVersion(version={_quoted(self.version)}, git={self.git!r})"


class Provenance(_Fixed):
    """Where a build comes from.

    Attributes:
        kernel_builder (`KernelBuilderVersion`): What it was built with.
        kernel (`GitStatus` or `None`): The state of the kernel's sources, where it is known.
        dirty (`bool`): Whether the sources of either had changes that were not committed.
    """

    __slots__ = _fields = ("kernel_builder", "kernel")

    @property
    def dirty(self):
        builder = self.kernel_builder.git
        return any(git is not None and git.dirty for git in (builder, self.kernel))

    def __repr__(self):
        return f"Provenance(kernel_builder={self.kernel_builder!r}, kernel={self.kernel!r})"


_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
_IN_NAMES = _LOWER | frozenset("0123456789-")


class KernelName(_Equal):
    """The name of a kernel: matches `^[a-z][-a-z0-9]*[a-z0-9]$`.

    Args:
        name (`str`): Anything else is a ValueError.

    Example:
        >>> KernelName("flash-attn3").python_name
        'flash_attn3'
    """

    __slots__ = _fields = ("_name",)

    def __new__(cls, name):
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r}")
        if len(name) < 2 or name[0] not in _LOWER or name[-1] == "-" or set(name) - _IN_NAMES:
            raise ValueError(
                f"Invalid kernel name `{name}`. A name has at least two characters, only lowercase letters, digits and "
                "dashes, begins with a letter and does not end with a dash, as in `flash-attention`"
            )
        return cls._make(name)

    @property
    def python_name(self):
        """The name with underscores in the place of dashes."""
        return self._name.replace("-", "_")

    def __str__(self):
        return self._name

    def __repr__(self):
        return f"KernelName({self._name!r})"


class KernelVersion(_Equal):
    """The version of a kernel that another one needs: `KernelVersion.Version` or `KernelVersion.Revision`."""

    __slots__ = ()


class _NumericVersion(KernelVersion):
    """A version by its number.

    Attributes:
        version (`int`): Not negative.
    """

    __slots__ = _fields = __match_args__ = ("version",)

    def __new__(cls, version):
        from operator import index

        number = index(version)
        if number < 0:
            raise OverflowError(f"a version is not negative, as {number}")
        return cls._make(number)

    def __repr__(self):
        return f"KernelVersion.Version(version={self.version})"


class _RevisionVersion(KernelVersion):
    """A version by a branch, tag or commit.

    Attributes:
        revision (`str`): Its name.
    """

    __slots__ = _fields = __match_args__ = ("revision",)

    def __new__(cls, revision):
        if not isinstance(revision, str):
            raise TypeError(f"revision must be a str, not {revision!r}")
        return cls._make(revision)

    def __repr__(self):
        return f"KernelVersion.Revision(revision={_quoted(self.revision)})"


def _nest(outer, name, inner):
    """Makes `inner` a class within `outer`, for messages and for pickle."""
    inner.__name__ = name
    inner.__qualname__ = f"{outer.__qualname__}.{name}"
    setattr(outer, name, inner)


_nest(KernelVersion, "Version", _NumericVersion)
_nest(KernelVersion, "Revision", _RevisionVersion)


class KernelDependency(_Equal):
    """A kernel that another one needs.

    Args:
        repo_id (`str`): Its repository on the Hub.
        version (`KernelVersion`): Which version of it.

    Example:
        >>> KernelDependency("org/relu", KernelVersion.Version(1)).version
        KernelVersion.Version(version=1)
    """

    __slots__ = _fields = ("repo_id", "version")

    def __new__(cls, repo_id, version):
        if not isinstance(repo_id, str):
            raise TypeError(f"repo_id must be a str, not {repo_id!r}")
        if not isinstance(version, KernelVersion):
            raise TypeError(f"version must be a KernelVersion, not {version!r}")
        return cls._make(repo_id, version)

    def __repr__(self):
        return f"KernelDependency(repo_id={_quoted(self.repo_id)}, version={self.version!r})"


class DigestAlgorithm(_Named):
    """How digests are computed."""

    SHA256 = "SHA256"
    SHA512 = "SHA512"

    def __int__(self):
        return list(DigestAlgorithm).index(self)


class DigestViolation(_Fixed):
    """One way in which files differ from a digest: one of the classes in here; its text says which and where."""

    __slots__ = ()

    def __new__(cls, *args, **kwargs):
        if cls is DigestViolation:
            return super().__new__(cls)
        names = cls._fields
        values = dict(zip(names, args)) | kwargs  # noqa: B905
        if len(args) + len(kwargs) != len(names) or set(values) != set(names):
            raise TypeError(f"{cls.__name__} takes {', '.join(names)}")
        return cls._make(*(values[name] for name in names))


class _MissingFile(DigestViolation):
    """A file of the reference is not there."""

    __slots__ = _fields = __match_args__ = ("path",)

    def __str__(self):
        return f"Missing file: {self.path}"


class _UnknownFile(DigestViolation):
    """A file is there that is not in the reference."""

    __slots__ = _fields = __match_args__ = ("path",)

    def __str__(self):
        return f"Unknown file: {self.path}"


class _HashMismatch(DigestViolation):
    """A file has other content."""

    __slots__ = _fields = __match_args__ = ("path", "expected", "got")

    def __str__(self):
        return f"File hash mismatch for {self.path}: expected: {self.expected}, got: {self.got}"


class _AlgorithmMismatch(DigestViolation):
    """The digests were computed in different ways."""

    __slots__ = _fields = __match_args__ = ("expected", "got")

    def __str__(self):
        return f"Algorithm mismatch: expected: {self.expected.name}, got: {self.got.name}"


_nest(DigestViolation, "MissingFile", _MissingFile)
_nest(DigestViolation, "UnknownFile", _UnknownFile)
_nest(DigestViolation, "HashMismatch", _HashMismatch)
_nest(DigestViolation, "AlgorithmMismatch", _AlgorithmMismatch)


class DigestValidationError(Exception):
    """A digest that is not as another one.

    Attributes:
        violations (`list[DigestViolation]`): Every way in which it differs.
    """

    def __init__(self, message, violations=()):
        super().__init__(message)
        self.violations = list(violations)


class Digest(_Fixed):
    """The digests of the files of a build.

    Attributes:
        algorithm (`DigestAlgorithm`): How they are computed.
        files (`dict[str, str]`): Path below the build's folder -> digest as base64.
    """

    __slots__ = _fields = ("algorithm", "_files")

    @staticmethod
    def hash_variant(algorithm, variant_path):
        """Computes the digests of the files of a build, but for metadata.json, its signature and byte code.

        Args:
            algorithm (`DigestAlgorithm`): How to compute them.
            variant_path (`Path` or `str`): The folder of the build.

        Returns:
            `Digest`: The digests.

        Raises:
            OSError: When the folder or a file in it cannot be read.

        Example:
            >>> import tempfile
            >>> Digest.hash_variant(DigestAlgorithm.SHA256, tempfile.mkdtemp()).files
            {}
        """
        return Digest._make(algorithm, digest_folder(variant_path, algorithm.name))

    @property
    def files(self):
        return dict(self._files)

    def validate(self, other):
        """Compares another digest with this one.

        Args:
            other (`Digest`): What was found, this one being what is expected.

        Raises:
            DigestValidationError: When they differ.
        """
        found = []
        if self.algorithm is not other.algorithm:
            found.append(DigestViolation.AlgorithmMismatch(self.algorithm, other.algorithm))
        for path, expected in self._files.items():
            got = other._files.get(path)
            if got is None:
                found.append(DigestViolation.MissingFile(path))
            elif got != expected:
                found.append(DigestViolation.HashMismatch(path, expected, got))
        found += [
            DigestViolation.UnknownFile(path) for path in other._files if path not in self._files
        ]
        if found:
            lines = ["kernel does not match the expected digest:", *map(str, found)]
            raise DigestValidationError("\n".join(lines), found)

    def __repr__(self):
        files = ", ".join(f"{_quoted(path)}: {_quoted(text)}" for path, text in self._files.items())
        return f"Digest(algorithm={self.algorithm!r}, files={{{files}}})"


def _minver(text):
    """None where it is no version: then it asks for nothing."""
    try:
        return None if text is None else Version(text.strip())
    except ValueError:
        return None


def _dependency(repo_id, version, revision):
    if revision is not None:
        return KernelDependency(repo_id, KernelVersion.Revision(revision))
    return KernelDependency(repo_id, KernelVersion.Version(version))


def _git(commit, dirty):
    return None if commit is None else GitStatus._make(commit, dirty)


def _provenance(version, builder_commit, builder_dirty, kernel_commit, kernel_dirty):
    builder = KernelBuilderVersion._make(version, _git(builder_commit, builder_dirty))
    return Provenance._make(builder, _git(kernel_commit, kernel_dirty))


class Metadata(_Fixed):
    """What the `metadata.json` of a build says. Of all fields only `id` and
    `name` are sure to be there.

    Attributes:
        id (`str`): Unique to the kernel, its version and backend.
        name (`KernelName`): The kernel's name.
        version (`int` or `None`): Its version.
        kernels_minver (`kernels._rust.Version` or `None`): The oldest version
            of this library that can load it.
        license (`str` or `None`): Its license.
        upstream (`str` or `None`): The repository that it was ported from.
        source (`str` or `None`): The repository that it was built from.
        python_depends (`list[str]`): Python packages that it needs, by
            kernel-builder's names.
        kernel_depends (`list[KernelDependency]`): Kernels that it needs.
        backend (`BackendInfo`): What it was built for.
        digest (`Digest` or `None`): The digests of its files.
        provenance (`Provenance` or `None`): Where the build comes from.

    Example:
        >>> metadata = Metadata.from_bytes(
        ...     b'{"id": "_relu_1", "name": "relu", "version": 1}'
        ... )
        >>> str(metadata.name), metadata.version, metadata.license
        ('relu', 1, None)
    """

    __slots__ = _fields = (
        "id",
        "name",
        "version",
        "license",
        "kernels_minver",
        "upstream",
        "source",
        "_python_depends",
        "_kernel_depends",
        "backend",
        "digest",
        "provenance",
    )

    @staticmethod
    def read_from_file(metadata_path):
        """Reads a metadata.json.

        Args:
            metadata_path (`str` or path): The file.

        Raises:
            OSError: When it cannot be read; FileNotFoundError when it is not
                there.
            ValueError: When it is broken.
        """
        return _metadata(read_metadata(metadata_path))

    @staticmethod
    def from_bytes(bytes):
        """Reads the content of a metadata.json.

        Args:
            bytes (`bytes`): JSON.

        Raises:
            ValueError: When it is broken.
        """
        return _metadata(parse_metadata(bytes))

    @property
    def python_depends(self):
        return list(self._python_depends)

    @property
    def kernel_depends(self):
        return list(self._kernel_depends)

    def __repr__(self):
        names = [name.lstrip("_") for name in self._fields]
        return f"Metadata({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _metadata(fields):
    name, minver, depends, backend = fields[1], fields[4], fields[8], fields[9]
    algorithm, files, provenance = fields[11:]
    return Metadata._make(
        fields[0],
        KernelName._make(name),
        *fields[2:4],
        _minver(minver),
        *fields[5:8],
        tuple(_dependency(*depend) for depend in depends),
        BackendInfo._make(_BACKENDS.get(backend, backend), fields[10]),
        None if algorithm is None else Digest._make(DigestAlgorithm[algorithm], files),
        None if provenance is None else _provenance(*provenance),
    )


def __getattr__(name):
    if name in ("KernelLock", "KernelLocks", "KernelPaths", "NixKernelLock", "NixKernelLocks"):
        from kernels import _locks

        return getattr(_locks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

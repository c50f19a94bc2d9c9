# SPDX-License-Identifier: Apache-2.0
"""Build variants of a kernel: their names, and which of them run on a machine."""

import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass

from kernels import _core, _older
from kernels._core import Version
from kernels._source import Source
from kernels.backends import Backend, _select_backend, parse_backend


def _parse_framework(pattern, s, what):
    """The match and its version, whose major number is one digit."""
    match = re.fullmatch(pattern, s)
    if not match:
        raise ValueError(f"Invalid {what} variant string: {s!r}")
    return match, Version(f"{match[1]}.{match[2]}")


@dataclass(unsafe_hash=True)
class Torch:
    """A build for one version of torch, with its C++ ABI where the name tells that."""

    version: Version
    cxx11_abi: bool | None

    @property
    def variant_str(self):
        base = f"torch{self.version.major}{self.version.minor}"
        if self.cxx11_abi is None:
            return base
        return f"{base}-{'cxx11' if self.cxx11_abi else 'cxx98'}"

    @staticmethod
    def parse(s):
        """Returns the framework of text such as "torch29" or "torch29-cxx11"; ValueError for other text."""
        match, version = _parse_framework(r"torch([0-9])([0-9]+)(?:-(cxx11|cxx98))?", s, "Torch")
        return Torch(version=version, cxx11_abi=match[3] and match[3] == "cxx11")


@dataclass(unsafe_hash=True)
class TorchStableAbi:
    """A build for torch's stable ABI of a version, which newer versions run too."""

    version: Version

    @property
    def variant_str(self):
        return f"torch-stable-abi{self.version.major}{self.version.minor}"

    @staticmethod
    def parse(s):
        """Returns the framework of text such as "torch-stable-abi29"; ValueError for other text."""
        _, version = _parse_framework(r"torch-stable-abi([0-9])([0-9]+)", s, "Torch stable ABI")
        return TorchStableAbi(version=version)


@dataclass(unsafe_hash=True)
class TvmFfi:
    """A build for one version of tvm-ffi."""

    version: Version

    @property
    def variant_str(self):
        return f"tvm-ffi{self.version.major}{self.version.minor}"

    @staticmethod
    def parse(s):
        """Returns the framework of text such as "tvm-ffi01"; ValueError for other text."""
        return TvmFfi(version=_parse_framework(r"tvm-ffi([0-9])([0-9]+)", s, "TvmFfi")[1])


@dataclass(unsafe_hash=True)
class TorchNoarch:
    """Python code for torch, of any version."""

    @property
    def variant_str(self):
        return "torch"


@dataclass(unsafe_hash=True)
class Arch:
    """The machine that a build's code is for: backend, processor and operating system."""

    backend: Backend
    platform: str
    os: str

    @property
    def variant_str(self):
        return f"{self.backend.variant_str}-{self.platform}-{self.os}"

    @staticmethod
    def parse(parts):
        """Returns the machine of parts such as ["cu128", "x86_64", "linux"]; ValueError for others."""
        if len(parts) != 3:
            raise ValueError(f"Invalid arch variant parts: {parts!r}")
        return Arch(backend=parse_backend(parts[0]), platform=parts[1], os=parts[2])


@dataclass(unsafe_hash=True)
class Noarch:
    """The backend that a build of Python code is for, or "universal"."""

    backend_name: str

    @property
    def variant_str(self):
        return self.backend_name

    @staticmethod
    def parse(s):
        return Noarch(backend_name=s)


@dataclass(unsafe_hash=True)
class ArchVariant:
    """A build variant with compiled code."""

    framework: Torch | TorchStableAbi | TvmFfi
    arch: Arch

    @property
    def variant_str(self):
        return f"{self.framework.variant_str}-{self.arch.variant_str}"


@dataclass(unsafe_hash=True)
class NoarchVariant:
    """A build variant without compiled code."""

    framework: TorchNoarch
    arch: Noarch

    @property
    def variant_str(self):
        return f"{self.framework.variant_str}-{self.arch.variant_str}"


Variant = ArchVariant | NoarchVariant


@dataclass(unsafe_hash=True)
class VariantAccepted:
    """A build variant that runs on this machine."""

    variant: Variant


@dataclass(unsafe_hash=True)
class VariantRejected:
    """A build variant that does not, with the reason."""

    variant: Variant
    reason: str


Decision = VariantAccepted | VariantRejected


def parse_variant(variant_str):
    """Returns the build variant of a name.

    Args:
        variant_str (`str`): For example "torch29-cxx11-cu128-x86_64-linux" or "torch-universal".

    Raises:
        ValueError: For text that is no name of a build variant.

    Example:
        >>> from kernels.variants import parse_variant
        >>> variant = parse_variant("torch29-cu128-x86_64-linux")
        >>> variant.framework.version
        <Version('2.9')>
        >>> variant.arch.backend.name
        'cuda'
    """
    parts = variant_str.split("-")
    if variant_str.startswith("torch-stable-abi"):
        framework, rest = TorchStableAbi.parse("-".join(parts[:3])), parts[3:]
    elif parts[0] == "torch":
        return NoarchVariant(framework=TorchNoarch(), arch=Noarch.parse("-".join(parts[1:])))
    elif parts[0].startswith("torch"):
        count = 2 if parts[1:2] in (["cxx11"], ["cxx98"]) else 1
        framework, rest = Torch.parse("-".join(parts[:count])), parts[count:]
    elif parts[0] == "tvm" and parts[1:] and parts[1].startswith("ffi"):
        framework, rest = TvmFfi.parse(f"tvm-{parts[1]}"), parts[2:]
    else:
        raise ValueError(f"Unknown framework in variant string: {variant_str!r}")
    return ArchVariant(framework=framework, arch=Arch.parse(rest))


def get_variants(api=None, *, repo_id, revision):
    """Returns the build variants of a repository.

    Args:
        api: Taken for upstream's sake, and not used.
        repo_id (`str`): The repository, "org/name".
        revision (`str`): The branch, tag or commit.

    Returns:
        `list[ArchVariant | NoarchVariant]`: The variants, best first; what has no variant's name is left out.

    Example:
        >>> from kernels.variants import get_variants
        >>> [each.variant_str for each in get_variants(repo_id="builtin/norm", revision="main")]
        ['torch-stable-abi...']
    """
    source = Source.hub(repo_id, revision=revision)
    return [parse_variant(name) for name, _, _ in _core.hub_variants(source)]


def get_variants_local(repo_path):
    """Returns the build variants that are folders of a directory, by name.

    Args:
        repo_path (`Path`): A directory; one that cannot be read has none.

    Returns:
        `list[ArchVariant | NoarchVariant]`: Folders with other names are left out.

    Example:
        >>> from pathlib import Path
        >>> from kernels.variants import get_variants_local
        >>> get_variants_local(Path("/nowhere"))
        []
    """
    try:
        names = sorted(entry.name for entry in repo_path.iterdir() if entry.is_dir())
    except Exception:
        return []
    variants = []
    for name in names:
        try:
            variants.append(parse_variant(name))
        except ValueError:
            pass
    return variants


# ---- decisions: the extension takes them ----

_NO_CAPABILITY = -2


def _is_name(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _rank(names, archs, system, gpu=(_NO_CAPABILITY, None)):
    """[(name, reason or None), ...]: what fits first, best first."""
    pairs = [pair for pair in zip(names, archs, strict=True) if _is_name(pair[0])]
    return _core.rank_variants(
        [name for name, _ in pairs], [archs for _, archs in pairs], system, *gpu
    )


def _decision(variant, reason):
    return VariantAccepted(variant) if reason is None else VariantRejected(variant, reason)


def _this_system(backend):
    """This machine, as kernels._host.system describes it, with the backend asked for by name."""
    from kernels import _host

    selected = _select_backend(backend).variant_str
    system = _host.system()
    return (*system[:5], selected, *system[6:9])


def _major_minor(version):
    if version is None:
        return -1, -1
    version = Version(str(version))
    return version.major, version.minor


def _gpu(capability):
    """(capability as a number, name of the ROCm arch) of what resolve_variants takes."""
    if capability is None:
        return _NO_CAPABILITY, None
    if isinstance(capability, str):
        if capability.startswith("gfx"):
            return _NO_CAPABILITY, capability
        match = re.fullmatch(r"([0-9]{1,9})\.([0-9])", capability)
        if match:
            return int(match[1]) * 10 + int(match[2]), None
    elif not isinstance(capability, int):
        raise TypeError(f"capability must be an integer or text, not {capability!r}")
    elif capability >= 10:
        return capability, None
    raise ValueError(
        f"capability must be major * 10 + minor, such as 90, or text such as '9.0' or 'gfx90a', not {capability!r}"
    )


def _resolve_objects(variants, backend):
    """Upstream's form: decides about variants for this machine."""
    return _rank_objects(variants, _this_system(backend))


def _rank_objects(variants, system):
    by_name = {variant.variant_str: variant for variant in variants}
    names = [variant.variant_str for variant in variants]
    ranked = _rank(names, [None] * len(names), system)
    trace = [_decision(by_name[name], reason) for name, reason in ranked]
    accepted = [decision.variant for decision in trace if isinstance(decision, VariantAccepted)]
    return accepted, trace


def _resolve_variant_for_system(
    variants,
    selected_backend,
    cpu,
    os,
    torch_version,
    torch_cxx11_abi,
    tvm_ffi_version,
    macos_version=None,
):
    """Decides about variants for a machine that is described, as upstream's function of this name does."""
    free_threaded = sys.version_info < (3, 15) and bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    abi = -1 if torch_version is None or torch_cxx11_abi is None else int(torch_cxx11_abi)
    system = (
        *_major_minor(torch_version),
        abi,
        *_major_minor(tvm_ffi_version),
        selected_backend.variant_str,
        cpu,
        os,
        free_threaded,
    )
    return _rank_objects(variants, system)


def resolve_variants(
    variants,
    backend=None,
    *,
    torch=None,
    cxx11_abi=True,
    arch="x86_64",
    os="linux",
    tvm_ffi=None,
    capability=None,
):
    """Decides which builds of a kernel run on a machine that is described, without torch or a GPU here.

    Upstream's form works too: of a list of `ArchVariant` and `NoarchVariant`, with no machine described, it returns
    what runs on this machine, best first, and the decisions about all, as a pair; there `backend` is the name of this
    machine's backend, such as "cuda", or "cpu". So it does of an empty list.

    Args:
        variants (`Iterable[str]` or `Mapping[str, Sequence[str] | None]`): Names of build variants; as a mapping also
            the architectures that each build has code for, where they are known. What is no variant's name is left out.
        backend (`str`, default `"cu130"`): The backend as variants name it: "cpu", "cu130", "rocm64", "xpu20252", ….
        torch (`str`, *optional*): The version of torch, such as "2.9.1"; `None` where there is none.
        cxx11_abi (`bool` or `None`, default `True`): Whether that torch was built with the C++11 ABI.
        arch (`str`, default `"x86_64"`): The processor.
        os (`str`, default `"linux"`): The operating system.
        tvm_ffi (`str`, *optional*): The version of tvm-ffi; `None` where there is none.
        capability (`int` or `str`, *optional*): The GPU: 90 or "9.0" for CUDA's compute capability 9.0, "gfx90a" for
            ROCm. Builds that are known not to have code for it are rejected.

    Returns:
        `list[VariantAccepted | VariantRejected]`: What runs there, best first; then the rest, each with the reason.

    Raises:
        ValueError: For a version, backend or capability that is none.

    Example:
        >>> from kernels.variants import resolve_variants
        >>> names = ["torch29-cu128-x86_64-linux", "torch29-cu130-x86_64-linux", "torch-universal"]
        >>> for decision in resolve_variants(names, torch="2.9.1", backend="cu128"):
        ...     print(decision.variant.variant_str, getattr(decision, "reason", "runs"))
        torch29-cu128-x86_64-linux runs
        torch-universal runs
        torch29-cu130-x86_64-linux CUDA version (13.0) is not compatible with system CUDA version (12.8)
    """
    described = torch is not None or tvm_ffi is not None or capability is not None
    is_list = isinstance(variants, list) and all(isinstance(each, Variant) for each in variants)
    if is_list and not described and (variants or not (backend or "")[-1:].isdigit()):
        return _resolve_objects(variants, backend)

    archs = variants if isinstance(variants, Mapping) else {}
    builds = {
        each.variant_str if isinstance(each, Variant) else each: archs.get(each)
        for each in variants
    }
    abi = -1 if torch is None or cxx11_abi is None else int(bool(cxx11_abi))
    system = (
        *_major_minor(torch),
        abi,
        *_major_minor(tvm_ffi),
        "cu130" if backend is None else backend,
        arch,
        os,
        False,
    )
    ranked = _rank(builds, builds.values(), system, _gpu(capability))
    return [_decision(parse_variant(name), reason) for name, reason in ranked]


def resolve_variant(variants, backend=None):
    """Returns which of a kernel's build variants runs best on this machine.

    Args:
        variants (`list[ArchVariant | NoarchVariant]`): The kernel's.
        backend (`str`, *optional*): "cpu", or the name of this machine's backend, which is the default.

    Returns:
        `tuple`: The best variant, or `None`, and the list of decisions.

    Example:
        >>> from kernels.variants import parse_variant, resolve_variant
        >>> resolve_variant([parse_variant("torch-universal")])[0].variant_str
        'torch-universal'
    """
    accepted, trace = _resolve_objects(list(variants), backend)
    return (accepted[0] if accepted else None), trace


def variants_trace_str(trace):
    """Returns decisions as text, one a line. The first that is accepted is the preferred one.

    Args:
        trace (`list[VariantAccepted | VariantRejected]`): Best first, as the functions here return it.

    Example:
        >>> from kernels.variants import resolve_variants, variants_trace_str
        >>> print(variants_trace_str(resolve_variants(["torch-cpu"])))
        torch-cpu: backend (cpu) does not match system backend (cuda) and is not universal
    """
    best = next((each.variant for each in trace if isinstance(each, VariantAccepted)), None)
    lines = []
    for decision in trace:
        name = decision.variant.variant_str
        if isinstance(decision, VariantRejected):
            lines.append(f"{name}: {decision.reason}")
        else:
            preferred = ", preferred" if decision.variant == best else ""
            lines.append(f"{name} compatible{preferred} ✅")
    return "\n".join(lines)


@_older.by_position("get_kernel_variants", "revision", "version", "backend")
def get_kernel_variants(repo_id, *, revision=None, version=None, backend=None):
    """Returns how each build variant of a kernel fits this machine.

    Args:
        repo_id (`str`): The repository, "org/name".
        revision, version, backend: As for :func:`kernels.get_kernel`.

    Returns:
        `list[VariantAccepted | VariantRejected]`: One decision a variant:
        those that run here first, best first.

    Raises:
        OSError: When the Hub cannot be reached and the cache does not help,
            and for an unknown repository.

    Example:
        >>> from kernels import VariantAccepted, get_kernel_variants
        >>> decisions = get_kernel_variants("builtin/norm")
        >>> isinstance(decisions[0], VariantAccepted)
        True
    """
    source = Source.hub(repo_id, revision=revision, version=version, backend=backend)
    return [
        _decision(parse_variant(name), reason) for name, _, reason in _core.hub_variants(source)
    ]

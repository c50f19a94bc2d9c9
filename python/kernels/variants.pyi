# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, overload

from kernels._core import Version
from kernels.backends import Backend

@dataclass(unsafe_hash=True)
class Torch:
    version: Version
    cxx11_abi: bool | None
    @property
    def variant_str(self) -> str: ...
    @staticmethod
    def parse(s: str) -> Torch: ...

@dataclass(unsafe_hash=True)
class TorchStableAbi:
    version: Version
    @property
    def variant_str(self) -> str: ...
    @staticmethod
    def parse(s: str) -> TorchStableAbi: ...

@dataclass(unsafe_hash=True)
class TvmFfi:
    version: Version
    @property
    def variant_str(self) -> str: ...
    @staticmethod
    def parse(s: str) -> TvmFfi: ...

@dataclass(unsafe_hash=True)
class TorchNoarch:
    @property
    def variant_str(self) -> str: ...

@dataclass(unsafe_hash=True)
class Arch:
    backend: Backend
    platform: str
    os: str
    @property
    def variant_str(self) -> str: ...
    @staticmethod
    def parse(parts: list[str]) -> Arch: ...

@dataclass(unsafe_hash=True)
class Noarch:
    backend_name: str
    @property
    def variant_str(self) -> str: ...
    @staticmethod
    def parse(s: str) -> Noarch: ...

@dataclass(unsafe_hash=True)
class ArchVariant:
    framework: Torch | TorchStableAbi | TvmFfi
    arch: Arch
    @property
    def variant_str(self) -> str: ...

@dataclass(unsafe_hash=True)
class NoarchVariant:
    framework: TorchNoarch
    arch: Noarch
    @property
    def variant_str(self) -> str: ...

Variant: TypeAlias = ArchVariant | NoarchVariant

@dataclass(unsafe_hash=True)
class VariantAccepted:
    variant: Variant

@dataclass(unsafe_hash=True)
class VariantRejected:
    variant: Variant
    reason: str

Decision: TypeAlias = VariantAccepted | VariantRejected

def parse_variant(variant_str: str) -> Variant: ...
def get_variants(
    api: object = None, *, repo_id: str, revision: str
) -> list[ArchVariant | NoarchVariant]: ...
def get_variants_local(repo_path: Path) -> list[Variant]: ...
@overload
def resolve_variants(
    variants: list[Variant] | list[ArchVariant] | list[NoarchVariant], backend: str | None = None
) -> tuple[list[Variant], list[Decision]]: ...
@overload
def resolve_variants(
    variants: Mapping[str, Sequence[str] | None] | Iterable[str],
    backend: str | None = None,
    *,
    torch: str | None = None,
    cxx11_abi: bool | None = True,
    arch: str = "x86_64",
    os: str = "linux",
    tvm_ffi: str | None = None,
    capability: int | str | None = None,
) -> list[Decision]: ...
def resolve_variant(
    variants: list[Variant], backend: str | None = None
) -> tuple[Variant | None, list[Decision]]: ...
def variants_trace_str(trace: list[Decision]) -> str: ...
def get_kernel_variants(
    repo_id: str,
    *,
    revision: str | None = None,
    version: int | str | None = None,
    backend: str | None = None,
) -> list[Decision]: ...

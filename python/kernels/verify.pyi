# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass
from os import PathLike
from typing import Protocol, TypeAlias

from kernels._rust import DigestViolation

class _Policy(Protocol):
    def verify(self, cert: object) -> None: ...

class GitHubWorkflowPolicy:
    repo_id: str
    signer_uris: list[str]
    def __init__(self, *, repo_id: str, signer_uris: list[str]) -> None: ...
    def verify(self, cert: object) -> None: ...

DEFAULT_POLICIES: list[_Policy]

class VerificationResult:
    @dataclass
    class DigestVerificationFailure:
        violations: list[DigestViolation]

    @dataclass
    class MetadataInvalid:
        reason: str

    @dataclass
    class SignatureBundleInvalid:
        reason: str

    @dataclass
    class SignatureVerificationFailure:
        reason: str

    @dataclass
    class DigestMissing: ...

    @dataclass
    class MetadataMissing: ...

    @dataclass
    class SignatureBundleMissing: ...

    @dataclass
    class Success: ...

    Any: TypeAlias = (
        DigestMissing
        | DigestVerificationFailure
        | MetadataInvalid
        | MetadataMissing
        | SignatureBundleInvalid
        | SignatureBundleMissing
        | SignatureVerificationFailure
        | Success
    )

def verify_variant(
    variant_path: str | PathLike[str], policies: list[_Policy] | None = None
) -> VerificationResult.Any: ...

# SPDX-License-Identifier: Apache-2.0
"""Signatures of kernels: whether a build's metadata was signed by somebody who is trusted, and its files are those that
the metadata lists. Needs the package sigstore, which is imported when something is verified."""

import os
from dataclasses import dataclass
from pathlib import Path

from kernels import _core
from kernels._rust import Digest, DigestValidationError, Metadata

_ISSUER = "https://token.actions.githubusercontent.com"
_COMMUNITY = "https://github.com/huggingface/kernels-community/.github/workflows"


def _sigstore():
    """The modules of sigstore that are used: errors, models, verify, policy."""
    try:
        from sigstore import errors, models, verify
        from sigstore.verify import policy
    except ImportError as error:
        raise ImportError(
            f"signatures are verified by the package sigstore, which cannot be imported ({error}); install it: "
            "python -m pip install 'sigstore>=4,<5'",
            name=error.name,
        ) from error
    return errors, models, verify, policy


class GitHubWorkflowPolicy:
    """A policy of sigstore: what a workflow of a GitHub repository has signed is accepted.

    Args:
        repo_id (`str`): The repository on GitHub, "org/name".
        signer_uris (`list[str]`): The workflows that may sign, as
            "https://github.com/org/name/.github/workflows/build.yaml@refs/heads/main".

    Raises:
        ValueError: When there is no workflow.

    Example:
        >>> from kernels.verify import GitHubWorkflowPolicy
        >>> GitHubWorkflowPolicy(repo_id="org/name", signer_uris=[])
        Traceback (most recent call last):
        ValueError: At least one signer URI must be provided
    """

    def __init__(self, *, repo_id, signer_uris):
        if not signer_uris:
            raise ValueError("At least one signer URI must be provided")
        self.repo_id = repo_id
        self.signer_uris = signer_uris

    def verify(self, cert):
        """Raises sigstore's VerificationError for a certificate of anybody else."""
        _, _, _, policy = _sigstore()
        signers = [policy.OIDCBuildSignerURI(uri) for uri in self.signer_uris]
        policies = [
            policy.OIDCIssuer(_ISSUER),
            policy.OIDCIssuerV2(_ISSUER),
            policy.OIDCSourceRepositoryURI(f"https://github.com/{self.repo_id}"),
            policy.AnyOf(signers),
        ]
        return policy.AllOf(policies).verify(cert)


# Who is trusted where nobody says otherwise, as upstream has it.
DEFAULT_POLICIES = [
    GitHubWorkflowPolicy(
        repo_id="huggingface/kernels-community",
        signer_uris=[
            f"{_COMMUNITY}/{workflow}.yaml@refs/heads/main"
            for workflow in ("build", "build-mac", "build-windows", "sign-old-builds")
        ],
    ),
]


class VerificationResult:
    """What a verification comes to: one of the classes in here.

    Attributes:
        Success: Signed, and its files are those that were signed.
        SignatureBundleMissing: Not signed: there is no metadata.json.sigstore.
        SignatureBundleInvalid: That is no bundle of sigstore; `reason`.
        SignatureVerificationFailure: Signed by somebody else, or something
            else was signed; `reason`.
        MetadataMissing: There is no metadata.json.
        MetadataInvalid: It cannot be read; `reason`.
        DigestMissing: It has no digest of the files.
        DigestVerificationFailure: The files are others; `violations`.
    """

    @dataclass
    class DigestVerificationFailure:
        """Files differ from the digest: `violations`, a list of DigestViolation."""

        violations: list

    @dataclass
    class MetadataInvalid:
        """The metadata cannot be read, for `reason`."""

        reason: str

    @dataclass
    class SignatureBundleInvalid:
        """The signature cannot be read, for `reason`."""

        reason: str

    @dataclass
    class SignatureVerificationFailure:
        """The signature is not valid, for `reason`."""

        reason: str

    @dataclass
    class DigestMissing:
        """The metadata has no digest."""

    @dataclass
    class MetadataMissing:
        """There is no metadata."""

    @dataclass
    class SignatureBundleMissing:
        """There is no signature."""

    @dataclass
    class Success:
        """The signature is valid, and so are the files."""

    Any = (
        DigestMissing
        | DigestVerificationFailure
        | MetadataInvalid
        | MetadataMissing
        | SignatureBundleInvalid
        | SignatureBundleMissing
        | SignatureVerificationFailure
        | Success
    )


def _check_signature(bundle_path, metadata, policies):
    """The result where the signature is not valid, else None."""
    errors, models, verify, policy = _sigstore()
    try:
        bundle = models.Bundle.from_json(bundle_path.read_bytes())
    except (models.InvalidBundle, ValueError) as error:
        return VerificationResult.SignatureBundleInvalid(reason=str(error))
    if metadata is None:
        return VerificationResult.MetadataMissing()
    verifier = verify.Verifier.production(offline=_core.is_offline())
    try:
        verifier.verify_artifact(metadata, bundle, policy.AnyOf(policies))
    except errors.VerificationError as error:
        return VerificationResult.SignatureVerificationFailure(reason=str(error))
    return None


def _check_digest(metadata, variant_path):
    """What the metadata, whose signature is valid, says of the files."""
    try:
        digest = Metadata.from_bytes(metadata).digest
    except (OSError, ValueError) as error:
        return VerificationResult.MetadataInvalid(reason=str(error))
    if digest is None:
        return VerificationResult.DigestMissing()
    try:
        digest.validate(Digest.hash_variant(digest.algorithm, variant_path))
    except DigestValidationError as error:
        return VerificationResult.DigestVerificationFailure(violations=error.violations)
    return VerificationResult.Success()


def verify_variant(variant_path, policies=None):
    """Verifies the signature of a build, and its files.

    The signature is that of `metadata.json`, in `metadata.json.sigstore`; the
    metadata has the digests of the other files. It is read once its signature
    is valid. Nothing of the build is run. In offline mode what sigstore knows
    of its own certificates is what it was installed with, or last fetched.

    Args:
        variant_path (`Path`): The directory of the build.
        policies (`list`, *optional*): Policies of sigstore, of which one must
            accept the signature. By default those of the kernels community.

    Returns:
        `VerificationResult`: One of its classes.

    Raises:
        ImportError: When the package sigstore is not installed.
        OSError: When a file cannot be read.

    Example:
        >>> from kernels import install_kernel
        >>> from kernels.verify import verify_variant
        >>> verify_variant(install_kernel("builtin/norm"))
        VerificationResult.SignatureBundleMissing()
    """
    variant_path = Path(os.fspath(variant_path))
    bundle_path, metadata_path = (
        variant_path / name for name in ("metadata.json.sigstore", "metadata.json")
    )
    if not bundle_path.is_file():
        return VerificationResult.SignatureBundleMissing()
    metadata = metadata_path.read_bytes() if metadata_path.is_file() else None
    failure = _check_signature(
        bundle_path, metadata, DEFAULT_POLICIES if policies is None else policies
    )
    return failure or _check_digest(metadata, variant_path)

# SPDX-License-Identifier: Apache-2.0
"""kernels verify-signature beside upstream's, over a package that stands for sigstore; and over the real sigstore."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hub import kernel_files

ISSUER = "https://token.actions.githubusercontent.com"
COMMUNITY = "https://github.com/huggingface/kernels-community"
SIGNED_BY = {
    "issuer": ISSUER,
    "repository": COMMUNITY,
    "workflow": f"{COMMUNITY}/.github/workflows/build.yaml@refs/heads/main",
}

# Signs with a hash, and certifies with an object that says who somebody is.
SIGSTORE = {
    "__init__.py": "",
    "errors.py": """
        class Error(Exception): ...
        class NetworkError(Error): ...
        class TUFError(Error): ...
        class VerificationError(Error): ...
    """,
    "models.py": """
        import json
        class InvalidBundle(Exception): ...
        class Bundle:
            @classmethod
            def from_json(cls, raw):
                bundle = cls()
                try:
                    bundle.about = json.loads(raw)
                except ValueError:
                    raise InvalidBundle("it is no JSON") from None
                return bundle
    """,
    "verify/__init__.py": """
        import hashlib, os
        from sigstore.errors import TUFError, VerificationError
        class Verifier:
            @classmethod
            def production(cls, *, offline=False):
                if os.environ.get("STUB_TUF") == "down" and not offline:
                    raise TUFError("no connection to the repository")
                return cls()
            def verify_artifact(self, content, bundle, policy):
                if bundle.about["signs"] != hashlib.sha256(content).hexdigest():
                    raise VerificationError("the signature is of something else")
                policy.verify(bundle.about)
    """,
    "verify/policy.py": """
        from sigstore.errors import VerificationError
        class VerificationPolicy: ...
        class _One:
            def __init__(self, value):
                self.value = value
            def verify(self, cert):
                if cert[self.field] != self.value:
                    raise VerificationError(f"{cert[self.field]} is not {self.value}")
        class OIDCIssuer(_One): field = "issuer"
        class OIDCIssuerV2(_One): field = "issuer"
        class OIDCSourceRepositoryURI(_One): field = "repository"
        class OIDCBuildSignerURI(_One): field = "workflow"
        class AllOf:
            def __init__(self, children):
                self.children = children
            def verify(self, cert):
                for child in self.children:
                    child.verify(cert)
        class AnyOf(AllOf):
            def verify(self, cert):
                for child in self.children:
                    try:
                        return child.verify(cert)
                    except VerificationError:
                        pass
                raise VerificationError(f"0 of {len(self.children)} policies succeeded")
    """,
}


@pytest.fixture
def sigstore(tmp_path):
    folder = tmp_path / "stub"
    for name, text in SIGSTORE.items():
        path = folder / "sigstore" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return {"PYTHONPATH": str(folder)}


def signed(name, variants=("torch-cpu",), digest=True, **about):
    """The files of a kernel with a signature of each build."""
    files = kernel_files(name, variants=variants, layers=None, digest=digest)
    for variant in variants:
        path = f"build/{variant}/metadata.json"
        signs = hashlib.sha256(files[path]).hexdigest()
        bundle = {"signs": signs} | SIGNED_BY | about
        files[f"{path}.sigstore"] = json.dumps(bundle).encode()
    return files


def altered(files, variant="torch-cpu", **contents):
    """With other contents of `name_py` and so on; None: without that file."""
    names = {"init": "__init__.py", "metadata": "metadata.json", "bundle": "metadata.json.sigstore"}
    for name, content in contents.items():
        path = f"build/{variant}/{names.get(name, name)}"
        files.pop(path)
        if content is not None:
            files[path] = content
    return files


BUILDS = {
    "right": signed("right"),
    "unsigned": altered(signed("unsigned"), bundle=None),
    "bad-bundle": altered(signed("bad-bundle"), bundle=b"no JSON"),
    "other-signer": signed("other-signer", workflow=f"{COMMUNITY}/.github/workflows/x.yaml@y"),
    "other-repository": signed("other-repository", repository="https://github.com/o/n"),
    "other-issuer": signed("other-issuer", issuer="https://example.org"),
    "other-metadata": signed("other-metadata", signs="0" * 64),
    "no-digest": signed("no-digest", digest=False),
}


@pytest.fixture
def peer(environment, tmp_path, sigstore):
    def run(*words):
        return subprocess.run(
            [os.environ["KN_PEER_PYTHON"], "-c", "from kernels.cli import main; main()", *words],
            env=environment | {"HF_HOME": str(tmp_path / "peer"), "HF_HUB_CACHE": str(tmp_path / "c")} | sigstore,
            capture_output=True,
            text=True,
            timeout=120,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("options", [(), ("--filter-unsigned", "--filter-no-digest")])
def test_what_is_found_is_told_as_upstream_does(cli, peer, hub, sigstore, name, options):
    hub.repo(f"open/{name}").commit(BUILDS[name], ["v1"])
    ours = cli("verify-signature", *options, f"open/{name}", "1", **sigstore)
    theirs = peer("verify-signature", *options, f"open/{name}", "1")
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), ours.stderr
    assert ours.returncode == (
        0 if name == "right" or (options and name in ("unsigned", "no-digest")) else 1
    )
    if name == "right":
        assert ours.stdout == "✅ torch-cpu: kernel metadata is correctly signed\n"


def test_all_builds_are_fetched_and_verified(cli, peer, hub, sigstore):
    builds = ("torch-cpu", "torch-metal", "torch29-cu118-x86_64-linux")
    files = signed("many", variants=builds)
    files["build/torch-metal/__init__.py"] = b"x = 1\n"
    del files["build/torch29-cu118-x86_64-linux/metadata.json.sigstore"]
    hub.repo("open/many").commit(files | {"build/notes/x.txt": b"x"}, ["v1"])
    for options in ((), ("--filter-unsigned",)):
        words = ("verify-signature", "--all-variants", *options, "open/many", "1")
        ours, theirs = cli(*words, **sigstore), peer(*words)
        assert ours.returncode == theirs.returncode == 1, theirs.stderr
        assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines())
    assert "❌ torch-metal: kernel integrity check failed" in ours.stdout
    assert "torch29" not in ours.stdout


def test_json(cli, hub, sigstore):
    hub.repo("open/json").commit(BUILDS["other-metadata"], ["v1"])
    result = cli("verify-signature", "open/json", "1", "--json", **sigstore)
    assert result.returncode == 1
    assert json.loads(result.stdout) == {
        "variants": [
            {
                "name": "torch-cpu",
                "result": "not-verified",
                "reasons": ["the signature is of something else"],
            }
        ]
    }


def test_a_file_that_is_not_what_was_signed_is_found(sigstore, tmp_path, hub):
    """In a directory, since of a repository `kernels get` refuses it before."""
    folder = tmp_path / "torch-cpu"
    folder.mkdir()
    for path, content in signed("hurt").items():
        (folder / Path(path).name).write_bytes(content)
    (folder / "__init__.py").write_text("x = 1\n")
    (folder / "more.py").write_text("")
    program = "import sys; from kernels._verify_command import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=os.environ | sigstore,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    first, *violations = done.stdout.splitlines()
    assert first == "❌ torch-cpu: kernel integrity check failed"
    assert len(violations) == 2
    assert "__init__.py" in done.stdout and "more.py" in done.stdout


def test_without_sigstore_it_is_told_how_to_install_it(cli, hub, tmp_path):
    hub.repo("open/right").commit(BUILDS["right"], ["v1"])
    (tmp_path / "none/sigstore").mkdir(parents=True)
    (tmp_path / "none/sigstore/__init__.py").write_text("raise ImportError('there is none')")
    result = cli("verify-signature", "open/right", "1", PYTHONPATH=str(tmp_path / "none"))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "kernels: error: signatures are verified by the package sigstore, which cannot be imported "
        "(there is none); install it: python -m pip install 'sigstore>=4,<5'\n"
    )


def test_offline_sigstore_takes_the_certificates_that_it_has(cli, hub, sigstore):
    hub.repo("open/right").commit(BUILDS["right"], ["v1"])
    down = cli("verify-signature", "open/right", "1", STUB_TUF="down", **sigstore)
    assert down.returncode == 3
    assert "sigstore's own certificates could not be fetched: no connection" in down.stderr
    off = cli(
        "verify-signature", "open/right", "1", STUB_TUF="down", HF_HUB_OFFLINE="1", **sigstore
    )
    assert off.returncode == 0, off.stderr


def test_refusals(cli, hub, sigstore, tmp_path):
    hub.repo("closed/right").commit(BUILDS["right"], ["v1"])
    for words, status, part in (
        (["open/absent", "1"], 1, "open/absent"),
        (["closed/right", "1"], 4, "not from a trusted publisher"),
        (["closed/right", "2", "--trust"], 1, "available versions: 1"),
        (["closed/right", "main"], 2, "'main' is no version: expected a number"),
        (["closed/right"], 2, "REPO VERSION is missing"),
    ):
        result = cli("verify-signature", *words, **sigstore)
        assert result.returncode == status, result.stderr
        assert part in result.stderr
    assert cli("verify-signature", "--trust", "closed/right", "1", **sigstore).returncode == 0


REAL = """
    import json, sys
    from pathlib import Path
    import kernels, sigstore
    from sigstore.errors import VerificationError
    from kernels.verify import DEFAULT_POLICIES, VerificationResult, verify_variant
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import ObjectIdentifier, UnrecognizedExtension
    import datetime

    def certificate(issuer, repository, workflow):
        "A certificate as Fulcio makes them for a workflow of GitHub."
        def text(value):
            value = value.encode()
            return bytes([12, len(value)]) + value if len(value) < 128 else bytes([12, 129, len(value)]) + value
        name = x509.Name([])
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime(2026, 1, 1)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(1))
        values = {"1": issuer.encode(), "8": text(issuer), "12": text(repository), "9": text(workflow)}
        for number, value in values.items():
            oid = ObjectIdentifier("1.3.6.1.4.1.57264.1." + number)
            builder = builder.add_extension(UnrecognizedExtension(oid, value), critical=False)
        return builder.sign(key, hashes.SHA256())

    signed_by = json.loads(sys.argv[1])
    (policy,) = DEFAULT_POLICIES
    policy.verify(certificate(**signed_by))
    for field in signed_by:
        try:
            policy.verify(certificate(**(signed_by | {field: "https://example.org"})))
        except VerificationError:
            pass
        else:
            raise AssertionError(field)
    folder = Path(sys.argv[2])
    (folder / "metadata.json").write_text("{}")
    for bundle in ("no JSON", "{}"):
        (folder / "metadata.json.sigstore").write_text(bundle)
        result = verify_variant(folder)
        assert isinstance(result, VerificationResult.SignatureBundleInvalid), result
    print("kernels" in kernels.__file__, "done")
"""


def test_policies_and_bundles_with_the_real_sigstore(tmp_path):
    """Upstream's environment has it; this package goes before upstream's there."""
    package = tmp_path / "package"
    package.mkdir()
    import kernels

    (package / "kernels").symlink_to(Path(kernels.__file__).parent)
    done = subprocess.run(
        [
            os.environ["KN_PEER_PYTHON"],
            "-c",
            textwrap.dedent(REAL),
            json.dumps(SIGNED_BY),
            str(tmp_path),
        ],
        env=os.environ | {"PYTHONPATH": str(package), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True done\n"

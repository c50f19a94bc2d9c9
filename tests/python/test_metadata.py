# SPDX-License-Identifier: Apache-2.0
"""metadata.json as Python objects, what is known of loaded kernels, and the kernels that a kernel depends on."""

import copy
import dataclasses
import json
import os
import pickle
import sys
import threading
from pathlib import Path

import metadata_cases
import pytest
from kernel_support import run_python
from metadata_cases import FULL, LEAST, LONG, SHA, X, describe

from kernels import LoadedKernel, Metadata, RepoInfo, get_kernel_dep
from kernels._rust import (
    Backend,
    Digest,
    DigestAlgorithm,
    DigestValidationError,
    DigestViolation,
    KernelDependency,
    KernelName,
    KernelVersion,
    Version,
)
from kernels.deps import _KERNEL_DEPS, use_kernel_deps
from kernels.importer import _metadata_of


def metadata_of(**fields):
    return Metadata.from_bytes(json.dumps(LEAST | fields).encode())


# ---- beside upstream ----

# What upstream refuses and we do not, and what the field is then: an old or a newer kernel must load.
LENIENT = {
    "no version": ("version", None),
    "null version": ("version", None),
    "version -1": ("version", None),
    "version 1.0": ("version", None),
    "version true": ("version", None),
    'version "1"': ("version", None),
    **{f"{case} license": ("license", None) for case in ("no", "null")},
    **{f"license {value}": ("license", None) for value in ("5", "[]", "{}")},
    'kernels-minver "0.17"': ("kernels_minver", "0.17"),
    'kernels-minver "0.17.0.1"': ("kernels_minver", "0.17.0.1"),
    'kernels-minver "0.17.0rc1"': ("kernels_minver", "0.17.0rc1"),
    'kernels-minver "v0.17.0"': ("kernels_minver", "0.17.0"),
    **{
        f"kernels-minver {value}": ("kernels_minver", None)
        for value in ('""', '"a"', '"1..2"', "5")
    },
    'source "a"': ("source", "a"),
    'source ""': ("source", ""),
    "source 5": ("source", None),
    **{f"{case} python-depends": ("python_depends", []) for case in ("no", "null")},
    "python-depends [1]": ("python_depends", []),
    'python-depends ["a", null]': ("python_depends", ["a"]),
    'python-depends "a"': ("python_depends", []),
    'python-depends {"a": 1}': ("python_depends", []),
    **{
        case: ("backend", ["BackendInfo(backend_type=None, archs=None)", "None", None])
        for case in ("no backend", "null backend", "backend {}", 'backend "cuda"')
    },
    **{
        f'backend {{"type": "{name}"}}': (
            "backend",
            [f"BackendInfo(backend_type='{name}', archs=None)", name, None],
        )
        for name in ("CUDA", "npu")
    },
    'backend {"archs": ["8.0"]}': (
        "backend",
        ['BackendInfo(backend_type=None, archs=Some(["8.0"]))', "None", ["8.0"]],
    ),
    'backend {"type": "cuda", "archs": [1, "8.0"]}': (
        "backend",
        ['BackendInfo(backend_type=Backend.CUDA, archs=Some(["8.0"]))', "cuda", ["8.0"]],
    ),
    'backend {"type": "cuda", "archs": "8.0"}': (
        "backend",
        ["BackendInfo(backend_type=Backend.CUDA, archs=None)", "cuda", None],
    ),
    # Without a builder there is no provenance.
    **{
        f"provenance {value}": ("provenance", None)
        for value in (
            "{}",
            "5",
            f'{{"kernel": {{"sha": "{SHA}", "dirty": true}}}}',
            '{"kernel-builder": {"version": 5}}',
        )
    },
    # A malformed state of a tree is unknown.
    **{
        f"provenance {value}": (
            "provenance",
            [
                'Provenance(kernel_builder=KernelBuilderVersion(version="1", git=None), kernel=None)',
                False,
                "1",
                None,
            ],
        )
        for value in (
            *(
                f'{{"kernel-builder": {{"version": "1", {more}}}}}'
                for more in (
                    f'"sha": "{SHA}"',
                    '"dirty": true',
                    '"sha": "abc", "dirty": true',
                    f'"sha": "{SHA}", "dirty": null',
                    f'"sha": "{SHA}", "dirty": 1',
                )
            ),
            *(
                f'{{"kernel-builder": {{"version": "1"}}, "kernel": {kernel}}}'
                for kernel in (
                    "{}",
                    "5",
                    f'{{"sha": "{SHA}"}}',
                    '{"dirty": true}',
                    '{"sha": "abc", "dirty": true}',
                    f'{{"sha": "{SHA}", "dirty": null}}',
                )
            ),
        )
    },
}

# What upstream accepts and we do not, and why.
STRICT = {
    'id ""': "no module can be imported under this name",
    'id "a/b"': "no module can be imported under this name",
    'id ".."': "no module can be imported under this name",
    "version 9223372036854775808": "not a number of 64 bits with a sign",
    "version 18446744073709551615": "not a number of 64 bits with a sign",
    'kernel-depends [{"repo-id": "o/n", "revision": ""}]': "cannot be resolved",
    'kernel-depends [{"repo-id": "", "version": 1}]': "cannot be resolved",
    'kernel-depends [{"repo-id": "o/n", "version": 9223372036854775808}]': "cannot be resolved",
    **{
        f"digest {json.dumps(value)}": "no file can match it"
        for value in (
            {"algorithm": "sha512", "files": {"a": X}},
            *(
                {"algorithm": "sha256", "files": files}
                for files in (
                    {"a": "x"},
                    {"a": X[:-1]},
                    {"../a": X},
                    {"/a": X},
                    {"": X},
                    {"a\nb": X},
                )
            ),
        )
    },
    "a newer field twice": "two readers could see two documents",
    "a file twice": "two readers could see two documents",
    "nested 100 deep": "bounded",
}

# Addresses are kept as they are written; kernel-builder writes them as upstream reads them.
AS_WRITTEN = {
    'source "git@example.com:a/b.git"': (
        "ssh://git@example.com/a/b.git",
        "git@example.com:a/b.git",
    ),
    'source "http://x"': ("http://x/", "http://x"),
}


@pytest.fixture(scope="module")
def both(peer):
    code = Path(metadata_cases.__file__).read_text()
    outputs = [
        run_python(code, python=peer, env={"PYTHONPATH": ""}).stdout,
        run_python(code).stdout,
    ]
    theirs, ours = (dict(map(json.loads, output.splitlines())) for output in outputs)
    assert list(theirs) == list(ours)
    assert len(ours) > 150
    return theirs, ours


def test_documents_are_read_as_upstream_reads_them(both):
    theirs, ours = both
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == {*LENIENT, *STRICT, *AS_WRITTEN}
    # Both kinds are many.
    assert sum(isinstance(answer, dict) for answer in theirs.values()) > 70
    assert sum(answer == "ValueError" for answer in theirs.values()) > 70


def test_what_upstream_refuses_in_optional_fields_counts_as_absent(both):
    theirs, ours = both
    least = describe(metadata_of())
    for name, (field, value) in LENIENT.items():
        assert theirs[name] == "ValueError", name
        base = describe(metadata_of(**FULL)) if name.startswith(("no ", "null ")) else least
        assert ours[name] == base | {field: value}, name


def test_what_is_refused_beyond_upstream_is_a_value_error(both):
    theirs, ours = both
    assert all(isinstance(theirs[name], dict) for name in STRICT)
    assert {ours[name] for name in STRICT} == {"ValueError"}


def test_addresses_are_kept_as_written(both):
    theirs, ours = both
    for name, (their, our) in AS_WRITTEN.items():
        assert theirs[name] | {"source": our} == ours[name]
        assert theirs[name]["source"] == their


# ---- Metadata ----


def test_metadata_has_the_types_of_upstream():
    metadata = metadata_of(**FULL)
    assert metadata.name == KernelName("a-b")
    assert type(metadata.kernels_minver) is Version
    assert metadata.kernels_minver == Version("0.17") < Version("0.17.1")
    assert metadata.backend.backend_type is Backend.CUDA
    assert metadata.kernel_depends == [
        KernelDependency("o/n", KernelVersion.Version(1)),
        KernelDependency("o/m", KernelVersion.Revision("main")),
    ]
    assert metadata.digest.algorithm is DigestAlgorithm.SHA256
    assert metadata.provenance.kernel.commit == "b" * 64
    assert metadata.provenance.dirty and metadata.provenance.kernel_builder.git.dirty
    assert not metadata.provenance.kernel.dirty
    # As upstream: each is itself only.
    assert metadata == metadata != metadata_of(**FULL)
    assert repr(metadata).startswith("Metadata(id='_a_b_1', name=KernelName('a-b'), version=1, ")


def test_lists_are_new_ones_each_time():
    metadata = metadata_of(**FULL)
    for get in (
        lambda: metadata.python_depends,
        lambda: metadata.kernel_depends,
        lambda: metadata.backend.archs,
        lambda: metadata.digest.files,
    ):
        get().clear()
        assert get()


def test_metadata_cannot_be_made_or_changed():
    for cls in (Metadata, Digest, KernelVersion, DigestViolation):
        with pytest.raises(TypeError, match="cannot create"):
            cls()
    metadata = metadata_of()
    for change in (
        lambda: setattr(metadata, "id", "x"),
        lambda: setattr(metadata, "other", "x"),
        lambda: delattr(metadata, "id"),
        lambda: setattr(metadata.name, "_name", "x"),
    ):
        with pytest.raises(AttributeError):
            change()
    assert metadata.id == "_a_b_1"


def test_metadata_is_copied_and_pickled():
    metadata = metadata_of(**FULL)
    assert copy.deepcopy(metadata) is copy.copy(metadata) is metadata
    assert describe(pickle.loads(pickle.dumps(metadata))) == describe(metadata)
    for value in (*metadata.kernel_depends, metadata.name, Backend.XPU):
        assert pickle.loads(pickle.dumps(value)) == value


def test_a_file_is_read(tmp_path):
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(FULL))
    for given in (path, str(path), os.fsencode(path)):
        assert describe(Metadata.read_from_file(given)) == describe(metadata_of(**FULL))
    path.write_text("{")
    with pytest.raises(ValueError, match=r"metadata\.json: not valid JSON"):
        Metadata.read_from_file(path)
    with pytest.raises(FileNotFoundError):
        Metadata.read_from_file(tmp_path / "nothing.json")
    with pytest.raises(OSError, match="not a regular file"):
        Metadata.read_from_file(tmp_path)
    with pytest.raises(TypeError):
        Metadata.read_from_file(5)


def test_only_bytes_are_parsed():
    for value in ("{}", bytearray(b"{}"), None):
        with pytest.raises(TypeError):
            Metadata.from_bytes(value)
    with pytest.raises(ValueError, match=r"^Cannot parse metadata: .*'kernel-depends'"):
        metadata_of(**{"kernel-depends": 5})


# ---- its parts ----


def test_names_of_kernels_keep_to_the_pattern():
    assert KernelName("flash-attn3").python_name == "flash_attn3"
    assert str(KernelName("ab")) == "ab"
    assert {KernelName("ab"), KernelName("ab")} == {KernelName("ab")}
    assert KernelName("ab") != "ab"
    for bad in ("", "a", "A-b", "a_b", "a-", "1a", "-ab", "a b", "\u00e9a", "a-b\n"):
        with pytest.raises(ValueError, match="Invalid kernel name"):
            KernelName(bad)


def test_backends_have_names():
    assert [str(backend) for backend in Backend] == [
        "cann", "cpu", "cuda", "metal", "neuron", "rocm", "tpu", "xpu",
    ]  # fmt: skip
    assert all(Backend.from_str(str(backend)) is backend for backend in Backend)
    assert repr(Backend.ROCm) == "Backend.ROCm"
    assert int(Backend.CUDA) == 2
    assert Backend.from_str("CUDA") is Backend.CUDA
    with pytest.raises(ValueError, match="Unknown backend: dsp"):
        Backend.from_str("dsp")


def test_versions_of_kernels_match():
    match KernelDependency("o/n", KernelVersion.Version(3)).version:
        case KernelVersion.Revision():
            pytest.fail("a version is no revision")
        case KernelVersion.Version(number):
            assert number == 3
    match KernelVersion.Revision(revision="main"):
        case KernelVersion.Revision(revision=name):
            assert name == "main"
    assert isinstance(KernelVersion.Version(1), KernelVersion)
    assert KernelVersion.Version(1) == KernelVersion.Version(version=1) != KernelVersion.Version(2)
    assert (
        len({KernelVersion.Version(1), KernelVersion.Version(1), KernelVersion.Revision("1")}) == 2
    )
    for make, error in (
        (lambda: KernelVersion.Version(-1), OverflowError),
        (lambda: KernelVersion.Version("1"), TypeError),
        (lambda: KernelVersion.Revision(1), TypeError),
        (lambda: KernelDependency("o/n", 1), TypeError),
        (lambda: KernelDependency(1, KernelVersion.Version(1)), TypeError),
    ):
        with pytest.raises(error):
            make()


def digest_of(files, algorithm="sha256"):
    return metadata_of(digest={"algorithm": algorithm, "files": files}).digest


Y, Z = "A" * 43 + "=", "B" * 42 + "A="


def test_digests_that_are_the_same_pass():
    assert digest_of({"a": X, "b": Y}).validate(digest_of({"b": Y, "a": X})) is None


def test_every_difference_of_digests_is_listed():
    with pytest.raises(DigestValidationError) as caught:
        digest_of({"a": X, "b": X, "c": Z}).validate(digest_of({"b": Y, "c": Z, "d": X, "0": X}))
    assert str(caught.value) == (
        "kernel does not match the expected digest:\n"
        "Missing file: a\n"
        f"File hash mismatch for b: expected: {X}, got: {Y}\n"
        "Unknown file: 0\n"
        "Unknown file: d"
    )
    match caught.value.violations:
        case [
            DigestViolation.MissingFile("a"),
            DigestViolation.HashMismatch(path="b", expected=expected, got=got),
            DigestViolation.UnknownFile("0"),
            DigestViolation.UnknownFile("d"),
        ]:
            assert (expected, got) == (X, Y)
        case violations:
            pytest.fail(str(violations))


def test_another_algorithm_is_a_difference():
    with pytest.raises(DigestValidationError) as caught:
        digest_of({}).validate(digest_of({}, "sha512"))
    assert str(caught.value).endswith("\nAlgorithm mismatch: expected: SHA256, got: SHA512")
    with pytest.raises(DigestValidationError, match="Unknown file: a"):
        digest_of({}).validate(digest_of({"a": LONG}, "sha512"))


# ---- kernels that were loaded ----


def test_repo_info_is_a_frozen_dataclass_to_its_users():
    info = RepoInfo("o/n", revision="main")
    assert repr(info) == "RepoInfo(repo_id='o/n', revision='main')"
    assert info == RepoInfo("o/n", "main") != RepoInfo("o/n", "v1")
    assert hash(info) == hash(RepoInfo("o/n", "main"))
    assert info != ("o/n", "main")
    assert dataclasses.is_dataclass(info)
    assert [field.name for field in dataclasses.fields(RepoInfo)] == ["repo_id", "revision"]
    assert dataclasses.asdict(info) == {"repo_id": "o/n", "revision": "main"}
    assert dataclasses.replace(info, revision="v1") == RepoInfo("o/n", "v1")
    assert pickle.loads(pickle.dumps(info)) == copy.copy(info) == info
    for change in (lambda: setattr(info, "revision", "x"), lambda: delattr(info, "repo_id")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()


def test_loaded_kernel_is_a_frozen_dataclass_to_its_users():
    metadata, info = metadata_of(), RepoInfo("o/n", "main")
    loaded = LoadedKernel(metadata=metadata, module=sys, repo_info=info)
    assert (loaded.metadata, loaded.module, loaded.repo_info) == (metadata, sys, info)
    assert loaded == LoadedKernel(metadata, sys, RepoInfo("o/n", "main"))
    assert loaded != LoadedKernel(metadata, sys, None)
    assert [field.name for field in dataclasses.fields(loaded)] == [
        "metadata",
        "module",
        "repo_info",
    ]
    assert dataclasses.replace(loaded, repo_info=None) == LoadedKernel(metadata, sys, None)
    assert repr(loaded).endswith(f", module={sys!r}, repo_info={info!r})")
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.metadata = None


def test_metadata_of_a_loaded_kernel_is_what_it_was_when_it_was_loaded(tmp_path):
    (tmp_path / "metadata.json").write_text(json.dumps(FULL))
    loaded = LoadedKernel(_metadata_of(str(tmp_path)), sys, None)
    (tmp_path / "metadata.json").unlink()
    assert loaded.metadata.id == "_a_b_1"
    assert loaded.metadata is loaded.metadata


def test_classes_are_the_same_wherever_they_are_found():
    import kernels
    import kernels._rust
    import kernels.hf_hub
    import kernels.importer

    assert kernels.Metadata is kernels.importer.Metadata is kernels._rust.Metadata
    assert kernels.LoadedKernel is kernels.importer.LoadedKernel
    assert kernels.RepoInfo is kernels.importer.RepoInfo is kernels.hf_hub.RepoInfo


def test_none_of_it_imports_dataclasses():
    code = """
        import sys
        before = set(sys.modules)
        import kernels.importer, kernels._rust, kernels.deps
        kernels.importer.LoadedKernel(None, sys, kernels.hf_hub.RepoInfo("o/n", "main"))
        print({"dataclasses", "inspect", "json", "torch"} & (set(sys.modules) - before))
    """
    assert run_python(code).stdout == "set()\n"


# ---- kernels that a kernel depends on ----


def test_dependencies_are_there_while_a_kernel_is_loaded():
    assert _KERNEL_DEPS.get() is None
    with pytest.raises(RuntimeError, match="`get_kernel_dep` only works during kernel loading"):
        get_kernel_dep("org/relu")
    with use_kernel_deps({"org/relu": json}):
        assert get_kernel_dep("org/relu") is json
        with use_kernel_deps({"org/gelu": os}):
            assert get_kernel_dep("org/gelu") is os
            with pytest.raises(
                RuntimeError, match="Dependency 'org/relu' not found in kernel dependencies"
            ):
                get_kernel_dep("org/relu")
        assert get_kernel_dep("org/relu") is json
    assert _KERNEL_DEPS.get() is None


def test_dependencies_end_with_an_exception():
    with pytest.raises(KeyError), use_kernel_deps({}):
        raise KeyError("x")
    assert _KERNEL_DEPS.get() is None


def test_dependencies_are_of_their_thread():
    found = []
    with use_kernel_deps({"org/relu": json}):
        thread = threading.Thread(target=lambda: found.append(_KERNEL_DEPS.get()))
        thread.start()
        thread.join()
    assert found == [None]

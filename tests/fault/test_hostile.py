# SPDX-License-Identifier: Apache-2.0
"""A Hub that means harm."""

import json
import resource
import time

import pytest
from hub_support import kernel_files, repository

from kernels import get_kernel, install_kernel
from kernels.errors import NetworkError

OID = "0" * 40


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def outside(tmp_path):
    """What stands beside the cache."""
    return sorted(path.name for path in tmp_path.iterdir() if path.name != "hub")


@pytest.mark.parametrize(
    "path",
    ["../../../evil", "/etc/evil", "build/../../evil", "build//evil", "build/./evil", "a\\b", "a\nb", "x" * 5000, ""],
)  # fmt: skip
def test_paths_that_lead_out_are_refused(hub, tmp_path, path):
    repository(hub, "paths")
    hub.fault(
        "listing",
        "/tree/",
        entries=[{"type": "file", "path": path, "oid": OID, "size": 1}],
        times=-1,
    )
    with pytest.raises(OSError, match="path|name|listing"):
        install_kernel("open/paths", version=1)
    assert outside(tmp_path) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "file", "path": "a", "oid": OID, "size": -1},
        {"type": "file", "path": "a", "oid": OID, "size": 1 << 62},
        {"type": "file", "path": "a", "oid": "../../../evil", "size": 1},
        {"type": "file", "path": "a", "oid": OID.replace("0", "Z"), "size": 1},
        {"type": "file", "path": "build/torch-cpu/metadata.json", "oid": OID, "size": 1},
        {"type": "file", "path": "build/torch-cpu", "oid": OID, "size": 1},
        {"type": "file", "path": 7, "oid": OID, "size": 1},
        {
            "type": "file",
            "path": "a",
            "lfs": {"oid": "sha256:" + OID, "size": 1},
            "oid": OID,
            "size": 1,
        },
    ],
)
def test_entries_that_cannot_be(hub, tmp_path, entry):
    repository(hub, "entries")
    hub.fault("listing", "/tree/", entries=[entry], times=-1)
    with pytest.raises(OSError):
        install_kernel("open/entries", version=1)
    assert outside(tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b'[{"type": "file", "path": "\xff\xfe"}]',
        b'[{"type": "file", "path": "a\\u0000b", "oid": "' + OID.encode() + b'", "size": 1}]',
        b"{}",
        b"null",
        b'["a"]',
    ],
)
@pytest.mark.parametrize("stage", ["/tree/", "/refs", "/overview"])
def test_answers_that_are_none(hub, tmp_path, body, stage):
    repository(hub, "answers")
    hub.fault("body", stage, body_hex=body.hex(), times=-1)
    if stage == "/overview" and body == b"{}":
        expected = ValueError  # a publisher of whom nothing is said is not trusted
    else:
        expected = OSError
    with pytest.raises(expected):
        install_kernel("open/answers", version=1)


def test_a_million_entries_are_refused_in_bounded_memory(hub):
    repository(hub, "million")
    hub.fault("entries", "/tree/", count=1_000_000, times=-1)
    before, start = peak_mb(), time.monotonic()
    with pytest.raises(OSError, match="100000 files"):
        install_kernel("open/million", version=1)
    assert peak_mb() - before < 300
    assert time.monotonic() - start < 120


@pytest.mark.parametrize("stage", ["/tree/", "/refs", "/overview", "/resolve/"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_flood_is_cut_off(hub, stage, chunked):
    repository(hub, "flood")
    hub.fault(
        "flood", stage, text='[{"a": "', fill="x" * 1000, bytes=10 << 30, chunked=chunked, times=-1
    )
    before, start = peak_mb(), time.monotonic()
    with pytest.raises(OSError):
        install_kernel("open/flood", version=1)
    assert peak_mb() - before < 300
    assert time.monotonic() - start < 120


def test_branches_with_harmful_names(hub, tmp_path):
    commit = repository(hub, "refs")
    for name in ("../../../evil", "/etc/evil", "a\nb"):
        refs = {
            "branches": [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}],
            "tags": [],
            "converts": [],
        }
        hub.fault("body", "/refs", body_hex=json.dumps(refs).encode().hex())
        with pytest.raises((OSError, ValueError)):
            install_kernel("open/refs", revision=name)
    bad = {
        "branches": [{"name": "v1", "ref": "refs/heads/v1", "targetCommit": "../../../../evil"}],
        "tags": [],
        "converts": [],
    }
    hub.fault("body", "/refs", body_hex=json.dumps(bad).encode().hex(), times=-1)
    with pytest.raises(NetworkError):
        install_kernel("open/refs", version=1)
    assert outside(tmp_path) == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"id": "../evil"},
        {"id": "os\nimport"},
        {"name": "../../evil"},
        {"kernel-depends": [{"repo-id": "../evil/x", "version": 1}]},
        {"kernel-depends": [{"repo-id": f"open/d{n}", "version": 1} for n in range(1500)]},
        {"kernel-depends": "everything"},
        {"digest": {"algorithm": "sha256", "files": {"../../evil": "AAAA"}}},
    ],
)
def test_metadata_that_means_harm(hub, tmp_path, metadata):
    name = f"metadata{abs(hash(str(metadata))) % 10**8}"
    repository(hub, name, metadata=metadata)
    with pytest.raises((OSError, ValueError)):
        get_kernel(f"open/{name}", version=1)
    assert outside(tmp_path) == []


def test_links_in_the_cache_are_not_followed_when_writing(hub, tmp_path):
    commit = repository(hub, "links")
    snapshot = tmp_path / "hub/kernels--open--links/snapshots" / commit
    snapshot.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (snapshot / "build").symlink_to(elsewhere)
    with pytest.raises(OSError):
        install_kernel("open/links", version=1)
    assert list(elsewhere.iterdir()) == []


def test_byte_code_is_never_fetched(hub):
    files = kernel_files("bytecode", variants=("torch-cpu",), layers=None)
    files["build/torch-cpu/__pycache__/x.cpython-311.pyc"] = b"evil"
    files["build/torch-cpu/y.pyc"] = b"evil"
    hub.repo("open/bytecode").commit(files, branches=["v1"])
    folder = install_kernel("open/bytecode", version=1)
    assert sorted(path.name for path in folder.iterdir()) == ["__init__.py", "metadata.json"]

# SPDX-License-Identifier: Apache-2.0
"""Content that is not what it should be: on its way, and in the cache since."""

import os
import shutil

import pytest
from hub_support import kernel_files, repository, taken

from hub import git_oid
from kernels import install_kernel
from kernels.errors import IntegrityError

LARGE = os.urandom(1 << 20)


def large(hub, name):
    files = kernel_files(name, variants=("torch-cpu",), layers=None)
    files["build/torch-cpu/large.bin"] = LARGE
    return hub.repo(f"open/{name}").commit(files, branches=["main", "v1"])


def ranges(hub, name="large.bin"):
    return [line["range"] for line in hub.log() if line["path"].endswith(name)]


def no_partial_files(home):
    return not list((home / "hub").rglob("*.incomplete"))


def test_a_flipped_byte_is_fetched_again(hub, tmp_path):
    repository(hub, "flipped", extra=1)
    hub.fault("flip", "extra_0000", offset=2)
    folder = install_kernel("open/flipped", version=1)
    assert (folder / "extra_0000.py").read_bytes() == b"NUMBER = 0\nTEXT = 'flipped'\n"
    assert taken(hub).count("extra_0000.py") == 2


def test_content_that_stays_wrong_is_refused(hub, tmp_path):
    repository(hub, "wrong", extra=1)
    fault = hub.fault("flip", "extra_0000", offset=2, times=-1)
    with pytest.raises(IntegrityError, match=r"build/torch-cpu/extra_0000\.py"):
        install_kernel("open/wrong", version=1)
    assert fault.fired == 2
    assert no_partial_files(tmp_path)
    assert not list((tmp_path / "hub").rglob("extra_0000.py"))
    hub.clear_faults()
    assert install_kernel("open/wrong", version=1).is_dir()


@pytest.mark.parametrize("kind", ["truncate", "reset"])
def test_a_body_that_is_cut_goes_on_where_it_was(hub, kind):
    large(hub, f"cut-{kind}")
    hub.fault(kind, "large.bin", bytes=700_000)
    folder = install_kernel(f"open/cut-{kind}", version=1)
    assert (folder / "large.bin").read_bytes() == LARGE
    first, second = ranges(hub)
    assert not first
    begin = int(second.removeprefix("bytes=").removesuffix("-"))
    assert 0 < begin <= 700_000
    if kind == "truncate":
        assert begin == 700_000


@pytest.mark.parametrize("fault", ["ignore-range", "content-range"])
def test_a_server_that_gets_ranges_wrong(hub, fault):
    large(hub, fault)
    hub.fault("truncate", "large.bin", bytes=500_000)
    rule = hub.fault(fault, "large.bin")
    folder = install_kernel(f"open/{fault}", version=1)
    assert rule.fired == 1
    assert ranges(hub)[1] == "bytes=500000-"
    assert (folder / "large.bin").read_bytes() == LARGE


def damage(kind, folder):
    file = folder / "extra_0000.py"
    blob = file.resolve()
    about = blob.stat()
    content = blob.read_bytes()
    changed = content[:3] + b"?" + content[4:]
    if kind == "changed":
        blob.write_bytes(changed)
        os.utime(blob, ns=(about.st_atime_ns, about.st_mtime_ns + 1_000_000))
    elif kind == "shorter":
        blob.write_bytes(content[:-4])
    elif kind == "no blob":
        blob.unlink()
    elif kind == "no link":
        file.unlink()
    elif kind == "another file":
        file.unlink()
        file.write_bytes(changed)
    return content


KINDS = ["changed", "shorter", "no blob", "no link", "another file"]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_in_the_cache_is_healed(hub, kind, monkeypatch):
    name = "damaged-" + kind.replace(" ", "-")
    repository(hub, name, extra=1)
    folder = install_kernel(f"open/{name}", version=1)
    content = damage(kind, folder)
    taken(hub)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fails = kind != "no link"  # the content is there
    if fails:
        with pytest.raises(OSError, match=r"extra_0000\.py") as error:
            install_kernel(f"open/{name}", revision="v1")
        missing = kind == "no blob"
        assert isinstance(error.value, FileNotFoundError if missing else IntegrityError)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert install_kernel(f"open/{name}", revision="v1") == folder
    assert (folder / "extra_0000.py").read_bytes() == content
    assert set(taken(hub)) - {"refs"} == ({"extra_0000.py"} if fails else set())


def test_a_change_that_keeps_the_time_is_found_on_request(hub, monkeypatch):
    repository(hub, "silent", extra=1)
    folder = install_kernel("open/silent", version=1)
    blob = (folder / "extra_0000.py").resolve()
    about, content = blob.stat(), blob.read_bytes()
    with open(blob, "r+b") as file:
        file.write(b"?")
    os.utime(blob, ns=(about.st_atime_ns, about.st_mtime_ns))
    install_kernel("open/silent", revision="v1")
    assert blob.read_bytes() != content  # a receipt is no more than that
    monkeypatch.setenv("KERNELS_VERIFY", "always")
    install_kernel("open/silent", revision="main")
    assert (folder / "extra_0000.py").read_bytes() == content


def test_every_blob_is_what_its_name_says(hub, tmp_path):
    large(hub, "named")
    install_kernel("open/named", version=1)
    blobs = list((tmp_path / "hub/kernels--open--named/blobs").iterdir())
    assert len(blobs) == 3
    assert all(git_oid(blob.read_bytes()) == blob.name for blob in blobs)


def test_a_copied_cache_is_checked_once(hub, tmp_path, monkeypatch):
    repository(hub, "copied")
    install_kernel("open/copied", version=1)
    shutil.copytree(tmp_path / "hub", tmp_path / "other", symlinks=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other"))
    taken(hub)
    assert str(install_kernel("open/copied", version=1)).startswith(str(tmp_path / "other"))
    assert taken(hub) == []

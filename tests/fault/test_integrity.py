# SPDX-License-Identifier: Apache-2.0
"""Content that is not what it should be: on its way, and in the cache since."""

import json
import os
import shutil

import pytest
from hub_support import kernel_files, records, repository, taken

from hub import git_oid
from kernels import install_kernel
from kernels.errors import IntegrityError

LARGE = os.urandom(1 << 20)
HUGE = os.urandom(9 << 20)  # hashed by a thread of its own


def large(hub, name, content=LARGE, **about):
    files = kernel_files(name, variants=("torch-cpu",), layers=None)
    files["build/torch-cpu/large.bin"] = content
    return hub.repo(f"open/{name}", **about).commit(files, branches=["main", "v1"])


def cached_blob(home, name, content):
    """Where the content of a repository lies in the cache."""
    return home / f"hub/kernels--open--{name}/blobs" / git_oid(content)


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


@pytest.mark.parametrize("offset", [0, 1_000_000, (9 << 20) - 1])
def test_a_flipped_byte_in_a_huge_file_is_fetched_again(hub, tmp_path, offset):
    name = f"huge-{offset}"
    large(hub, name, HUGE, lfs=["*.bin"])
    hub.fault("flip", "large.bin", offset=offset)
    folder = install_kernel(f"open/{name}", version=1)
    assert (folder / "large.bin").read_bytes() == HUGE
    assert taken(hub).count("large.bin") == 2
    assert no_partial_files(tmp_path)


LONGER = "NUMBER = 0\nTEXT = 'longer'\n# and more"
LONGER_FAULTS = {
    "told": ("body", {"body": LONGER.encode()}),
    "chunked": ("flood", {"text": LONGER, "fill": ".", "bytes": 5_000_000, "chunked": True}),
}


@pytest.mark.parametrize("kind", LONGER_FAULTS)
def test_more_than_the_listing_says_is_refused(hub, tmp_path, kind):
    fault, options = LONGER_FAULTS[kind]
    repository(hub, "longer", extra=1)
    rule = hub.fault(fault, "extra_0000", times=-1, **options)
    with pytest.raises(
        IntegrityError, match=r"build/torch-cpu/extra_0000\.py.* more than the 27 bytes"
    ):
        install_kernel("open/longer", version=1)
    assert rule.fired == 2
    assert no_partial_files(tmp_path)
    hub.clear_faults()
    hub.fault(fault, "extra_0000", **options)
    folder = install_kernel("open/longer", version=1)
    assert (folder / "extra_0000.py").read_bytes() == b"NUMBER = 0\nTEXT = 'longer'\n"


def test_more_behind_a_part_that_is_there_is_refused(hub, tmp_path):
    large(hub, "tail")
    partial = cached_blob(tmp_path, "tail", LARGE).with_suffix(".incomplete")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(LARGE[:500_000])
    hub.fault("raw", "large.bin", text="HTTP/1.1 206 Partial Content\r\nContent-Length: 600000\r\n"
              "Content-Range: bytes 500000-1099999/1100000\r\n\r\n", fill="x", bytes=600_000, then="close")  # fmt: skip
    folder = install_kernel("open/tail", version=1)
    assert ranges(hub) == ["bytes=500000-", None]
    assert (folder / "large.bin").read_bytes() == LARGE


@pytest.mark.parametrize("size", ["1", "99999999"])
@pytest.mark.parametrize("name", ["X-Linked-Size", "X-Linked-Etag"])
def test_only_the_listing_says_what_a_file_is(hub, name, size):
    repository(hub, f"header-{name.lower()}-{size}", extra=1)
    hub.set(redirect_small=True)
    hub.fault("headers", "resolve/.*extra_0000", headers={name: size})
    folder = install_kernel(f"open/header-{name.lower()}-{size}", version=1)
    assert (folder / "extra_0000.py").stat().st_size > 20


@pytest.mark.parametrize("content", [LARGE, HUGE], ids=["large", "huge"])
def test_a_download_that_was_whole_is_not_made_again(hub, tmp_path, content):
    name = f"whole-{len(content)}"
    large(hub, name, content)
    blob = cached_blob(tmp_path, name, content)
    blob.parent.mkdir(parents=True)
    partial = blob.with_suffix(".incomplete")
    partial.write_bytes(content)
    folder = install_kernel(f"open/{name}", version=1)
    assert "large.bin" not in taken(hub)
    assert (folder / "large.bin").read_bytes() == content
    assert no_partial_files(tmp_path)
    shutil.rmtree(tmp_path / "hub")
    blob.parent.mkdir(parents=True)
    partial.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert (install_kernel(f"open/{name}", revision="v1") / "large.bin").read_bytes() == content
    assert taken(hub).count("large.bin") == 1
    assert no_partial_files(tmp_path)


def test_empty_files_need_no_request(hub):
    files = kernel_files("empty", variants=("torch-cpu",), layers=None)
    files |= {"build/torch-cpu/empty.py": b"", "build/torch-cpu/more/__init__.py": b""}
    hub.repo("open/empty").commit(files, branches=["v1"])
    folder = install_kernel("open/empty", version=1)
    assert (folder / "empty.py").read_bytes() == (folder / "more/__init__.py").read_bytes() == b""
    assert taken(hub) == ["__init__.py", "metadata.json", "refs", "tree", "trust"]


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
    elif kind == "another link":
        file.unlink()
        file.symlink_to(folder / "metadata.json")
    elif kind == "link as blob":
        blob.unlink()
        blob.symlink_to("/etc/hostname")
    elif kind == "pipe as blob":
        blob.unlink()
        os.mkfifo(blob)
    return content


KINDS = [
    "changed", "shorter", "no blob", "no link", "another file", "another link", "link as blob", "pipe as blob",
]  # fmt: skip
CONTENT_IS_THERE = ["no link", "another file", "another link"]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_in_the_cache_is_healed(hub, kind, monkeypatch):
    name = "damaged-" + kind.replace(" ", "-")
    repository(hub, name, extra=1)
    folder = install_kernel(f"open/{name}", version=1)
    content = damage(kind, folder)
    taken(hub)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if kind != "no link":
        with pytest.raises(OSError, match=r"extra_0000\.py") as error:
            install_kernel(f"open/{name}", revision="v1")
        missing = kind == "no blob"
        assert isinstance(error.value, FileNotFoundError if missing else IntegrityError)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert install_kernel(f"open/{name}", revision="v1") == folder
    assert (folder / "extra_0000.py").read_bytes() == content
    assert set(taken(hub)) - {"refs"} == (set() if kind in CONTENT_IS_THERE else {"extra_0000.py"})


def test_a_folder_in_the_place_of_a_blob_is_named(hub):
    repository(hub, "folder", extra=1)
    blob = (install_kernel("open/folder", version=1) / "extra_0000.py").resolve()
    blob.unlink()
    blob.mkdir()
    with pytest.raises(OSError, match=str(blob)):
        install_kernel("open/folder", revision="v1")
    blob.rmdir()
    assert (install_kernel("open/folder", revision="v1") / "extra_0000.py").is_file()


def flip(file):
    """Another first byte, at the same time."""
    about, content = file.stat(), file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    return content


def test_what_another_commit_brought_is_checked_before_it_is_used(hub):
    repository(hub, "shared", extra=2)
    folder = install_kernel("open/shared", version=1)
    content = flip((folder / "extra_0000.py").resolve())
    commit = repository(hub, "shared", extra=2, code="NEW = 1")
    taken(hub)
    newer = install_kernel("open/shared", revision=commit)
    assert newer != folder
    assert (newer / "extra_0000.py").read_bytes() == content
    assert taken(hub) == ["__init__.py", "extra_0000.py", "metadata.json", "tree"]
    assert (folder / "extra_0000.py").read_bytes() == content


@pytest.mark.parametrize("right", [True, False])
def test_what_another_client_brought_is_checked_before_it_is_used(hub, tmp_path, right):
    name = "brought-right" if right else "brought-wrong"
    large(hub, name)
    blob = cached_blob(tmp_path, name, LARGE)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(LARGE)
    if not right:
        flip(blob)
    folder = install_kernel(f"open/{name}", version=1)
    assert (folder / "large.bin").read_bytes() == LARGE
    assert ("large.bin" in taken(hub)) is not right


def test_two_files_of_one_content_are_healed_together(hub):
    files = kernel_files("twins", variants=("torch-cpu",), layers=None)
    files |= {f"build/torch-cpu/{name}.bin": LARGE for name in ("one", "two")}
    hub.repo("open/twins").commit(files, branches=["main", "v1"])
    folder = install_kernel("open/twins", version=1)
    assert taken(hub).count("one.bin") == 1
    blob = (folder / "one.bin").resolve()
    blob.write_bytes(LARGE[:-1] + b"?")
    install_kernel("open/twins", revision="v1")
    assert taken(hub) == ["one.bin", "refs"]
    assert (folder / "one.bin").read_bytes() == (folder / "two.bin").read_bytes() == LARGE


def test_a_redirect_is_checked_before_it_is_followed(hub, tmp_path):
    repository(hub, "right")
    repository(hub, "wrong")
    status = b'kind = "redirect"\ndestination = "open/right"\n'
    hub.repo("open/gone").commit({"kernel-status.toml": status}, branches=["main", "v1"])
    install_kernel("open/gone", version=1)
    blob = cached_blob(tmp_path, "gone", status)
    blob.write_bytes(status.replace(b"right", b"wrong"))
    folder = install_kernel("open/gone", revision="v1")
    assert "open--right" in str(folder)


@pytest.mark.parametrize("lie", ["id", "size", "time", "inode"])
def test_a_receipt_that_is_wrong_is_made_again(hub, tmp_path, lie):
    repository(hub, f"lie-{lie}", extra=1)
    folder = install_kernel(f"open/lie-{lie}", version=1)
    (receipt,) = [file for file in records(tmp_path, "receipts/**/*") if file.is_file()]
    right = json.loads(receipt.read_text())
    wrong = json.loads(receipt.read_text())
    entry = wrong["files"]["build/torch-cpu/extra_0000.py"]
    entry[["id", "size", "time", "inode"].index(lie)] = "0" * 40 if lie == "id" else 1
    receipt.write_text(json.dumps(wrong))
    taken(hub)
    assert install_kernel(f"open/lie-{lie}", version=1) == folder
    assert taken(hub) == []
    assert json.loads(receipt.read_text()) == right


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

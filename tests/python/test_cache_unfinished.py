# SPDX-License-Identifier: Apache-2.0
"""What huggingface_hub has begun: a download that was left unfinished, and one that is under way."""

import os
import shutil
import subprocess
import textwrap
import time

import pytest
from hub_support import kernel_files, repository, taken

from kernels import get_kernel, install_kernel
from kernels.errors import HubTimeoutError

FETCH = """
    import sys
    from huggingface_hub import constants, snapshot_download
    constants.DOWNLOAD_CHUNK_SIZE = 4096
    snapshot_download(sys.argv[1], repo_type="kernel", revision="main", allow_patterns=sys.argv[2:] or None)
"""


def start(client, *arguments):
    return subprocess.Popen([client.python, "-c", textwrap.dedent(FETCH), *arguments])


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def partial_files(home):
    return list((home / "hub").glob("*/blobs/*.incomplete"))


def size(file):
    """The file's size, 0 where the client has just given it its name or taken it away."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def killed(online, client, home, name, **content):
    """The client's snapshot of a new kernel whose extra_0001.py was on its way when the client was killed."""
    commit = repository(online, name, extra=3, **content)
    online.fault("stall", "extra_0001", bytes=5, times=-1)
    process = start(client, f"open/{name}")
    folder = home / f"hub/kernels--open--{name}/snapshots/{commit}/build/torch-cpu"
    whole = 4  # __init__.py, metadata.json and two of the extra files
    wait_until(lambda: folder.is_dir() and len(os.listdir(folder)) == whole and partial_files(home))
    process.kill()
    process.wait()
    online.clear_faults()
    taken(online)
    return folder


def offline(monkeypatch, value="1"):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)


def test_what_is_missing_is_told_offline_and_fetched_online(online, client, tmp_path, monkeypatch):
    folder = killed(online, client, tmp_path, "killed")
    offline(monkeypatch)
    with pytest.raises(
        FileNotFoundError, match=r"'build/torch-cpu/extra_0001\.py' is of 'open/killed'"
    ):
        get_kernel("open/killed", revision="main")
    offline(monkeypatch, "0")
    assert install_kernel("open/killed", revision="main") == folder
    assert taken(online) == ["extra_0001.py", "refs", "trust"]
    assert (folder / "extra_0001.py").read_text() == "NUMBER = 1\nTEXT = 'killed'\n"


def without_listing(folder):
    """As a client leaves it that records no listings."""
    shutil.rmtree(folder.parents[3] / "trees")


def test_without_a_listing_the_digest_tells_what_is_missing(online, client, tmp_path, monkeypatch):
    folder = killed(online, client, tmp_path, "digested", digest=True)
    without_listing(folder)
    offline(monkeypatch)
    with pytest.raises(FileNotFoundError, match=r"build/torch-cpu/extra_0001\.py.*unfinished"):
        install_kernel("open/digested", revision="main")
    offline(monkeypatch, "0")
    assert install_kernel("open/digested", revision="main") == folder


def test_a_link_to_a_blob_that_is_gone_tells_what_is_missing(online, client, tmp_path, monkeypatch):
    folder = killed(online, client, tmp_path, "dangling")
    without_listing(folder)
    (folder / "extra_0002.py").resolve().unlink()
    offline(monkeypatch)
    with pytest.raises(FileNotFoundError, match=r"'build/torch-cpu/extra_0002\.py' is"):
        install_kernel("open/dangling", revision="main")


def test_where_nothing_tells_a_warning_does(online, client, tmp_path, monkeypatch, caplog):
    folder = killed(online, client, tmp_path, "unknown")
    without_listing(folder)
    place = tmp_path / os.fsdecode(b"any \xff bytes")
    (tmp_path / "hub").rename(place)
    monkeypatch.setenv("HF_HUB_CACHE", str(place))
    offline(monkeypatch)
    found = install_kernel("open/unknown", revision="main")
    assert found == place / folder.relative_to(tmp_path / "hub")
    assert "left a download of the repository unfinished" in caplog.text


def test_many_missing_files_are_counted(online, client, tmp_path, monkeypatch):
    repository(online, "counted", extra=9)
    assert start(client, "open/counted", "*.json", "*__init__.py").wait() == 0
    offline(monkeypatch)
    with pytest.raises(
        FileNotFoundError, match=r"extra_0004\.py' and 4 more are of 'open/counted'"
    ):
        install_kernel("open/counted", revision="main")


def test_a_digest_is_checked_in_a_snapshot_of_copies(online, client, tmp_path, monkeypatch):
    commit = repository(online, "copied", extra=2, digest=True)
    assert start(client, "open/copied").wait() == 0
    folder = tmp_path / f"hub/kernels--open--copied/snapshots/{commit}/build/torch-cpu"
    without_listing(folder)
    for link in folder.iterdir():
        content = link.read_bytes()
        link.unlink()
        link.write_bytes(content)
    shutil.rmtree(folder.parents[3] / "blobs")
    offline(monkeypatch)
    assert install_kernel("open/copied", revision="main") == folder
    (folder / "extra_0001.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"extra_0001\.py"):
        install_kernel("open/copied", revision=commit)


def test_offline_the_variant_counts_that_was_fetched(online, client, tmp_path, monkeypatch):
    repository(online, "other", variants=("torch-cpu", "torch-universal"))
    assert start(client, "open/other", "build/torch-universal/*").wait() == 0
    offline(monkeypatch)
    assert install_kernel("open/other", revision="main").name == "torch-universal"
    offline(monkeypatch, "0")
    assert install_kernel("open/other", revision="main").name == "torch-cpu"


HOSTILE = '{"format_version": 1, "files": {"../x": {"size": 1, "blob_id": "00"}}}'


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format_version": 2, "files": {}}', HOSTILE])
def test_a_listing_that_makes_no_sense_is_not_used(online, client, tmp_path, content):
    commit = repository(online, "senseless")
    assert start(client, "open/senseless").wait() == 0
    tree = tmp_path / f"hub/kernels--open--senseless/trees/{commit}.json"
    assert tree.is_file()
    tree.write_text(content)
    taken(online)
    assert install_kernel("open/senseless", revision="main").is_dir()
    assert taken(online) == ["refs", "tree", "trust"]


def large(hub, name, size):
    files = kernel_files(name, variants=("torch-cpu",), layers=None)
    files["build/torch-cpu/large.bin"] = bytes(size)
    hub.repo(f"open/{name}", lfs=["*.bin"]).commit(files, branches=["main", "v1"])


def test_a_download_that_gets_on_is_waited_for(online, client, tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELS_TIMEOUT", "1")
    large(online, "slow", 600_000)
    online.set(bandwidth=150_000)
    process = start(client, "open/slow")
    wait_until(lambda: any(size(file) > 4096 for file in partial_files(tmp_path)))
    folder = install_kernel("open/slow", version=1)
    assert process.wait() == 0
    assert (folder / "large.bin").stat().st_size == 600_000
    assert taken(online).count("large.bin") <= 2  # theirs: the first request and where it led


HOLD = """
    import os, sys, time
    from huggingface_hub.utils import WeakFileLock
    with WeakFileLock(sys.argv[1]):
        open(sys.argv[2], "w").close()
        while os.path.exists(sys.argv[2]):
            time.sleep(0.02)
"""


def test_a_lock_whose_holder_does_nothing_fails_its_kernel_by_name(
    online, client, tmp_path, monkeypatch
):
    repository(online, "idle")
    repository(online, "busy")
    folder = install_kernel("open/idle", version=1)
    blob = (folder / "__init__.py").resolve().name
    lock = tmp_path / f"hub/.locks/kernels--open--idle/{blob}.lock"
    shutil.rmtree(tmp_path / "hub/kernels--open--idle")
    held = tmp_path / "held"
    holder = subprocess.Popen([client.python, "-c", textwrap.dedent(HOLD), str(lock), str(held)])
    wait_until(held.exists)
    monkeypatch.setenv("KERNELS_TIMEOUT", "0.5")
    try:
        with pytest.raises(HubTimeoutError) as error:
            install_kernel("open/idle", version=1)
        for part in ("'build/torch-cpu/__init__.py' of 'open/idle'", str(lock), "KERNELS_TIMEOUT"):
            assert part in str(error.value)
        assert install_kernel("open/busy", version=1).is_dir()
    finally:
        held.unlink()
        holder.wait()
    assert install_kernel("open/idle", version=1) == folder

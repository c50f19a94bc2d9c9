# SPDX-License-Identifier: Apache-2.0
"""Caches in unusual places, and what huggingface_hub's own tools make of them."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hub_support import kernel_files, let_others_enter, preload, repository, taken

from kernels import get_kernel, install_kernel

LOOK = """
    import json, os, sys
    from huggingface_hub import scan_cache_dir, snapshot_download
    kind, repo, revision = sys.argv[1:]
    folder = snapshot_download(repo, repo_type=kind, revision=revision, local_files_only=True)
    print(json.dumps([os.path.realpath(folder), [str(each) for each in scan_cache_dir().warnings]]))
"""

FETCH = """
    import json, sys
    from huggingface_hub import snapshot_download
    kind, repo, revision = sys.argv[1:]
    print(json.dumps(snapshot_download(repo, repo_type=kind, revision=revision)))
"""


def both_ways(online, client, place, monkeypatch, name):
    """In the cache at `place` they read what we fetched, and we read what they fetched."""
    monkeypatch.setenv("HF_HUB_CACHE", str(place))
    repository(online, f"{name}-ours")
    repository(online, f"{name}-theirs")
    ours = install_kernel(f"open/{name}-ours", version=1)
    assert client(LOOK, "kernel", f"open/{name}-ours", "v1") == [
        os.path.realpath(ours.parents[1]),
        [],
    ]
    theirs = client(FETCH, "kernel", f"open/{name}-theirs", "v1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    taken(online)
    for repo in (f"{name}-ours", f"{name}-theirs"):
        assert get_kernel(f"open/{repo}", version=1).NAME == repo
    found = install_kernel(f"open/{name}-theirs", version=1)
    assert os.path.realpath(found.parents[1]) == os.path.realpath(theirs)
    assert taken(online) == []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")


@pytest.mark.parametrize(
    "name", ["with spaces ", "ünï-çødé-模型", os.fsdecode(b"bytes-\xff\xfe"), "quote'\"%s$", "a" * 200, "new\nline"]
)  # fmt: skip
def test_the_name_of_the_cache_may_be_anything(online, client, tmp_path, monkeypatch, name):
    both_ways(online, client, tmp_path / name / "hub", monkeypatch, "named")


def test_a_relative_cache(online, client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both_ways(online, client, "below/here", monkeypatch, "relative")
    folder = install_kernel("open/relative-ours", version=1)
    assert folder.is_relative_to(tmp_path / "below/here")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    other = install_kernel("open/relative-ours", version=1)
    assert other.is_relative_to(tmp_path / "elsewhere/below/here")


def test_a_cache_behind_a_link(online, client, tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    both_ways(online, client, tmp_path / "link", monkeypatch, "linked")
    assert (tmp_path / "real/kernels--open--linked-ours").is_dir()


def test_a_cache_on_another_file_system(online, client, monkeypatch):
    place = tempfile.mkdtemp(dir="/dev/shm")
    try:
        assert os.stat(place).st_dev != os.stat("/").st_dev
        both_ways(online, client, place, monkeypatch, "memory")
    finally:
        shutil.rmtree(place)


def modes(folder):
    """What is there, but for lock files, with its permissions."""
    return {
        str(path.relative_to(folder)): oct(path.lstat().st_mode)
        for path in folder.rglob("*")
        if not {".locks", ".kernels", "trees", "CACHEDIR.TAG", "refs"} & set(path.relative_to(folder).parts)
    }  # fmt: skip


@pytest.mark.parametrize("mask", [0o077, 0o002, 0o022])
def test_permissions_are_those_of_huggingface_hub(online, client, tmp_path, monkeypatch, mask):
    repository(online, "masked", extra=1)
    before = os.umask(mask)
    try:
        for place, fetch in (
            ("ours", lambda: install_kernel("open/masked", version=1)),
            ("theirs", lambda: client(FETCH, "kernel", "open/masked", "v1")),
        ):
            monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / place))
            fetch()
    finally:
        os.umask(before)
    found = modes(tmp_path / "ours")
    assert found == modes(tmp_path / "theirs")
    assert oct(0o100666 & ~mask) in found.values()


def in_child(function):
    """Runs it in a child, as another user where this one is root; asserts that it succeeds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            function()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_users_share_a_cache_that_all_may_write(online, client, tmp_path, monkeypatch):
    let_others_enter(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home-of-nobody"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-of-nobody"))
    repository(online, "shared", extra=1)
    before = os.umask(0)
    try:
        install_kernel("open/shared", version=1)
        client(FETCH, "kernel", "open/shared", "main")
        commit = repository(online, "shared", extra=2)

        def another():
            os.environ["KERNELS_REFRESH_AFTER"] = "0"
            folder = install_kernel("open/shared", version=1)
            assert folder.parents[1].name == commit, folder
            assert (folder / "extra_0001.py").is_file()

        in_child(another)
    finally:
        os.umask(before)
    taken(online)
    assert install_kernel("open/shared", revision=commit).parents[1].name == commit
    assert taken(online) == []


FULL = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <sys/types.h>

    static long room = 150000;

    ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
        ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
        room -= (long)length;
        if (room >= 0) return real(fd, bytes, length, at);
        errno = ENOSPC;
        return -1;
    }
"""

GET = """
    import sys
    from kernels import install_kernel
    try:
        print(install_kernel(sys.argv[1], version=1))
    except OSError as error:
        print(type(error).__name__, error)
"""


def test_a_full_disk_is_told_and_the_download_goes_on_later(online, client, tmp_path):
    files = kernel_files("full", variants=("torch-cpu",), layers=None)
    files["build/torch-cpu/large.bin"] = bytes(range(256)) * 2000
    online.repo("open/full").commit(files, branches=["main", "v1"])
    run = [sys.executable, "-c", textwrap.dedent(GET), "open/full"]
    env = os.environ | {"LD_PRELOAD": preload(tmp_path, FULL)}
    full = subprocess.run(run, capture_output=True, text=True, env=env)
    assert full.stdout.startswith("OSError"), full.stderr
    assert "large.bin" in full.stdout or "blobs" in full.stdout
    assert "No space left" in full.stdout
    folder = install_kernel("open/full", version=1)
    assert {f"build/torch-cpu/{file.name}": file.read_bytes() for file in folder.iterdir()} == files
    assert client(LOOK, "kernel", "open/full", "v1")[1] == []


LOCKLESS = """
    #include <errno.h>

    int flock(int fd, int operation) {
        (void)fd, (void)operation;
        errno = ENOSYS;
        return -1;
    }
"""


def test_a_file_system_without_locks(online, client, tmp_path):
    files = kernel_files("lockless", variants=("torch-cpu",), layers=None, extra=2)
    files["build/torch-cpu/large.bin"] = bytes(range(256)) * 2000
    online.repo("open/lockless").commit(files, branches=["main", "v1"])
    shim = preload(tmp_path, LOCKLESS)
    online.set(bandwidth=2_000_000)
    run = [sys.executable, "-c", textwrap.dedent(GET), "open/lockless"]
    processes = [
        subprocess.Popen(
            run, stdout=subprocess.PIPE, text=True, env=os.environ | {"LD_PRELOAD": shim}
        )
        for _ in range(3)
    ]
    (folder,) = {process.communicate()[0].strip() for process in processes}
    found = {f"build/torch-cpu/{file.name}": file.read_bytes() for file in Path(folder).iterdir()}
    assert found == files
    assert not list((tmp_path / "hub/.locks").rglob("*.lock"))  # there the file itself is a lock
    blob = (Path(folder) / "large.bin").resolve()
    blob.unlink()
    (Path(folder) / "large.bin").unlink()
    theirs = client(FETCH, "kernel", "open/lockless", "v1", LD_PRELOAD=shim)
    assert (Path(theirs) / "build/torch-cpu/large.bin").read_bytes() == files[
        "build/torch-cpu/large.bin"
    ]


def test_they_read_models_that_we_fetched(online, client, tmp_path):
    files = kernel_files("older", variants=("torch-cpu",), layers=None)
    online.repo("open/older", type="model").commit(files, branches=["main", "v1"])
    folder = install_kernel("open/older", version=1)
    assert client(LOOK, "model", "open/older", "v1") == [str(folder.parents[1]), []]


def test_their_copies_in_the_place_of_links(online, client, monkeypatch):
    repository(online, "unlinked", extra=2)
    folder = client(FETCH, "kernel", "open/unlinked", "v1", HF_HUB_DISABLE_SYMLINKS="1")
    assert not any(path.is_symlink() for path in Path(folder).rglob("*"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert get_kernel("open/unlinked", version=1).NAME == "unlinked"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    taken(online)
    assert str(install_kernel("open/unlinked", version=1)).startswith(folder)
    assert taken(online) == ["refs", "trust"]


def test_our_copies_in_the_place_of_links(online, client, tmp_path, monkeypatch):
    repository(online, "copied", extra=2)
    monkeypatch.setenv("HF_HUB_DISABLE_SYMLINKS", "1")
    folder = install_kernel("open/copied", version=1)
    assert not any(path.is_symlink() for path in (tmp_path / "hub").rglob("*"))
    assert client(LOOK, "kernel", "open/copied", "v1") == [str(folder.parents[1]), []]
    taken(online)
    assert install_kernel("open/copied", revision="v1") == folder
    assert taken(online) == ["refs"]


DELETE = """
    import json, sys
    from huggingface_hub import scan_cache_dir
    scan_cache_dir().delete_revisions(*sys.argv[1:]).execute()
    info = scan_cache_dir()
    left = [each.commit_hash for repo in info.repos for each in repo.revisions]
    print(json.dumps([left, [str(each) for each in info.warnings]]))
"""


def test_a_revision_that_they_deleted_is_fetched_again(online, client, monkeypatch):
    first = repository(online, "deleted", branches=("v1",), extra=1)
    second = repository(online, "deleted", branches=("v2", "main"), extra=2)
    older, newer = (install_kernel("open/deleted", version=number) for number in (1, 2))
    assert client(DELETE, first) == [[second], []]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert install_kernel("open/deleted", version=2) == newer
    with pytest.raises(FileNotFoundError, match="extra_0000"):
        install_kernel("open/deleted", version=1)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    taken(online)
    assert install_kernel("open/deleted", version=1) == older
    assert set(taken(online)) <= {"__init__.py", "extra_0000.py", "metadata.json"}
    assert client(LOOK, "kernel", "open/deleted", "v1") == [str(older.parents[1]), []]


def prune(client):
    hf = Path(client.python).with_name("hf")
    done = subprocess.run(
        [hf, "cache", "prune", "--yes"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pruning_keeps_what_has_a_name(online, client, tmp_path, monkeypatch):
    first = repository(online, "pruned", branches=("main",), extra=1)
    install_kernel("open/pruned", revision=first)
    repository(online, "pruned", branches=("main", "v1"), extra=2)
    folder = install_kernel("open/pruned", version=1)
    partial = tmp_path / f"hub/kernels--open--pruned/blobs/{'0' * 40}.incomplete"
    partial.write_text("some")
    prune(client)
    assert not partial.exists()
    assert not (folder.parents[2] / first).exists()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert install_kernel("open/pruned", version=1) == folder
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert install_kernel("open/pruned", revision=first).parents[1].name == first


VERIFY = """
    import json, sys
    from huggingface_hub import HfApi
    found = HfApi().verify_repo_checksums(sys.argv[1], repo_type="kernel", revision=sys.argv[2])
    print(json.dumps([found.checked_count, found.mismatches, found.missing_paths, found.extra_paths]))
"""


def test_what_we_fetched_has_the_checksums_that_they_expect(online, client):
    commit = repository(online, "verified", extra=3)
    install_kernel("open/verified", version=1)
    assert client(VERIFY, "open/verified", commit) == [5, [], [], []]

# SPDX-License-Identifier: Apache-2.0
"""One cache, several clients: huggingface_hub 2.4 and 1.33, upstream's package, and this one."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hub_support import age, kernel_files, preload, records, repository, taken

from kernels import get_kernel, install_kernel

READ = """
    import json, sys
    from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
    repo, *revisions = sys.argv[1:]
    folders = [snapshot_download(repo, repo_type="kernel", revision=each, local_files_only=True) for each in revisions]
    file = hf_hub_download(repo, "build/torch-cpu/__init__.py", repo_type="kernel", revision=revisions[0],
                           local_files_only=True)
    info = scan_cache_dir()
    print(json.dumps([sorted(set(folders)), open(file).read(), [str(each) for each in info.warnings], len(info.repos)]))
"""

WRITE = """
    import json, sys
    from huggingface_hub import snapshot_download
    repo, kind, patterns, *revisions = sys.argv[1:]
    for each in revisions:
        folder = snapshot_download(repo, repo_type=kind, revision=each, allow_patterns=json.loads(patterns))
    print(json.dumps(folder))
"""

DELETE = """
    import json, sys
    from huggingface_hub import scan_cache_dir
    scan_cache_dir().delete_revisions(sys.argv[1]).execute()
    print(json.dumps(len(scan_cache_dir().repos)))
"""


def test_they_read_what_we_fetched(online, client, tmp_path):
    commit = repository(online, "ours", tags=("v0.1.0",), extra=2)
    for request in ({"version": 1}, {"revision": "main"}, {"revision": "v0.1.0"}):
        install_kernel("open/ours", **request)
    taken(online)
    folders, text, warnings, repos = client(READ, "open/ours", "main", "v1", "v0.1.0", commit)
    assert folders == [str(tmp_path / "hub/kernels--open--ours/snapshots" / commit)]
    assert (text, warnings, repos) == ("NAME = 'ours'\n", [], 1)
    assert client(DELETE, commit) == 0
    assert (install_kernel("open/ours", version=1) / "__init__.py").read_text() == text


@pytest.mark.parametrize("patterns", [["build/torch-cpu/*"], None])
def test_we_read_what_they_fetched(online, client, tmp_path, monkeypatch, patterns):
    commit = repository(
        online, "theirs", tags=("v0.1.0",), extra=2, variants=("torch-cpu", "torch-universal")
    )
    client(WRITE, "open/theirs", "kernel", json.dumps(patterns), "main", "v1", "v0.1.0")
    requests = [
        {"revision": "main"},
        {"version": 1},
        {"version": ">=0.1"},
        {"revision": "v0.1.0"},
        {"revision": commit},
    ]
    taken(online)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for request in requests:
        folder = install_kernel("open/theirs", **request)
        assert (folder.name, folder.parent.parent.name) == ("torch-cpu", commit)
    assert taken(online) == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for request in requests:
        assert install_kernel("open/theirs", **request) == folder
    assert {"refs", "trust"} == set(taken(online))  # their listing serves
    monkeypatch.setenv("KERNELS_NET_LIBRARY", "/no/such/library.so")  # receipts serve by now
    install_kernel("open/theirs", version=1)


def test_we_read_models_that_they_fetched(online, client, monkeypatch):
    files = kernel_files("elderly", variants=("torch-cpu",), layers=None)
    commit = online.repo("open/elderly", type="model").commit(files, branches=["main", "v1"])
    client(WRITE, "open/elderly", "model", "null", "main")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for request in ({"revision": "main"}, {"revision": commit}):
        assert "models--open--elderly" in str(install_kernel("open/elderly", **request))


def test_copies_in_the_place_of_links(online, client, tmp_path, monkeypatch):
    repository(online, "copies")
    client(WRITE, "open/copies", "kernel", "null", "v1")
    for link in (tmp_path / "hub").rglob("*"):
        if link.is_symlink():
            content = link.read_bytes()
            link.unlink()
            link.write_bytes(content)
    shutil.rmtree(tmp_path / "hub/kernels--open--copies/blobs")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert get_kernel("open/copies", version=1).NAME == "copies"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    taken(online)
    install_kernel("open/copies", version=1)
    assert set(taken(online)) == {"refs", "trust"}


def test_both_at_once(online, client, tmp_path):
    files = kernel_files("shared", variants=("torch-cpu",), layers=None)
    for number in range(6):
        files[f"build/torch-cpu/part{number}.bin"] = bytes([number]) * 300_000
    commit = online.repo("open/shared", lfs=["*.bin"]).commit(files, branches=["main", "v1"])
    online.set(bandwidth=3_000_000)
    ours = "from kernels import install_kernel; print(install_kernel('open/shared', version=1))"
    processes = [
        subprocess.Popen([sys.executable, "-c", ours], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    theirs = client(WRITE, "open/shared", "kernel", "null", "main")
    found = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert found == {f"{theirs}/build/torch-cpu"}
    snapshot = tmp_path / "hub/kernels--open--shared/snapshots" / commit
    assert {path: (snapshot / path).read_bytes() for path in files} == files
    assert not list((tmp_path / "hub").rglob("*.incomplete"))


HOLD = """
    import json, os, sys, time
    from huggingface_hub.utils import WeakFileLock
    with WeakFileLock(sys.argv[1]):
        open(sys.argv[2], "w").close()
        time.sleep(1.0)
    print(json.dumps(True))
"""


def test_their_locks_are_waited_for(online, client, tmp_path):
    repository(online, "locked")
    install_kernel("open/locked", version=1)
    blob = next((tmp_path / "hub/kernels--open--locked/blobs").iterdir())
    lock = tmp_path / "hub/.locks/kernels--open--locked" / f"{blob.name}.lock"
    shutil.rmtree(tmp_path / "hub/kernels--open--locked")
    held = tmp_path / "held"
    holder = threading.Thread(target=lambda: client(HOLD, str(lock), str(held)))
    holder.start()
    while not held.exists():
        time.sleep(0.01)
    start = time.monotonic()
    install_kernel("open/locked", version=1)
    assert time.monotonic() - start > 0.5
    holder.join()


UPSTREAM = """
    import json, sys
    from kernels import get_kernel
    print(json.dumps([get_kernel("open/upstream", **request).NAME for request in json.loads(sys.argv[1])]))
"""


def test_upstream_loads_offline_from_our_cache(online, peer):
    commit = repository(online, "upstream")
    for request in ({"version": 1}, {"revision": "main"}):
        install_kernel("open/upstream", **request)
    requests = [{"version": 1}, {"revision": "main"}, {"revision": commit}]
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [peer, "-c", textwrap.dedent(UPSTREAM), json.dumps(requests)],
        capture_output=True, text=True, env=env, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["upstream"] * 3


@pytest.mark.parametrize("content", ["", "{", '{"version": 99}', "[]", "null", "\x00"])
def test_records_that_are_damaged_are_made_again(online, tmp_path, content):
    repository(online, "records")
    folder = install_kernel("open/records", version=1)
    files = [file for file in records(tmp_path, "**/*") if file.is_file()]
    assert len(files) >= 4
    for file in files:
        file.write_text(content)
    taken(online)
    assert install_kernel("open/records", version=1) == folder
    assert sorted(taken(online)) == ["refs", "tree", "trust"]
    assert install_kernel("open/records", version=1) == folder
    assert taken(online) == []


def test_times_in_the_future_are_not_believed(online, tmp_path):
    repository(online, "tomorrow")
    install_kernel("open/tomorrow", version=1)
    age(tmp_path, "resolutions/*", -10 * 86400)
    age(tmp_path, "trust.json", -10 * 86400)
    taken(online)
    install_kernel("open/tomorrow", version=1)
    assert taken(online) == ["refs", "trust"]


def test_where_the_cache_is(online, tmp_path, monkeypatch):
    repository(online, "places")
    places = {
        name: tmp_path / name.lower()
        for name in ("KERNELS_CACHE", "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    }
    for name, place in places.items():
        monkeypatch.setenv(name, str(place))
    for name, below in (
        ("KERNELS_CACHE", ""), ("HF_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub"),
    ):  # fmt: skip
        folder = install_kernel("open/places", version=1)
        assert str(folder).startswith(str(places[name] / below / "kernels--open--places"))
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("~/here", "$HOME/here", "${HOME}/here"):
        monkeypatch.setenv("KERNELS_CACHE", value)
        folder = install_kernel("open/places", version=1)
        assert str(folder).startswith(str(tmp_path / "home/here/kernels--open--places"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERNELS_CACHE", "relative")
    assert str(install_kernel("open/places", version=1)).startswith(str(tmp_path / "relative"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERNELS_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        install_kernel("open/places", version=1)


SHIM = """
    #include <errno.h>
    int symlink(const char *a, const char *b) { (void)a; (void)b; errno = EPERM; return -1; }
    int symlinkat(const char *a, int d, const char *b) { (void)a; (void)b; (void)d; errno = EPERM; return -1; }
"""


def test_a_file_system_without_links(online, tmp_path):
    repository(online, "linkless", extra=1)
    code = "from kernels import get_kernel; print(get_kernel('open/linkless', version=1).__file__)"
    env = os.environ | {"LD_PRELOAD": preload(tmp_path, SHIM)}
    for expected in (
        ["__init__.py", "extra_0000.py", "metadata.json", "refs", "tree", "trust"],
        [],
    ):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        assert not os.path.islink(done.stdout.strip())
        assert taken(online) == expected

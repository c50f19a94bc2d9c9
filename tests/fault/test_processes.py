# SPDX-License-Identifier: Apache-2.0
"""Many processes, and processes that end in the middle. Children are forked: importing torch takes seconds."""

import os
import random
import signal
import subprocess
import textwrap
import time

import pytest
from hub_support import kernel_files, let_others_enter, repository, taken

import kernels._torch  # noqa: F401
from hub import git_oid
from kernels import install_kernel

CONTENT = bytes(random.Random(1).randbytes(400_000))


def fork(function):
    """Runs `function` in a child; returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        function()
        status = 0
    finally:
        os._exit(status)


def large(hub, name, size=8):
    files = kernel_files(name, variants=("torch-cpu",), layers=None)
    for number in range(size):
        files[f"build/torch-cpu/part{number}.bin"] = bytes([number]) + CONTENT
    hub.repo(f"open/{name}").commit(files, branches=["main", "v1"])


def is_whole(folder, size=8):
    return all((folder / f"part{n}.bin").read_bytes() == bytes([n]) + CONTENT for n in range(size))


def test_thirty_two_processes_make_one_download(hub, tmp_path):
    repository(hub, "crowd", extra=5)
    hub.set(latency_ms=20)
    children = [fork(lambda: install_kernel("open/crowd", version=1)) for _ in range(32)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 32
    asked = taken(hub)
    assert len(asked) == len(set(asked)) == 10


def test_others_take_over_from_one_that_is_killed(hub, tmp_path):
    large(hub, "heirs")
    hub.set(bandwidth=2_000_000)
    first = fork(lambda: install_kernel("open/heirs", version=1))
    while not any("/resolve/" in line["path"] for line in hub.log()):
        time.sleep(0.01)
    children = [fork(lambda: install_kernel("open/heirs", version=1)) for _ in range(6)]
    time.sleep(0.1)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    hub.set(bandwidth=0)
    assert is_whole(install_kernel("open/heirs", version=1))


def test_two_kernels_in_either_order(hub):
    repository(hub, "one", metadata={"kernel-depends": []})
    repository(hub, "two")
    hub.set(latency_ms=10)

    def both(first, second):
        install_kernel(f"open/{first}", version=1)
        install_kernel(f"open/{second}", version=1)

    children = [fork(lambda: both("one", "two")), fork(lambda: both("two", "one"))]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


SCAN = """
    import sys
    from huggingface_hub import scan_cache_dir
    info = scan_cache_dir(sys.argv[1])
    print(len(info.warnings), len(info.repos))
"""


def test_a_killed_download_leaves_a_cache_that_works(hub, tmp_path):
    large(hub, "killed")
    hub.set(bandwidth=6_000_000)
    dice = random.Random(7)
    resumed = 0
    for turn in range(30):
        child = fork(lambda: install_kernel("open/killed", version=1))
        time.sleep(dice.uniform(0.0, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        resumed += any(line["range"] for line in hub.log())
        hub.reset_log()
        if turn % 10 == 9:
            hub.set(bandwidth=0)
            assert is_whole(install_kernel("open/killed", version=1))
            folder = tmp_path / "hub/kernels--open--killed"
            blobs = [path for path in (folder / "blobs").iterdir() if "." not in path.name]
            assert all(git_oid(blob.read_bytes()) == blob.name for blob in blobs)
            if turn < 29:
                subprocess.run(["rm", "-rf", str(tmp_path / "hub")], check=True)
            hub.set(bandwidth=6_000_000)
    assert resumed
    peer = os.environ.get("KN_PEER_PYTHON") or pytest.fail("set KN_PEER_PYTHON, or run `make test`")
    scan = subprocess.run(
        [peer, "-c", textwrap.dedent(SCAN), str(tmp_path / "hub")], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert scan.stdout == "0 1\n"


def test_a_child_that_was_forked_during_a_download_can_work(hub):
    import threading

    large(hub, "parent")
    repository(hub, "child")
    hub.set(bandwidth=1_500_000)
    thread = threading.Thread(target=lambda: install_kernel("open/parent", version=1))
    thread.start()
    while not any("/resolve/" in line["path"] for line in hub.log()):
        time.sleep(0.01)
    child = fork(lambda: install_kernel("open/child", version=1))
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    hub.set(bandwidth=0)
    assert is_whole(install_kernel("open/parent", version=1))


def test_a_child_does_not_keep_the_locks_of_a_parent_that_is_killed(hub, monkeypatch):
    import threading

    monkeypatch.setenv("KERNELS_TIMEOUT", "20")
    large(hub, "orphan")
    hub.set(bandwidth=1_500_000)
    reading, writing = os.pipe()

    def parent():
        thread = threading.Thread(target=lambda: install_kernel("open/orphan", version=1))
        thread.start()
        while not any("/resolve/" in line["path"] for line in hub.log()):
            time.sleep(0.01)
        os.write(writing, b"%d\n" % fork(lambda: time.sleep(60)))
        thread.join()

    first = fork(parent)
    child = int(os.read(reading, 20))
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    hub.set(bandwidth=0)
    try:
        assert is_whole(install_kernel("open/orphan", version=1))
        os.kill(child, 0)  # it has lived on
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(reading)
        os.close(writing)


def test_a_full_disk_is_told_and_leaves_nothing_half(hub, tmp_path):
    import resource

    large(hub, "full")

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            install_kernel("open/full", version=1)
        except OSError as error:
            os._exit(7 if "part" in str(error) or "blobs" in str(error) else 8)

    assert os.waitstatus_to_exitcode(os.waitpid(fork(limited), 0)[1]) == 7
    assert is_whole(install_kernel("open/full", version=1))


def test_a_cache_that_cannot_be_written(hub, tmp_path, monkeypatch):
    repository(hub, "fixed")
    repository(hub, "absent")
    folder = install_kernel("open/fixed", version=1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    os.chmod(tmp_path / "own", 0o777)
    let_others_enter(tmp_path)

    def unprivileged():
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        else:
            subprocess.run(["chmod", "-R", "a-w", str(tmp_path / "hub")], check=True)
        assert install_kernel("open/fixed", version=1) == folder
        os.environ["KERNELS_REFRESH_AFTER"] = "0"
        assert install_kernel("open/fixed", version=1) == folder
        try:
            install_kernel("open/absent", version=1)
        except OSError as error:
            assert str(tmp_path / "hub") in str(error), error
        else:
            raise AssertionError("it was written")

    assert os.waitpid(fork(unprivileged), 0)[1] == 0
    subprocess.run(["chmod", "-R", "u+w", str(tmp_path / "hub")], check=True)

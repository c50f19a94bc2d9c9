# SPDX-License-Identifier: Apache-2.0
"""Imports and prefetches that end in the middle, and disks that are full."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_support import kernel_files

from kernels import install_kernel, prefetch

PROGRAM = Path(sys.prefix) / "bin" / "kernels"
CONTENT = bytes(random.Random(3).randbytes(400_000))
PARTS = 6


@pytest.fixture
def bundle(hub, tmp_path, monkeypatch):
    """The file of a bundle of two kernels; the cache is another one afterwards."""
    lock = []
    for name in ("first", "second"):
        files = kernel_files(name, variants=("torch-cpu",), layers=None)
        for number in range(PARTS):
            files[f"build/torch-cpu/part{number}.bin"] = f"{name}{number}".encode() + CONTENT
        commit = hub.repo(f"open/{name}").commit(files, branches=["main", "v1"])
        lock.append(
            {"dependency": {"repo-id": f"open/{name}", "version": 1}, "lock": {"commit": commit}}
        )
    (tmp_path / "kernels.lock").write_text(json.dumps(lock))
    file = tmp_path / "bundle.tar"
    done = run(
        "bundle", tmp_path / "kernels.lock", "-o", file, "--target", "torch=2.13,backend=cpu"
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("KERNELS_CACHE", str(tmp_path / "away"))
    return file


def run(*words, **options):
    return subprocess.run(
        [PROGRAM, *words], capture_output=True, text=True, timeout=120, check=False, **options
    )


def loads_whole(name, monkeypatch):
    """Whether a kernel is there offline, which must then be whole."""
    with monkeypatch.context() as context:
        context.setenv("HF_HUB_OFFLINE", "1")
        try:
            folder = install_kernel(f"open/{name}", version=1)
        except FileNotFoundError:
            return False
    for number in range(PARTS):
        expected = f"{name}{number}".encode() + CONTENT
        assert (folder / f"part{number}.bin").read_bytes() == expected
    return True


def test_a_killed_import_leaves_each_kernel_whole_or_absent(bundle, monkeypatch):
    chance = random.Random(5)
    for _ in range(12):
        process = subprocess.Popen([PROGRAM, "import", bundle], stdout=subprocess.DEVNULL)
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name in ("first", "second"):
            loads_whole(name, monkeypatch)
    assert run("import", bundle).returncode == 0
    assert loads_whole("first", monkeypatch)
    assert loads_whole("second", monkeypatch)


def test_a_full_disk_is_told_and_leaves_nothing_half(bundle, tmp_path, monkeypatch):
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    failed = run("import", bundle, preexec_fn=limited)
    assert failed.returncode == 1
    assert "bundle.tar': cannot write" in failed.stderr
    assert not loads_whole("first", monkeypatch)
    written = run(
        "bundle", tmp_path / "kernels.lock", "-o", tmp_path / "no.tar",
        "--target", "torch=2.13,backend=cpu", preexec_fn=limited,
        env=os.environ | {"KERNELS_CACHE": str(tmp_path / "hub")},
    )  # fmt: skip
    assert written.returncode == 1
    assert not (tmp_path / "no.tar").exists()
    assert not list(tmp_path.glob("no.tar*"))
    assert run("import", bundle).returncode == 0
    assert loads_whole("first", monkeypatch)


def test_imports_at_once_agree(bundle, monkeypatch):
    processes = [
        subprocess.Popen([PROGRAM, "import", bundle], stdout=subprocess.DEVNULL) for _ in range(5)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0] * 5
    assert loads_whole("first", monkeypatch)
    assert loads_whole("second", monkeypatch)


def test_a_killed_prefetch_leaves_a_cache_that_works(hub, tmp_path, monkeypatch):
    for name in ("first", "second", "third"):
        files = kernel_files(name, variants=("torch-cpu",), layers=None)
        for number in range(PARTS):
            files[f"build/torch-cpu/part{number}.bin"] = f"{name}{number}".encode() + CONTENT
        hub.repo(f"open/{name}").commit(files, branches=["main", "v1"])
    wanted = ["open/first@v1", "open/second@v1", "open/third@v1"]
    hub.set(bandwidth=4_000_000)
    for seconds in (0.05, 0.2, 0.5):
        child = os.fork()
        if not child:
            try:
                prefetch(wanted)
            finally:
                os._exit(0)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for name in ("first", "second", "third"):
            loads_whole(name, monkeypatch)
    hub.set(bandwidth=0)
    prefetch(wanted)
    assert all(loads_whole(name, monkeypatch) for name in ("first", "second", "third"))

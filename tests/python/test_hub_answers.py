# SPDX-License-Identifier: Apache-2.0
"""How long the Hub's answers are believed, behind redirects and after calls in vain; what has_kernel answers."""

import json
import os
import subprocess
import sys
import time

import pytest
from hub_support import age, records, repository, taken

import kernels._torch
from kernels import get_kernel, has_kernel, install_kernel


def redirect(hub, name, destination, revision):
    text = f'kind = "redirect"\ndestination = "{destination}"\nrevision = "{revision}"\n'
    return hub.repo(f"open/{name}").commit(
        {"kernel-status.toml": text.encode()}, branches=["main", "v1"]
    )


def test_behind_a_redirect_the_first_answer_expires_too(online, monkeypatch):
    monkeypatch.setenv("KERNELS_REFRESH_AFTER", "1")
    first = repository(online, "first", code="AT = 1")
    second = repository(online, "second", code="AT = 2")
    redirect(online, "moves", "open/first", first)
    assert get_kernel("open/moves").AT == 1
    redirect(online, "moves", "open/second", second)
    time.sleep(2.1)  # a commit is believed for ever, the branch that led there is not
    assert get_kernel("open/moves").AT == 2


def test_a_redirect_that_is_found_offline_is_not_new(online, tmp_path, monkeypatch):
    repository(online, "house")
    commit = redirect(online, "hut", "open/house", "main")
    install_kernel("open/hut")
    (record,) = (file for file in records(tmp_path, "resolutions/*") if "hut" in str(file))
    said = json.loads(record.read_text())
    del said["redirect_repo"], said["redirect_revision"]
    record.write_text(json.dumps(said | {"commit": commit, "ref": "main"}))
    age(tmp_path, "resolutions/*", 86400)
    taken(online)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert install_kernel("open/hut").is_dir()
    assert taken(online) == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert install_kernel("open/hut").is_dir()
    assert taken(online) == ["refs", "refs"]  # both have grown old


def test_that_there_is_no_build_is_asked_once(online):
    repository(online, "metal", variants=("torch-metal",))
    assert has_kernel("open/metal", version=1) is False
    assert taken(online) == ["refs", "tree", "trust"]
    assert has_kernel("open/metal", version=1) is False
    assert taken(online) == []


def test_has_kernel_tells_a_fault_from_a_build_that_does_not_fit(online, monkeypatch):
    repository(online, "sm90", metadata={"backend": {"type": "cuda", "archs": ["9.0"]}})
    repository(
        online, "needs90", metadata={"kernel-depends": [{"repo-id": "open/sm90", "version": 1}]}
    )
    monkeypatch.setattr(kernels._torch, "gpu", lambda: (80, None))
    assert has_kernel("open/needs90", version=1) is False
    assert has_kernel("open/needs90", version=1, check_arch=False) is True

    def broken():
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(kernels._torch, "gpu", broken)
    with pytest.raises(RuntimeError, match="the driver is gone"):
        has_kernel("open/sm90", version=1)
    files = {"build/torch-cpu/__init__.py": b""}
    online.repo("open/bare").commit(files, branches=["v1"])
    with pytest.raises(FileNotFoundError, match=r"metadata\.json"):
        has_kernel("open/bare", version=1)


def test_has_kernel_raises_without_the_network_module(online):
    repository(online, "netless")
    code = "from kernels import has_kernel; print(has_kernel('open/netless', version=1))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "KERNELS_NET_LIBRARY": "/no/such/library.so"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "RuntimeError" in done.stderr
    assert "/no/such/library.so" in done.stderr


def test_what_another_process_is_stuck_over_serves(online, tmp_path, monkeypatch, caplog):
    import fcntl
    import logging

    repository(online, "stuck")
    folder = install_kernel("open/stuck", version=1)
    monkeypatch.setenv("KERNELS_REFRESH_AFTER", "0")
    monkeypatch.setenv("KERNELS_TIMEOUT", "0.3")
    with open(tmp_path / "hub/.locks/kernels--open--stuck/repository.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with caplog.at_level(logging.WARNING):
            assert install_kernel("open/stuck", version=1) == folder
    assert "'open/stuck' is taken from the cache" in caplog.text

# SPDX-License-Identifier: Apache-2.0
"""kernels lock against a Hub that fails: a fault that passes is survived, one that stays leaves the lock file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_support import repository

PROGRAM = Path(sys.prefix) / "bin" / "kernels"
# What is asked of the Hub for a kernel, by its address.
REQUESTS = {
    "publisher": "/overview",
    "branches": "/refs$",
    "listing": "/tree/",
    "metadata": "/resolve/.*metadata",
}


@pytest.fixture
def project(hub, tmp_path):
    """A project of outer, which needs inner, with a lock file of older commits."""
    needs = {"kernel-depends": [{"repo-id": "open/inner", "version": 1}]}
    old = [repository(hub, "inner"), repository(hub, "outer", metadata=needs)]
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[tool.kernels.dependencies]\n"open/outer" = 1\n')
    entries = [
        {"dependency": {"repo-id": name, "version": 1}, "lock": {"commit": commit}}
        for name, commit in zip(("open/inner", "open/outer"), old, strict=True)
    ]
    (folder / "kernels.lock").write_text(json.dumps(entries))
    repository(hub, "inner", code="NEW = 1")
    repository(hub, "outer", metadata=needs, code="NEW = 1")
    return folder


def lock(folder, **environment):
    return subprocess.run(
        [PROGRAM, "lock", folder, "--upgrade"],
        env=os.environ | {"KERNELS_TIMEOUT": "2"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("kind", ["status", "truncate", "drop"])
def test_a_fault_that_passes_is_survived(hub, project, request_, kind):
    options = {"status": 503} if kind == "status" else {}
    fault = hub.fault(kind, REQUESTS[request_], times=1, **options)
    before = (project / "kernels.lock").read_text()
    result = lock(project)
    assert result.returncode == 0, result.stderr
    assert fault.fired == 1
    assert (project / "kernels.lock").read_text() != before


@pytest.mark.parametrize(
    "request_, warm", [*((name, False) for name in REQUESTS), ("branches", True)]
)
def test_a_fault_that_stays_leaves_the_lock(hub, project, request_, warm):
    """Also where the cache knows what the Hub said before: an older answer makes no lock file."""
    if warm:
        assert lock(project).returncode == 0
    (project / "kernels.lock").write_text("[]")
    hub.fault("status", REQUESTS[request_], status=500, times=-1)
    result = lock(project)
    assert result.returncode == 3, result.stderr
    assert result.stdout == ""
    assert (project / "kernels.lock").read_text() == "[]"
    assert sorted(each.name for each in project.iterdir()) == ["kernels.lock", "pyproject.toml"]


def test_a_hub_that_is_gone_leaves_the_lock(hub, project):
    before = (project / "kernels.lock").read_text()
    hub.stop()
    result = lock(project)
    assert result.returncode == 3, result.stderr
    assert (project / "kernels.lock").read_text() == before


def test_a_kill_at_any_time_leaves_a_whole_lock(hub, project):
    """Either the old one or the new one is there, and the next call makes the new one."""
    hub.set(latency_ms=20)
    old = (project / "kernels.lock").read_text()
    seen = set()
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
        (project / "kernels.lock").write_text(old)
        running = subprocess.Popen(
            [PROGRAM, "lock", project, "--upgrade"], stdout=subprocess.DEVNULL
        )
        time.sleep(delay)
        running.send_signal(signal.SIGKILL)
        running.wait()
        text = (project / "kernels.lock").read_text()
        seen.add(text)
        json.loads(text)
    result = lock(project)
    assert result.returncode == 0, result.stderr
    assert seen <= {old, (project / "kernels.lock").read_text()}

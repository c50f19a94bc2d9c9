# SPDX-License-Identifier: Apache-2.0
"""Every test begins with an empty mapping, and without the variables that the package reads."""

import json
import os
import subprocess
import textwrap

import pytest
import torch.nn as nn
from hub_support import set_back
from kernel_support import write_kernel

import kernels
from hub import Hub
from kernels import use_kernel_forward_from_hub


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch):
    monkeypatch.delenv("LOCAL_KERNELS", raising=False)
    monkeypatch.delenv("DISABLE_KERNEL_MAPPING", raising=False)
    kernels.register_kernel_mapping({}, inherit_mapping=False)
    yield
    kernels.register_kernel_mapping({}, inherit_mapping=False)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, and a cache that has nothing: its folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("KERNELS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory):
    """The loopback Hub of all tests that use `online`; each makes repositories of its own."""
    with Hub(tmp_path_factory.mktemp("online"), tokens=["insider", "outsider"]) as hub:
        hub.organization("open", trusted=True)
        hub.organization("closed", trusted=False)
        yield hub


@pytest.fixture
def online(shared_hub, monkeypatch, tmp_path):
    """The Hub as it was at the start, asked by this process with an empty cache: tmp_path/hub."""
    for name, value in shared_hub.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name in ("KERNELS_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "KERNELS_REFRESH_AFTER"):
        monkeypatch.delenv(name, raising=False)
    return set_back(shared_hub)


@pytest.fixture
def layer_class():
    """A new extensible class: its forward returns its input."""

    @use_kernel_forward_from_hub("Identity")
    class Identity(nn.Module):
        def forward(self, x):
            return x

    return Identity


@pytest.fixture
def toy(tmp_path):
    """A kernel directory with the layers Tenfold and Hundredfold."""
    return write_kernel(tmp_path / "toy")


@pytest.fixture(scope="session")
def peer():
    """The Python that has upstream's package; `make test` provides it."""
    python = os.environ.get("KN_PEER_PYTHON")
    if not python:
        pytest.fail("set KN_PEER_PYTHON to a Python that has kernels==0.17.2, or run `make test`")
    return python


@pytest.fixture(params=["KN_PEER_PYTHON", "KN_HUB1_PYTHON"])
def client(request):
    """Runs a program with one of huggingface_hub's versions in the test's environment; it prints JSON."""
    python = os.environ.get(request.param)
    if not python:
        pytest.fail(f"set {request.param}, or run `make test`")

    def run(code, *arguments, **env):
        done = subprocess.run(
            [python, "-c", textwrap.dedent(code), *arguments],
            capture_output=True, text=True, env=os.environ | env,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    run.python = python
    return run

# SPDX-License-Identifier: Apache-2.0
"""The program that the wheel installs, and a loopback Hub to run it against."""

import os
import subprocess

import pytest
from cli_support import PROGRAM
from hub_support import set_back

from hub import Hub


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("cli-hub")) as hub:
        hub.organization("open", trusted=True)
        hub.organization("closed", trusted=False)
        yield hub


@pytest.fixture
def hub(shared_hub):
    return set_back(shared_hub)


@pytest.fixture
def home(tmp_path):
    """HF_HOME of the program; its cache is home/hub."""
    return tmp_path / "home"


@pytest.fixture
def environment(hub, home):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | hub.environment(home)


@pytest.fixture
def cli(environment, tmp_path):
    """cli("info", "org/name", NAME=value) runs the program; its result has returncode, stdout, stderr."""

    def run(*words, program=PROGRAM, **more):
        return subprocess.run(
            [program, *words],
            env=environment | more,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def peer_cli(hub, tmp_path):
    """Upstream's program, with a cache of its own."""
    python = os.environ.get("KN_PEER_PYTHON")
    if not python:
        pytest.fail(
            "set KN_PEER_PYTHON to the Python that has upstream's package, or run `make test`"
        )
    environment = os.environ | hub.environment(tmp_path / "peer")
    environment.pop("PYTHONPATH", None)

    def run(*words):
        return subprocess.run(
            [python, "-c", "from kernels.cli import main; main()", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run

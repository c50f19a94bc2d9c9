# SPDX-License-Identifier: Apache-2.0
"""A loopback Hub whose rules are broken, asked by this process with a cache of its own."""

import pytest
from hub_support import set_back

from hub import Hub


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("faulty"), tokens=["insider"]) as hub:
        hub.organization("open", trusted=True)
        yield hub


@pytest.fixture
def hub(shared, monkeypatch, tmp_path):
    for name, value in shared.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name in ("KERNELS_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "KERNELS_REFRESH_AFTER"):
        monkeypatch.delenv(name, raising=False)
    yield set_back(shared)
    if not shared.process or shared.process.poll() is not None:
        shared.restart_on_same_port()

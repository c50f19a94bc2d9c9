# SPDX-License-Identifier: Apache-2.0
"""Several sources, the first of which breaks its rules: what comes is right all the same, or is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_support import repository

from hub import Hub

PROGRAM = Path(sys.prefix) / "bin" / "kernels"


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("sound")) as hub:
        hub.organization("open", trusted=True)
        yield hub


@pytest.fixture
def get(hub, second, tmp_path):
    """get("name") fetches open/name, from the Hub with the faults first: (exit status, file, what was said)."""
    config = tmp_path / "kernels.toml"
    config.write_text(f'[[source]]\nhub = "{hub.url}"\n[[source]]\nhub = "{second.url}"\n')

    def one(name):
        done = subprocess.run(
            [PROGRAM, "get", f"open/{name}", "--version", "1"],
            env=os.environ | {"KERNELS_CONFIG": str(config), "KERNELS_TIMEOUT": "5"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        folder = Path(done.stdout.strip() or "/none")
        return done.returncode, folder / "extra_0000.py", done.stderr

    return one


def both(hub, second, name):
    commit = repository(hub, name, extra=1)
    assert repository(second, name, extra=1) == commit


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("flip", {"offset": 2}),
        ("truncate", {"bytes": 5}),
        ("reset", {"bytes": 5}),
        ("status", {"status": 404}),
        ("status", {"status": 503}),
    ],
)
@pytest.mark.parametrize("where", ["extra_0000", "/tree/", "/refs"])
def test_what_one_hub_breaks_comes_from_the_next(hub, second, get, kind, options, where):
    name = f"{kind}-{options.get('status', 'x')}-{where.strip('/_0')}"
    both(hub, second, name)
    fault = hub.fault(kind, where, times=-1, **options)
    status, file, said = get(name)
    assert status == 0, said
    assert file.read_text() == f"NUMBER = 0\nTEXT = '{name}'\n"
    assert fault.fired
    assert f"going on with the source {second.url}" in said or options.get("status") == 404


def test_where_every_source_is_wrong_nothing_is_left(hub, second, get, tmp_path):
    both(hub, second, "hopeless")
    hub.fault("flip", "extra_0000", offset=2, times=-1)
    second.fault("flip", "extra_0000", offset=3, times=-1)
    status, _, said = get("hopeless")
    second.clear_faults()
    assert status == 5
    assert "extra_0000.py" in said
    assert not list((tmp_path / "hub").rglob("extra_0000.py"))
    assert not list((tmp_path / "hub").rglob("*.incomplete"))


def test_a_hub_that_is_gone_is_passed_over(hub, second, get):
    both(hub, second, "vanished")
    hub.stop()
    status, file, said = get("vanished")
    assert status == 0, said
    assert file.is_file()

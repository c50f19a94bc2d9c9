# SPDX-License-Identifier: Apache-2.0
"""docs/api.md names exactly what there is here and in upstream, and says truly how it was compared."""

import importlib
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Modules of upstream whose names begin with an underscore. Other such modules are private.
LISTED = ("kernels._rust", "kernels._system", "kernels._versions", "kernels.layer._interval_tree")


def read_table():
    """{module.name: (status, how it was compared)}"""
    text = (HERE.parents[1] / "docs" / "api.md").read_text().partition("## By module")[2]
    rows, module = {}, None
    for line in text.splitlines():
        heading = re.fullmatch(r"### (\S+)", line)
        row = re.fullmatch(r"\| `(\w+)` \| (.+?) \| ([SDUT ]*)\|", line)
        if heading:
            module = heading[1]
        elif row:
            name = f"{module}.{row[1]}"
            assert name not in rows, name
            rows[name] = row[2], row[3].split()
    return rows


TABLE = read_table()
HERE_NAMES = {name for name, (status, _) in TABLE.items() if not status.startswith("not here: ")}


def ask(python, wanted):
    script = str(HERE / "api_names.py")
    done = subprocess.run(
        [python, "-I", script, json.dumps(wanted)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def public(answer):
    return {
        f"{module}.{name}"
        for module, names in answer["names"].items()
        if module in LISTED or not module.rpartition(".")[2].startswith("_")
        for name in names
    }


@pytest.fixture(scope="module")
def compared():
    return sorted(name for name, (_, how) in TABLE.items() if "S" in how)


@pytest.fixture(scope="module")
def ours(compared):
    return ask(sys.executable, compared)


@pytest.fixture(scope="module")
def theirs(peer, compared):
    return ask(peer, compared)


def test_every_name_that_is_here_is_in_the_table(ours):
    assert sorted(public(ours) - HERE_NAMES) == []


def test_every_name_of_upstream_is_in_the_table(theirs):
    assert sorted(public(theirs) - set(TABLE)) == []
    assert len(public(theirs)) > 200


def is_there(name):
    module, _, attribute = name.rpartition(".")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return False


def test_the_table_says_truly_what_is_here():
    assert [name for name in TABLE if is_there(name) != (name in HERE_NAMES)] == []


def test_the_table_says_truly_what_upstream_has(theirs):
    there = public(theirs)
    for name, (status, _) in TABLE.items():
        if status == "added" or status.startswith("not here"):
            assert (name in there) == (status != "added"), name
    assert {status.partition(":")[0] for status, _ in TABLE.values()} == {
        "added",
        "as upstream",
        "not here",
        "older",
        "takes more",
    }


def test_signatures_are_upstreams(ours, theirs, compared):
    assert len(compared) > 100
    for name in compared:
        own, upstream = dict(ours["signatures"][name]), dict(theirs["signatures"][name])
        common = {key: own.get(key) for key in upstream}
        # What upstream requires may have a default here.
        required = {key for key, default in upstream.items() if default == "required"}
        assert {key: value for key, value in common.items() if key not in required} == {
            key: value for key, value in upstream.items() if key not in required
        }, name
        assert required <= own.keys(), name
        assert bool(own.keys() - upstream.keys()) == (TABLE[name][0] == "takes more"), name


def test_what_is_compared_by_scripts_is_in_them():
    scripts = "".join(
        (HERE / f"{name}.py").read_text() for name in ("differential_cases", "test_hub_peer")
    )
    for name, (_, how) in TABLE.items():
        if "D" in how:
            assert re.search(rf"\b{name.rpartition('.')[2]}\b", scripts), name


def test_everything_that_is_here_was_compared_in_some_way():
    assert [name for name in HERE_NAMES if not TABLE[name][1]] == []

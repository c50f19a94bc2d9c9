# SPDX-License-Identifier: Apache-2.0
"""Whatever rules kernels.toml has, doctor tells them with the lines on which they stand."""

import json
import os
import subprocess

import pytest
from cli_support import PROGRAM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
REPOS = st.builds("{}/{}".format, NAMES, NAMES)
VERSIONS = st.one_of(
    st.integers(0, 99),
    st.sampled_from([">=0.1,<0.2", "~=1.4", "4f593f99ef250e10e9377b5c10109351b418f318"]),
)
DENIED = st.one_of(
    REPOS,
    NAMES,
    st.builds("{}/*".format, NAMES),
    st.builds("{} >= {}".format, REPOS, st.integers(0, 99)),
)
FILLERS = st.lists(st.sampled_from(["", "# nothing", "  "]), max_size=3)


class Writer:
    """A document, line by line, and where the rules stand."""

    def __init__(self, draw):
        self.draw, self.lines = draw, []

    def add(self, text):
        self.lines += [*self.draw(FILLERS), text]
        return len(self.lines)


@st.composite
def documents(draw):
    """(TOML, the rules as doctor tells them)."""
    writer, rules = Writer(draw), []
    denies = draw(st.lists(DENIED, max_size=4))
    writer.add("deny = [")
    denied = [("deny", text, None, writer.add(f"  {json.dumps(text)},")) for text in denies]
    writer.add("]")
    writer.add("[pin]")
    for repo, version in draw(st.dictionaries(REPOS, VERSIONS, max_size=4)).items():
        line = writer.add(f"{json.dumps(repo)} = {json.dumps(version)}")
        rules.append(("pin", repo, str(version), line))
    rules.sort(key=lambda rule: rule[1].encode())  # tables come by name
    writer.add("[trust]")
    writer.add("organizations = [")
    trusted = [
        ("trust", name, "organization", writer.add(f"{json.dumps(name)},"))
        for name in draw(st.lists(NAMES, max_size=4))
    ]
    writer.add("]")
    return "\n".join(writer.lines) + "\n", rules + denied + trusted


def doctor(folder, text):
    file = folder / "kernels.toml"
    file.write_text(text)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "KERNELS_CACHE": str(folder / "cache"),
        "KERNELS_CONFIG": str(file),
    }
    done = subprocess.run(
        [PROGRAM, "doctor", "--json"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rules")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents())
def test_every_rule_is_told_with_its_line(folder, document):
    text, rules = document
    told = doctor(folder, text)["rules"]
    assert [(r["kind"], r["subject"], r["value"], r["line"]) for r in told] == rules


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents(), key=st.from_regex(r"[a-z]{1,12}", fullmatch=True))
def test_an_unknown_key_is_told_with_its_line(folder, document, key):
    if key in ("deny", "pin", "trust", "order", "source"):
        return
    text = document[0] + f"[{key}]\n"
    told = doctor(folder, text)
    line = text.count("\n")
    expected = f"{folder}/kernels.toml:{line}:2: unknown key '{key}' in kernels.toml"
    assert told["problems"][0]["problem"].startswith(expected)

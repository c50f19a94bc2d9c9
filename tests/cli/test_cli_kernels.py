# SPDX-License-Identifier: Apache-2.0
"""versions, info, get and resolve: what they print, beside upstream's program where that has them."""

import json
import os
from pathlib import Path

import pytest

FIRST = (
    "torch-cpu",
    "torch-universal",
    "torch-metal",
    "torch29-cu118-x86_64-linux",
    "torch-stable-abi29-cpu-x86_64-linux",
)
METADATA = {
    "python-depends": ["einops"],
    "upstream": "https://example.org/relu",
    "license": "Lizenz “é” 𝄞",
    "kernels-minver": "0.1.0",
}


@pytest.fixture
def relu(hub):
    """A repository with versions 1 and 2; the commit of version 1."""
    commit = hub.kernel("open/relu", branches=("main", "v1"), variants=FIRST, metadata=METADATA)
    hub.kernel("open/relu", branches=("main", "v2"))
    hub.kernel("open/plain", branches=("main",))
    return commit


def peer_environment():
    return os.environ["KN_PEER_PYTHON"]


def sections(text):
    """The lines of each version, sorted: upstream prints the builds that do not fit in any order."""
    found, lines = {}, None
    for line in text.splitlines():
        if line.startswith("Version "):
            lines = found.setdefault(line, [])
        elif lines is not None and line:
            lines.append(line)
    return {name: sorted(lines) for name, lines in found.items()}


def test_versions_prints_what_upstream_prints(cli, peer_cli, relu):
    ours = cli("versions", "open/relu", "--python", peer_environment())
    theirs = peer_cli("versions", "open/relu")
    assert (ours.returncode, theirs.returncode) == (0, 0), ours.stderr
    assert sections(ours.stdout) == sections(theirs.stdout)
    assert sections(ours.stdout)["Version 2:"] == [
        "torch-cpu compatible, preferred ✅",
        "torch-universal compatible ✅",
    ]
    fitting = [line for line in ours.stdout.splitlines() if "✅" in line]
    assert fitting == [line for line in theirs.stdout.splitlines() if "✅" in line]
    plain = "Repository does not support kernel versions: open/plain\n"
    assert (
        cli("versions", "open/plain").stdout == peer_cli("versions", "open/plain").stdout == plain
    )


def test_info_prints_what_upstream_prints(cli, peer_cli, relu):
    # Version 2 and the main branch have builds that all describe themselves alike; upstream reads any of them.
    for words in (["open/relu"], ["open/relu", "--version", "2"], ["open/plain"]):
        ours, theirs = cli("info", *words), peer_cli("info", *words)
        assert (ours.returncode, theirs.returncode) == (0, 0), ours.stderr
        lines = theirs.stdout.splitlines()
        assert ours.stdout.splitlines()[: len(lines)] == lines
        mine = json.loads(cli("info", *words, "--json").stdout)
        other = json.loads(peer_cli("info", *words, "--json").stdout)
        assert {name: mine[name] for name in other} == other
        assert list(mine)[: len(other)] == list(other)
    assert "Revision: v2\n" in cli("info", "open/relu").stdout


def test_info_says_of_which_builds_nothing_is_known_and_fetches_none(cli, relu, hub):
    said = cli("info", "open/relu", "--version", "1")
    assert "Shared objects: not known of 5 of 5 builds, which are not in the cache\n" in said.stdout
    told = json.loads(cli("info", "open/relu", "--version", "1", "--json").stdout)
    assert [build["is_here"] for build in told["builds"]] == [False] * 5


def test_json_is_laid_out_as_upstream_does(cli, relu):
    text = cli("info", "open/relu", "--version", "1", "--json").stdout
    assert text == json.dumps(json.loads(text), indent=2) + "\n"
    found = json.loads(text)
    assert found["backends"] == ["cpu", "cuda", "metal", "universal"]
    assert found["python_depends"] == ["einops"]
    assert found["license"] == METADATA["license"]
    assert found["upstream"] == "https://example.org/relu"
    assert found["kernels_minver"] == "0.1.0"
    assert found["commit"] == relu
    assert len(found["variants"]) == 5


def test_info_of_a_directory(cli, peer_cli, relu, hub, tmp_path):
    folder = tmp_path / "local"
    (hub.root / "kernels/open/relu/commits" / relu).rename(folder)
    ours, theirs = cli("info", str(folder)), peer_cli("info", str(folder))
    assert (ours.returncode, theirs.returncode) == (0, 0), ours.stderr
    assert ours.stdout == theirs.stdout
    mine = json.loads(cli("info", "local", "--json").stdout)
    assert mine["path"] == "local"
    for words in (["--version", "1"], ["--revision", "main"]):
        refused = cli("info", "local", *words)
        assert refused.returncode == peer_cli("info", "local", *words).returncode == 1
        assert "--revision and --version cannot be used with a local path" in refused.stderr
    (tmp_path / "empty").mkdir()
    for run in (cli, peer_cli):
        result = run("info", "empty")
        assert result.returncode == 1
        assert "No build variants found in: empty/build" in result.stderr


def test_info_of_what_ships_with_the_package(cli):
    result = cli("info", "builtin/norm")
    assert result.returncode == 0, result.stderr
    assert "Name: norm\n" in result.stdout
    assert "/kernels/builtin/norm\n" in result.stdout


def test_failures_as_upstream_words_them(cli, peer_cli, relu, hub):
    hub.repo("open/hollow").commit({"README.md": b"none"}, branches=["main"])
    cases = [
        (["info", "open/relu", "--version", "7"], "Version 7 not found, available versions: 1, 2"),
        (["info", "open/relu", "--version", "1", "--revision", "main"], "Only one of --revision or --version"),
        (["info", "open/hollow"], "No build variants found in open/hollow (revision: main)"),
    ]  # fmt: skip
    for words, part in cases[:2]:
        ours, theirs = cli(*words), peer_cli(*words)
        assert ours.returncode == theirs.returncode == 1, ours.stderr
        assert part in ours.stderr
        assert part in theirs.stderr
    hollow = cli(*cases[2][0])
    assert (hollow.returncode, cases[2][1] in hollow.stderr) == (1, True), hollow.stderr
    assert (cli("versions", "open/absent").returncode, cli("info", "open/absent").returncode) == (
        1,
        1,
    )


def test_check_has_moved(cli, peer_cli):
    ours, theirs = cli("check", "open/relu"), peer_cli("check", "open/relu")
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr)
    assert ours.returncode == 1


def test_warm_calls_make_no_request(cli, relu, hub):
    for words in (["info", "open/relu"], ["versions", "open/relu"]):
        assert cli(*words).returncode == 0
    hub.reset_log()
    first = cli("info", "open/relu")
    assert first.returncode == 0
    assert cli("versions", "open/relu").returncode == 0
    assert hub.log() == []
    assert cli("info", "open/relu", HF_HUB_OFFLINE="1").stdout == first.stdout
    assert cli("info", "open/relu", "--refresh").returncode == 0
    assert hub.log()


def test_get_fetches_and_prints_the_folder(cli, relu, hub, home):
    result = cli("get", "open/relu", "--version", "2")
    assert result.returncode == 0, result.stderr
    folder = Path(result.stdout.rstrip("\n"))
    assert folder.is_relative_to(home / "hub/kernels--open--relu/snapshots")
    assert folder.name == "torch-cpu"
    assert (folder / "__init__.py").is_file()
    hub.reset_log()
    again = cli("get", "open/relu", "--version", "2", "--json")
    assert json.loads(again.stdout)["folder"] == str(folder)
    assert hub.log() == []


def test_get_says_why_not(cli, relu, hub):
    hub.kernel("closed/thing", trusted=False)
    refused = cli("get", "closed/thing")
    assert refused.returncode == 4
    assert "--trust" in refused.stderr
    assert refused.stdout == ""
    assert cli("get", "closed/thing", "--trust").returncode == 0
    hub.kernel("open/metal", variants=("torch-metal",))
    unfit = cli("get", "open/metal")
    assert unfit.returncode == 1
    assert "Cannot find a build variant for this system in open/metal" in unfit.stderr
    unreachable = cli("get", "open/other", HF_ENDPOINT="http://127.0.0.1:9", KERNELS_TIMEOUT="1")
    assert unreachable.returncode == 3
    assert cli("get", "open/relu", "--version", "1", "--revision", "main").returncode == 1


def test_resolve_for_another_machine(cli, relu):
    words = ["--torch", "2.9", "--backend", "cu118", "--tvm-ffi", "none"]
    result = cli("resolve", "open/relu", "--version", "1", *words)
    assert result.returncode == 0, result.stderr
    assert "Variant: torch29-cu118-x86_64-linux\n" in result.stdout
    assert "Machine: torch 2.9, cu118, x86_64-linux" in result.stdout
    assert "torch-metal: backend (metal) does not match" in result.stdout
    words = ["--torch", "2.10", "--backend", "cu130", "--arch", "aarch64", "--json"]
    found = json.loads(cli("resolve", "open/relu", "--version", "1", *words).stdout)
    assert found["variant"] == "torch-universal"
    assert found["environment"]["arch"] == "aarch64"
    reasons = {each["name"]: each["reason"] for each in found["variants"]}
    assert (
        reasons["torch29-cu118-x86_64-linux"] == "CPU (x86_64) does not match system CPU (aarch64)"
    )


def test_resolve_asks_whether_there_is_code_for_the_gpu(cli, hub):
    hub.kernel(
        "open/hopper",
        variants=("torch29-cu130-x86_64-linux",),
        metadata={"backend": {"type": "cuda", "archs": ["9.0"]}},
    )
    machine = ["--torch", "2.9", "--backend", "cu130"]
    assert cli("resolve", "open/hopper", *machine, "--capability", "9.0").returncode == 0
    old = cli("resolve", "open/hopper", *machine, "--capability", "80")
    assert old.returncode == 1
    assert "Variant: none" in old.stdout
    assert "only for 9.0" in old.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--torch", "new"],
        ["--capability", "fast"],
        ["--backend", "cuda"],
        ["--cxx11-abi", "2"],
        ["--tvm-ffi", "1"],
    ],
)
def test_a_value_that_makes_no_sense(cli, relu, words):
    result = cli("resolve", "open/relu", *words)
    assert result.returncode == 2
    assert f"{words[0]} is '{words[1]}': expected" in result.stderr


def test_the_environment_is_named_and_read_as_text(cli, relu, tmp_path):
    prefix = tmp_path / "other"
    packages = prefix / "lib/python3.12/site-packages"
    (packages / "torch").mkdir(parents=True)
    (packages / "torch/version.py").write_text("__version__ = '2.9.0+cu118'\ncuda = '11.8'\n1/0\n")
    (prefix / "bin").mkdir()
    (prefix / "bin/python").write_text("#!/bin/sh\ntouch " + str(tmp_path / "was-run"))
    (prefix / "bin/python").chmod(0o755)
    for python in (prefix, prefix / "bin/python"):
        result = cli("resolve", "open/relu", "--version", "1", "--python", str(python))
        assert result.returncode == 0, result.stderr
        assert f"torch 2.9.0+cu118, cu118, x86_64-linux (Python 3.12 in {prefix})" in result.stdout
        assert "Variant: torch" in result.stdout
    assert not (tmp_path / "was-run").exists()
    missing = cli("get", "open/relu", "--python", str(tmp_path / "nowhere"))
    assert missing.returncode == 1
    assert "there is no Python environment" in missing.stderr

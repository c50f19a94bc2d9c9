# SPDX-License-Identifier: Apache-2.0
"""kernels download: upstream's arguments and behaviour, and that either client finds what the other has fetched."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from hub import kernel_files

VARIANTS = ("torch-cpu", "torch-cuda")


@pytest.fixture(scope="module")
def commits(shared_hub):
    """Two kernels of two builds each, one needing the other, and one of a publisher that is not trusted."""
    base = shared_hub.repo("open/base").commit(
        kernel_files("base", variants=VARIANTS, layers=None), branches=["main", "v1"]
    )
    needs = {"kernel-depends": [{"repo-id": "open/base", "version": 1}]}
    top = shared_hub.repo("open/fetched").commit(
        kernel_files("fetched", variants=VARIANTS, layers=None, metadata=needs), branches=["v3"]
    )
    other = shared_hub.repo("closed/other").commit(
        kernel_files("other", variants=VARIANTS, layers=None), branches=["v1"]
    )
    return {"open/base": (1, base), "open/fetched": (3, top), "closed/other": (1, other)}


@pytest.fixture
def project(tmp_path, commits):
    """project("open/base", ...) writes a lock file of these kernels; returns the project's folder."""

    def write(*repos):
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        entries = [
            {
                "dependency": {"repo-id": repo, "version": commits[repo][0]},
                "lock": {"commit": commits[repo][1]},
            }
            for repo in repos
        ]
        (folder / "kernels.lock").write_text(json.dumps(entries))
        return folder

    return write


def snapshot(home, repo, commits):
    """The files of a locked kernel in the cache, as paths in its build folder."""
    folder = Path(home, "hub", f"kernels--{repo.replace('/', '--')}", "snapshots", commits[repo][1])
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def build(*variants):
    return {f"build/{v}/{name}" for v in variants for name in ("__init__.py", "metadata.json")}


def test_the_builds_for_this_environment_are_fetched_at_once(cli, hub, home, project, commits):
    folder = project("open/fetched", "open/base")
    hub.reset_log()
    result = cli("download", folder)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[:2] == [
        f"Downloading kernel: open/base (revision: {commits['open/base'][1]})",
        f"Downloading kernel: open/fetched (revision: {commits['open/fetched'][1]})",
    ] or result.stderr.splitlines()[:2] == [
        f"Downloading kernel: open/fetched (revision: {commits['open/fetched'][1]})",
        f"Downloading kernel: open/base (revision: {commits['open/base'][1]})",
    ]
    assert [Path(line).name for line in result.stdout.splitlines()] == ["torch-cpu"] * 2
    assert snapshot(home, "open/fetched", commits) == build("torch-cpu")
    assert snapshot(home, "open/base", commits) == build("torch-cpu")
    assert len(hub.log()) == 1 + 2 + 4  # the publisher, the listings, the files
    hub.reset_log()
    assert cli("download", folder).returncode == 0
    assert hub.log() == []


def test_all_variants_are_every_build_and_nothing_else(cli, home, hub, project, commits):
    assert cli("download", project("open/fetched", "open/base"), "--all-variants").returncode == 0
    for repo in ("open/fetched", "open/base"):
        assert snapshot(home, repo, commits) == build(*VARIANTS)
    hub.reset_log()
    again = cli("download", project("open/base"), "--all-variants", HF_HUB_OFFLINE="1")
    assert (again.returncode, hub.log()) == (0, [])
    assert sorted(Path(line).name for line in again.stdout.splitlines()) == sorted(VARIANTS)


def test_json(cli, project, commits):
    folder = project("open/base")
    found = json.loads(cli("download", folder, "--json").stdout)
    assert found["lockfile"] == f"{folder}/kernels.lock"
    assert len(found["digest"]) == 64
    (kernel,) = found["kernels"]
    assert kernel.pop("folder").endswith(f"{commits['open/base'][1]}/build/torch-cpu")
    assert kernel == {
        "repo_id": "open/base",
        "commit": commits["open/base"][1],
        "variant": "torch-cpu",
        "problem": None,
    }


def test_what_cannot_be_had_does_not_keep_others_away(cli, home, project, commits):
    folder = project("open/base")
    entries = json.loads((folder / "kernels.lock").read_text())
    entries.append(
        {"dependency": {"repo-id": "open/gone", "version": 1}, "lock": {"commit": "1" * 40}}
    )
    (folder / "kernels.lock").write_text(json.dumps(entries))
    result = cli("download", folder)
    assert result.returncode == 1
    assert "open/gone" in result.stderr.splitlines()[-1]
    assert snapshot(home, "open/base", commits) == build("torch-cpu")
    found = json.loads(cli("download", folder, "--json").stdout)
    assert found["digest"] is None
    assert ["open/gone" in (kernel["problem"] or "") for kernel in found["kernels"]].count(
        True
    ) == 1


def test_what_nobody_vouches_for_is_fetched_with_a_warning(cli, home, project, commits):
    result = cli("download", project("closed/other"))
    assert result.returncode == 0
    assert "not every publisher is trusted" in result.stderr
    assert snapshot(home, "closed/other", commits) == build("torch-cpu")


def test_a_dependency_that_is_not_locked_is_an_error(cli, project):
    result = cli("download", project("open/fetched"))
    assert result.returncode == 1
    assert "Kernel `open/base` (version: 1) is not locked" in result.stderr


def test_exit_statuses_and_messages(cli, tmp_path, project):
    missing = cli("download", tmp_path)
    assert missing.returncode == 1
    assert f"No kernels.lock file found in: {tmp_path}" in missing.stderr
    folder = project("open/base")
    assert cli("download", folder, HF_ENDPOINT="http://127.0.0.1:9").returncode == 3
    (folder / "kernels.lock").write_text("[3]")
    broken = cli("download", folder)
    assert broken.returncode == 1
    assert f"{folder}/kernels.lock" in broken.stderr
    assert cli("download").returncode == 2


LOAD = """
import sys
from kernels import load_kernel
print(load_kernel(sys.argv[1], lockfile="kernels.lock").NAME)
"""


def load(python, environment, repo, folder):
    return subprocess.run(
        [python, "-c", LOAD, repo],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("option", [(), ("--all-variants",)])
def test_upstream_loads_what_was_downloaded_here(cli, hub, home, project, option):
    folder = project("open/fetched", "open/base")
    assert cli("download", folder, *option).returncode == 0
    environment = {**os.environ, **hub.environment(home)}
    environment.pop("PYTHONPATH", None)
    found = load(os.environ["KN_PEER_PYTHON"], environment, "open/fetched", folder)
    assert found.stdout == "fetched\n", found.stderr


@pytest.mark.parametrize("option", [(), ("--all-variants",)])
def test_what_upstream_downloaded_loads_here(peer_cli, hub, tmp_path, project, option):
    import sys

    folder = project("open/fetched", "open/base")
    done = peer_cli("download", str(folder), *option)
    assert done.returncode == 0, done.stderr
    found = load(
        sys.executable, {**os.environ, **hub.environment(tmp_path / "peer")}, "open/fetched", folder
    )
    assert found.stdout == "fetched\n", found.stderr


@pytest.mark.parametrize("option", [(), ("--all-variants",)])
def test_both_fetch_the_same_files(cli, peer_cli, home, tmp_path, project, commits, option):
    folder = project("open/fetched", "open/base")
    assert cli("download", folder, *option).returncode == 0
    assert peer_cli("download", str(folder), *option).returncode == 0
    for repo in ("open/fetched", "open/base"):
        assert snapshot(home, repo, commits) == snapshot(tmp_path / "peer", repo, commits)


def test_both_say_the_same_where_there_is_no_lock_file(cli, peer_cli, tmp_path):
    ours, theirs = cli("download", str(tmp_path)), peer_cli("download", str(tmp_path))
    assert (ours.returncode, theirs.returncode) == (1, 1)
    assert theirs.stderr.strip() in ours.stderr

# SPDX-License-Identifier: Apache-2.0
"""kernels lock: what it writes, beside what upstream writes; check, diff and upgrade; what it refuses."""

import json
import os
import subprocess
import textwrap

import pytest
from hub_support import kinds, repository

from hub import git_oid, kernel_files


def needs(*names):
    return {"kernel-depends": [{"repo-id": f"open/{name}", "version": 1} for name in names]}


@pytest.fixture
def project(tmp_path):
    """project({"org/name": 1}) writes the project's pyproject.toml; its folder."""
    folder = tmp_path / "project"
    folder.mkdir()

    def write(kernels):
        lines = [f'"{name}" = {version}' for name, version in kernels.items()]
        text = "\n".join(["[tool.kernels.dependencies]", *lines, ""])
        (folder / "pyproject.toml").write_text(text)
        return folder

    return write


@pytest.fixture
def tree(hub):
    """One build of top needs left, the other one right, and these need leaf; the commits of all."""
    commits = {"open/leaf": repository(hub, "leaf", code="LEAF = 1")}
    for name in ("left", "right"):
        commits[f"open/{name}"] = repository(hub, name, metadata=needs("leaf"))
    both = kernel_files("top", variants=("torch-cpu",), layers=None, metadata=needs("left"))
    both |= kernel_files("top", variants=("torch-metal",), layers=None, metadata=needs("right"))
    commits["open/top"] = hub.repo("open/top").commit(both, ["main", "v1"])
    hub.reset_log()
    return commits


def locked(folder):
    """What the lock file says: {(repository, version or revision): commit}."""
    entries = json.loads((folder / "kernels.lock").read_text())
    return {
        (each["dependency"]["repo-id"], *list(each["dependency"].values())[1:]): each["lock"][
            "commit"
        ]
        for each in entries
    }


def test_lock_writes_what_upstream_writes(cli, peer_cli, project, tree, hub):
    repository(hub, "other", branches=("main", "v1", "v12"))
    folder = project({"open/top": 1, "open/other": 12})
    theirs = peer_cli("lock", str(folder))
    assert theirs.returncode == 0, theirs.stderr
    text = (folder / "kernels.lock").read_bytes()
    (folder / "kernels.lock").unlink()
    ours = cli("lock", str(folder))
    assert (ours.returncode, ours.stderr) == (0, "")
    assert (folder / "kernels.lock").read_bytes() == text
    names = {(name, 1) for name in tree} | {("open/other", 12)}
    assert set(locked(folder)) == names
    assert ours.stdout.splitlines()[-1] == f"5 kernels are locked in {folder}/kernels.lock"


def test_a_lock_of_upstream_fits(cli, peer_cli, project, tree, hub):
    folder = project({"open/top": 1})
    assert peer_cli("lock", str(folder)).returncode == 0
    result = cli("lock", str(folder), "--check")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{folder}/kernels.lock is what the project needs\n"


READ = """
    import json, sys
    from kernels._rust import KernelLocks
    locks = KernelLocks.from_json(open(sys.argv[1]).read())
    print(json.dumps([[key.repo_id, lock.commit] for key, lock in locks.items()]))
    from kernels import get_locked_kernel
    print(get_locked_kernel("open/leaf", lockfile=sys.argv[1]).LEAF)
"""


def test_upstream_reads_a_lock_with_digests(cli, peer_cli, project, tree, environment, tmp_path):
    folder = project({"open/top": 1})
    assert cli("lock", str(folder), "--digests").returncode == 0
    done = subprocess.run(
        [
            os.environ["KN_PEER_PYTHON"],
            "-c",
            textwrap.dedent(READ),
            folder / "kernels.lock",
        ],
        env=environment | {"HF_HOME": str(tmp_path / "peer"), "HF_HUB_CACHE": str(tmp_path / "c")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    entries, leaf = done.stdout.splitlines()
    assert sorted(map(tuple, json.loads(entries))) == sorted(2 * list(tree.items()))
    assert leaf == "1"
    assert peer_cli("download", str(folder)).returncode == 0


def test_digests_are_of_every_file_of_every_build(cli, project, tree, hub):
    files = kernel_files("plain", variants=("torch-cpu", "torch-metal"), layers=None)
    files |= {"README.md": b"none", "build/torch-cpu/__pycache__/x.pyc": b"none"}
    commit = hub.repo("open/plain").commit(files, ["v1"])
    folder = project({"open/plain": 1})
    assert cli("lock", str(folder), "--digests").returncode == 0
    entries = json.loads((folder / "kernels.lock").read_text())
    assert entries[0] == {
        "dependency": {"repo-id": "open/plain", "version": 1},
        "lock": {"commit": commit},
    }
    lines = [
        f"{git_oid(content)}  {path}"
        for path, content in sorted(files.items())
        if path.startswith("build/") and "__pycache__" not in path
    ]
    assert entries[1] == {
        "dependency": {
            "repo-id": "open/plain",
            "revision": "\n".join([f"~digests of {commit}", *lines]),
        },
        "lock": {"commit": commit},
    }


def test_what_is_locked_stays_until_it_is_upgraded(cli, project, tree, hub):
    folder = project({"open/top": 1, "open/leaf": 1})
    assert cli("lock", str(folder)).returncode == 0
    before = (folder / "kernels.lock").read_bytes()
    new = {
        "open/leaf": repository(hub, "leaf", code="LEAF = 2"),
        "open/left": repository(hub, "left", metadata=needs("leaf"), code="LEFT = 2"),
    }
    hub.reset_log()
    assert cli("lock", str(folder)).returncode == 0
    assert hub.log() == []
    assert (folder / "kernels.lock").read_bytes() == before

    diff = cli("lock", str(folder), "--diff", "--upgrade")
    old_leaf, old_left = tree["open/leaf"][:12], tree["open/left"][:12]
    assert diff.returncode == 0
    assert diff.stdout.splitlines() == [
        f"~ open/leaf (version 1)  {old_leaf} -> {new['open/leaf'][:12]}",
        f"~ open/left (version 1)  {old_left} -> {new['open/left'][:12]}",
    ]
    assert (folder / "kernels.lock").read_bytes() == before

    # A word behind --upgrade is a repository if it looks like one.
    for words in (["--upgrade", "open/left", "project"], ["project", "--upgrade=open/left"]):
        (folder / "kernels.lock").write_bytes(before)
        result = cli("lock", *words)
        assert result.returncode == 0, result.stderr
        assert locked(folder)["open/left", 1] == new["open/left"]
        assert locked(folder)["open/leaf", 1] == tree["open/leaf"]
    assert cli("lock", "--upgrade", "project").returncode == 0
    assert locked(folder)["open/leaf", 1] == new["open/leaf"]
    wrong = cli("lock", "project", "--upgrade", "open/none")
    assert wrong.returncode == 1
    assert "'open/none' cannot be upgraded" in wrong.stderr


def test_check_tells_what_does_not_fit_and_writes_nothing(cli, project, tree, hub):
    folder = project({"open/left": 1})
    none = cli("lock", str(folder), "--check")
    assert none.returncode == 1
    assert not (folder / "kernels.lock").exists()
    assert none.stdout.splitlines() == [
        f"+ {name} (version 1)  {tree[name][:12]}" for name in ("open/leaf", "open/left")
    ]
    assert cli("lock", str(folder)).returncode == 0
    repository(hub, "leaf", code="LEAF = 2")  # newer commits do not matter to what fits
    assert cli("lock", str(folder), "--check").returncode == 0
    before = (folder / "kernels.lock").read_bytes()
    project({"open/leaf": 1})
    result = cli("lock", str(folder), "--check")
    assert result.returncode == 1
    assert result.stdout == f"- open/left (version 1)  {tree['open/left'][:12]}\n"
    assert "kernels.lock' does not fit pyproject.toml any more" in result.stderr
    assert (folder / "kernels.lock").read_bytes() == before


def test_json(cli, project, tree):
    folder = project({"open/left": 1})
    assert cli("lock", str(folder)).returncode == 0
    project({"open/leaf": 1})
    result = cli("lock", str(folder), "--digests", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout) == {
        "lockfile": f"{folder}/kernels.lock",
        "written": True,
        "changes": [
            {
                "kind": "digests",
                "repo_id": "open/leaf",
                "version": 1,
                "revision": None,
                "before": tree["open/leaf"],
                "after": tree["open/leaf"],
            },
            {
                "kind": "removed",
                "repo_id": "open/left",
                "version": 1,
                "revision": None,
                "before": tree["open/left"],
                "after": None,
            },
        ],
        "kernels": [
            {
                "repo_id": "open/leaf",
                "version": 1,
                "revision": None,
                "commit": tree["open/leaf"],
                "digests": 2,
            }
        ],
    }
    checked = json.loads(cli("lock", str(folder), "--check", "--json").stdout)
    assert (checked["written"], checked["changes"]) == (False, [])


def test_requests_do_not_grow_with_the_builds(cli, project, hub):
    repository(hub, "wide", variants=[f"torch2{n}-cxx11-cpu-x86_64-linux" for n in range(6, 10)])
    folder = project({"open/wide": 1})
    hub.reset_log()
    assert cli("lock", str(folder)).returncode == 0
    assert kinds(hub) == ["metadata.json"] * 4 + ["refs", "tree", "trust"]


def test_the_working_directory_is_the_project(cli, tmp_path, hub):
    commit = repository(hub, "here")
    (tmp_path / "pyproject.toml").write_text('[tool.kernels]\ndependencies."open/here" = 1\n')
    result = cli("lock")
    assert result.returncode == 0, result.stderr
    assert locked(tmp_path) == {("open/here", 1): commit}


def test_a_lock_file_behind_a_link_is_replaced_where_it_is(cli, project, tree, tmp_path):
    folder = project({"open/leaf": 1})
    (tmp_path / "real.lock").write_text("[]")
    (folder / "kernels.lock").symlink_to("../real.lock")
    assert cli("lock", str(folder)).returncode == 0
    assert (folder / "kernels.lock").is_symlink()
    assert "open/leaf" in (tmp_path / "real.lock").read_text()


@pytest.mark.parametrize(
    "toml, status, part",
    [
        ("[tool.kernels.dependencies]\nopen/x = 1\n", 1, "line 2, column 5"),
        ("x = nan\n[project]\n", 1, "there is no table [tool.kernels.dependencies]"),
        ("[tool.kernels.dependencies]\n", 1, "No kernels found to lock"),
        ('[tool.kernels.dependencies]\n"open/leaf" = ">=1"\n', 1, "has to be the number of a ver"),
        ('[tool.kernels.dependencies]\n"open/none" = 1\n', 1, "open/none"),
        ('[tool.kernels.dependencies]\n"open/leaf" = 7\n', 1, "available versions: 1 (of 'open/l"),
        ('[tool.kernels.dependencies]\n"closed/shut" = 1\n', 4, "`kernels lock --trust` locks it"),
    ],
)
def test_what_cannot_be_locked_says_why(cli, project, tree, hub, toml, status, part):
    repository(hub, "shut", org="closed")
    folder = project({})
    (folder / "pyproject.toml").write_text(toml)
    (folder / "kernels.lock").write_text("[]")
    result = cli("lock", str(folder))
    assert (result.returncode, result.stdout) == (status, "")
    assert part in result.stderr
    assert (folder / "kernels.lock").read_text() == "[]"
    assert sorted(each.name for each in folder.iterdir()) == ["kernels.lock", "pyproject.toml"]


def test_a_publisher_that_is_not_trusted_can_be_locked(cli, project, hub):
    commit = repository(hub, "shut", org="closed")
    folder = project({"closed/shut": 1})
    assert cli("lock", str(folder), "--trust").returncode == 0
    assert locked(folder) == {("closed/shut", 1): commit}


def test_without_a_project(cli, tmp_path):
    result = cli("lock", str(tmp_path / "nowhere"))
    assert result.returncode == 1
    assert "nowhere/pyproject.toml" in result.stderr


def test_a_folder_that_cannot_be_written_is_told(cli, project, tree, tmp_path):
    folder = project({"open/leaf": 1})
    (folder / "kernels.lock").mkdir()
    result = cli("lock", str(folder))
    assert result.returncode == 1
    assert "kernels.lock" in result.stderr


def test_offline_it_is_made_of_the_cache(cli, project, tree, hub):
    folder = project({"open/top": 1})
    refused = cli("lock", str(folder), HF_HUB_OFFLINE="1")
    assert refused.returncode == 1
    assert "no request is made in offline mode" in refused.stderr
    assert cli("lock", str(folder)).returncode == 0
    text = (folder / "kernels.lock").read_bytes()
    (folder / "kernels.lock").unlink()
    hub.reset_log()
    assert cli("lock", str(folder), HF_HUB_OFFLINE="1").returncode == 0
    assert (folder / "kernels.lock").read_bytes() == text
    assert hub.log() == []

# SPDX-License-Identifier: Apache-2.0
"""Lock files with digests of single files: a kernel that is not what they say runs no code."""

import json
import os

import pytest
from hub_support import taken

from hub import git_oid, kernel_files
from kernels import (
    LockedFuncRepository,
    LockedLayerRepository,
    get_locked_kernel,
    load_kernel,
)
from kernels._rust import KernelLocks
from kernels.errors import IntegrityError

CODE = "import os\nos.environ['DIGESTS_RAN'] = '1'\n\n\ndef answer(x):\n    return 13\n"
LAYERS = """
    import torch.nn as nn


    class Answer(nn.Module):
        def forward(self, x):
            return 13
"""
PREFIX = "build/torch-cpu/"


def lock_with_digests(folder, repo, commit, files):
    lines = [f"{git_oid(content)}  {path}" for path, content in sorted(files.items())]
    entries = [
        {"dependency": {"repo-id": repo, "version": 1}, "lock": {"commit": commit}},
        {
            "dependency": {
                "repo-id": repo,
                "revision": "\n".join([f"~digests of {commit}", *lines]),
            },
            "lock": {"commit": commit},
        },
    ]
    path = folder / "kernels.lock"
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture
def locked(online, tmp_path, monkeypatch):
    """locked(name) makes open/name with its lock file: the files, the commit and the lock."""
    monkeypatch.delenv("DIGESTS_RAN", raising=False)

    def make(name):
        files = kernel_files(name, variants=("torch-cpu",), layers=LAYERS, code=CODE)
        commit = online.repo(f"open/{name}").commit(files, ["main", "v1"])
        return files, commit, lock_with_digests(tmp_path, f"open/{name}", commit, files)

    return make


def loaders(repo, lock):
    return (
        lambda: get_locked_kernel(repo, lockfile=lock),
        lambda: load_kernel(repo, lockfile=lock),
        lambda: LockedLayerRepository(repo, lockfile=lock, layer_name="Answer").load(),
        lambda: LockedFuncRepository(repo, lockfile=lock, func_name="answer").load(),
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_files_that_are_what_was_locked_load(online, locked):
    _, commit, lock = locked("digested")
    for load in loaders("open/digested", lock):
        load()
    assert get_locked_kernel("open/digested", lockfile=lock).answer(0) == 13
    locks = KernelLocks.from_json(lock.read_text())
    assert [(key.repo_id, value.commit) for key, value in locks.items()] == [
        ("open/digested", commit)
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name, change, part",
    [
        ("differs", {"__init__.py": b"x = 1\n"}, "'build/torch-cpu/__init__.py' has another"),
        ("lacks", {"__init__.py": None}, "'build/torch-cpu/__init__.py' is not in the lock file"),
        ("extra", {"gone.py": b""}, "'build/torch-cpu/gone.py' is missing"),
    ],
)
def test_what_differs_is_refused_before_any_code_runs(online, locked, tmp_path, name, change, part):
    files, commit, _ = locked(name)
    for path, content in change.items():
        if content is None:
            del files[PREFIX + path]
        else:
            files[PREFIX + path] = content
    lock = lock_with_digests(tmp_path, f"open/{name}", commit, files)
    for load in loaders(f"open/{name}", lock):
        try:
            load()
        except FileNotFoundError:  # load_kernel: nothing was fetched
            continue
        except IntegrityError as error:
            assert part in str(error)
            continue
        pytest.fail("it was loaded")
    assert "DIGESTS_RAN" not in os.environ
    assert not any(kind.endswith(".py") for kind in taken(online))  # nor was it fetched


def test_a_hub_that_serves_other_files_for_the_commit_is_found_out(online, locked):
    files, commit, lock = locked("swapped")
    files[PREFIX + "__init__.py"] += b"# and more\n"
    online.repo("open/swapped").commit(files, ["main", "v1"], commit=commit)
    with pytest.raises(IntegrityError, match="__init__.py' has another content"):
        get_locked_kernel("open/swapped", lockfile=lock)
    assert "DIGESTS_RAN" not in os.environ


def test_a_file_that_was_put_into_the_folder_is_refused(online, locked, tmp_path):
    from kernels.importer import _loaded_kernels

    _, commit, lock = locked("joined")
    get_locked_kernel("open/joined", lockfile=lock)
    folder = tmp_path / "hub/kernels--open--joined/snapshots" / commit / PREFIX
    (folder / "other.py").write_text("x = 1\n")
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "other.pyc").write_text("byte code is nobody's")
    os.environ.pop("DIGESTS_RAN")
    saved = dict(_loaded_kernels)
    _loaded_kernels.clear()
    try:
        for load in (get_locked_kernel, load_kernel):
            with pytest.raises(IntegrityError, match="'other.py' that is not in the lock file"):
                load("open/joined", lockfile=lock)
        assert "DIGESTS_RAN" not in os.environ
        (folder / "other.py").unlink()
        assert load_kernel("open/joined", lockfile=lock).answer(0) == 13
    finally:
        _loaded_kernels.update(saved)


def test_a_copy_by_another_program_is_checked_by_the_lock(online, locked, tmp_path, monkeypatch):
    """Where the cache has plain files, only the lock file tells what they should be."""
    files, commit, lock = locked("copied")
    snapshot = tmp_path / "hub/kernels--open--copied/snapshots" / commit
    for path, content in files.items():
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).write_bytes(content)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_kernel("open/copied", lockfile=lock).answer(0) == 13

    files, commit, lock = locked("spoilt")
    snapshot = tmp_path / "hub/kernels--open--spoilt/snapshots" / commit
    files[PREFIX + "__init__.py"] = files[PREFIX + "__init__.py"].replace(b"13", b"14")
    for path, content in files.items():
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).write_bytes(content)
    os.environ.pop("DIGESTS_RAN")
    with pytest.raises(IntegrityError, match="__init__.py' of 'open/spoilt' in the cache is dam"):
        load_kernel("open/spoilt", lockfile=lock)
    assert "DIGESTS_RAN" not in os.environ


def test_a_kernel_without_digests_among_those_with_is_refused(online, locked, tmp_path):
    _, _, lock = locked("guarded")
    files = kernel_files("bare", variants=("torch-cpu",), layers=None)
    commit = online.repo("open/bare").commit(files, ["v1"])
    entries = json.loads(lock.read_text())
    entries.append(
        {"dependency": {"repo-id": "open/bare", "version": 1}, "lock": {"commit": commit}}
    )
    lock.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="`open/bare`: the lock file has digests of other kernels"):
        get_locked_kernel("open/bare", lockfile=lock)


def test_a_form_of_digests_that_is_newer_is_refused(online, locked):
    _, _, lock = locked("newer")
    lock.write_text(lock.read_text().replace("~digests of", "~digests-2 of"))
    with pytest.raises(ValueError, match="does not know; upgrade the package kernels"):
        get_locked_kernel("open/newer", lockfile=lock)

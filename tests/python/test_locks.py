# SPDX-License-Identifier: Apache-2.0
"""Lock files: kernels at the commits that they give, and where they are found."""

import hashlib
import json
import sys
import textwrap

import pytest
import torch.nn as nn
from hub_support import kernel_files, repository, taken

from hub import git_oid
from kernels import (
    LockedFuncRepository,
    LockedLayerRepository,
    Mode,
    get_loaded_kernels,
    get_locked_kernel,
    kernelize,
    load_kernel,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
)
from kernels._rust import KernelDependency, KernelLock, KernelVersion
from kernels.errors import IntegrityError
from kernels.locking import get_locked_kernel_revision

LAYERS = """
    import torch.nn as nn


    class Answer(nn.Module):
        def forward(self, x):
            return {answer}
"""


def lock_file(folder, *locked):
    """Writes a kernels.lock of (repository, version or revision, commit)."""
    path = folder / "kernels.lock"
    entries = [
        {
            "dependency": {
                "repo-id": repo,
                "version" if isinstance(at, int) else "revision": at,
            },
            "lock": {"commit": commit},
        }
        for repo, at, commit in locked
    ]
    path.write_text(json.dumps(entries))
    return path


def older_lock_file(folder, repo, commit, files, variant="torch-cpu"):
    """The form of kernels 0.12, with the hash of the variant's files."""
    prefix = f"build/{variant}/"
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(path.removeprefix(prefix).encode() + bytes.fromhex(git_oid(content)))
    variants = {variant: {"hash": f"sha256-{digest.hexdigest()}", "hash_type": "git_lfs_concat"}}
    path = folder / "kernels.lock"
    path.write_text(json.dumps([{"repo_id": repo, "sha": commit, "variants": variants}]))
    return path


def test_a_kernel_is_taken_at_the_commit_of_the_lock(online, tmp_path):
    first = repository(online, "pinned", code="ANSWER = 1")
    repository(online, "pinned", code="ANSWER = 2")
    lock = lock_file(tmp_path, ("open/pinned", 1, first))
    module = get_locked_kernel("open/pinned", lockfile=lock)
    assert module.ANSWER == 1
    assert "refs" not in taken(online)  # a commit is what it is
    loaded = next(each for each in get_loaded_kernels() if each.module is module)
    assert loaded.repo_info.revision == first


def test_what_it_depends_on_is_locked_too(online, tmp_path):
    old = repository(online, "inner", code="ANSWER = 1")
    repository(online, "inner", code="ANSWER = 2")
    outer = repository(
        online,
        "outer",
        metadata={"kernel-depends": [{"repo-id": "open/inner", "version": 1}]},
        code="""
            from kernels import get_kernel_dep
            ANSWER = get_kernel_dep("open/inner").ANSWER
        """,
    )
    lock = lock_file(tmp_path, ("open/outer", 1, outer), ("open/inner", 1, old))
    assert get_locked_kernel("open/outer", lockfile=lock).ANSWER == 1


def test_a_dependency_that_is_not_locked_is_refused(online, tmp_path):
    repository(online, "loose")
    outer = repository(
        online, "tight", metadata={"kernel-depends": [{"repo-id": "open/loose", "version": 1}]}
    )
    lock = lock_file(tmp_path, ("open/tight", 1, outer), ("open/loose", 2, "1" * 40))
    with pytest.raises(ValueError, match=r"Kernel `open/loose` \(version: 1\) is not locked"):
        get_locked_kernel("open/tight", lockfile=lock)


def test_a_kernel_that_is_not_locked_is_refused(online, tmp_path):
    lock = lock_file(tmp_path, ("open/other", 1, "1" * 40))
    for load in (get_locked_kernel, load_kernel):
        with pytest.raises(ValueError, match="Kernel `open/absent` is not locked. Please lock it"):
            load("open/absent", lockfile=lock)
    assert taken(online) == []


def test_a_lock_file_that_is_broken_says_where(tmp_path):
    lock = tmp_path / "kernels.lock"
    lock.write_text('[{"dependency": {"repo-id": "o/n", "version": 1}}]')
    with pytest.raises(ValueError, match="entry 1 has no 'lock'"):
        get_locked_kernel("o/n", lockfile=lock)
    with pytest.raises(FileNotFoundError, match="no.lock"):
        get_locked_kernel("o/n", lockfile=tmp_path / "no.lock")


def test_load_kernel_makes_no_request(online, tmp_path):
    commit = repository(online, "offline", code="ANSWER = 3")
    lock = lock_file(tmp_path, ("open/offline", 1, commit))
    with pytest.raises(FileNotFoundError, match="not in the cache"):
        load_kernel("open/offline", lockfile=lock)
    assert taken(online) == []
    module = get_locked_kernel("open/offline", lockfile=lock)
    taken(online)
    assert load_kernel("open/offline", lockfile=lock) is module
    assert taken(online) == []


def test_offline_a_locked_kernel_comes_from_the_cache(online, tmp_path, monkeypatch):
    commit = repository(online, "away", code="ANSWER = 4")
    lock = lock_file(tmp_path, ("open/away", 1, commit))
    get_locked_kernel("open/away", lockfile=lock)
    taken(online)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert get_locked_kernel("open/away", lockfile=lock).ANSWER == 4
    assert taken(online) == []


def test_a_locked_kernel_is_neither_redirected_nor_replaced(online, tmp_path, monkeypatch):
    status = b'kind = "redirect"\ndestination = "open/elsewhere"\n'
    repository(online, "elsewhere", code="ANSWER = 6")
    files = kernel_files("moved", variants=("torch-cpu",), layers=None, code="ANSWER = 5")
    commit = online.repo("open/moved").commit(files | {"kernel-status.toml": status})
    monkeypatch.setenv("LOCAL_KERNELS", f"open/moved={tmp_path}")
    lock = lock_file(tmp_path, ("open/moved", 1, commit))
    assert get_locked_kernel("open/moved", lockfile=lock).ANSWER == 5


def test_an_untrusted_publisher_stays_untrusted(online, tmp_path):
    commit = repository(online, "locked", org="closed")
    lock = lock_file(tmp_path, ("closed/locked", 1, commit))
    with pytest.raises(ValueError, match="not from a trusted publisher"):
        get_locked_kernel("closed/locked", lockfile=lock)
    assert get_locked_kernel("closed/locked", lockfile=lock, trust_remote_code=True)


def test_an_older_lock_checks_the_hash_of_the_build(online, tmp_path):
    files = kernel_files("hashed", variants=("torch-cpu",), layers=None, code="ANSWER = 7")
    commit = online.repo("open/hashed").commit(files)
    lock = older_lock_file(tmp_path, "open/hashed", commit, files)
    assert get_locked_kernel("open/hashed", lockfile=lock).ANSWER == 7
    files["build/torch-cpu/__init__.py"] = b"ANSWER = 8\n"
    lock = older_lock_file(tmp_path, "open/hashed", commit, files)
    with pytest.raises(IntegrityError, match="with hash sha256-.* but the kernel has hash sha256-"):
        get_locked_kernel("open/hashed", lockfile=lock)
    lock = older_lock_file(tmp_path, "open/hashed", commit, files, variant="torch-cuda")
    with pytest.raises(ValueError, match="'torch-cpu' is not in the lock file"):
        get_locked_kernel("open/hashed", lockfile=lock)


CALLER = """
    from kernels import LockedLayerRepository, get_locked_kernel


    def load():
        return get_locked_kernel("open/{name}")


    def repository():
        return LockedLayerRepository("open/{name}", layer_name="Answer")
"""


@pytest.fixture
def project(online, tmp_path, monkeypatch):
    """A package `projectN` of somebody's, that locks a kernel: makes it from where the lock file is."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    made = []

    def make(name, where):
        commit = repository(online, name, layers=LAYERS.format(answer=9), code="ANSWER = 9")
        package = site / f"project_{name}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(textwrap.dedent(CALLER).format(name=name))
        info = site / f"project_{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: project_{name}\nVersion: 1\n")
        (info / "top_level.txt").write_text(f"project_{name}\n")
        folder = {"metadata": info, "data": package, "nowhere": tmp_path}[where]
        lock_file(folder, (f"open/{name}", 1, commit))
        made.append(package.name)
        return __import__(package.name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("where", ["metadata", "data"])
def test_the_lock_of_the_callers_package_is_found(project, where):
    package = project(f"caller{where}", where)
    assert package.load().ANSWER == 9
    assert package.repository().load().__name__ == "Answer"


def test_a_caller_without_a_lock_is_told_what_to_do(project):
    package = project("lockless", "nowhere")
    with pytest.raises(ValueError, match="Could not find a `kernels.lock` file .* `kernels lock"):
        package.load()


def test_a_locked_layer_is_put_in_place(online, tmp_path):
    commit = repository(online, "layered", layers=LAYERS.format(answer=11))
    repository(online, "layered", layers=LAYERS.format(answer=12))
    lock = lock_file(tmp_path, ("open/layered", 1, commit))

    @use_kernel_forward_from_hub("Question")
    class Question(nn.Module):
        def forward(self, x):
            return x

    repo = LockedLayerRepository("open/layered", lockfile=lock, layer_name="Answer")
    model = Question()
    with use_kernel_mapping({"Question": {"cpu": repo}}):
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
    assert model(0) == 11
    assert repo.kernel_dep == KernelDependency("open/layered", KernelVersion.Version(1))
    assert repo.kernel_locks[repo.kernel_dep] == KernelLock(commit)
    assert str(repo) == f"`open/layered` (revision: {commit}), layer `Answer`"


def test_locked_repositories_are_equal_where_their_locks_are(tmp_path):
    def repo(commit):
        lock = lock_file(tmp_path, ("o/n", 1, commit))
        return LockedLayerRepository("o/n", lockfile=lock, layer_name="L")

    assert repo("1" * 40) == repo("1" * 40)
    assert hash(repo("1" * 40)) == hash(repo("1" * 40))
    assert repo("1" * 40) != repo("2" * 40)


def test_a_locked_function_is_put_in_place(online, tmp_path):
    code = "def answer(x):\n    return 13\n"
    commit = repository(online, "functional", code=code)
    lock = lock_file(tmp_path, ("open/functional", 1, commit))
    with pytest.warns(DeprecationWarning, match="use LockedLayerRepository"):
        repo = LockedFuncRepository("open/functional", lockfile=lock, func_name="answer")
    assert repo.load()()(0) == 13


def test_the_locks_of_a_file_can_be_read(tmp_path):
    lock = lock_file(tmp_path, ("o/b", "main", "2" * 40), ("o/a", 1, "1" * 40))
    locks, dependency = get_locked_kernel_revision("o/b", lock)
    assert dependency == KernelDependency("o/b", KernelVersion.Revision("main"))
    assert [(key.repo_id, value.commit) for key, value in locks.items()] == [
        ("o/a", "1" * 40),
        ("o/b", "2" * 40),
    ]
    assert json.loads(locks.to_json()) == [
        {"dependency": {"repo-id": "o/a", "version": 1}, "lock": {"commit": "1" * 40}},
        {"dependency": {"repo-id": "o/b", "revision": "main"}, "lock": {"commit": "2" * 40}},
    ]


def test_kernels_that_are_forgotten_are_loaded_anew(online):
    from kernels import get_kernel
    from kernels.importer import _loaded_kernels

    repository(online, "forgotten")
    first = get_kernel("open/forgotten", version=1)
    assert get_kernel("open/forgotten", version=1) is first
    saved = dict(_loaded_kernels)
    _loaded_kernels.clear()
    assert get_loaded_kernels() == []
    second = get_kernel("open/forgotten", version=1)
    assert second is not first
    assert [each.module for each in get_loaded_kernels()] == [second]
    (path,) = _loaded_kernels
    assert _loaded_kernels.pop(path).module is second
    assert get_kernel("open/forgotten", version=1) is not second
    _loaded_kernels.clear()
    _loaded_kernels.update(saved)
    assert get_kernel("open/forgotten", version=1) is first

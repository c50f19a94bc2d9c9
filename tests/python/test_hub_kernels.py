# SPDX-License-Identifier: Apache-2.0
"""Kernels from the Hub: what is asked, what comes, and what a second call costs."""

import logging
import shutil
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import torch
import torch.nn as nn
from hub_support import age, kernel_files, repository, taken

import kernels
from kernels import (
    LayerRepository,
    Mode,
    VariantAccepted,
    VariantRejected,
    explain,
    get_kernel,
    get_kernel_variants,
    get_loaded_kernels,
    has_kernel,
    install_kernel,
    kernelize,
    plan,
    register_kernel_mapping,
    use_kernel_forward_from_hub,
)
from kernels.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from kernels.install import install_kernel_all_variants


def forget(tmp_path):
    shutil.rmtree(tmp_path / "hub", ignore_errors=True)


def test_a_kernel_comes_in_the_fewest_requests(online, tmp_path):
    commit = repository(online, "few", extra=1)
    module = get_kernel("open/few", version=1)
    assert module.NAME == "few"
    assert taken(online) == [
        "__init__.py",
        "extra_0000.py",
        "metadata.json",
        "refs",
        "tree",
        "trust",
    ]
    assert f"snapshots/{commit}/build/torch-cpu" in module.__file__
    loaded = next(each for each in get_loaded_kernels() if each.module is module)
    assert loaded.repo_info == kernels.RepoInfo(repo_id="open/few", revision=commit)
    assert str(loaded.metadata.name) == "few"


def test_pages_of_a_listing_count_as_one(online):
    repository(online, "pages", extra=38)
    online.set(page_size=7)
    install_kernel("open/pages", version=1)
    asked = taken(online)
    assert len([name for name in asked if name != "tree"]) == 42
    assert asked.count("tree") == 6  # build, build/torch-cpu and 40 files
    assert not any(line["method"] == "HEAD" for line in online.log())


def test_a_second_call_asks_neither_hub_nor_disk(online, tmp_path):
    repository(online, "again")
    module = get_kernel("open/again", version=1)
    taken(online)
    forget(tmp_path)
    assert get_kernel("open/again", version=1) is module
    assert taken(online) == []


def test_what_is_cached_needs_no_request_in_a_new_process(online, tmp_path):
    repository(online, "warm")
    install_kernel("open/warm", version=1)
    taken(online)
    code = "from kernels import get_kernel; print(get_kernel('open/warm', version=1).NAME)"
    # Without the network's libraries, too.
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**__import__("os").environ, "KERNELS_NET_LIBRARY": "/no/such/library.so"},
    )  # fmt: skip
    assert done.stdout == "warm\n"
    assert taken(online) == []


def test_a_kernel_that_needs_no_torch_loads_without_it(online):
    repository(online, "torchless", variants=("torch-universal",))
    code = """
        import sys

        sys.modules["torch"] = None  # as where it is not installed
        from kernels import get_kernel

        print(get_kernel("open/torchless", version=1).NAME)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.stdout == "torchless\n", done.stderr


def test_identical_content_is_fetched_once(online):
    files = kernel_files("same", variants=("torch-cpu",), layers=None)
    for number in range(5):
        files[f"build/torch-cpu/copy_{number}.py"] = b"SAME = 1\n"
    online.repo("open/same").commit(files, branches=["v1"])
    folder = install_kernel("open/same", version=1)
    assert len([name for name in taken(online) if name.startswith("copy_")]) == 1
    assert {path.read_bytes() for path in folder.glob("copy_*.py")} == {b"SAME = 1\n"}


def test_every_build_is_installed_for_who_asks_for_all(online):
    variants = ("torch-cpu", "torch-cuda", "torch29-cu118-x86_64-linux")
    online.kernel("closed/wide", trusted=False, branches=("v1",), variants=variants)
    folder = install_kernel_all_variants("closed/wide", version=1)
    assert folder.name == "build"
    assert sorted(path.name for path in folder.iterdir()) == sorted(variants)
    assert all((path / "metadata.json").is_file() for path in folder.iterdir())
    online.repo("open/none").commit({"README.md": b""}, branches=["v1"])
    with pytest.raises(FileNotFoundError):
        install_kernel_all_variants("open/none", version=1)


def test_each_way_to_name_a_revision(online, tmp_path):
    old = repository(online, "named", branches=("main", "v1"), tags=("v0.1.0",), code="AT = 1")
    new = repository(
        online, "named", branches=("main", "v2"), tags=("v0.1.5", "v0.2.0rc1"), code="AT = 2"
    )
    pulled = online.repo("open/named").commit(
        kernel_files("named", variants=("torch-cpu",), layers=None, code="AT = 3"), branches=(), pulls=[1]
    )  # fmt: skip
    for request, commit in (
        ({"version": 1}, old),
        ({"version": "1"}, old),
        ({"version": 2}, new),
        ({"version": ">=0.1,<0.2"}, new),
        ({"version": "==0.1.0"}, old),
        ({"version": ">=0.2.0rc1"}, new),
        ({"revision": "v1"}, old),
        ({"revision": "v0.1.0"}, old),
        ({"revision": "main"}, new),
        ({}, new),
        ({"revision": old}, old),
        ({"revision": "refs/pr/1"}, pulled),
    ):
        assert install_kernel("open/named", **request).parent.parent.name == commit, request
    taken(online)
    forget(tmp_path)
    install_kernel("open/named", revision=old)
    assert "refs" not in taken(online)


def test_what_is_not_there_is_told(online):
    repository(online, "there", branches=("v1", "v3"), tags=("v0.1.0",))
    with pytest.raises(ValueError, match="Version 2 not found, available versions: 1, 3"):
        get_kernel("open/there", version=2)
    with pytest.raises(
        ValueError, match=r"No version of 'open/there' matches '>=7'; its tags: v0.1.0"
    ):
        get_kernel("open/there", version=">=7")
    with pytest.raises(RevisionNotFoundError, match="open/there"):
        get_kernel("open/there", revision="nowhere")
    with pytest.raises(RepositoryNotFoundError, match="open/nothing"):
        get_kernel("open/nothing", version=1)
    with pytest.raises(ValueError, match="Only one of"):
        get_kernel("open/there", version=1, revision="main")
    for bad in ("nothing", "../x/y", "a/b/c", "open/.."):
        with pytest.raises(ValueError, match="repository id"):
            get_kernel(bad, version=1)
    for version in (-1, "not a version", True, 1.5):
        with pytest.raises(ValueError, match="version|specifier"):
            get_kernel("open/there", version=version)


def test_an_older_version_is_mentioned(online, caplog):
    repository(online, "aged", branches=("v1", "v4"))
    with caplog.at_level(logging.WARNING):
        install_kernel("open/aged", version=1)
    assert "You are using version 1 of 'open/aged', but version 4 is available." in caplog.text


def test_no_variant_gives_reasons_and_the_version_that_has_one(online):
    repo = online.repo("open/odd")
    repo.commit({"build/torch-metal/__init__.py": b""}, branches=["v1"])
    repo.commit(kernel_files("odd", variants=("torch-cpu",)), branches=["v2"])
    with pytest.raises(FileNotFoundError) as error:
        get_kernel("open/odd", version=1)
    assert "torch-metal: backend (metal) does not match" in str(error.value)
    assert "version v2 of 'open/odd' has a build compatible with your system (torch-cpu)" in str(
        error.value
    )
    assert has_kernel("open/odd", version=1) is False
    assert has_kernel("open/odd", version=2) is True


def test_private_and_gated_repositories(online, tmp_path, monkeypatch):
    private = online.repo("open/private", private=True, grants=["insider"])
    private.commit(kernel_files("private", variants=("torch-cpu",), layers=None), branches=["v1"])
    gated = online.repo("open/gated", gated="auto", grants=["insider"])
    gated.commit(kernel_files("gated", variants=("torch-cpu",), layers=None), branches=["v1"])
    with pytest.raises(RepositoryNotFoundError, match="HF_TOKEN"):
        install_kernel("open/private", version=1)
    monkeypatch.setenv("HF_TOKEN", "outsider")
    with pytest.raises(RepositoryNotFoundError):
        install_kernel("open/private", version=1)
    with pytest.raises(GatedRepoError, match="open/gated"):
        install_kernel("open/gated", version=1)
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text("insider\n")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    with pytest.raises(RepositoryNotFoundError):
        install_kernel("open/private", version=1)
    monkeypatch.delenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")
    assert install_kernel("open/private", version=1).is_dir()
    assert install_kernel("open/gated", version=1).is_dir()


def test_the_older_type_of_repository(online, tmp_path, monkeypatch):
    files = kernel_files("elder", variants=("torch-cpu",), layers=None)
    commit = online.repo("open/elder", type="model").commit(files, branches=["main", "v1"])
    for request in ({"version": 1}, {"revision": "main"}, {"revision": commit}):
        forget(tmp_path)
        assert "models--open--elder" in str(install_kernel("open/elder", **request))
        taken(online)
        install_kernel("open/elder", **request, local_files_only=True)
        assert taken(online) == []


def test_answers_grow_old(online, tmp_path, monkeypatch):
    repository(online, "ages")
    install_kernel("open/ages", version=1)
    install_kernel("open/ages", revision="main")
    taken(online)
    age(tmp_path, "resolutions/*", 700)
    install_kernel("open/ages", version=1, local_files_only=True)
    for request, expected in (({"version": 1}, []), ({"revision": "main"}, ["refs"])):
        code = f"from kernels import install_kernel; install_kernel('open/ages', **{request!r})"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert taken(online) == expected, request
    age(tmp_path, "trust.json", 90000)
    monkeypatch.setenv("KERNELS_REFRESH_AFTER", "0")
    install_kernel("open/ages", version=1)
    assert taken(online) == ["refs", "trust"]
    install_kernel("open/ages", version=1)
    assert taken(online) == ["refs"]
    monkeypatch.delenv("KERNELS_REFRESH_AFTER")
    install_kernel("open/ages", version=1, refresh=True)
    assert taken(online) == ["refs", "trust"]


def test_a_moved_branch_is_found_once_asked_again(online, monkeypatch):
    old = repository(online, "moves", code="AT = 1")
    assert get_kernel("open/moves", revision="main").AT == 1
    new = repository(online, "moves", code="AT = 2")
    assert get_kernel("open/moves", revision="main").AT == 1
    assert get_kernel("open/moves", revision="main", refresh=True).AT == 2
    assert get_kernel("open/moves", revision="main").AT == 2
    assert get_kernel("open/moves", revision=old).AT == 1
    assert get_kernel("open/moves", revision=new).AT == 2


def test_a_branch_that_moves_during_a_call_is_one_commit(online, tmp_path):
    old = repository(online, "during", code="AT = 1", extra=2)
    repo = online.repo("open/during")
    new = repository(online, "during", code="AT = 2", extra=2, branches=("later",))
    repo.move_branch("main", old)
    online.set(latency_ms=60)

    def move():
        while not any("/tree/" in line["path"] for line in online.log()):
            time.sleep(0.005)
        repo.move_branch("main", new)

    mover = threading.Thread(target=move)
    mover.start()
    folder = install_kernel("open/during", revision="main")
    mover.join()
    assert folder.parent.parent.name == old
    assert [path.name for path in (tmp_path / "hub/kernels--open--during/snapshots").iterdir()] == [
        old
    ]


def test_requests_can_be_traced_without_secrets(online, tmp_path, monkeypatch, capfd):
    repository(online, "traced")
    monkeypatch.setenv("KERNELS_TRACE", "http")
    monkeypatch.setenv("HF_TOKEN", "insider")
    install_kernel("open/traced", version=1)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == len(taken(online)) == 5
    assert all(
        line.startswith("kernels: GET http://127.0.0.1:") and " -> 200 " in line for line in lines
    )
    assert "insider" not in "".join(lines)


def test_the_ways_of_the_public_hub(online, monkeypatch):
    files = kernel_files("public", variants=("torch-cpu",), layers=None)
    files["build/torch-cpu/weights.bin"] = bytes(range(256)) * 400
    online.repo("open/public", lfs=["*.bin"]).commit(files, branches=["v1"])
    online.set(redirect_small=True, redirect_large=True)
    monkeypatch.setenv("HF_TOKEN", "insider")
    folder = install_kernel("open/public", version=1)
    assert (folder / "weights.bin").read_bytes() == bytes(range(256)) * 400
    log = online.log()
    assert {line["status"] for line in log} == {200, 302, 307}
    assert [line["authorization"] for line in log if line["origin"] == "cdn"] == [False]
    assert all(line["authorization"] for line in log if line["origin"] != "cdn")


def layer(name):
    class Layer(nn.Module):
        def forward(self, x):
            return x

    return use_kernel_forward_from_hub(name)(Layer)()


def test_a_model_is_kernelized_from_the_hub(online, caplog):
    commits = {}
    for number in range(5):
        commits[number] = online.kernel(f"open/layers{number}", variants=("torch-cpu",))
    taken(online)
    model = nn.Sequential(*(layer(f"Hub{number}") for number in range(5)))
    register_kernel_mapping(
        {
            f"Hub{n}": {"cpu": LayerRepository(f"open/layers{n}", "Tenfold", version=1)}
            for n in range(5)
        }
    )
    first = plan(model, mode=Mode.INFERENCE, device="cpu")
    assert {decision.stage for decision in first} == {"select"}
    assert taken(online) == []
    kernelize(model, mode=Mode.INFERENCE, device="cpu")
    assert torch.equal(model(torch.ones(1)), torch.full((1,), 1e5))
    assert {d.paths[0]: (d.commit, d.variant) for d in explain(model)} == {
        str(n): (commits[n], "torch-cpu") for n in range(5)
    }
    asked = taken(online)
    assert (asked.count("trust"), asked.count("refs"), asked.count("tree")) == (1, 5, 5)
    second = plan(model, mode=Mode.INFERENCE, device="cpu")
    assert {(d.stage, d.commit) for d in second} == {
        ("resolve", commit) for commit in commits.values()
    }
    assert taken(online) == []


def test_has_kernel_fetches_metadata_alone(online):
    repository(online, "has", extra=3)
    assert has_kernel("open/has", version=1) is True
    assert taken(online) == ["metadata.json", "refs", "tree", "trust"]
    install_kernel("open/has", version=1)
    assert "metadata.json" not in taken(online)


def test_variants_are_listed_with_reasons(online):
    repository(online, "variants", variants=("torch-cpu", "torch-metal"))
    decisions = get_kernel_variants("open/variants", version=1)
    assert [type(each) for each in decisions] == [VariantAccepted, VariantRejected]
    assert "metal" in decisions[1].reason
    assert taken(online) == ["refs", "tree"]

# SPDX-License-Identifier: Apache-2.0
"""cache list, size, prune, verify, and doctor."""

import fcntl
import json
import os
import time

import pytest

LONG_AGO = time.time() - 7200


@pytest.fixture
def cache(cli, hub, home):
    """A cache with two commits of one kernel, the first of which nothing names any more."""
    hub.kernel("open/first", branches=("main", "v1"), code="OLD = 1")
    assert cli("get", "open/first", "--revision", "main").returncode == 0
    hub.kernel("open/first", branches=("main", "v1"), code="NEW = 1")
    assert cli("get", "open/first", "--revision", "main", "--refresh").returncode == 0
    return home / "hub/kernels--open--first"


def age(folder):
    for file in (folder / "blobs").iterdir():
        os.utime(file, (LONG_AGO, LONG_AGO))


def found(result):
    return json.loads(result.stdout)["found"]


def test_list_and_size(cli, cache):
    listed = json.loads(cli("cache", "list", "--json").stdout)
    (repo,) = listed["repositories"]
    assert listed["folder"] == str(cache.parent)
    assert (repo["repo_id"], repo["repo_type"], repo["publisher"]) == (
        "open/first",
        "kernel",
        "trusted",
    )
    assert sorted(each["refs"] for each in repo["revisions"]) == ["", "main"]
    assert {each["variants"] for each in repo["revisions"]} == {"torch-cpu"}
    assert repo["bytes"] == sum(file.stat().st_size for file in (cache / "blobs").iterdir())
    size = json.loads(cli("cache", "size", "--json").stdout)
    assert (size["bytes"], size["repositories"], size["revisions"]) == (repo["bytes"], 1, 2)
    text = cli("cache", "list", "open/first").stdout
    assert text.startswith("open/first  ")
    assert "  main  " in text
    absent = cli("cache", "list", "open/absent")
    assert absent.returncode == 1
    assert "there is nothing of 'open/absent' in the cache" in absent.stderr


def test_an_empty_cache(cli, home):
    assert "There are no kernels in the cache" in cli("cache", "list").stdout
    assert json.loads(cli("cache", "size", "--json").stdout)["bytes"] == 0
    assert cli("cache", "verify").returncode == 0
    assert cli("cache", "prune").returncode == 0
    assert not (home / "hub").exists()


def test_folders_of_other_programs_are_left_alone(cli, cache):
    other = cache.parent / "models--org--other"
    (other / "snapshots" / ("1" * 40)).mkdir(parents=True)
    (other / "blobs").mkdir()
    (other / "blobs" / ("2" * 40 + ".incomplete")).write_text("x")
    age(other)
    (cache.parent / "notes").mkdir()
    assert len(json.loads(cli("cache", "list", "--json").stdout)["repositories"]) == 1
    assert cli("cache", "prune").returncode == 0
    assert (other / "blobs" / ("2" * 40 + ".incomplete")).exists()
    assert (other / "snapshots" / ("1" * 40)).exists()


def test_prune_takes_away_what_nothing_names(cli, cache, hub):
    age(cache)
    partial = cache / "blobs" / ("3" * 40 + ".incomplete")
    partial.write_text("half")
    os.utime(partial, (LONG_AGO, LONG_AGO))
    (cache / "trees").mkdir()  # huggingface_hub's
    for snapshot in (cache / "snapshots").iterdir():
        (cache / "trees" / f"{snapshot.name}.json").write_text("{}")
    would = cli("cache", "prune", "--dry-run", "--json")
    kinds = sorted(each["kind"] for each in found(would))
    assert kinds == ["content", "content", "revision", "unfinished"]
    assert len(list((cache / "snapshots").iterdir())) == 2
    assert partial.exists()
    done = cli("cache", "prune", "--json")
    assert found(done) == found(would)
    assert json.loads(done.stdout)["removed"] is True
    assert not partial.exists()
    assert [path.name for path in (cache / "snapshots").iterdir()] == [
        (cache / "refs/main").read_text()
    ]
    assert [path.stem for path in (cache / "trees").iterdir()] == [
        (cache / "refs/main").read_text()
    ]
    assert found(cli("cache", "prune", "--json")) == []
    hub.reset_log()
    assert cli("get", "open/first", "--revision", "main").returncode == 0
    assert hub.log() == []


def test_prune_leaves_what_is_young_or_at_work(cli, cache):
    partial = cache / "blobs" / ("3" * 40 + ".incomplete")
    partial.write_text("half")
    assert [each["kind"] for each in found(cli("cache", "prune", "--dry-run", "--json"))] == [
        "revision"
    ]
    os.utime(partial, (LONG_AGO, LONG_AGO))
    locks = cache.parent / ".locks" / cache.name
    locks.mkdir(parents=True, exist_ok=True)
    with open(locks / ("3" * 40 + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cli("cache", "prune")
    assert partial.exists()
    with open(locks / "repository.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = cli("cache", "prune")
    assert busy.returncode == 0
    assert "'open/first' was left alone: another process is at work on it" in busy.stderr
    assert partial.exists()
    cli("cache", "prune")
    assert not partial.exists()


def test_verify_finds_what_is_damaged_or_missing(cli, cache, hub):
    whole = cli("cache", "verify")
    assert whole.returncode == 0
    assert ": 0 damaged, 0 missing" in whole.stdout
    for other in (cache / "snapshots").iterdir():
        if other.name != (cache / "refs/main").read_text():
            blob = (other / "build/torch-cpu/__init__.py").resolve()
            blob.unlink()
    link = cache / "snapshots" / (cache / "refs/main").read_text() / "build/torch-cpu/__init__.py"
    blob = link.resolve()
    content = blob.read_bytes()
    before = blob.stat()
    blob.write_bytes(b"#" + content[1:])
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a failing disk would
    result = cli("cache", "verify", "--json")
    assert result.returncode == 5
    events = [(each["kind"], each["name"]) for each in found(result)]
    assert events == [
        ("damaged", f"blobs/{blob.name}"),
        ("missing", "build/torch-cpu/__init__.py"),
    ]
    assert "verify --remove" in cli("cache", "verify").stdout
    assert cli("cache", "verify", "--remove").returncode == 5
    assert not blob.exists()
    assert cli("get", "open/first", "--revision", "main").returncode == 0
    assert blob.read_bytes() == content


def test_doctor_tells_what_would_load(cli, cache, hub, home):
    hub.reset_log()
    told = json.loads(cli("doctor", "--json").stdout)
    assert hub.log() == []
    assert told["endpoint"] == hub.url
    assert told["cache"] == str(cache.parent)
    assert told["environment"]["torch"].startswith("2.")
    assert [each["loads_offline"] for each in told["kernels"]] == [True, True]
    assert {each["publisher"] for each in told["kernels"]} == {"trusted"}
    assert told["problems"] == []
    text = cli("doctor")
    assert text.returncode == 0
    assert "loads offline" in text.stdout
    assert "problems     none" in text.stdout


def test_doctor_names_every_problem_with_its_remedy(cli, cache, tmp_path):
    (tmp_path / "bare/lib/python3.12/site-packages").mkdir(parents=True)
    bare = cli("doctor", "--python", str(tmp_path / "bare"))
    assert bare.returncode == 1
    assert "there is no torch in this environment" in bare.stdout
    wrong = cli("doctor", "--json", KERNELS_TRUST="perhaps")
    assert wrong.returncode == 1
    problems = json.loads(wrong.stdout)["problems"]
    assert "KERNELS_TRUST" in problems[0]["problem"]
    assert all(each["remedy"] for each in problems)
    (tmp_path / "file").write_text("")
    blocked = json.loads(cli("doctor", "--json", KERNELS_CACHE=str(tmp_path / "file")).stdout)
    assert "is no directory" in blocked["problems"][0]["problem"]
    blob = next((cache / "snapshots").glob("*/build/torch-cpu/layers.py")).resolve()
    blob.write_bytes(b"broken")
    damaged = json.loads(cli("doctor", "--json").stdout)
    assert not any(each["loads_offline"] for each in damaged["kernels"])
    assert "is damaged" in damaged["problems"][0]["problem"]


def test_secrets_are_not_told(cli):
    result = cli("doctor", HF_TOKEN="hf_secret_token")
    assert "HF_TOKEN" in result.stdout
    assert "hf_secret_token" not in result.stdout + result.stderr


def test_cache_needs_a_second_word(cli):
    result = cli("cache")
    assert result.returncode == 2
    for name in ("list", "size", "prune", "verify"):
        assert f"cache {name}" in result.stderr

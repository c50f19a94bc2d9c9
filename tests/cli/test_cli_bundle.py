# SPDX-License-Identifier: Apache-2.0
"""kernels bundle and kernels import: from a machine with a network to one without."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hub import kernel_files

VARIANTS = ("torch-cpu", "torch-cuda", "torch210-cxx11-cu126-x86_64-linux")


@pytest.fixture(scope="module")
def lock(shared_hub):
    """The entries of a lock file: a kernel, and the one that it needs."""
    base = shared_hub.repo("open/low", lfs=["*.bin"]).commit(
        kernel_files("low", variants=VARIANTS, layers=None)
        | {f"build/{name}/weights.bin": b"weights" * 9000 for name in VARIANTS},
        branches=["main", "v1"],
    )
    needs = {"kernel-depends": [{"repo-id": "open/low", "version": 1}]}
    top = shared_hub.repo("open/high").commit(
        kernel_files("high", variants=VARIANTS, layers=None, metadata=needs), branches=["v2"]
    )
    return [
        {"dependency": {"repo-id": "open/high", "version": 2}, "lock": {"commit": top}},
        {"dependency": {"repo-id": "open/low", "version": 1}, "lock": {"commit": base}},
    ]


@pytest.fixture
def lockfile(tmp_path, lock):
    file = tmp_path / "kernels.lock"
    file.write_text(json.dumps(lock))
    return file


CPU = ("--target", "torch=2.13,backend=cpu,arch=x86_64,os=linux")
CUDA = ("--target", "torch=2.10,backend=cu126")


@pytest.fixture
def bundle(cli, lockfile, tmp_path):
    """bundle(*options) writes a bundle; returns its file."""

    def write(*options):
        file = tmp_path / "bundle.tar"
        result = cli("bundle", lockfile, "-o", file, *(options or CPU))
        assert result.returncode == 0, result.stderr
        return file

    return write


@pytest.fixture
def away(cli, tmp_path, hub):
    """away(...) is the program on a machine without a network and with a cache of its own."""

    def run(*words, **more):
        hub.reset_log()
        named = {"KERNELS_CACHE": str(tmp_path / "away"), "HF_HUB_OFFLINE": "1"}
        result = cli(*words, **named | more)
        assert hub.log() == []
        return result

    return run


def variants_in(file):
    with tarfile.open(file) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
    return {entry["repo_id"]: entry["variants"] for entry in manifest["revisions"]}


def test_a_target_says_which_builds_are_taken(bundle):
    assert variants_in(bundle()) == {"open/high": ["torch-cpu"], "open/low": ["torch-cpu"]}
    newer = ["torch210-cxx11-cu126-x86_64-linux"]
    assert variants_in(bundle(*CUDA)) == {"open/high": newer, "open/low": newer}
    assert variants_in(bundle(*CPU, *CUDA))["open/low"] == sorted(["torch-cpu", *newer])


def test_it_is_a_tar_archive_of_plain_files_that_sha256sum_can_check(bundle, tmp_path):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    file = bundle(*CPU, *CUDA)
    subprocess.run(["tar", "-xf", file, "-C", folder], check=True)
    subprocess.run(["sha256sum", "-c", "--quiet", "manifest.sha256"], cwd=folder, check=True)
    with tarfile.open(file) as archive:
        members = archive.getmembers()
    assert [member.name for member in members[:2]] == ["manifest.json", "manifest.sha256"]
    names = [member.name for member in members]
    assert all(name.split("/")[0] in ("listings", "blobs") for name in names[2:])
    assert len(names) == len(set(names))
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.isreg()) for m in members} == {
        (0, 0, 0, "", "", True)
    }
    for listing in (folder / "listings").iterdir():
        assert hashlib.sha256(listing.read_bytes()).hexdigest() == listing.stem


def test_the_same_is_the_same_bytes(bundle, cli, lockfile, lock, tmp_path):
    first = bundle(*CPU, *CUDA).read_bytes()
    lockfile.write_text(json.dumps(list(reversed(lock)), indent=1))
    other = {"KERNELS_CACHE": str(tmp_path / "other")}
    assert cli("bundle", lockfile, "-o", tmp_path / "b", *CUDA, *CPU, **other).returncode == 0
    assert (tmp_path / "b").read_bytes() == first


LOAD = """
import sys
from kernels import get_kernel, get_locked_kernel, load_kernel
commit = sys.argv[1]
print(get_locked_kernel("open/high", lockfile="kernels.lock").NAME)
print(load_kernel("open/high", lockfile="kernels.lock").NAME)
print(get_kernel("open/low", version=1).NAME, get_kernel("open/low", revision=commit).NAME)
"""


def python(program, *arguments, python=sys.executable, cwd, **environment):
    return subprocess.run(
        [python, "-c", program, *arguments],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_is_imported_loads_offline(bundle, away, lock, tmp_path):
    result = away("import", bundle())
    assert result.returncode == 0, result.stderr
    place = {"KERNELS_CACHE": str(tmp_path / "away"), "HF_HUB_OFFLINE": "1"}
    loaded = python(LOAD, lock[1]["lock"]["commit"], cwd=tmp_path, **place)
    assert loaded.stdout == "high\nhigh\nlow low\n", loaded.stderr
    assert away("cache", "verify").returncode == 0
    listed = json.loads(away("cache", "list", "--json").stdout)["repositories"]
    assert {(repo["repo_id"], repo["publisher"]) for repo in listed} == {
        ("open/high", None),
        ("open/low", None),
    }
    assert all(revision["is_named"] for repo in listed for revision in repo["revisions"])


SCAN = """
from huggingface_hub import scan_cache_dir
found = scan_cache_dir("away")
print(sorted(repo.repo_id for repo in found.repos), [str(w) for w in found.warnings])
"""


@pytest.mark.parametrize("peer", ["KN_PEER_PYTHON", "KN_HUB1_PYTHON"])
def test_huggingface_hub_finds_the_cache_in_order(bundle, away, tmp_path, peer):
    assert away("import", bundle()).returncode == 0
    scanned = python(SCAN, python=os.environ[peer], cwd=tmp_path)
    kernels = "['open/high', 'open/low'] []\n"
    assert scanned.stdout in (kernels, "[] []\n"), scanned.stderr  # old versions know no kernels
    assert scanned.returncode == 0


UPSTREAM = """
from kernels import load_kernel
print(load_kernel("open/high", lockfile="kernels.lock").NAME)
"""


def test_upstream_loads_what_was_imported(bundle, away, tmp_path):
    assert away("import", bundle()).returncode == 0
    place = {"KERNELS_CACHE": str(tmp_path / "away"), "HF_HUB_OFFLINE": "1"}
    peer = os.environ["KN_PEER_PYTHON"]
    loaded = python(UPSTREAM, python=peer, cwd=tmp_path, **place)
    assert loaded.stdout == "high\n", loaded.stderr


def test_json_of_both_is_the_same(cli, away, bundle, lock, lockfile, tmp_path):
    made = json.loads(cli("bundle", lockfile, "-o", tmp_path / "x", *CPU, "--json").stdout)
    checked = json.loads(away("import", tmp_path / "x", "--check", "--json").stdout)
    assert made.pop("file") == checked.pop("file") == str(tmp_path / "x")
    assert made == checked
    assert made["targets"] == [CPU[1]]
    assert made["kernels"][1] == {
        "repo_id": "open/low",
        "repo_type": "kernel",
        "commit": lock[1]["lock"]["commit"],
        "refs": ["v1"],
        "variants": ["torch-cpu"],
        "files": 3,
        "bytes": made["kernels"][1]["bytes"],
    }
    assert made["kernels"][1]["bytes"] > 63000
    assert not (tmp_path / "away").exists()  # --check imports nothing


def test_a_bundle_says_nothing_about_trust(away, bundle, cli, tmp_path):
    load = "from kernels import get_kernel\nprint(get_kernel('open/low', version=1).NAME)"
    assert away("import", bundle()).returncode == 0
    place = {"KERNELS_CACHE": str(tmp_path / "away"), "HF_HUB_OFFLINE": "1"}
    unknown = python(load, cwd=tmp_path, **place)
    assert unknown.stdout == "low\n"
    assert "whether its publisher is trusted was never asked" in unknown.stderr
    strict = python(load, cwd=tmp_path, **place, KERNELS_TRUST="strict")
    assert strict.returncode == 1
    assert "not trusted" in strict.stderr.splitlines()[-1] or "trust" in strict.stderr
    record = next((tmp_path / "away").glob("*low/")) / ".kernels" / "trust.json"
    record.write_text('{"trusted": 0, "time": 4000000000}')
    assert away("import", tmp_path / "bundle.tar").returncode == 0
    assert python(load, cwd=tmp_path, **place).returncode == 1  # the Hub's answer stays in force


def test_what_a_bundle_claims_is_compared_with_the_hub_online(cli, hub, bundle, lock, tmp_path):
    """Somebody puts other code under a true commit: offline it is the user's import, online it is found."""
    own = "kernels--open--low"
    file = bundle()
    forged = {"KERNELS_CACHE": str(tmp_path / "forged")}
    with tarfile.open(file) as archive:
        entries = [(m.name, archive.extractfile(m).read()) for m in archive.getmembers()]
    tarred = forge(entries, b"NAME = 'low'", b"NAME = 'bad'")
    (tmp_path / "forged.tar").write_bytes(tarred)
    assert cli("import", tmp_path / "forged.tar", **forged).returncode == 0
    load = "from kernels import get_kernel\nprint(get_kernel('open/low', version=1).NAME)"
    environment = hub.environment(tmp_path / "nobody") | forged
    offline = python(load, cwd=tmp_path, **environment, HF_HUB_OFFLINE="1")
    assert offline.stdout == "bad\n", offline.stderr
    online = python(load, cwd=tmp_path, **environment)
    assert online.stdout == "low\n", online.stderr
    assert (tmp_path / "forged" / own).is_dir()


def forge(entries, old, new):
    """A bundle in which a file has other content, and everything that names it is made to fit."""
    from hub import git_oid

    def tar(name, content):
        about = tarfile.TarInfo(name)
        about.size, about.mode = len(content), 0o644
        return about.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % 512)

    content = dict(entries)
    names = {}
    for name, data in entries:
        if name.startswith("blobs/") and old in data:
            changed = data.replace(old, new)
            names[name[6:]] = git_oid(changed)
            content[f"blobs/{git_oid(changed)}"] = changed
            del content[name]
    manifest = content.pop("manifest.json")
    del content["manifest.sha256"]
    for name, data in list(content.items()):
        if not name.startswith("listings/"):
            continue
        listing = json.loads(data)
        for entry in listing:
            entry["oid"] = names.get(entry.get("oid"), entry.get("oid"))
        changed = json.dumps(listing).encode()
        digest = hashlib.sha256(changed).hexdigest()
        manifest = manifest.replace(name[9:-5].encode(), digest.encode())
        del content[name]
        content[f"listings/{digest}.json"] = changed
    order = [f"listings/{entry['listing']}.json" for entry in json.loads(manifest)["revisions"]]
    order += sorted(name for name in content if name.startswith("blobs/"))
    check = f"{hashlib.sha256(manifest).hexdigest()}  manifest.json\n".encode()
    head = tar("manifest.json", manifest) + tar("manifest.sha256", check)
    return head + b"".join(tar(name, content[name]) for name in order) + b"\0" * 1024


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["kernels.lock", "--target", "torch=2.13,backend=cpu"], "--output FILE is missing"),
        (["kernels.lock", "-o", "x", "--target", "torch=2.13"], "does not say backend"),
        (["kernels.lock", "-o", "x", "--target", "backend=cpu"], "does not say torch"),
        (
            ["kernels.lock", "-o", "x", "--target", "torch=2.13,gpu=1"],
            "there is 'gpu': expected KEY",
        ),
        (
            ["kernels.lock", "-o", "x", "--target", "torch=new,backend=cpu"],
            "expected a version such",
        ),
    ],
)
def test_a_wrong_command_line_is_told(cli, lockfile, words, part):
    result = cli("bundle", *words)
    assert result.returncode == 2
    assert part in result.stderr


def test_what_a_target_cannot_have_is_told(cli, lockfile, tmp_path):
    result = cli("bundle", lockfile, "-o", "x", "--target", "torch=2.13,backend=rocm64")
    assert result.returncode == 1
    assert "target 'torch=2.13,backend=rocm64': 2 of 2 kernels cannot be had" in result.stderr
    assert not (tmp_path / "x").exists()
    assert cli("bundle", "absent.lock", "-o", "x", *CPU).returncode == 1
    assert cli("import", "absent.tar").returncode == 1
    (tmp_path / "junk").write_bytes(b"junk" * 999)
    assert cli("import", "junk").returncode == 1


def test_a_damaged_bundle_is_refused_with_a_status_of_its_own(away, bundle, tmp_path):
    file = bundle()
    data = bytearray(file.read_bytes())
    at = data.index(b"weights" * 20)
    data[at] ^= 1
    file.write_bytes(data)
    result = away("import", file)
    assert result.returncode == 5
    assert "' of the bundle is damaged: copy it again" in result.stderr
    file.write_bytes(data[: len(data) // 2])
    assert away("import", file).returncode == 5
    assert not (tmp_path / "away").exists()


def test_publishers_are_looked_at_when_it_is_made(cli, hub, tmp_path):
    commit = hub.kernel("closed/own", trusted=False)
    entry = {"dependency": {"repo-id": "closed/own", "version": 1}, "lock": {"commit": commit}}
    (tmp_path / "kernels.lock").write_text(json.dumps([entry]))
    assert cli("bundle", "kernels.lock", "-o", "x", *CPU).returncode == 4
    assert cli("bundle", "kernels.lock", "-o", "x", *CPU, "--trust").returncode == 0
    assert Path(tmp_path / "x").is_file()

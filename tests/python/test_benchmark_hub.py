# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of a repository of the Hub: where they come from, and at which commit."""

import json
import shutil
import sys

import pytest
from hub_support import kernel_files, run_client, taken

from kernels.benchmark import run_benchmarks
from kernels.errors import IntegrityError, UntrustedError

CODE = """
    import torch

    def fill(out):
        out.fill_({value})
"""

# As it would lie in a repository of the Hub: it also runs under upstream's package.
SCRIPT = """
from pathlib import Path

import torch

from kernels.benchmark import Benchmark

HERE = Path.cwd()  # while the script is imported, that of the repository


class FillBenchmark(Benchmark):
    seed: int = 1

    def setup(self):
        assert (HERE / "benchmarks/benchmark.py").is_file()
        self.out = torch.zeros(8, device=self.device)

    def benchmark_ones(self):
        self.kernel.fill(self.out)

    def verify_ones(self) -> torch.Tensor:
        return torch.full((8,), {value}.0)
"""
ONCE = {"iterations": 1, "warmup": 0}


def files(name, value=1, **more):
    content = kernel_files(
        name, variants=("torch-cpu",), layers=None, code=CODE.format(value=value)
    )
    script = SCRIPT.replace("{value}", str(value)).encode()
    return content | {"benchmarks/benchmark.py": script, "README.md": b"# A card\n"} | more


def publish(hub, name, *, org="open", branches=("main", "v1"), value=1, **more):
    return hub.repo(f"{org}/{name}").commit(files(name, value, **more), branches)


def test_scripts_and_kernel_are_of_one_commit(online):
    old = publish(online, "timed", value=1)
    new = publish(online, "timed", value=2, branches=("main", "v2"))
    for at, commit in (
        ({"version": 1}, old),
        ({"revision": "v1"}, old),
        ({"revision": old}, old),
        ({"version": 2}, new),
        ({}, new),
    ):
        report = run_benchmarks(repo_id="open/timed", **at, **ONCE)
        assert (report.ok, report.commit) == (True, commit), at
        assert [result.workload for result in report.results] == ["FillBenchmark.ones"]
        assert json.loads(report.to_json())["kernelCommitSha"] == commit


def test_what_is_needed_is_fetched_and_once(online, monkeypatch):
    publish(online, "once", **{"docs/large.md": b"never asked for"})
    run_benchmarks(repo_id="open/once", **ONCE)
    assert taken(online) == [
        *("__init__.py", "benchmark.py", "metadata.json", "refs", "tree", "trust"),
    ]
    run_benchmarks(repo_id="open/once", **ONCE)
    assert taken(online) == []


def test_a_new_process_needs_no_request_offline(online, tmp_path):
    publish(online, "warm")
    code = """
        from kernels.benchmark import run_benchmarks
        out["ok"] = run_benchmarks(repo_id="open/warm", version=1, iterations=1, warmup=0).ok
    """
    assert run_client(sys.executable, online, tmp_path, code) == {"ok": True}
    taken(online)
    again = run_client(sys.executable, online, tmp_path, code, HF_HUB_OFFLINE="1")
    assert (again, taken(online)) == ({"ok": True}, [])


def test_untrusted_code_is_neither_fetched_nor_run(online):
    publish(online, "code", org="closed")
    with pytest.raises(UntrustedError, match="trust_remote_code"):
        run_benchmarks(repo_id="closed/code", **ONCE)
    assert not [line for line in online.log() if "/resolve/" in line["path"]]
    for trust in (True, ["closed/code"]):
        assert run_benchmarks(repo_id="closed/code", trust_remote_code=trust, **ONCE).ok


def test_a_repository_without_benchmarks_is_told_before_its_build_is_fetched(online):
    content = kernel_files("none", variants=("torch-cpu",), layers=None)
    online.repo("open/none").commit(content, ["main"])
    with pytest.raises(FileNotFoundError, match=r"'open/none' \(commit .*\) has no folder 'bench"):
        run_benchmarks(repo_id="open/none", **ONCE)
    online.repo("open/none").commit(content | {"benchmarks/readme.md": b"later"}, ["main"])
    with pytest.raises(FileNotFoundError, match="no benchmarks in 'open/none': expected files"):
        run_benchmarks(repo_id="open/none", revision=branch_commit(online, "none"), **ONCE)
    assert "__init__.py" not in taken(online)


def branch_commit(hub, name):
    return hub.repo(f"open/{name}").about["branches"]["main"]


def test_a_damaged_script_is_not_run(online, tmp_path, monkeypatch):
    publish(online, "damaged")
    run_benchmarks(repo_id="open/damaged", **ONCE)
    (script,) = tmp_path.glob("hub/*damaged/snapshots/*/benchmarks/benchmark.py")
    script.resolve().write_text("raise SystemExit('it was run')\n")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(IntegrityError, match="'benchmarks/benchmark.py' of 'open/damaged'"):
        run_benchmarks(repo_id="open/damaged", **ONCE)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    taken(online)
    assert run_benchmarks(repo_id="open/damaged", **ONCE).ok
    assert taken(online) == ["benchmark.py"]


def test_what_another_client_left_will_do_offline(online, tmp_path, monkeypatch):
    publish(online, "foreign")
    run_benchmarks(repo_id="open/foreign", **ONCE)
    (cache,) = tmp_path.glob("hub/kernels--open--foreign")
    shutil.rmtree(cache / ".kernels")
    taken(online)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run_benchmarks(repo_id="open/foreign", **ONCE).ok
    (scripts,) = cache.glob("snapshots/*/benchmarks")
    shutil.rmtree(scripts)
    with pytest.raises(FileNotFoundError, match="no folder 'benchmarks' in the cache, and no req"):
        run_benchmarks(repo_id="open/foreign", **ONCE)
    assert taken(online) == []


def test_a_repository_of_the_older_type_has_benchmarks_too(online):
    commit = online.repo("open/older", type="model").commit(files("older"), ["main"])
    report = run_benchmarks(repo_id="open/older", **ONCE)
    assert (report.ok, report.commit) == (True, commit)


def test_a_redirect_leads_to_the_scripts_of_its_goal(online):
    commit = publish(online, "goal")
    status = b'kind = "redirect"\ndestination = "open/goal"\nrevision = "main"\n'
    online.repo("open/moved").commit({"kernel-status.toml": status}, ["main"])
    report = run_benchmarks(repo_id="open/moved", **ONCE)
    assert (report.ok, report.commit) == (True, commit)


def test_local_kernels_stand_in_for_a_repository(online, tmp_path, monkeypatch):
    for path, content in files("local").items():
        file = tmp_path / "clone" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    monkeypatch.setenv("LOCAL_KERNELS", f"open/local={tmp_path / 'clone'}")
    report = run_benchmarks(repo_id="open/local", **ONCE)
    assert (report.ok, report.commit, taken(online)) == (True, "", [])


def test_a_path_and_a_repository_are_one_too_many(tmp_path):
    with pytest.raises(ValueError, match="Only one of `path` or `repo_id`"):
        run_benchmarks(tmp_path, repo_id="open/timed")


def test_upstreams_runner_comes_to_the_same(online, peer, tmp_path):
    # Upstream takes the scripts from a repository of the older type, and the kernel from this one.
    publish(online, "both")
    online.repo("open/both", type="model").commit(files("both"), ["main", "v1"])
    program = """
        import sys, types
        sys.modules["tabulate"] = types.SimpleNamespace(tabulate=lambda rows, **how: "")
        from kernels.cli.benchmark import run_benchmark
        result = run_benchmark("open/both", None, 1, iterations=2, warmup=0)
        out = result.to_payload()
    """
    theirs = run_client(peer, online, tmp_path / "peer", program)
    report = run_benchmarks(repo_id="open/both", version=1, iterations=2, warmup=0)
    ours = json.loads(report.to_json())
    assert theirs["benchmarkScriptSha"] == ours["benchmarkScriptSha"] == report.digest
    assert theirs["benchmarkScriptPath"] == ours["benchmarkScriptPath"] == "benchmarks"
    (their_result,), (our_result,) = theirs["results"], ours["results"]
    assert their_result["workload"] == our_result["workload"] == "FillBenchmark.ones"
    assert their_result["verified"] is our_result["verified"] is True
    assert set(their_result["timingResults"]) <= set(our_result["timingResults"])
    assert set(theirs) <= set(ours)

# SPDX-License-Identifier: Apache-2.0
"""kernels benchmark: the one command that runs a kernel's code."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from hub import kernel_files

KERNEL = "def fill(out):\n    out.fill_(1)\n"
SCRIPT = """
import torch

from kernels.benchmark import Benchmark


class FillBenchmark(Benchmark):
    def setup(self):
        self.out = torch.zeros(8)

    def benchmark_ones(self):
        self.kernel.fill(self.out)

    def verify_ones(self):
        return torch.ones(8)
"""


@pytest.fixture
def toy(tmp_path):
    variant = tmp_path / "toy/build/torch-universal"
    variant.mkdir(parents=True)
    (variant / "metadata.json").write_text('{"id": "_toy_fill", "name": "toy", "version": 1}')
    (variant / "__init__.py").write_text(KERNEL)
    (tmp_path / "toy/benchmarks").mkdir()
    script = tmp_path / "toy/benchmarks/benchmark.py"
    script.write_text(SCRIPT)
    return script


def test_a_directory_is_benchmarked(cli, toy, tmp_path):
    table = cli("benchmark", "toy", "--iterations", "2", "--plot", "times.svg")
    assert table.returncode == 0, table.stderr
    heading, row = table.stdout.splitlines()
    assert heading.split()[:6] == ["workload", "verified", "calls", "median", "spread", "bytes"]
    assert row.split()[:3] == ["FillBenchmark.ones", "yes", "2"]
    assert ElementTree.parse(tmp_path / "times.svg").getroot().tag.endswith("svg")
    words = ["--json", "--output", "times.json", "--iterations=2", "--warmup=0"]
    document = cli("benchmark", *words, "--", "toy")
    assert document.returncode == 0, document.stderr
    (entry,) = json.loads(document.stdout)["results"]
    assert (entry["workload"], entry["timingResults"]["iterations"]) == ("FillBenchmark.ones", 2)
    assert (tmp_path / "times.json").read_text() == document.stdout
    assert "FillBenchmark.ones" in document.stderr


def test_a_wrong_result_is_exit_status_1(cli, toy):
    toy.write_text(SCRIPT.replace("torch.ones(8)", "torch.zeros(8)"))
    wrong = cli("benchmark", "toy")
    assert wrong.returncode == 1
    assert "off by up to 1;" in wrong.stdout
    assert "no times were taken" in wrong.stderr


def test_modules_in_the_working_directory_are_not_run(cli, toy, tmp_path):
    (tmp_path / "torch.py").write_text("1/0\n")
    assert cli("benchmark", "toy", "--iterations", "1").returncode == 0


def test_the_environments_python_gets_the_words_and_gives_the_exit_status(cli, tmp_path):
    packages = tmp_path / "other/lib/python3.12/site-packages"
    (packages / "torch").mkdir(parents=True)
    (packages / "torch/version.py").write_text("__version__ = '2.9.0+cpu'\n")
    (packages / "kernels").mkdir()
    (packages / "kernels/__init__.py").write_text("")
    words = ["benchmark", "--python", "other", "--warmup=3", "--json", "toy"]
    nothing = cli(*words)
    assert nothing.returncode == 1
    assert "other/bin/python' could not be run: No such file or directory" in nothing.stderr
    (tmp_path / "other/bin").mkdir()
    for name, status in (("python3", 7), ("python3.12", 8)):
        python = tmp_path / "other/bin" / name
        python.write_text(f'#!/bin/sh\nshift 2\necho "$@"\nexit {status}\n')
        python.chmod(0o755)
        result = cli(*words)
        assert (result.stdout, result.returncode) == ("--warmup 3 --json -- toy\n", status)


def test_what_cannot_be_benchmarked_is_told(cli, toy, tmp_path):
    for words in ([], ["toy", "--builtin"]):
        result = cli("benchmark", *words)
        assert result.returncode == 2
        assert "name either a kernel or --builtin" in result.stderr
        assert "usage: kernels benchmark" in result.stderr
    neither = cli("benchmark", "./no/toy")
    assert neither.returncode == 1
    assert "'./no/toy' is neither a directory nor a repository's name" in neither.stderr
    twice = cli("benchmark", "open/toy", "--version", "1", "--branch", "main")
    assert twice.returncode == 2
    assert "Only one of --revision, --branch or --version can be specified" in twice.stderr
    for words, message in (
        (["--builtin", "--version", "1"], "--builtin has no revisions"),
        (["toy", "--iterations", "x"], "argument --iterations: invalid int value: 'x'"),
        (["toy", "--iterations", "0"], "iterations must be 1 or more"),
        (["toy", "--plot", "no/times.svg"], "'no/times.svg' cannot be written: there is no dir"),
        (["toy", "--output", "no/times.json"], "cannot be written: there is no directory"),
        (["toy", "--plot", "times.gif"], "a plot is a file named .svg or .png"),
    ):
        result = cli("benchmark", *words)
        assert result.returncode == 2, words
        assert message in result.stderr
        assert (result.stdout, "Traceback" in result.stderr) == ("", False)
    (tmp_path / "bare/lib/python3.12/site-packages").mkdir(parents=True)
    bare = cli("benchmark", "toy", "--python", "bare")
    assert bare.returncode == 1
    assert "there is no torch in the Python environment" in bare.stderr
    assert "name another environment with --python" in bare.stderr


def test_a_kernel_that_ships_with_the_package_is_benchmarked_by_its_name(cli, tmp_path):
    (tmp_path / "builtin/loss").mkdir(parents=True)  # which does not take the name's place
    done = cli("benchmark", "builtin/loss", "--iterations", "1", "--warmup", "0", "--json")
    assert done.returncode == 0, done.stderr
    found = [result["workload"] for result in json.loads(done.stdout)["results"]]
    assert found == ["LossBenchmark.cross_entropy_and_gradient"]
    absent = cli("benchmark", "builtin/lost")
    assert absent.returncode == 1
    assert "'builtin/lost': there is no first-party kernel of that name" in absent.stderr


def publish(hub, name, org="open", script=SCRIPT):
    files = kernel_files(name, variants=("torch-cpu",), layers=None, code=KERNEL)
    return hub.repo(f"{org}/{name}").commit(
        files | {"benchmarks/benchmark.py": script.encode()}, branches=["main", "v1"]
    )


def test_a_repository_of_the_hub_is_benchmarked(cli, hub):
    commit = publish(hub, "timed")
    for words in (["open/timed"], ["open/timed", "--version", "1"], ["open/timed", "--branch=v1"],
                  ["open/timed@v1"], [f"open/timed@{commit}"], ["open/timed", "--revision", commit]):  # fmt: skip
        done = cli("benchmark", *words, "--iterations", "1", "--warmup", "0", "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["kernelCommitSha"] == commit
        assert [result["workload"] for result in document["results"]] == ["FillBenchmark.ones"]
    offline = cli("benchmark", "open/timed@v1", "--iterations=1", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr


def test_the_exit_status_says_what_the_hub_said(cli, hub, home):
    publish(hub, "code", org="closed")
    refused = cli("benchmark", "closed/code", "--iterations=1")
    assert refused.returncode == 4
    assert "`kernels benchmark --trust` runs its code all the same" in refused.stderr
    assert cli("benchmark", "closed/code", "--iterations=1", "--trust").returncode == 0
    absent = cli("benchmark", "open/absent")
    assert absent.returncode == 1
    assert "open/absent" in absent.stderr
    (script,) = home.glob("hub/*code/snapshots/*/benchmarks/benchmark.py")
    script.resolve().write_text("raise SystemExit('it was run')\n")
    damaged = cli("benchmark", "closed/code", "--trust", HF_HUB_OFFLINE="1")
    assert damaged.returncode == 5
    unreached = cli("benchmark", "open/other", HF_ENDPOINT="http://127.0.0.1:9")
    assert unreached.returncode == 3, unreached.stderr


def test_what_a_benchmark_raises_is_shown_with_its_place(cli, toy):
    toy.write_text(SCRIPT.replace("self.kernel.fill(self.out)", "raise ValueError('no fill')"))
    raised = cli("benchmark", "toy")
    assert raised.returncode == 1
    assert 'benchmark.py", line' in raised.stderr
    assert "ValueError: no fill" in raised.stderr
    toy.write_text("import no_such_module\n")
    missing = cli("benchmark", "toy")
    assert missing.returncode == 1
    assert "benchmark.py' cannot be imported: No module named 'no_such_module'" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_options_of_upstream_alone_are_told(cli):
    for option, instead in (("--visual", "FILE.svg"), ("--rasterized", "FILE.png")):
        refused = cli("benchmark", "open/timed", option)
        assert refused.returncode == 2
        assert (
            f"'benchmark {option}' is not available in this version: --plot {instead}"
            in refused.stderr
        )


def test_help_says_that_it_runs_code(cli):
    assert "This command alone runs the kernel's code, in Python" in cli("benchmark", "-h").stdout

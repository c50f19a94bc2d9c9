# SPDX-License-Identifier: Apache-2.0
"""kernels benchmark: the one command that runs Python."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

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
        assert "name either a directory or --builtin" in result.stderr
        assert "usage: kernels benchmark" in result.stderr
    remote = cli("benchmark", "org/name")
    assert remote.returncode == 1
    assert "clone the repository of the Hub with git" in remote.stderr
    (tmp_path / "bare/lib/python3.12/site-packages").mkdir(parents=True)
    bare = cli("benchmark", "toy", "--python", "bare")
    assert bare.returncode == 1
    assert "there is no torch in the Python environment" in bare.stderr
    assert "name another environment with --python" in bare.stderr


def test_help_says_that_it_runs_code(cli):
    assert "This command alone runs Python and the kernel's code" in cli("benchmark", "-h").stdout

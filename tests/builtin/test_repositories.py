# SPDX-License-Identifier: Apache-2.0
"""What lies in a repository beside its builds: tests and benchmarks, which run wherever it is copied to."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import KERNELS

# As `kernels benchmark PATH`; tabulate, which upstream's table needs, is not in its environment.
UPSTREAM = """
import sys
from kernels.cli.benchmark import run_benchmark

for path in sys.argv[1:]:
    results = run_benchmark(path, None, None, iterations=1, warmup=0).to_payload()["results"]
    print(*(result["workload"] for result in results if result["verified"]))
"""


@pytest.fixture(scope="module")
def copies(builtin_dir, tmp_path_factory):
    """A folder with a copy of each repository."""
    folder = tmp_path_factory.mktemp("repositories")
    for name in KERNELS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(builtin_dir / name, folder / name, ignore=ignored)
    return folder


def run(folder, *command):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=clean | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_repository_passes_its_own_tests(copies):
    files = [f"{name}/tests/test_{name}.py" for name in KERNELS]
    done = run(copies, sys.executable, "-m", "pytest", "-q", *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_upstream_runs_the_benchmarks_and_finds_the_results_right(copies):
    (copies / "tabulate.py").write_text("def tabulate(rows, **how):\n    return ''\n")
    (copies / "upstream.py").write_text(UPSTREAM)
    python = os.environ["KN_PEER_PYTHON"]
    done = run(copies, python, "upstream.py", *(copies / name for name in KERNELS))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ActivationBenchmark.gelu_and_mul ActivationBenchmark.silu_and_mul "
        "ActivationBfloat16Benchmark.gelu_and_mul ActivationBfloat16Benchmark.silu_and_mul",
        "LossBenchmark.cross_entropy_and_gradient",
        "MlpBenchmark.silu_mul",
        "NormBenchmark.layer_norm NormBenchmark.rms_norm "
        "NormBfloat16Benchmark.layer_norm NormBfloat16Benchmark.rms_norm",
        "RotaryBenchmark.q_and_k",
    ]

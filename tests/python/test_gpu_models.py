# SPDX-License-Identifier: Apache-2.0
"""The programs that measure whole models on GPUs, on small models and the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def run(*arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=BENCH,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the benchmark wrote and printed for two small models."""
    file = tmp_path_factory.mktemp("measured") / "models.json"
    options = ("--device", "cpu", "--models", "tiny-llama,tiny-bert", "--ways", "eager,ours")
    printed = run("bench_gpu_models.py", *options, "--rounds", 1, "--json", file)
    return file, json.loads(file.read_text()), printed


TASKS = {
    ("tiny-llama", "decode, batch 1"),
    ("tiny-llama", "decode, batch 2"),
    ("tiny-llama", "decode, batch 1, growing cache"),
    ("tiny-llama", "prefill of 16"),
    ("tiny-llama", "training step, 1 x 16"),
    ("tiny-bert", "forward, 1 x 16"),
    ("tiny-bert", "training step, 2 x 16"),
}


def test_every_task_is_timed_with_and_without_kernels(measured):
    _, report, _ = measured
    timed = {(each["model"], each["task"], each["way"]) for each in report["results"]}
    assert timed == {(*task, way) for task in TASKS for way in ("eager", "ours")}
    assert all(len(each["ms"]) == 1 and each["ms"][0] > 0 for each in report["results"])


def test_the_kernels_are_those_of_the_package_and_compute_the_same(measured):
    _, report, _ = measured
    assert report["layers"] == {
        "tiny-llama": {
            "RMSNorm": "builtin/norm",
            "rotary_pos_emb": "builtin/rotary",
            "SiLU": "builtin/activation",
            "SwiGLUMLP": "builtin/mlp",
            "ForCausalLMLoss": "builtin/loss",
        },
        "tiny-bert": {"LayerNorm": "builtin/norm", "GeLU": "builtin/activation"},
    }
    assert {(each["model"], each["task"]) for each in report["checks"]} == TASKS
    assert all(each["difference"] <= 2**-7 for each in report["checks"])


def test_tables_and_pictures_come_from_the_file(measured, tmp_path):
    file, _, printed = measured
    again = run("gpu_report.py", "--models", file, "--pictures", tmp_path)
    assert printed.strip() in again
    assert "| tiny-llama | prefill of 16 |" in again
    assert "tiny-bert: forward, 1 x 16" in (tmp_path / "gpu-models.svg").read_text()


KERNEL = {
    "what": "RMSNorm 1 x 4096",
    "us": {"ours": 1.5, "copy": 1.1, "compiled": 1.9},
    "goal": "<= 1.6 us",
    "reached": True,
}


def test_times_of_single_kernels_are_shown_the_same_way(tmp_path):
    file = tmp_path / "kernels.json"
    machine = {"device": "a GPU", "torch": "2.11.0"}
    file.write_text(json.dumps({"machine": machine, "results": [KERNEL]}))
    printed = run("gpu_report.py", "--kernels", file, "--pictures", tmp_path)
    assert "| RMSNorm 1 x 4096 | 1.50 | 1.10 |  |  | 1.90 |  | <= 1.6 us | yes |" in printed
    assert "RMSNorm 1 x 4096" in (tmp_path / "gpu-kernels.svg").read_text()

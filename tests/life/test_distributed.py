# SPDX-License-Identifier: Apache-2.0
"""Kernelized models in two processes over gloo: DDP, FSDP2, DTensor. The checks are in distributed_worker.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from distributed_worker import CHECKS, WORLD
from life_support import write_life_kernel

WORKER = Path(__file__).with_name("distributed_worker.py")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """{check: [what went wrong in each process]}"""
    folder = tmp_path_factory.mktemp("distributed")
    write_life_kernel(folder / "kernel")
    logs = [(folder / f"{rank}.log").open("w+") for rank in range(WORLD)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, str(rank), folder], stdout=log, stderr=log, env=environment
        )
        for rank, log in enumerate(logs)
    ]
    try:
        for process in processes:
            process.wait(timeout=480)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    written = [(folder / f"{rank}.json") for rank in range(WORLD)]
    results = [json.loads(file.read_text()) if file.exists() else {} for file in written]
    ends = [log.seek(0) or log.read()[-4000:] for log in logs]
    return {
        name: [r.get(name, end) for r, end in zip(results, ends, strict=True)] for name in CHECKS
    }


@pytest.mark.parametrize("check", CHECKS)
def test_in_two_processes(told, check):
    assert told[check] == [""] * WORLD, "\n".join(told[check])

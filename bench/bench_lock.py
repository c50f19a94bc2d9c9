# SPDX-License-Identifier: Apache-2.0
"""`kernels lock` beside upstream's: whole processes, a project of ten kernels, 50 ms a request.

Each kernel has four builds, and a third of them need another kernel. Both programs ask the same loopback Hub in turns,
cold with an empty cache and again with the one that the first run left.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import PEER, peer_python, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from hub import Hub

ROUNDS = 5
LATENCY_MS = 50
KERNELS = 10
BUILDS = ["torch-cpu", *(f"torch2{n}-cxx11-cpu-x86_64-linux" for n in range(10, 13))]


def publish(hub):
    """Ten kernels, and one that every third of them needs."""
    hub.kernel("org/common", variants=BUILDS)
    lines = ["[tool.kernels.dependencies]"]
    needs = [{"repo-id": "org/common", "version": 1}]
    for number in range(KERNELS):
        metadata = {"kernel-depends": needs if number % 3 == 0 else []}
        hub.kernel(f"org/k{number:02}", variants=BUILDS, metadata=metadata)
        lines.append(f'"org/k{number:02}" = 1')
    return "\n".join(lines) + "\n"


def run(command, project, environment, hub):
    """Seconds, requests, and the lock file that came of it."""
    lock = project / "kernels.lock"
    lock.unlink(missing_ok=True)
    hub.reset_log()
    start = time.perf_counter()
    subprocess.run([*command, "lock", project], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start, len(hub.log()), lock.read_bytes()


def main():
    # As its console script does.
    peer = [peer_python(), "-c", "from kernels.cli import main; main()"]
    sides = {"here": [Path(sys.prefix) / "bin" / "kernels"], PEER: peer}
    found = {(name, kind): [] for kind in ("cold", "again") for name in sides}
    with Hub(latency_ms=LATENCY_MS) as hub, tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "project"
        project.mkdir()
        (project / "pyproject.toml").write_text(publish(hub))
        locks = set()
        for turn in range(ROUNDS):
            for name, command in sides.items():
                environment = os.environ | hub.environment(Path(scratch) / f"{name} {turn}")
                environment.pop("PYTHONPATH", None)
                for kind in ("cold", "again"):
                    seconds, requests, lock = run(command, project, environment, hub)
                    found[name, kind].append((seconds, requests))
                    locks.add(lock)
    if len(locks) != 1:
        sys.exit("the lock files differ")
    print(f"kernels lock, {KERNELS} kernels, {LATENCY_MS} ms a request, whole process")
    rows = []
    for kind in ("cold", "again"):
        times = {name: statistics.median(each[0] for each in found[name, kind]) for name in sides}
        requests = {name: found[name, kind][0][1] for name in sides}
        cells = [f"{times[name]:.2f} s, {requests[name]}" for name in sides]
        rows.append((kind, *cells, f"1/{times[PEER] / times['here']:.1f}"))
    table(["", "here: time, requests", f"{PEER}", "of it"], rows)


if __name__ == "__main__":
    main()

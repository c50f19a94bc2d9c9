# SPDX-License-Identifier: Apache-2.0
"""The command `kernels` beside upstream's: whole processes, over a kernel that is cached."""

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

ROUNDS = 20
PEER_ROUNDS = 3


def milliseconds(command, environment, rounds):
    """The fastest and the median of `rounds` runs, after one that does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        times.append((time.perf_counter() - start) * 1e3)
    return min(times[1:]), statistics.median(times[1:])


def main():
    ours = [Path(sys.prefix) / "bin" / "kernels"]
    # As its console script does.
    theirs = [peer_python(), "-c", "from kernels.cli import main; main()"]
    rows = []
    with Hub() as hub, tempfile.TemporaryDirectory() as scratch:
        hub.kernel("org/relu")
        mine = os.environ | hub.environment(Path(scratch) / "ours")
        other = os.environ | hub.environment(Path(scratch) / "theirs")
        other.pop("PYTHONPATH", None)
        subprocess.run(
            [*ours, "get", "org/relu", "--version", "1"], env=mine, check=True, stdout=-3
        )
        for words in (
            ["--version"],
            ["info", "org/relu"],
            ["versions", "org/relu"],
            ["cache", "list"],
            ["doctor"],
        ):
            fast, median = milliseconds([*ours, *words], mine, ROUNDS)
            hub.reset_log()
            subprocess.run([*ours, *words], env=mine, check=True, capture_output=True)
            requests = len(hub.log())
            asked = words if words != ["--version"] else ["--help"]
            peer = "-"
            if words[0] in ("--version", "info", "versions"):
                peer = f"{milliseconds([*theirs, *asked], other, PEER_ROUNDS)[1]:.0f}"
            rows.append((" ".join(words), f"{fast:.1f}", f"{median:.1f}", requests, peer))
    print("the command, whole process, ms (upstream has no --version: its --help)")
    table(["kernels ...", "fastest", "median", "requests", PEER], rows)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""`import kernels`: time, modules and memory, after torch and without it, against the peer."""

import json
import os
import subprocess
import sys

from side_by_side import PEER, peer_python, table

ROUNDS = 9

SCRIPT = """
import json, sys, time
if %(torch)r: import torch
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
memory, modules, start = resident(), len(sys.modules), time.perf_counter()
import kernels
took = time.perf_counter() - start
print(json.dumps({"ms": took * 1e3, "modules": len(sys.modules) - modules, "mb": (resident() - memory) / 1e6}))
"""


def sample(python, with_torch):
    script = SCRIPT % {"torch": with_torch}
    # Both may keep their byte code: the first round writes it.
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    }
    done = subprocess.run(
        [python, "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    return json.loads(done.stdout)


def main():
    rows = []
    for with_torch, goal in ((True, "<= 5 ms, <= 12 modules, <= 2 MB"), (False, "<= 20 ms")):
        results = ([], [])
        for _ in range(ROUNDS):
            for python, samples in zip((sys.executable, peer_python()), results, strict=True):
                samples.append(sample(python, with_torch))
        ours, theirs = (
            {key: min(s[key] for s in samples) for key in samples[0]} for samples in results
        )
        rows.append(
            (
                "after torch" if with_torch else "without torch",
                f"{ours['ms']:.1f} ms",
                f"{theirs['ms']:.1f} ms",
                f"{theirs['ms'] / ours['ms']:.0f} x",
                f"{ours['modules']} / {theirs['modules']}",
                f"{ours['mb']:.1f} / {theirs['mb']:.1f}",
                goal,
            )
        )
    print(f"import kernels, minimum of {ROUNDS} fresh processes each, in turns")
    table(("", "ours", PEER, "ratio", "modules", "MB", "goal"), rows)


if __name__ == "__main__":
    main()

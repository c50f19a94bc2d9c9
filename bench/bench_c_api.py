# SPDX-License-Identifier: Apache-2.0
"""The C library for programs without Python: its size, its memory, and kernelize of a graph of 100,000 nodes in C.

KN_SHARED_LIB is libkernels.so, as a build of the type Release makes it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import table

ROOT = Path(__file__).resolve().parents[1]
NODES, ROUNDS = 100_000, 30


def size_of(library, folder):
    """Bytes without symbols and debugging information."""
    stripped = folder / "stripped.so"
    subprocess.run(["strip", "-o", stripped, library], check=True)
    return stripped.stat().st_size


def build(library, folder):
    program = folder / "c_api_run"
    options = ["-O2", "-std=c11", "-D_POSIX_C_SOURCE=200809L", f"-I{ROOT / 'include'}"]
    source = ROOT / "bench" / "c_api_run.c"
    link = [f"-L{library.parent}", "-lkernels", f"-Wl,-rpath,{library.parent}"]
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, *options, source, "-o", program, *link], check=True)
    return program


def main():
    named = os.environ.get("KN_SHARED_LIB")
    if not named:
        sys.exit("KN_SHARED_LIB must name libkernels.so: run `make bench`")
    library = Path(named).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = build(library, folder)

        def run(*arguments):
            done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
            return done.stdout.split()

        files, heap = map(int, run("memory"))
        numbers = [float(each) for each in run("kernelize", str(NODES), str(ROUNDS))]
        times, busy = numbers[::2], numbers[1::2]
        rows = [
            ("shared library, stripped", f"{size_of(library, folder) / 1e3:.0f} KB", "<= 400 KB"),
            (
                "resident for it and libjansson (text, data), and the heap of an engine",
                f"{files} + {heap} KiB",
                "<= 1 MB",
            ),
            (
                f"kernelize, {NODES:,} nodes, all replaced: median of {ROUNDS} (of processor time)",
                f"{statistics.median(times):.1f} ms ({statistics.median(busy):.1f})",
                "<= 20 ms",
            ),
        ]
    print("libkernels for C programs, without network and crypto (a module of their own)")
    table(("", "measured", "goal"), rows)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""One large file from a Hub on this machine: into the cache, checked, against curl into a file.

In turns, on the disk and on a memory file system. KN_BENCH_MIB sets the size (1024). curl neither checks nor syncs
what it writes; "curl, sync" syncs the file, as the cache does before it gives it its name.
"""

import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from side_by_side import PEER, peer_python, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from hub import Hub, kernel_files

MIB = int(os.environ.get("KN_BENCH_MIB", "1024"))
ROUNDS = 5

PROGRAM = """
    import resource, sys, time
    import torch, kernels
    from kernels import install_kernel
    try:
        import kernels._host, kernels._torch
    except ImportError:
        pass
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    install_kernel("org/large", version=1)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(seconds, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime)
"""


def install(python, hub, folder):
    """Seconds of install_kernel into an empty cache, and of the processor for it."""
    home = tempfile.mkdtemp(dir=folder)
    env = os.environ | hub.environment(home)
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, "-c", textwrap.dedent(PROGRAM)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    shutil.rmtree(home)
    wall, user, system = map(float, done.stdout.split())
    return wall, user + system


def curl(url, folder, sync):
    file = Path(folder, "curl.bin")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(["curl", "-s", "-f", "-o", str(file), url], check=True)
    if sync:
        with open(file, "rb") as written:
            os.fsync(written.fileno())
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    file.unlink()
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def hashing(content):
    start = time.perf_counter()
    hashlib.sha256(content).digest()
    return time.perf_counter() - start, 0


def measure(hub, url, content, folder):
    ways = {
        "curl": lambda: curl(url, folder, False),
        "curl, sync": lambda: curl(url, folder, True),
        "ours": lambda: install(sys.executable, hub, folder),
        PEER: lambda: install(peer_python(), hub, folder),
        "SHA-256 alone": lambda: hashing(content),
    }
    samples = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            samples[name].append(way())
    best = {name: min(wall for wall, _ in sample) for name, sample in samples.items()}
    rows = []
    for name, sample in samples.items():
        walls = [wall for wall, _ in sample]
        cpu = min(cpu for _, cpu in sample)
        rows.append(
            (
                name,
                f"{best[name]:.2f} s",
                f"{statistics.median(walls):.2f} s",
                f"{cpu:.2f} s" if cpu else "",
                f"{MIB / best[name] * 1.048576:.0f} MB/s",
                f"{best['curl'] / best[name]:.2f} x",
                f"{best['curl, sync'] / best[name]:.2f} x",
            )
        )
    table(("", "best", "median", "processor", "", "of curl", "of curl, sync"), rows)


def main():
    content = os.urandom(1 << 20) * MIB
    only = {"variants": ("torch-cpu",), "layers": None}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root, Hub(root) as hub:
        hub.organization("org", trusted=True)
        files = kernel_files("large", **only) | {"build/torch-cpu/large.bin": content}
        commit = hub.repo("org/large", lfs=["*.bin"]).commit(files, branches=["v1"])
        url = f"{hub.url}/kernels/org/large/resolve/{commit}/build/torch-cpu/large.bin"
        # The Hub hashes what it serves once.
        subprocess.run(["curl", "-s", "-f", "-I", "-o", os.devnull, url], check=True)
        for label, where in (("on the disk", tempfile.gettempdir()), ("in memory", "/dev/shm")):
            print(
                f"one file of {MIB} MiB over the loopback, {label}; best and median of {ROUNDS}, in turns"
            )
            with tempfile.TemporaryDirectory(dir=where) as folder:
                measure(hub, url, content, folder)


if __name__ == "__main__":
    main()

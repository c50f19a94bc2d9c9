# SPDX-License-Identifier: Apache-2.0
"""Twenty kernels into an empty cache, by one process and by many at once, and how often each file is asked for.

Here it is one call of `prefetch`; upstream has no such call, so there it is `install_kernel` for one after the other.
The processes are forked from one that has imported everything, wait until all are there, and the clock stops when the
last one is done. Upstream is not run by many processes: each would do all of the work.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

from side_by_side import PEER, peer_python, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from hub import Hub

KERNELS = 20
LATENCY_MS = 50
ROUNDS = 5
MANY = 32

PROGRAM = """
    import os, sys, time
    import torch
    import kernels, kernels.install
    try:
        import kernels._torch
    except ImportError:
        import huggingface_hub.hf_api

    repos, count = [f"org/k{number:02}" for number in range(int(sys.argv[1]))], int(sys.argv[2])

    def fetch():
        if hasattr(kernels, "prefetch"):
            return kernels.prefetch([f"{repo}@v1" for repo in repos])
        for repo in repos:
            kernels.install_kernel(repo, version=1)
        return "done"

    wait, go = os.pipe()
    said, say = os.pipe()
    for _ in range(count):
        if not os.fork():
            os.close(go)
            os.read(wait, 1)
            os.write(say, fetch().encode() + b"\\n")
            os._exit(0)
    time.sleep(0.5)
    start = time.perf_counter()
    os.close(go)
    answers = [os.waitpid(-1, 0)[1] for _ in range(count)]
    seconds = time.perf_counter() - start
    assert not any(answers), answers
    assert len(set(os.read(said, 65536).split())) == 1
    print(seconds)
"""


def measure(python, hub, scratch, count, home=None):
    """Seconds until `count` processes are done, how many requests there were, and those for content by path."""
    environment = os.environ | hub.environment(home or tempfile.mkdtemp(dir=scratch))
    environment.pop("PYTHONPATH", None)
    environment["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    hub.reset_log()
    done = subprocess.run(
        [python, "-c", textwrap.dedent(PROGRAM), str(KERNELS), str(count)],
        env=environment, cwd=scratch, text=True, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    log = hub.log()
    files = Counter(
        line["path"] for line in log if "/resolve/" in line["path"] and line["method"] == "GET"
    )
    return float(done.stdout.splitlines()[-1]), len(log), files


def row(label, samples, goal=""):
    seconds = statistics.median(sample[0] for sample in samples)
    _, requests, files = samples[-1]
    content = f"{len(files)} files, each {max(files.values(), default=0)} x"
    return label, f"{seconds:.2f} s", requests, content, goal


def main():
    with tempfile.TemporaryDirectory() as scratch, Hub() as hub:

        def here(count, rounds, home=None):
            return [measure(sys.executable, hub, scratch, count, home) for _ in range(rounds)]

        for number in range(KERNELS):
            hub.kernel(f"org/k{number:02}", variants=("torch-cpu",))
        hub.set(latency_ms=LATENCY_MS)
        home = tempfile.mkdtemp(dir=scratch)
        here(1, 1, home)
        rows = [
            row("1 process, here", here(1, ROUNDS), "<= 1 s"),
            row(f"1 process, {PEER}", [measure(peer_python(), hub, scratch, 1)]),
            row(f"{MANY} processes, here", here(MANY, ROUNDS), "<= 1.5 s"),
            row("1 process, all cached, here", here(1, ROUNDS, home)),
        ]
    print(f"{KERNELS} kernels of 3 files, not cached, at {LATENCY_MS} ms a request")
    table(("", "time", "requests", "content", "goal"), rows)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Kernels from a Hub: requests and time, cold, warm and offline; and what comes of faults.

Both packages ask the same loopback Hub, in turns, each with a cache of its own. Every measurement is a new process;
imports (of torch, the package, and what the package imports at its first call) are not counted. With the argument
`faults` only those are tried.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from side_by_side import PEER, peer_python, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from hub import Hub, git_oid, kernel_files

ROUNDS = 5
LATENCY_MS = 50

# Runs in either interpreter: imports everything, then measures.
PROGRAM = """
    import json, os, sys, time
    import torch
    import kernels
    from kernels import get_kernel
    try:
        import kernels.load, kernels.install, kernels._host, kernels._torch
    except ImportError:
        pass

    def timed(function, *args, **kwargs):
        start = time.perf_counter()
        value = function(*args, **kwargs)
        return value, (time.perf_counter() - start) * 1e3

    def get(repo, **request):
        return timed(get_kernel, repo, **request)[1]
"""

CALL = """
    repo, request, again = json.loads(sys.argv[1])
    answer = {"first": None, "error": None}
    try:
        answer["first"] = get(repo, **request)
        answer["second"] = get(repo, **request)
        if again:
            answer["again"] = min(get(repo, **request) for _ in range(again))
    except Exception as error:
        answer["error"] = type(error).__name__
    print(json.dumps(answer))
"""

MAPPING = """
    import torch.nn as nn
    from kernels import LayerRepository, Mode, kernelize, register_kernel_mapping, use_kernel_forward_from_hub

    def layer(name):
        class Layer(nn.Module):
            def forward(self, x):
                return x
        return use_kernel_forward_from_hub(name)(Layer)()

    model = nn.Sequential(*(layer(f"L{i}") for i in range(20)))
    register_kernel_mapping({f"L{i}": {"cpu": LayerRepository(f"org/k{i:02}", layer_name="Tenfold", version=1)}
                             for i in range(20)})
    _, ms = timed(kernelize, model, mode=Mode.INFERENCE, device="cpu")
    print(json.dumps({"first": ms, "value": float(model(torch.ones(1)))}))
"""


class Side:
    """One of the two packages, with caches of its own."""

    def __init__(self, python, hub, scratch):
        self.python, self.hub, self.scratch = python, hub, Path(scratch)

    def new_home(self):
        return tempfile.mkdtemp(dir=self.scratch)

    def run(self, body, *arguments, home, **environment):
        env = os.environ | self.hub.environment(home) | environment
        env.pop("PYTHONPATH", None)
        program = textwrap.dedent(PROGRAM) + textwrap.dedent(body)
        done = subprocess.run(
            [self.python, "-c", program, *arguments],
            env=env, capture_output=True, text=True, cwd=self.scratch,
        )  # fmt: skip
        if done.returncode:
            sys.exit(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def call(self, repo, home, again=0, env=None, **request):
        return self.run(CALL, json.dumps([repo, request, again]), home=home, **(env or {}))


def counted(side, function):
    """What `function` gives, and how many requests were made (not those of the client for its own ends)."""
    side.hub.reset_log()
    value = function()
    foreign = ("/api/agent-harnesses",)
    return value, sum(line["path"] not in foreign for line in side.hub.log())


def requests(sides):
    rows = []
    for repo, label, goal in (("org/three", "3 files", "<= 6"), ("org/forty", "40 files", "<= 43")):
        cold, warm, second = [], [], []
        for side in sides:
            home = side.new_home()
            # The first call's requests are those of both calls less those of the second one.
            _, both = counted(side, lambda: side.call(repo, home, version=1))  # noqa: B023
            _, twice = counted(side, lambda: side.call(repo, home, version=1))  # noqa: B023
            program = f"\n    get({repo!r}, version=1)\n    print('{{}}')\n"
            _, once = counted(side, lambda: side.run(program, home=home))  # noqa: B023
            second.append(twice - once)
            warm.append(once)
            cold.append(both - second[-1])
        rows.append((f"cold, by version, {label}", *cold, goal))
        rows.append((f"warm, new process, {label}", *warm, "0"))
        rows.append((f"second call, {label}", *second, "0"))
    table(("requests", "ours", PEER, "goal"), rows)


def cold(sides):
    rows = []
    for repo, label, goal, redirect in (
        ("org/three", "3 files", "<= 0.30 s", False),
        ("org/forty", "40 files", "<= 0.45 s", False),
        ("org/three", "3 files behind a relative 307", "", True),
        ("org/forty", "40 files behind a relative 307", "", True),
    ):
        sides[0].hub.set(redirect_small=redirect)
        samples = [[], []]
        for _ in range(ROUNDS):
            for side, sample in zip(sides, samples, strict=True):
                sample.append(side.call(repo, side.new_home(), version=1)["first"] / 1e3)
        mine, peer = (statistics.median(sample) for sample in samples)
        rows.append(
            (
                f"get_kernel cold, {label}",
                f"{mine:.3f} s",
                f"{peer:.3f} s",
                f"{peer / mine:.1f} x",
                goal,
            )
        )
    sides[0].hub.set(redirect_small=False)
    samples = [[], []]
    for _ in range(3):
        for side, sample in zip(sides, samples, strict=True):
            answer = side.run(MAPPING, home=side.new_home())
            assert abs(answer["value"] / 1e20 - 1) < 1e-5
            sample.append(answer["first"] / 1e3)
    mine, peer = (statistics.median(sample) for sample in samples)
    rows.append(
        (
            "kernelize cold, 20 kernels",
            f"{mine:.3f} s",
            f"{peer:.3f} s",
            f"{peer / mine:.1f} x",
            "<= 1 s",
        )
    )
    table((f"at {LATENCY_MS} ms a request", "ours", PEER, "ratio", "goal"), rows)


def warm(sides):
    homes = [side.new_home() for side in sides]
    for side, home in zip(sides, homes, strict=True):
        side.call("org/three", home, version=1)
    first, again = [[], []], [[], []]
    for _ in range(ROUNDS):
        for index, (side, home) in enumerate(zip(sides, homes, strict=True)):
            answer = side.call("org/three", home, again=3 if index else 2000, version=1)
            first[index].append(answer["first"])
            again[index].append(answer["again"])
    rows = [
        ("new process", *(f"{statistics.median(s):.2f} ms" for s in first), "<= 5 ms"),
        ("again in one process", f"{min(again[0]) * 1e3:.1f} us", f"{min(again[1]):.1f} ms", "<= 20 us"),
    ]  # fmt: skip
    table((f"get_kernel warm, at {LATENCY_MS} ms a request", "ours", PEER, "goal"), rows)


def offline(sides, commit):
    rows = []
    for label, request in (
        ("version", {"version": 1}),
        ("branch", {"revision": "main"}),
        ("commit", {"revision": commit}),
    ):
        cells = []
        for side in sides:
            home = side.new_home()
            side.call("org/three", home, **request)
            answers = [
                side.call("org/three", home, env={"HF_HUB_OFFLINE": "1"}, **request)
                for _ in range(3)
            ]
            times = [answer["first"] for answer in answers]
            cells.append(answers[0]["error"] or f"{min(times):.1f} ms")
        rows.append((f"by {label}", *cells, "works, <= 5 ms"))
    table(("offline after online", "ours", PEER, "goal"), rows)


def blobs_are_right(home):
    """Whether every small blob of the cache is what its name says."""
    blobs = [path for path in Path(home).glob("hub/*/blobs/*") if len(path.name) == 40]
    return bool(blobs) and all(git_oid(path.read_bytes()) == path.name for path in blobs)


def flipped(side):
    home = side.new_home()
    fault = side.hub.fault("flip", "extra_0000.py", method="GET", offset=3, times=-1)
    answer = side.call("org/three", home, version=1)
    assert fault.fired
    side.hub.clear_faults()
    if answer["error"]:
        kept = any("extra_0000" in str(path) for path in Path(home).glob("hub/*/snapshots/**/*"))
        return f"refused ({answer['error']})" + (", kept" if kept else "")
    return "healed" if blobs_are_right(home) else "accepted and kept"


def truncated(side):
    home = side.new_home()
    side.hub.reset_log()
    fault = side.hub.fault("truncate", "large.bin", method="GET", bytes=6_000_000)
    answer = side.call("org/large", home, version=1)
    assert fault.fired
    side.hub.clear_faults()
    lines = [
        line for line in side.hub.log() if "large.bin" in line["path"] and line["method"] == "GET"
    ]
    if answer["error"]:
        return f"fails ({answer['error']})"
    return "resumed" if any(line.get("range") for line in lines) else "restarted from 0"


def moved(side):
    """The branch moves once metadata.json has been asked for."""
    home = side.new_home()
    repo = side.hub.repo("org/moving")
    old = repo.commit(kernel_files("moving", extra=3), branches=["main"])
    new = repo.commit(kernel_files("moving", extra=3, code="NEW = 1"), branches=["later"])
    repo.move_branch("main", old)
    env = os.environ | side.hub.environment(home)
    program = textwrap.dedent(PROGRAM) + "get('org/moving', revision='main')\nprint('{}')"
    process = subprocess.Popen(
        [side.python, "-c", program], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not any("metadata.json" in line["path"] for line in side.hub.log()):
        pass
    repo.move_branch("main", new)
    process.wait()
    commits = {path.name for path in Path(home).glob("hub/*/snapshots/*")}
    return "one commit" if len(commits) == 1 else f"mixed ({len(commits)} commits)"


def outcomes(sides):
    rows = []
    for label, check, goal in (
        ("a flipped byte, each time", flipped, "refused"),
        ("a body of 8 MB cut at 6 MB", truncated, "resumed"),
        ("a branch that moves", moved, "one commit"),
    ):
        cells = []
        for side in sides:
            side.hub.reset_log()
            cells.append(check(side))
        rows.append((label, *cells, goal))
    table(("fault", "ours", PEER, "goal"), rows)


def main():
    with tempfile.TemporaryDirectory() as scratch, Hub() as hub:
        sides = Side(sys.executable, hub, scratch), Side(peer_python(), hub, scratch)
        only = {"variants": ("torch-cpu",)}
        commit = hub.kernel("org/three", layers=None, extra=1, **only)
        hub.kernel("org/forty", layers=None, extra=38, **only)
        for number in range(20):
            hub.kernel(f"org/k{number:02}", **only)
        large = kernel_files("large", **only) | {"build/torch-cpu/large.bin": os.urandom(8_000_000)}
        hub.repo("org/large").commit(large, branches=["v1"])
        if sys.argv[1:] == ["faults"]:
            hub.set(latency_ms=LATENCY_MS)
            outcomes(sides)
            return
        requests(sides)
        hub.set(latency_ms=LATENCY_MS)
        cold(sides)
        warm(sides)
        offline(sides, commit)
        outcomes(sides)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""kernelize over large models, against the peer and against the limit: a bare walk in C over the same modules that
sets the forward of every extensible one and decides nothing (bare_walk.c)."""

import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
import time
import types
from pathlib import Path

from side_by_side import PEER, serve, table, workers

ROUNDS = 9
REPEATS = 3  # calls in a row, of which the fastest counts: a single one would pay for the other process's turn
SIZES = ((1_001, 10), (10_001, 10), (100_001, 10), (200_001, 2))


def build_bare_walk():
    folder = tempfile.mkdtemp()
    target = Path(folder) / "bare_walk.abi3.so"
    source = Path(__file__).with_name("bare_walk.c")
    include = sysconfig.get_paths()["include"]
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(target)],
        check=True,
    )
    spec = importlib.util.spec_from_file_location("bare_walk", target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_model(count, every):
    """`count` modules in blocks of 20, every `every`-th one extensible."""
    from torch import nn

    from kernels import use_kernel_forward_from_hub

    @use_kernel_forward_from_hub("Layer")
    class Extensible(nn.Module):
        def forward(self, x):
            return x

    class Plain(nn.Module):
        def forward(self, x):
            return x

    root, made = nn.Sequential(), 1
    while made < count:
        block = nn.Module()
        root._modules[str(len(root._modules))] = block
        made += 1
        for index in range(min(19, count - made)):
            block._modules[f"m{index}"] = Extensible() if made % every == 0 else Plain()
            made += 1
    return root


def register():
    from torch import nn

    from kernels import register_kernel_mapping

    class Layer(nn.Module):
        def forward(self, x):
            return x

    class Repository:
        def load(self):
            return Layer

    register_kernel_mapping({"Layer": {"cpu": Repository()}})


_state = {}


def measure(action, count=0, every=0, repeats=1):
    from kernels import Mode, kernelize

    if action == "start":
        import torch  # noqa: F401

        register()
        _state["bare"] = build_bare_walk()
        return {}
    if action == "build":
        _state["model"], _state["other"] = build_model(count, every), build_model(count, every)
        return {}
    if action == "bare":
        model, function, walk = _state["other"], lambda self, x: x, _state["bare"].walk
        return {"ms": fastest(lambda: walk(model, function, types.MethodType), repeats)}
    model = _state["model"]
    return {"ms": fastest(lambda: kernelize(model, mode=Mode.INFERENCE, device="cpu"), repeats)}


def fastest(call, repeats):
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def main():
    ours, theirs = workers(__file__)
    for worker in (ours, theirs):
        worker.ask(action="start")
    rows = []
    for count, every in SIZES:
        for worker in (ours, theirs):
            worker.ask(action="build", count=count, every=every)
        first = [
            ours.ask(action="bare")["ms"],
            ours.ask(action="kernelize")["ms"],
            theirs.ask(action="kernelize")["ms"],
        ]
        samples = ([], [], [])
        for _ in range(ROUNDS):
            samples[0].append(ours.ask(action="bare", repeats=REPEATS)["ms"])
            samples[1].append(ours.ask(action="kernelize", repeats=REPEATS)["ms"])
            samples[2].append(
                theirs.ask(action="kernelize", repeats=REPEATS if count < 50_000 else 1)["ms"]
            )
        bare, mine, peer = (min(s) for s in samples)
        rows.append(
            (
                f"{count:,} modules, 1 in {every}",
                f"{bare:.2f} ms",
                f"{mine:.2f} ms",
                f"{peer:.1f} ms",
                f"{mine / bare:.2f} x",
                f"{peer / mine:.0f} x",
                " / ".join(f"{value:.1f}" for value in first),
            )
        )
    for worker in (ours, theirs):
        worker.close()
    print(
        f"kernelize, repeated: minimum of {ROUNDS}, in turns. Goal: <= 1.5 x the bare walk, and for the first two "
        ">= 25 x faster than the peer"
    )
    table(
        (
            "",
            "bare walk",
            "ours",
            PEER,
            "of bare walk",
            "faster",
            "first call: bare / ours / peer, ms",
        ),
        rows,
    )


if __name__ == "__main__":
    serve(measure) if "--worker" in sys.argv else main()

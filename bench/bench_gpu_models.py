# SPDX-License-Identifier: Apache-2.0
"""Whole models of transformers on a GPU: eager, kernelized, compiled, and compiled on top of the kernels.

    bench_gpu_models.py [--kernels build/kernels/out] [--models llama-8b,bert-base+llama-1b] [--json FILE] [--profile]
                        [--tasks PATTERN] [--compiled PATTERN] [--processes N]

Random weights, bfloat16. Each model runs in two processes or more, half of them kernelized by `builtin_mapping()`.
Those of the models between two + prepare side by side and are then timed in turns, one at a time. A time is the
wall-clock time of several calls, the device synchronized before and after, divided by their number. What is compared
is compared before: logits and gradients of each way with those of the same way without kernels. gpu_report.py makes
tables and pictures of the file.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gpu_report
import torch
from gpu_models import MODELS, measure, tasks_of
from side_by_side import Worker, serve

KERNELS = ("activation", "loss", "mlp", "norm", "rotary")
WAYS = {  # how torch.compile is asked, None: not at all; whether the kernels are in
    "eager": (None, False),
    "ours": (None, True),
    "compile": ("default", False),
    "compile on ours": ("default", True),
    "reduce-overhead": ("reduce-overhead", False),
    "reduce-overhead on ours": ("reduce-overhead", True),
}


def tolerance_of(model):
    """The largest difference, as a share of the norm: one unit in the last place of bfloat16 for each layer."""
    return 2**-8 * MODELS[model]["config"].get("num_hidden_layers", 12)


def difference(folder, task, plain, kernelized):
    """How far two ways of a task lie apart, or None where one of them failed."""
    files = [Path(folder, f"{task}-{way}.pt") for way in (plain, kernelized)]
    if not all(file.exists() for file in files):
        return None
    expected, found = (torch.load(file) for file in files)
    return ((found - expected).norm() / expected.norm()).item()


def compared(folder, tasks, ways):
    """The difference of each pair of ways, with and without kernels."""
    pairs = {asked: way for way, asked in ways.items()}
    found = []
    for task in tasks:
        for way in ways:
            mode, with_kernels = ways[way]
            if not with_kernels or (mode, False) not in pairs:
                continue
            apart = difference(folder, task, pairs[mode, False], way)
            if apart is not None:
                found.append({"task": task, "way": way, "difference": apart})
    return found


def dealt(tasks, ways, compiled, count):
    """What each of `count` processes of a side prepares: [(task, way)], by side. The first has what is not compiled.

    A cache that grows is a new shape with every token, which is not for torch.compile."""
    found = {
        side: [[] for _ in range(count)] for side in sorted({side for _, side in ways.values()})
    }
    numbers = dict.fromkeys(found, 0)
    for task in tasks:
        for way, (mode, side) in ways.items():
            if mode is None:
                found[side][0].append((task, way))
            elif re.search(compiled, f"{task}: {way}") and "growing" not in task:
                numbers[side] += 1
                found[side][numbers[side] % count].append((task, way))
    for parts in found.values():
        parts[0].sort(key=lambda pair: ways[pair[1]][0] is not None)
    return found


class Run:
    """One model: its processes, those without and those with kernels."""

    def __init__(self, model, arguments):
        self.model, self.arguments = model, arguments
        self.ways = {way: WAYS[way] for way in arguments.ways}
        self.tasks = [t for t in tasks_of(model, None) if re.search(arguments.tasks, t)]
        self.folder = tempfile.TemporaryDirectory()
        self.processes, self.owners, self.layers = [], {}, {}
        parts = dealt(self.tasks, self.ways, arguments.compiled, arguments.processes)
        for side, lists in parts.items():
            for pairs in filter(None, lists):
                worker = Worker(sys.executable, __file__)
                self.processes.append((worker, side, pairs))
                self.owners |= dict.fromkeys(pairs, worker)

    def prepare(self, worker, side, pairs):
        answer = worker.ask(
            action="start",
            model=self.model,
            with_kernels=side,
            device=self.arguments.device,
            folder=self.folder.name,
            ways=self.ways,
        )
        done = worker.ask(action="prepare", pairs=pairs, seconds=self.arguments.seconds)
        names = ", ".join(f"{task}: {way}" for task, way in pairs)
        print(f"{self.model}: {done['seconds']:.0f} s for {names}", file=sys.stderr, flush=True)
        self.layers |= answer["layers"]

    def timed(self, task):
        """Milliseconds of a call by way, taken in turns; the first round is not counted."""
        found = {way: {"ms": []} for way in self.ways if (task, way) in self.owners}
        for number in range(self.arguments.rounds + 1):
            for way, entry in found.items():
                answer = self.owners[task, way].ask(action="time", task=task, way=way)
                if "error" in answer:
                    entry["error"] = answer["error"]
                elif number:
                    entry["ms"].append(answer["ms"])
        return [{"model": self.model, "task": task, "way": w, **e} for w, e in found.items()]

    def profiled(self, task):
        found = []
        for way in (way for way, (mode, _) in self.ways.items() if mode is None):
            answer = self.owners[task, way].ask(action="profile", task=task, way=way)
            found.append({"model": self.model, "task": task, "way": way, **answer})
        return found

    def measure(self, report):
        report["layers"][self.model] = self.layers
        checks = compared(self.folder.name, self.tasks, self.ways)
        report["checks"] += [{"model": self.model, **check} for check in checks]
        for task in self.tasks:
            report["results"] += self.timed(task)
            if self.arguments.profile:
                report["profiles"] += self.profiled(task)

    def close(self):
        for worker, _, _ in self.processes:
            worker.close()
        self.folder.cleanup()


def measure_wave(models, arguments, report):
    """Models that fit the device together: prepared side by side, then timed one after the other."""
    runs = [Run(model, arguments) for model in models]
    processes = [(run, *process) for run in runs for process in run.processes]
    with ThreadPoolExecutor(len(processes)) as pool:
        list(pool.map(lambda each: each[0].prepare(*each[1:]), processes))
    for run in runs:
        run.measure(report)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    for run in runs:
        run.close()


def machine(device):
    import transformers

    import kernels

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {
        "device": name,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "kernels": kernels.__version__,
    }


def use_kernels_of(directory):
    """Takes the builds in this folder in the place of those that ship with the package."""
    missing = [name for name in KERNELS if not (directory / name).is_dir()]
    if missing:
        sys.exit(f"there is no {directory / missing[0]}: `make kernels` makes it")
    os.environ["LOCAL_KERNELS"] = ":".join(f"builtin/{name}={directory / name}" for name in KERNELS)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--kernels", type=Path, help="builds for CUDA, as `make kernels` leaves them"
    )
    parser.add_argument("--models", default="llama-8b,bert-base+llama-1b")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--tasks", default="", help="a pattern: only tasks that it is found in")
    parser.add_argument(
        "--compiled", default="", help="a pattern for 'task: way': only these are compiled"
    )
    parser.add_argument("--processes", type=int, default=1, help="for each model, with and without")
    parser.add_argument(
        "--seconds", type=float, default=600, help="begin no preparation after these"
    )
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", type=Path, help="a file for what was measured")
    parser.add_argument("--profile", action="store_true", help="also say where the time goes")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("bench_gpu_models: there is no CUDA device")
        return
    if arguments.profile and arguments.device == "cpu":
        parser.error("--profile tells of kernels on a CUDA device")
    arguments.ways = arguments.ways.split(",")
    if arguments.kernels is not None:
        use_kernels_of(arguments.kernels.resolve())
    lists = {name: [] for name in ("checks", "results", "profiles")}
    report = {"machine": machine(arguments.device), "layers": {}, **lists}
    for wave in arguments.models.split("+"):
        measure_wave(wave.split(","), arguments, report)
    print(gpu_report.models_table(report))
    if not all(check["difference"] <= tolerance_of(check["model"]) for check in report["checks"]):
        sys.exit("a way with kernels gives other results than the same way without")


if __name__ == "__main__":
    if "--worker" in sys.argv:
        serve(measure)
    else:
        main()

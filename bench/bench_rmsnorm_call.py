# SPDX-License-Identifier: Apache-2.0
"""One call of an RMSNorm layer on a 1 x 64 input without gradient, through nn.Module.__call__.

    python bench/bench_rmsnorm_call.py [--rounds N]

Prints the least time of each way over interleaved rounds, and ratios. KN_BUILTIN_DIR names the
folder of the built first-party kernels; by default that of the installed package `kernels`.
"""

import argparse
import importlib.util
import json
import os
import sys
import timeit
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

GOAL_US = 3.5
# Noop layer and torch.empty_like on the idle machine for which the goal was set.
GOAL_FLOOR_US = 1.1 + 1.0
VARIANT = "torch-stable-abi210-cpu-x86_64-linux"


def builtin_dir():
    given = os.environ.get("KN_BUILTIN_DIR")
    if given:
        return Path(given)
    spec = importlib.util.find_spec("kernels")
    if spec is None or spec.origin is None:
        sys.exit("set KN_BUILTIN_DIR to the folder of the built first-party kernels")
    return Path(spec.origin).parent / "builtin"


def load(name):
    variant = builtin_dir() / name / "build" / VARIANT
    module_name = json.loads((variant / "metadata.json").read_text())["id"]
    spec = importlib.util.spec_from_file_location(module_name, variant / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


class Noop(nn.Module):
    def forward(self, hidden_states):
        return hidden_states


class EagerRMSNorm(nn.Module):
    """As transformers' LlamaRMSNorm."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.variance_epsilon = 1e-6

    def forward(self, hidden_states):
        input_dtype = hidden_states.dtype
        hidden_states = hidden_states.to(torch.float32)
        variance = hidden_states.pow(2).mean(-1, keepdim=True)
        hidden_states = hidden_states * torch.rsqrt(variance + self.variance_epsilon)
        return self.weight * hidden_states.to(input_dtype)


class FunctionalRMSNorm(EagerRMSNorm):
    def forward(self, hidden_states):
        return F.rms_norm(hidden_states, (64,), self.weight, self.variance_epsilon)


def kernelized(layer_class):
    """A module whose forward was replaced, as kernelize does it."""
    module = EagerRMSNorm(64)
    module.forward = layer_class.forward.__get__(module)
    return module


def least_times(ways, x, rounds):
    """Least time of a call in us, by name; the ways take turns, so that noise hits all."""
    timers = {name: timeit.Timer(lambda way=way: way(x)) for name, way in ways.items()}
    base = timeit.Timer(lambda: None)
    numbers = {name: max(1, int(0.005 / (t.timeit(100) / 100))) for name, t in timers.items()}
    least = dict.fromkeys(timers, float("inf"))
    for _ in range(rounds):
        for name, timer in timers.items():
            least[name] = min(least[name], timer.timeit(numbers[name]) / numbers[name])
    overhead = min(base.repeat(20, 10000)) / 10000
    return {name: (time - overhead) * 1e6 for name, time in least.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds

    torch.set_num_threads(1)
    torch.manual_seed(0)
    norm = load("norm")
    ways = {
        "noop layer": Noop(),
        "torch.empty_like": torch.empty_like,
        "eager RMSNorm": EagerRMSNorm(64),
        "F.rms_norm layer": FunctionalRMSNorm(64),
        "builtin RMSNorm": kernelized(norm.layers.RMSNorm),
    }
    x = torch.randn(1, 64)
    with torch.no_grad():
        difference = (ways["builtin RMSNorm"](x) - ways["eager RMSNorm"](x)).abs().max().item()
        times = least_times(ways, x, rounds)

    ours = times["builtin RMSNorm"]
    print(f"RMSNorm of 1 x 64 float32, no gradient; largest difference {difference:.1e}")
    print(f"{'way':20} {'us':>8} {'of ours':>9}")
    for name, time in times.items():
        print(f"{name:20} {time:8.2f} {time / ours:8.2f}x")
    floor = times["noop layer"] + times["torch.empty_like"]
    print(f"floor (noop layer + torch.empty_like): {floor:.2f} us, ours is {ours / floor:.2f}x it")
    print(f"goal: <= {GOAL_US} us; {'reached' if ours <= GOAL_US else 'not reached'}")
    scaled = ours * GOAL_FLOOR_US / floor
    print(
        f"on a machine with a floor of {GOAL_FLOOR_US} us, as the goal's, that is {scaled:.2f} us"
    )


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""transformers: kernelize of its large models on the meta device, and the way from `import transformers` to a small
model that runs kernels. Both packages in turns, each in its own interpreter."""

import json
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path

from bench_kernelize import build_bare_walk, fastest
from side_by_side import PEER, peer_python, serve, table, workers

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "python")]

ROUNDS = 9
REPEATS = 5  # calls in a row, of which the fastest counts: a single one would pay for the other process's turn
START_ROUNDS = 3
LATENCY_MS = 50

MODELS = {
    "Llama-405B": (
        "LlamaConfig",
        {
            "hidden_size": 16384,
            "intermediate_size": 53248,
            "num_hidden_layers": 126,
            "num_attention_heads": 128,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
        },
    ),
    "Qwen3-MoE-235B": (
        "Qwen3MoeConfig",
        {
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "moe_intermediate_size": 1536,
            "num_hidden_layers": 94,
            "num_attention_heads": 64,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "vocab_size": 151936,
        },
    ),
}


def register():
    """For the layers of these models: norms, activations and the rotation of positions."""
    from torch import nn

    from kernels import register_kernel_mapping

    class Norm(nn.Module):
        def forward(self, hidden_states):
            return hidden_states

    class Activation(nn.Module):
        def forward(self, input):
            return input

    class Rotation(nn.Module):
        def forward(self, q, k, cos, sin, unsqueeze_dim=1):
            return q, k

    class Repository:
        def __init__(self, layer):
            self.layer = layer

        def load(self):
            return self.layer

    register_kernel_mapping(
        {
            "RMSNorm": {"cpu": Repository(Norm)},
            "SiLU": {"cpu": Repository(Activation)},
            "rotary_pos_emb": {"cpu": Repository(Rotation)},
        }
    )


_state = {}


def measure(action, model=None, repeats=1):
    import torch
    import transformers

    from kernels import Mode, kernelize

    if action == "start":
        register()
        _state["bare"] = build_bare_walk()
        return {}
    if action == "build":
        kind, config = MODELS[model]
        with torch.device("meta"):
            _state["model"], _state["other"] = (
                transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**config))
                for _ in range(2)
            )
        modules = list(_state["model"].modules())
        replaced = sum(hasattr(type(module), "kernel_layer_name") for module in modules)
        return {"modules": len(modules), "layers": replaced}
    if action == "bare":
        other, function, walk = _state["other"], lambda self, x: x, _state["bare"].walk
        return {"ms": fastest(lambda: walk(other, function, types.MethodType), repeats)}
    big = _state["model"]
    return {"ms": fastest(lambda: kernelize(big, mode=Mode.INFERENCE, device="cpu"), repeats)}


def measure_kernelize():
    ours, theirs = workers(__file__)
    for worker in (ours, theirs):
        worker.ask(action="start")
    rows = []
    for name in MODELS:
        size = [worker.ask(action="build", model=name) for worker in (ours, theirs)][0]
        first = [
            ours.ask(action="bare")["ms"],
            ours.ask(action="kernelize")["ms"],
            theirs.ask(action="kernelize")["ms"],
        ]
        samples = ([], [], [])
        for _ in range(ROUNDS):
            samples[0].append(ours.ask(action="bare", repeats=REPEATS)["ms"])
            samples[1].append(ours.ask(action="kernelize", repeats=REPEATS)["ms"])
            samples[2].append(theirs.ask(action="kernelize", repeats=REPEATS)["ms"])
        bare, mine, peer = (min(each) for each in samples)
        rows.append(
            (
                f"{name}: {size['modules']:,} modules, {size['layers']} replaced",
                f"{bare:.2f} ms",
                f"{mine:.2f} ms",
                f"{peer:.2f} ms",
                f"{mine / bare:.2f} x",
                f"{peer / mine:.0f} x",
                " / ".join(f"{value:.2f}" for value in first),
            )
        )
    for worker in (ours, theirs):
        worker.close()
    print(f"kernelize of models on the meta device: minimum of {ROUNDS}, in turns. Goal: >= 25 x")
    headings = ("", "bare walk", "ours", PEER, "of bare walk", "faster")
    table((*headings, "first call: bare / ours / peer, ms"), rows)


START = """
    import json, sys, time
    start = time.perf_counter()
    import transformers
    from transformers import AutoModelForCausalLM, LlamaConfig
    from transformers.integrations import hub_kernels
    imported = time.perf_counter()
    from transformers_support import LLAMA
    model = AutoModelForCausalLM.from_config(LlamaConfig(**LLAMA)).eval()
    built = time.perf_counter()
    own = hub_kernels.get_kernel_mapping_transformers()
    names = ("RMSNorm", "SiLU", "rotary_pos_emb")
    hub_kernels.register_kernel_mapping({name: {"cpu": own[name]["cuda"]} for name in names})
    model.use_kernels = True
    end = time.perf_counter()
    assert type(model.model.norm).forward is not model.model.norm.forward.__func__
    print(json.dumps({"import": imported - start, "kernelize": end - built, "all": end - start}))
"""


def start(python, hub, home):
    # Both may keep their byte code: the first round writes it.
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("HF_") and key != "PYTHONDONTWRITEBYTECODE"
    }
    done = subprocess.run(
        [python, "-W", "ignore", "-c", "if True:" + START],
        env=environment | hub.environment(home) | {"PYTHONPATH": str(TESTS / "python")},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure_start():
    from transformers_support import write_repositories

    from hub import Hub

    pythons = (sys.executable, peer_python())
    results = {key: [] for key in ("cold", "cold peer", "warm", "warm peer")}
    with Hub(latency_ms=LATENCY_MS) as hub, tempfile.TemporaryDirectory() as folder:
        write_repositories(hub)
        for index in range(START_ROUNDS):
            homes = [Path(folder, f"{who}-{index}") for who in ("ours", "peer")]
            for state in ("cold", "warm"):
                for python, home, who in zip(pythons, homes, ("", " peer"), strict=True):
                    results[state + who].append(start(python, hub, home))
    best = {
        key: {part: min(sample[part] for sample in samples) for part in samples[0]}
        for key, samples in results.items()
    }
    rows = []
    for state, about in (("cold", "nothing cached"), ("warm", "cached")):
        mine, peer = best[state], best[f"{state} peer"]
        for part, what in (
            ("all", f"import transformers to a kernelized model, {about}"),
            ("import", "   of which: import transformers and hub_kernels"),
            ("kernelize", "   of which: use_kernels = True"),
        ):
            rows.append(
                (
                    what,
                    f"{mine[part] * 1e3:.1f} ms",
                    f"{peer[part] * 1e3:.1f} ms",
                    f"{peer[part] / mine[part]:.1f} x",
                )
            )
    print(
        f"a small Llama with three kernels from a Hub at {LATENCY_MS} ms a request: minimum of {START_ROUNDS} "
        "processes, in turns"
    )
    table(("", "ours", PEER, "faster"), rows)


if __name__ == "__main__":
    if "--worker" in sys.argv:
        serve(measure)
    else:
        measure_kernelize()
        measure_start()

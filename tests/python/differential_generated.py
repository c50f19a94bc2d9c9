# SPDX-License-Identifier: Apache-2.0
"""More generated cases, in the form of differential_cases.py; an answer that is an error has its message, too."""

import json
import logging
import random
import warnings
from pathlib import Path

import torch
import torch.nn as nn
from differential_cases import (
    DEVICES,
    FLAGS,
    KEYS,
    MODES,
    Repo,
    answers,
    base_of,
    extensible,
    random_mapping,
)

from kernels import (
    Device,
    LayerRepository,
    LocalLayerRepository,
    Mode,
    kernelize,
    register_kernel_mapping,
    replace_kernel_forward_from_hub,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
    use_kernelized_func,
)
from kernels._rust import KernelLocks
from kernels.backends import parse_backend
from kernels.variants import (
    VariantAccepted,
    _resolve_variant_for_system,
    parse_variant,
    variants_trace_str,
)


def attempt(call):
    try:
        return call()
    except Exception as error:
        return {"error": base_of(error), "message": str(error)}


# ---- signatures: does a layer fit a class? ----

KINDS = ["{name}", "{name}=1", "*, {name}", "*, {name}=2", "*{name}", "**{name}"]


def random_parameters(rng):
    """Up to three parameters in an order that Python takes."""
    names = rng.sample("abcdef", rng.randrange(4))
    kinds = sorted(rng.choice([0, 0, 0, 1, 2, 4, 5]) for _ in names)
    parts, bare_star = [], False
    for name, kind in zip(names, kinds, strict=True):
        if kind in (4, 5) and any(part.startswith("*" * (kind - 3) + "") for part in parts):
            kind = 0 if not any("=" in part or "*" in part for part in parts) else 1
        if kind == 2 and (bare_star or any(part.startswith("*") for part in parts)):
            parts.append(name)
            continue
        bare_star |= kind == 2
        parts.append(KINDS[kind].format(name=name))
    return ", ".join(["self", *parts])


def forward_class(parameters, base=nn.Module):
    scope = {}
    exec(f"def forward({parameters}):\n    return 'forward'", scope)
    return type("Layer", (base,), {"forward": scope["forward"]})


def signature_case(rng):
    while True:
        try:
            layer, replaced = (forward_class(random_parameters(rng)) for _ in range(2))
            break
        except SyntaxError:
            continue
    if rng.random() < 0.2:
        layer.extra = 1
    if rng.random() < 0.1:
        layer = nn.Linear
    replace_kernel_forward_from_hub(replaced, "A")
    register_kernel_mapping({"A": {"cpu": Repo("r", give=lambda: layer)}})
    model = nn.Sequential(replaced())
    return attempt(
        lambda: (
            kernelize(model, mode=Mode.INFERENCE, device="cpu")
            and model[0].forward.__func__.__qualname__
        )
    )


# ---- errors of kernelize: which, and in which words ----


def refusal_case(rng):
    """A strict call: the first thing that is missing or does not fit is named."""
    register_kernel_mapping(random_mapping(rng, "g"))
    model = nn.Sequential(extensible(rng.choice("ABC"))())
    how = {
        "mode": rng.choice(MODES),
        "device": rng.choice(["cpu", "cpu", *DEVICES, torch.device("cpu"), "gpu"]),
        "use_fallback": rng.choice([False, False, *FLAGS]),
    }
    return attempt(lambda: answers(kernelize(model, **how)))


# ---- functions that several models share ----


def function_case(rng):
    @use_kernel_forward_from_hub("A")
    def function(x):
        return "original"

    class Caller(nn.Module):
        def forward(self, x):
            return function(x)

    models = [use_kernelized_func(function)(type("Caller", (Caller,), {}))() for _ in range(2)]
    found = []
    for step in range(3):
        chosen = rng.choice(
            [Repo(f"r{step}"), Repo(f"r{step}", has_backward=False), {}, {Mode.TRAINING: Repo("t")}]
        )
        model = models[0]  # what two models disagree about is a listed difference
        with use_kernel_mapping(
            {"A": {"cpu": chosen}} if chosen != {} else {}, inherit_mapping=False
        ):
            mode = rng.choice(MODES)
            fallback = rng.choice([True, True, False])
            done = attempt(
                lambda mode=mode, fallback=fallback, model=model: (
                    kernelize(model, mode=mode, device="cpu", use_fallback=fallback) and None
                )
            )
        found.append([done, None if done else [each(0) for each in models]])
        if done:
            break
    return found


# ---- contexts: stacked, left by exceptions, registered in ----


class Left(Exception):
    pass


def context_case(rng):
    found = []
    model = nn.Sequential(*[extensible(name)() for name in "ABC"])

    def note():
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
        found.append(answers(model))

    def mapping(name):
        return {
            layer: {"cpu": Repo(f"{name}{layer}")} for layer in rng.sample("ABC", rng.randrange(4))
        }

    def nest(depth):
        with use_kernel_mapping(mapping(f"b{depth}"), inherit_mapping=rng.random() < 0.7):
            note()
            if depth and rng.random() < 0.7:
                nest(depth - 1)
                note()
            if rng.random() < 0.4:
                raise Left

    register_kernel_mapping(mapping("g"))
    for _ in range(2):
        try:
            nest(2)
        except Left:
            found.append("left")
        note()
        if rng.random() < 0.5:
            register_kernel_mapping(mapping("h"), inherit_mapping=rng.random() < 0.6)
    note()
    return found


# ---- lock files ----

COMMITS = ["1" * 40, "a" * 64, "A" * 40, "0b" * 20]
NO_COMMITS = ["1" * 39, "", None, 5]
AT = [{"version": 0}, {"version": 1}, {"version": 2}, {"revision": "main"}, {"revision": "v1"}]
NOT_AT = [{}, {"version": -1}, {"version": "1"}, {"version": 1, "revision": "main"}]
NOT_AT += [{"version": 1, "more": 2}]


def random_lock(rng):
    def good():
        return rng.random() < 0.95

    dependency = {"repo-id": rng.choice(["o/a", "o/b", "o/c", "o/d", "o/e", "p/a", "p/b"])}
    dependency |= rng.choice(AT if good() else NOT_AT)
    entry = {
        "dependency": dependency,
        "lock": {"commit": rng.choice(COMMITS if good() else NO_COMMITS)},
    }
    if not good():
        entry["more"] = 1
    if not good():
        del entry[rng.choice(["dependency", "lock"])]
    return entry


def lock_case(rng):
    entries = [random_lock(rng) for _ in range(rng.randrange(5))]
    text = json.dumps(entries)
    if rng.random() < 0.1:
        text = text[: rng.randrange(len(text))]

    def read():
        locks = KernelLocks.from_json(text)
        return [
            [[repr(key), value.commit] for key, value in locks.items()],
            json.loads(locks.to_json()),
            KernelLocks.from_json(locks.to_json()) == locks,
            repr(locks),
        ]

    found = attempt(read)
    return {"error": found["error"]} if isinstance(found, dict) else found


# ---- build variants ----

BACKENDS = ["cpu", "cu118", "cu126", "cu128", "cu130", "rocm63", "rocm64", "xpu20252", "cann80"]
FRAMEWORKS = ["torch29", "torch29-cxx11", "torch210-cxx98", "torch210", "torch-stable-abi29"]
FRAMEWORKS += ["torch-stable-abi211", "tvm-ffi01", "tvm-ffi10"]


def random_variant(rng):
    if rng.random() < 0.2:
        return f"torch-{rng.choice(['cpu', 'cuda', 'rocm', 'xpu', 'universal', 'npu', 'metal'])}"
    place = rng.choice(["x86_64-linux"] * 4 + ["aarch64-linux", "aarch64-darwin", "x86_64-windows"])
    return f"{rng.choice(FRAMEWORKS)}-{rng.choice(BACKENDS)}-{place}"


def variant_case(rng):
    from kernels.variants import Version

    names = sorted({random_variant(rng) for _ in range(rng.randrange(12))})
    torch_version = rng.choice([None, "2.9", "2.10", "2.11", "2.10"])
    tvm_version = rng.choice([None, "0.1", "1.0"])
    accepted, trace = _resolve_variant_for_system(
        [parse_variant(name) for name in names],
        parse_backend(rng.choice(BACKENDS)),
        rng.choice(["x86_64", "x86_64", "aarch64"]),
        "linux",
        torch_version and Version(torch_version),
        rng.choice([True, True, False]),
        tvm_version and Version(tvm_version),
    )
    return [
        [each.variant_str for each in accepted],
        sorted(
            [
                each.variant.variant_str,
                isinstance(each, VariantAccepted),
                getattr(each, "reason", ""),
            ]
            for each in trace
        ),
        variants_trace_str(trace).splitlines()[: len(accepted)],
    ]


# ---- repositories and devices as values ----


def value_case(rng):
    def repository():
        if rng.random() < 0.3:
            return LocalLayerRepository(Path(rng.choice(["/a", "/b"])), layer_name=rng.choice("LM"))
        given = rng.choice(
            [{"revision": "main"}, {"revision": "v1"}, {"version": 1}, {"version": 2}]
            + [{"revision": "main", "version": 1}]
        )
        trust = rng.choice([False, False, True, ["o/a"], ["o/a", "o/b"]])
        return LayerRepository(
            rng.choice(["o/a", "o/b"]),
            layer_name=rng.choice("LM"),
            trust_remote_code=trust,
            **given,
        )

    made = [attempt(repository) for _ in range(4)]
    devices = [Device(type=rng.choice(["cpu", "cuda", "abacus"])) for _ in range(3)]
    hashes = [[hash(a) == hash(b) for b in made if not isinstance(b, dict)]
              for a in made if not isinstance(a, dict)]  # fmt: skip
    return [
        [[a == b for b in made] for a in made],
        hashes,
        [each if isinstance(each, dict) else type(each).__name__ for each in made],
        [
            str(each)
            for each in made
            if getattr(each, "_revision", None) or hasattr(each, "_repo_path")
        ],
        [[a == b for b in devices] for a in devices],
        [[repr(each), hash(each) == hash(Device(type=each.type))] for each in devices],
    ]


# ---- modes as flags ----


def mode_case(rng):
    left, right = (rng.choice([*KEYS, Mode.TORCH_COMPILE, Mode(0)]) for _ in range(2))

    def value(call):
        found = attempt(call)
        return found if isinstance(found, (dict, bool)) else found.value

    return [
        value(lambda: left | right),
        value(lambda: left & right),
        value(lambda: left ^ right),
        value(lambda: right in left),
        [str(left), repr(left), bool(left), hash(left) == hash(Mode(left.value))],
        attempt(lambda: Mode(rng.randrange(20)).value),
    ]


KINDS_OF_CASES = [
    ("signature", signature_case, 120),
    ("refusal", refusal_case, 120),
    ("function", function_case, 60),
    ("context", context_case, 60),
    ("lock", lock_case, 80),
    ("variant", variant_case, 80),
    ("value", value_case, 60),
    ("mode", mode_case, 60),
]


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for kind, case, count in KINDS_OF_CASES:
        for seed in range(count):
            register_kernel_mapping({}, inherit_mapping=False)
            rng = random.Random(f"{kind} {seed}")
            print(json.dumps([f"{kind} {seed}", attempt(lambda rng=rng, case=case: case(rng))]))


if __name__ == "__main__":
    main()

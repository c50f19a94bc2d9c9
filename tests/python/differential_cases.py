# SPDX-License-Identifier: Apache-2.0
"""Runs generated cases with whichever package `kernels` is installed; prints one line of JSON for each.

test_differential.py runs it under this package and under upstream's. It uses only what both take. The answer of a case
is a list: for each module the kernel that it runs, "original", or [the name of an exception's builtin base].
"""

import json
import logging
import random
import sys

import torch
import torch.nn as nn

import kernels
from kernels import (
    CUDAProperties,
    Device,
    KernelizeFallback,
    Mode,
    ROCMProperties,
    kernelize,
    register_kernel_mapping,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
)

MODES = [
    Mode.INFERENCE,
    Mode.TRAINING,
    Mode.INFERENCE | Mode.TORCH_COMPILE,
    Mode.TRAINING | Mode.TORCH_COMPILE,
]
KEYS = [*MODES, Mode.FALLBACK]
FLAGS = [True, False, *(KernelizeFallback(value) for value in range(32))]
DEVICES = ["cpu", "xpu", "mps", "npu", "neuron", "tpu"]
BASES = (
    AssertionError,
    FileNotFoundError,
    OSError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    RuntimeError,
    ZeroDivisionError,
)


class Repo:
    """A repository; its layers answer with its name."""

    def __init__(self, name, has_backward=True, can_torch_compile=False, give=None):
        self.name, self.give = name, give

        class Layer(nn.Module):
            def forward(self, x):
                return name

        Layer.has_backward, Layer.can_torch_compile = has_backward, can_torch_compile
        self.layer = Layer

    def load(self):
        return self.layer if self.give is None else self.give()

    def __str__(self):
        return self.name


def extensible(name, condition=None):
    @use_kernel_forward_from_hub(name, condition=condition)
    class Layer(nn.Module):
        def forward(self, x):
            return "original"

    return Layer


def base_of(error):
    return [
        next((base.__name__ for base in BASES if isinstance(error, base)), type(error).__name__)
    ]


def attempt(call):
    try:
        return call()
    except Exception as error:
        return base_of(error)


def answers(model):
    return [module(0) for module in model if hasattr(type(module), "kernel_layer_name")]


def kernelized(model, **how):
    """What the modules run afterwards or, after an error, its name and then what they run."""
    try:
        kernelize(model, **how)
    except Exception as error:
        return [base_of(error), answers(model)]
    return [None, answers(model)]


def pretend_capability(capability):
    torch.version.cuda = torch.version.cuda or "13.0"
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_capability = lambda device=None: divmod(capability, 10)
    from kernels.layer import repos

    if hasattr(repos, "_find_capability"):
        repos._find_capability = lambda: capability


# ---- generated ----


def random_repos(rng, prefix):
    """A repository, or some by mode; those by mode can do what they are registered for, mostly."""
    if rng.random() < 0.4:
        return Repo(prefix, rng.random() < 0.7, rng.random() < 0.6)
    sloppy = rng.random() < 0.15
    chosen = rng.sample(KEYS, rng.randrange(len(KEYS)))
    return {
        mode: Repo(
            f"{prefix}/{mode.value}",
            has_backward=rng.random() < 0.5 if sloppy or Mode.TRAINING not in mode else True,
            can_torch_compile=rng.random() < 0.5
            if sloppy or Mode.TORCH_COMPILE not in mode
            else True,
        )
        for mode in chosen
    }


def random_mapping(rng, prefix):
    return {
        layer: {
            device: random_repos(rng, f"{prefix}{layer}-{device}")
            for device in rng.sample(DEVICES, rng.randrange(1, 4))
            + (["cpu"] if rng.random() < 0.7 else [])
        }
        for layer in rng.sample("ABC", rng.randrange(1, 4))
    }


def random_case(rng):
    """Mappings registered and stacked, and a model of three layers kernelized under them."""
    register_kernel_mapping({}, inherit_mapping=False)
    for number in range(rng.randrange(3)):
        register_kernel_mapping(
            random_mapping(rng, f"g{number}"), inherit_mapping=rng.random() < 0.7
        )
    blocks = [
        use_kernel_mapping(random_mapping(rng, f"b{number}"), inherit_mapping=rng.random() < 0.7)
        for number in range(rng.randrange(3))
    ]
    model = nn.Sequential(*[extensible(name)() for name in rng.sample("ABC", 3)])
    steps = [
        {
            "mode": rng.choice(MODES),
            "device": rng.choice(["cpu", "cpu", "xpu"]),
            "use_fallback": rng.choice(FLAGS),
        }
        for _ in range(2)
    ]
    for block in blocks:
        block.__enter__()
    try:
        found = [kernelized(model, **step) for step in steps]
    finally:
        for block in reversed(blocks):
            block.__exit__(None, None, None)
    return [*found, kernelized(model, mode=steps[0]["mode"], device="cpu")]


def capability_case(rng):
    register_kernel_mapping({}, inherit_mapping=False)
    bounds = [None] * rng.randrange(2)
    bounds += [
        sorted((rng.randrange(50, 125), rng.randrange(50, 125))) for _ in range(rng.randrange(6))
    ]
    rng.shuffle(bounds)
    widths = {0 if pair is None else pair[1] - pair[0] + 1 for pair in bounds}
    if len(widths) < len(bounds):  # which of two that are equally wide wins is nowhere promised
        return capability_case(rng)
    for pair in bounds:
        device = Device(type="cuda", properties=CUDAProperties(*pair) if pair else None)
        register_kernel_mapping({"A": {device: Repo(str(pair))}})
    pretend_capability(rng.choice([50, 61, 70, 75, 80, 86, 89, 90, 100, 120]))
    model = nn.Sequential(extensible("A")())
    return kernelized(
        model, mode=Mode.INFERENCE, device="cuda", use_fallback=rng.choice([True, False])
    )


# ---- written out ----


def raising(error):
    def give():
        raise error("from load")

    return give


class OwnInit(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        return "own init"


class Extra(nn.Module):
    more = 1

    def forward(self, x):
        return "extra"


class TwoArguments(nn.Module):
    def forward(self, x, y):
        return "two"


class KeywordOnly(nn.Module):
    def forward(self, *, x):
        return "keyword"


class Renamed(nn.Module):
    def forward(self, hidden):
        return "renamed"


class NoModule:
    def forward(self, x):
        return "no module"


LAYERS = [OwnInit, Extra, TwoArguments, KeywordOnly, Renamed, NoModule]
ERRORS = [
    FileNotFoundError,
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    KeyError,
    PermissionError,
]


def one(repo, name="A", device="cpu", mode=Mode.INFERENCE, use_fallback=True, model=None):
    register_kernel_mapping({name: {device: repo}}, inherit_mapping=False)
    model = model or nn.Sequential(extensible(name)())
    return kernelized(model, mode=mode, device="cpu", use_fallback=use_fallback)


def written():
    for layer in LAYERS:
        yield f"layer {layer.__name__}", lambda layer=layer: one(Repo("r", give=lambda: layer))
    for thing in (None, 5, "text"):
        yield f"load gives {thing!r}", lambda thing=thing: one(Repo("r", give=lambda: thing))
    for error in ERRORS:
        for fallback in (
            True,
            KernelizeFallback.CANNOT_LOAD,
            KernelizeFallback.ALL,
            KernelizeFallback.NONE,
        ):
            yield (
                f"load raises {error.__name__} under {getattr(fallback, 'value', fallback)}",
                lambda error=error, fallback=fallback: one(
                    Repo("r", give=raising(error)), use_fallback=fallback
                ),
            )
    for mode in (Mode.FALLBACK, Mode.TORCH_COMPILE, Mode(0)):
        yield f"kernelize for {mode.value}", lambda mode=mode: one(Repo("r"), mode=mode)
    for text in ("abacus", "", "CPU", "cuda:0", "meta"):
        yield (
            f"device {text!r}",
            lambda text=text: kernelized(
                nn.Sequential(extensible("A")()), mode=Mode.INFERENCE, device=text
            ),
        )
        yield (
            f"mapping for {text!r}",
            lambda text=text: attempt(lambda: register_kernel_mapping({"A": {text: Repo("r")}})),
        )
    for device in (
        torch.device("cpu"),
        torch.device("meta"),
        Device(type="cpu"),
        Device(type="abacus"),
    ):
        for fallback in (True, False):
            yield (
                f"device object {device!r} {fallback}",
                lambda device=device, fallback=fallback: (
                    one(Repo("r")),
                    kernelized(
                        nn.Sequential(extensible("A")()),
                        mode=Mode.INFERENCE,
                        device=device,
                        use_fallback=fallback,
                    ),
                )[1],
            )
    yield "no parameters", lambda: kernelized(nn.Sequential(extensible("A")()), mode=Mode.INFERENCE)
    yield (
        "parameters on meta",
        lambda: kernelized(
            nn.Sequential(nn.Linear(1, 1, device="meta"), extensible("A")()), mode=Mode.INFERENCE
        ),
    )
    for left in [*KEYS, Mode.TORCH_COMPILE]:
        for right in [*KEYS, Mode.TORCH_COMPILE]:
            yield (
                f"{left.value} or {right.value}",
                lambda left=left, right=right: attempt(lambda: (left | right).value),
            )
    for cls in (CUDAProperties, ROCMProperties):
        for low, high in ((75, 90), (90, 75), (90, 90), ("75", 90), (75, None), (7.5, 90)):
            yield (
                f"{cls.__name__}({low!r}, {high!r})",
                lambda cls=cls, low=low, high=high: attempt(
                    lambda: [cls(low, high).min_capability, cls(low, high) == cls(low, high)]
                ),
            )
        for name in ("cuda", "rocm", "cpu"):
            yield (
                f"Device({name!r}, {cls.__name__})",
                lambda cls=cls, name=name: attempt(
                    lambda: Device(type=name, properties=cls(75, 90)).type
                ),
            )
    for answer in (True, False):
        for fallback in (True, False):
            yield (
                f"condition {answer} {fallback}",
                lambda answer=answer, fallback=fallback: one(
                    Repo("r"),
                    model=nn.Sequential(extensible("A", lambda module: answer)()),
                    use_fallback=fallback,
                ),
            )
    for name in ("cuda", "rocm"):
        yield (
            f"capability of {name} that cannot be asked",
            lambda name=name: (
                one(Repo("r"), device=name),
                kernelized(nn.Sequential(extensible("A")()), mode=Mode.INFERENCE, device=name),
            )[1],
        )
    yield "third layer fails", third_fails
    yield "second class does not fit", second_class
    yield "foreign forward", foreign_forward
    yield "keyword of the replaced class", keyword_call
    for bad in (
        None,
        5,
        [],
        {"A": None},
        {"A": {"cpu": None}},
        {"A": {"cpu": {"INFERENCE": Repo("r")}}},
    ):
        yield f"mapping {str(bad)[:24]}", lambda bad=bad: malformed(bad)


def third_fails():
    register_kernel_mapping({name: {"cpu": Repo(name)} for name in "AB"}, inherit_mapping=False)
    register_kernel_mapping({"C": {"cpu": Repo("r", give=lambda: TwoArguments)}})
    return kernelized(
        nn.Sequential(*[extensible(name)() for name in "ABC"]), mode=Mode.INFERENCE, device="cpu"
    )


def second_class():
    @use_kernel_forward_from_hub("A")
    class Two(nn.Module):
        def forward(self, x, y=0):
            return "original"

    return one(Repo("r"), model=nn.Sequential(extensible("A")(), Two()))


def foreign_forward():
    model = nn.Sequential(extensible("A")())
    model[0].forward = lambda x: "foreign"
    return one(Repo("r"), model=model)


def keyword_call():
    model = nn.Sequential(extensible("A")())
    one(Repo("r", give=lambda: Renamed), model=model)
    return attempt(lambda: model[0](x=0))


def malformed(mapping):
    """Refused at once, or accepted and only then wrong."""
    register_kernel_mapping({}, inherit_mapping=False)
    refused = attempt(lambda: register_kernel_mapping(mapping))
    return [
        refused,
        kernelized(nn.Sequential(extensible("A")()), mode=Mode.INFERENCE, device="cpu")[0],
    ]


def main():
    logging.disable(logging.CRITICAL)
    for name, case in written():
        register_kernel_mapping({}, inherit_mapping=False)
        print(json.dumps([name, attempt(case)]))
    for seed in range(120):
        print(json.dumps([f"random {seed}", random_case(random.Random(seed))]))
    for seed in range(40):
        print(json.dumps([f"capability {seed}", capability_case(random.Random(seed))]))


if __name__ == "__main__":
    print(json.dumps(["version", kernels.__version__]))
    main()
    sys.stdout.flush()

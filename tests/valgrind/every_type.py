# SPDX-License-Identifier: Apache-2.0
"""Makes, uses, copies and drops objects of every type of the extension, on good ways and on bad ones. Run by
tools/test_valgrind.sh with the torch of this folder."""

import copy
import gc
import pickle
import tempfile
import threading
from pathlib import Path

import torch.nn as nn
from kernel_support import write_kernel

import kernels
from kernels import (
    CUDAProperties,
    Device,
    LocalLayerRepository,
    Mode,
    explain,
    get_local_kernel,
    kernelize,
    plan,
    register_kernel_mapping,
    unkernelize,
    unkernelized,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
    use_kernelized_func,
)

KEPT = tempfile.TemporaryDirectory()
FOLDER = write_kernel(Path(KEPT.name) / "toy")


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2


class Repo:
    """A user's own, equal to others by `key`."""

    def __init__(self, layer=Doubled, key=0):
        self.layer, self.key = layer, key

    def load(self):
        if isinstance(self.layer, Exception):
            raise self.layer
        return self.layer

    def __eq__(self, other):
        return isinstance(other, Repo) and other.key == self.key

    def __hash__(self):
        return hash(self.key)


@use_kernel_forward_from_hub("function")
def function(x):
    return x


@use_kernelized_func(function)
@use_kernel_forward_from_hub("L", condition=lambda module: not hasattr(module, "refused"))
class Layer(nn.Module):
    def forward(self, hidden):
        return hidden


class Stack(nn.Module):
    def __init__(self, *children):
        super().__init__()
        for number, child in enumerate(children):
            setattr(self, f"m{number}", child)


def refused(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{call} was not refused")


def run(model, **how):
    return kernelize(model, mode=Mode.INFERENCE, device="cpu", **how)


def mapping(repo, name="L"):
    return {name: {"cpu": repo, Device("cuda", CUDAProperties(75, 90)): {Mode.INFERENCE: repo}}}


# ---- each type of the extension ----


def mappings():
    register_kernel_mapping(mapping(Repo()))
    for inherit in (True, False):
        with use_kernel_mapping(mapping(Repo(key=1)), inherit_mapping=inherit):
            register_kernel_mapping(mapping(Repo(key=2), "other"))
            current = kernels._core.current_mapping()
            current.entries(), repr(current)
    cycle = Repo()
    cycle.held = kernels._core.current_mapping()
    block = use_kernel_mapping(mapping(cycle))
    block.__enter__()
    cycle.block = block
    block.__exit__(None, None, None)
    for bad in (
        {"L": 5},
        {"L": {"cpu": 5}},
        {5: {}},
        {"L": {"nothing": Repo()}},
        {"L": {"cpu": {5: Repo()}}},
        None,
    ):
        refused((TypeError, ValueError, AttributeError), register_kernel_mapping, bad)
    register_kernel_mapping({}, inherit_mapping=False)


def forwards():
    with use_kernel_mapping(mapping(Repo()) | mapping(Repo(), "function")):
        model = run(Stack(Layer(), Layer(), Stack(Layer())))
        assert model.m0(1) == 2
        own = model.m1.forward = lambda x: x
        run(model)
        model.m1.__dict__.pop("forward"), own
        twin = copy.deepcopy(model)
        record = twin.m0.__dict__["_kernel_forward"]
        repr(record), copy.copy(record)
        again = pickle.loads(pickle.dumps(record))
        repr(again)
        model.m2.m0.refused = True
        run(model, include="m*", exclude=lambda path, module: path == "m0")
        with unkernelized(model):
            assert model.m0(1) == 1
    unkernelize(model), unkernelize(twin)
    hooked = Layer()
    hooked.__dict__["forward"] = type(model.m0.forward)(Layer.forward, hooked)
    with use_kernel_mapping(mapping(Repo())):
        twin = copy.deepcopy(run(hooked))
    unkernelize(twin), unkernelize(hooked)


def plans():
    with use_kernel_mapping(mapping(Repo())):
        model = Stack(Layer(), Layer())
        for fetch in (False, True):
            made = plan(model, mode=Mode.INFERENCE, device="cpu", fetch=fetch)
            str(made), repr(made), made.to_json(), list(made), len(made), made[0]
        made.apply(model)
        told = explain(model)
        str(told), [decision.paths for decision in told]
        refused(ValueError, made.apply, Stack(Layer()))
        refused(TypeError, plan, 5, mode=Mode.INFERENCE)
        refused(ValueError, plan, Stack(Layer()), mode=Mode.INFERENCE)
        refused(ValueError, plan, model, mode=Mode.FALLBACK, device="cpu")
        refused(ValueError, plan, model, mode=Mode.INFERENCE, device="nothing")
    unkernelize(model)


def undos():
    with use_kernel_mapping(mapping(Repo())):
        model = run(Stack(Layer()))
    undo = kernels._core.unkernelize(model, True)
    kernels._core.restore(undo)
    dropped = kernels._core.unkernelize(model, True)
    del dropped
    unkernelize(model)


def failures():
    wrong = type("Wrong", (nn.Module,), {"forward": lambda self, a, b: a})
    for layer in (ValueError("no"), FileNotFoundError("no"), wrong, 5):
        with use_kernel_mapping(mapping(Repo(layer))):
            model = Stack(Layer())
            refused(Exception, run, model, use_fallback=False)
            assert "forward" not in model.m0.__dict__

    class Refusing(Layer):
        def __setattr__(self, name, value):
            if name in ("forward", "_kernel_forward"):
                raise RuntimeError("no")
            super().__setattr__(name, value)

    with use_kernel_mapping(mapping(Repo())):
        refused(RuntimeError, run, Stack(Layer(), Refusing()))


def local_kernels():
    module = get_local_kernel(FOLDER)
    assert get_local_kernel(FOLDER) is module
    with use_kernel_mapping(mapping(LocalLayerRepository(FOLDER, "Tenfold"))):
        model = run(Stack(Layer()))
        assert model.m0(1) == 10
    unkernelize(model)
    refused(ValueError, LocalLayerRepository(FOLDER, "Missing").load)
    refused(FileNotFoundError, get_local_kernel, FOLDER / "nothing")


def versions():
    version = kernels._core.Version("1.2.3rc1")
    others = [kernels._core.Version(text) for text in ("1.2", "1.2.3", "2!0", "1.0.post1+local.1")]
    for other in others:
        str(other), repr(other), hash(other), version < other, version == other, version != "text"
        pickle.loads(pickle.dumps(other)), copy.copy(other), other.release, other.local
    refused(Exception, kernels._core.Version, "no version")
    assert kernels._core.select_version(">=1,<2", ["v1.0.0", "v1.5.0", "v2.0.0"]) == "v1.5.0"
    refused(ValueError, kernels._core.check_specifier, "no specifier")


def variants_and_metadata():
    core = kernels._core
    system = (2, 13, 1, -1, -1, "cpu", "x86_64", "linux", False)
    names = ["torch-universal", "torch29-cxx11-cu126-x86_64-linux", "nonsense"]
    core.rank_variants(names, [[], [], []], system, -2, None)
    text = next(FOLDER.rglob("metadata.json"))
    core.parse_metadata(text.read_bytes()), core.read_metadata(str(text))
    refused(ValueError, core.parse_metadata, b"{")
    refused(OSError, core.read_metadata, "/nothing")
    kernels.get_loaded_kernels()


def threads():
    def work():
        with use_kernel_mapping(mapping(Repo())):
            for _ in range(3):
                unkernelize(run(Stack(Layer())))

    running = [threading.Thread(target=work) for _ in range(3)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


for _ in range(3):
    for part in (
        mappings,
        forwards,
        plans,
        undos,
        failures,
        local_kernels,
        versions,
        variants_and_metadata,
        threads,
    ):
        part()
    gc.collect()
assert function(1) == 1
print("every type: done")

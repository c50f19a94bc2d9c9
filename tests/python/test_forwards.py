# SPDX-License-Identifier: Apache-2.0
"""Unusual models, forwards of others, and the way back. What else happens to models: tests/life."""

import functools
import types

import pytest
import torch
import torch.nn as nn
from kernel_support import Doubled, Repo, Tripled, decided, forwards

from kernels import (
    Mode,
    explain,
    kernelize,
    plan,
    register_kernel_mapping,
    unkernelize,
    unkernelized,
    use_kernel_forward_from_hub,
)


@pytest.fixture(autouse=True)
def mapping():
    register_kernel_mapping({"Identity": {"cpu": Repo(Doubled, name="doubling")}})


def run(model, **how):
    return kernelize(model, mode=Mode.INFERENCE, device="cpu", **how)


def reasons(model):
    return {path: decision.reason for decision in explain(model) for path in decision.paths}


# ---- forwards of others ----


def test_a_foreign_forward_is_kept(layer_class):
    model = nn.Sequential(layer_class(), layer_class())
    mine = model[0].forward = lambda x: "mine"
    run(model, use_fallback=False)
    assert model[0].forward is mine
    assert model[1](1) == 2
    assert reasons(model) == {"0": "foreign-forward", "1": "mapped"}
    unkernelize(model)
    assert model[0].forward is mine


def test_a_forward_that_is_put_over_ours_is_kept(layer_class):
    model = run(layer_class())
    ours = model.forward
    model.forward = functools.partial(ours)
    wrapped = model.forward
    run(model)
    assert model.forward is wrapped
    unkernelize(model)
    assert model.forward is wrapped


def test_the_classs_own_forward_set_on_the_instance_is_not_foreign(layer_class):
    model = layer_class()
    own = model.forward = types.MethodType(layer_class.forward, model)
    assert run(model)(1) == 2
    unkernelize(model)
    assert model.__dict__["forward"] is own


def hook(module):
    """What accelerate's add_hook_to_module does."""
    old_forward = module.forward
    module._old_forward = old_forward
    seen = module.__dict__.setdefault("seen", [])

    def new_forward(module, *args, **kwargs):
        seen.append(args)
        return module._old_forward(*args, **kwargs)

    module.forward = functools.update_wrapper(functools.partial(new_forward, module), old_forward)
    return module


def unhook(module):
    """What accelerate's remove_hook_from_module does."""
    module.forward = module._old_forward
    del module._old_forward
    return module


def test_behind_a_hook_of_accelerate_the_original_is_replaced_and_the_hook_stays(layer_class):
    model = hook(layer_class())
    hooked = model.forward
    assert run(model)(1) == 2
    assert model.forward is hooked
    assert model.seen == [(1,)]
    assert reasons(model) == {"": "mapped"}
    unkernelize(model)
    assert model.forward is hooked
    assert (model(1), model.seen) == (1, [(1,), (1,)])
    assert run(model)(1) == 2


def test_a_hook_may_be_removed_after_kernelize(layer_class):
    model = unhook(run(hook(layer_class())))
    assert model(1) == 2
    assert reasons(model) == {"": "mapped"}
    unkernelize(model)
    assert model(1) == 1
    assert "_kernel_forward" not in model.__dict__


def test_a_hook_may_be_added_after_kernelize(layer_class):
    model = hook(run(layer_class()))
    assert (model(1), model.seen) == (2, [(1,)])
    assert reasons(model) == {"": "mapped"}
    register_kernel_mapping({"Identity": {"cpu": Repo(Tripled)}})
    assert (run(model)(1), model.seen) == (3, [(1,), (1,)])
    unkernelize(model)
    assert (model(1), model.seen) == (1, [(1,)] * 3)
    assert unhook(model)(1) == 1


def test_unkernelized_keeps_a_hook_and_restores(layer_class):
    model = run(hook(layer_class()))
    before = forwards(model)
    with unkernelized(model):
        assert model(1) == 1
    assert forwards(model) == before
    assert model(1) == 2


# ---- the way back ----


def test_unkernelize_restores_every_dict_exactly(layer_class):
    model = nn.ModuleDict({"a": layer_class(), "b": nn.Sequential(layer_class(), nn.Linear(1, 1))})
    before = forwards(model)
    keys = {path: list(module.__dict__) for path, module in model.named_modules()}
    run(model)
    assert forwards(model) != before
    assert unkernelize(model) is model
    assert forwards(model) == before
    assert {path: list(module.__dict__) for path, module in model.named_modules()} == keys
    assert set(reasons(model).values()) == {"not-kernelized"}


def test_unkernelize_after_many_calls_restores_the_first_state(layer_class):
    model = layer_class()
    before = dict(model.__dict__)
    for repo in (Repo(Doubled), Repo(Tripled), Repo(Doubled)):
        register_kernel_mapping({"Identity": {"cpu": repo}})
        run(model)
    unkernelize(model)
    assert model.__dict__ == before


def test_unkernelize_twice_and_of_a_plain_model_changes_nothing(layer_class):
    model = layer_class()
    before = dict(model.__dict__)
    unkernelize(unkernelize(model))
    assert model.__dict__ == before
    run(model)
    unkernelize(unkernelize(model))
    assert model.__dict__ == before


def test_unkernelized_restores_on_exit_also_after_an_exception(layer_class):
    model = run(nn.Sequential(layer_class(), layer_class()))
    before = forwards(model)
    with unkernelized(model) as inside:
        assert inside is model
        assert [layer(1) for layer in model] == [1, 1]
    assert forwards(model) == before
    with pytest.raises(KeyError), unkernelized(model):
        raise KeyError
    assert forwards(model) == before
    assert [layer(1) for layer in model] == [2, 2]


def test_unkernelized_nests_and_can_be_used_again(layer_class):
    model = run(layer_class())
    block = unkernelized(model)
    for _ in range(2):
        with block, block:
            assert model(1) == 1
        assert model(1) == 2


def test_unkernelized_of_a_plain_model_changes_nothing(layer_class):
    model = layer_class()
    with unkernelized(model):
        assert model(1) == 1
    assert model(1) == 1
    assert "forward" not in model.__dict__


def test_unkernelize_takes_modules_only():
    for call in (unkernelize, explain, lambda model: unkernelized(model).__enter__()):
        with pytest.raises(TypeError, match="expected a torch.nn.Module"):
            call(5)


def test_part_of_a_model_can_be_kernelized_and_restored(layer_class):
    model = nn.Sequential(nn.Sequential(layer_class()), layer_class())
    run(model[0])
    assert (model[0](1), model[1](1)) == (2, 1)
    run(model)
    unkernelize(model[0])
    assert (model[0](1), model[1](1)) == (1, 2)


# ---- shapes of models ----


def test_a_shared_module_is_listed_once(layer_class):
    shared = layer_class()
    model = nn.ModuleDict({"a": shared, "b": nn.ModuleList([shared])})
    assert decided(plan(model, mode=Mode.INFERENCE, device="cpu")) == [
        (("a",), "replace", "mapped")
    ]
    run(model)
    assert model["b"][0](1) == 2
    unkernelize(model)
    assert "forward" not in shared.__dict__


def test_cycles_end(layer_class):
    parent, child = layer_class(), layer_class()
    parent.child, child.parent = child, parent
    run(parent)
    assert (parent(1), child(1)) == (2, 2)
    assert sorted(reasons(parent)) == ["", "child"]
    unkernelize(child)
    assert (parent(1), child(1)) == (1, 1)


def test_models_of_two_thousand_levels(layer_class):
    model = leaf = nn.Sequential()
    for _ in range(2000):
        inner = nn.Sequential()
        leaf.add_module("x", inner)
        leaf = inner
    leaf.add_module("layer", layer_class())
    run(model)
    assert leaf.layer(1) == 2
    (decision,) = explain(model)
    assert decision.paths == (".".join(["x"] * 2000 + ["layer"]),)
    assert '"x.x.x' in explain(model).to_json()
    unkernelize(model)
    assert leaf.layer(1) == 1
    while len(model):  # torch itself would free it recursively
        model = model[0] if isinstance(model[0], nn.Sequential) else nn.Sequential()


def test_children_that_are_none_are_skipped(layer_class):
    model = nn.Module()
    model.register_module("nothing", None)
    model.layer = layer_class()
    assert sorted(reasons(run(model))) == ["layer"]


def test_names_beyond_ascii_are_kept(layer_class):
    model = nn.ModuleDict(
        {"schicht-ä": layer_class(), "層": layer_class(), 'quote"d\n': layer_class()}
    )
    run(model, include=["*ä", "層"])
    assert reasons(model) == {"schicht-ä": "mapped", "層": "mapped", 'quote"d\n': "excluded"}


def test_a_class_with_its_own_setattr_is_asked(layer_class):
    class Watching(layer_class):
        def __setattr__(self, name, value):
            self.__dict__.setdefault("sets", []).append(name)
            super().__setattr__(name, value)

        def __delattr__(self, name):
            self.sets.append("del " + name)
            super().__delattr__(name)

    model = Watching()
    assert "sets" not in model.__dict__
    assert run(model)(1) == 2
    assert "forward" in model.sets
    unkernelize(model)
    assert model(1) == 1
    assert "del forward" in model.sets
    assert "forward" not in model.__dict__


def test_a_class_with_its_own_named_modules_is_asked(layer_class):
    class Hiding(nn.Module):
        def __init__(self):
            super().__init__()
            self.visible, self.hidden = layer_class(), layer_class()

        def named_modules(self, memo=None, prefix="", remove_duplicate=True):
            yield prefix, self
            yield prefix + ("." if prefix else "") + "renamed", self.visible

    model = run(nn.Sequential(Hiding()))
    assert (model[0].visible(1), model[0].hidden(1)) == (2, 1)
    assert list(reasons(model)) == ["0.renamed"]


def test_a_class_with_another_modules_attribute_is_asked(layer_class):
    class Elsewhere(nn.Module):
        def __init__(self):
            super().__init__()
            object.__setattr__(self, "_elsewhere", {"layer": layer_class()})

        def __getattribute__(self, name):
            if name == "_modules":
                return object.__getattribute__(self, "__dict__").get("_elsewhere", {})
            return super().__getattribute__(name)

    model = run(Elsewhere())
    assert model._elsewhere["layer"](1) == 2


def test_a_scripted_child_is_walked_through(layer_class):
    class Plain(nn.Module):
        def forward(self, x):
            return x + 1

    model = nn.ModuleDict({"scripted": torch.jit.script(Plain()), "layer": layer_class()})
    run(model)
    assert model["layer"](1) == 2
    assert model["scripted"](torch.ones(1)).item() == 2
    unkernelize(model)
    assert model["layer"](1) == 1


def test_lazy_modules_are_kernelized_before_and_after_they_know_their_size(layer_class):
    @use_kernel_forward_from_hub("Identity")
    class Lazy(nn.modules.lazy.LazyModuleMixin, nn.Module):
        cls_to_become = None

        def __init__(self):
            super().__init__()
            self.weight = nn.UninitializedParameter()

        def initialize_parameters(self, x):
            if self.has_uninitialized_params():
                self.weight.materialize(x.shape)

        def forward(self, x):
            return x

    model = run(nn.Sequential(Lazy(), layer_class()))
    assert model(torch.ones(2)).tolist() == [4.0, 4.0]
    assert model[0].weight.shape == (2,)
    unkernelize(model)
    assert model(torch.ones(2)).tolist() == [1.0, 1.0]


def test_inside_a_compiled_wrapper_the_layer_is_replaced(layer_class):
    class Compilable(nn.Module):
        can_torch_compile = True

        def forward(self, x):
            return x * 7

    register_kernel_mapping({"Identity": {"cpu": Repo(Compilable)}})
    inner = nn.Sequential(layer_class())
    model = torch.compile(inner, backend="eager", fullgraph=True)
    kernelize(model, mode=Mode.INFERENCE | Mode.TORCH_COMPILE, device="cpu")
    assert model(torch.ones(1)).item() == 7
    assert list(reasons(model)) == ["_orig_mod.0"]
    unkernelize(model)
    assert inner(torch.ones(1)).item() == 1

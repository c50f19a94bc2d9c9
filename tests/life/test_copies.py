# SPDX-License-Identifier: Apache-2.0
"""Copies, saved models and states, and modules that several models share."""

import copy
import io
import pickle
import sys
import types

import pytest
import torch
import torch.nn as nn
from kernel_support import Repo, forwards, run_python
from life_support import ALL, Norm, Scale, applied, assert_alike, inputs

from kernels import (
    LocalLayerRepository,
    Mode,
    explain,
    kernelize,
    unkernelize,
    unkernelized,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
)


@use_kernel_forward_from_hub("life-layer")
class Layer(nn.Module):
    """At module level, so that it pickles."""

    def __init__(self, size=2):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x * self.weight


class TimesTen(nn.Module):
    can_torch_compile = True

    def forward(self, x):
        return x * self.weight * 10


def run(model, repo=None):
    repo = repo or Repo(TimesTen, name="ten")
    with use_kernel_mapping({"life-layer": {"cpu": repo}}, inherit_mapping=False):
        return kernelize(model, mode=Mode.INFERENCE, device="cpu")


def reasons(model):
    return {path: decision.reason for decision in explain(model) for path in decision.paths}


# ---- copies ----


def test_a_deepcopy_has_kernels_of_its_own():
    model = run(nn.Sequential(Layer(), Layer()))
    twin = copy.deepcopy(model)
    assert twin[0].forward.__self__ is twin[0]
    assert twin[0].forward.__func__ is TimesTen.forward
    with torch.no_grad():
        twin[0].weight.fill_(2)
    assert twin[0](torch.ones(2)).tolist() == [20.0, 20.0]
    assert model[0](torch.ones(2)).tolist() == [10.0, 10.0]
    unkernelize(twin)
    assert twin[0](torch.ones(2)).tolist() == [2.0, 2.0]
    assert "forward" not in twin[0].__dict__
    assert model[0](torch.ones(2)).tolist() == [10.0, 10.0]


def test_a_deepcopy_of_a_hooked_module_finds_its_own_way_back():
    model = Layer()
    model.forward = types.MethodType(Layer.forward, model)
    twin = copy.deepcopy(run(model))
    unkernelize(twin)
    assert twin.forward.__self__ is twin
    assert twin(torch.ones(2)).tolist() == [1.0, 1.0]
    assert model(torch.ones(2)).tolist() == [10.0, 10.0]


def test_a_shallow_copy_is_not_applied_until_it_is_kernelized():
    """Its forward would still be bound to the module it was copied from."""
    model = run(Layer())
    twin = copy.copy(model)
    assert reasons(twin) == {"": "not-applied"}
    run(twin)
    assert reasons(twin) == {"": "mapped"}
    assert twin.forward.__self__ is twin
    assert model.forward.__self__ is model


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_torch(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("through", [through_pickle, through_torch])
def test_after_unpickling_the_original_runs_until_kernelize(through):
    model = run(nn.Sequential(Layer(), nn.Linear(2, 2)))
    twin = through(model)
    assert model(torch.ones(2)).shape == (2,)
    # Nothing is loaded at unpickling.
    assert twin[0](torch.ones(2)).tolist() == [1.0, 1.0]
    (decision,) = explain(twin)
    assert (decision.reason, decision.applied, decision.repo) == ("not-applied", False, "ten")
    assert "kernelize" in decision.message
    run(twin)
    assert twin[0](torch.ones(2)).tolist() == [10.0, 10.0]
    assert explain(twin)[0].applied is True
    unkernelize(twin)
    assert twin[0].__dict__.keys() == Layer().__dict__.keys()


@pytest.mark.parametrize("through", [through_pickle, through_torch])
def test_what_was_unpickled_can_be_unkernelized_at_once(through):
    twin = unkernelize(through(run(Layer())))
    assert twin.__dict__.keys() == Layer().__dict__.keys()
    assert reasons(twin) == {"": "not-kernelized"}


def test_models_with_kernels_from_directories_copy_and_pickle(kernel_folder):
    repo = LocalLayerRepository(kernel_folder, "Scale")
    with use_kernel_mapping({"life-scale": {"cpu": repo}}, inherit_mapping=False):
        model = kernelize(Scale(), mode=Mode.INFERENCE)
        for make in (copy.deepcopy, through_pickle):
            twin = kernelize(make(model), mode=Mode.INFERENCE)
            assert_alike(twin(inputs(), factor=3.0), Scale()(inputs(), factor=3.0))
            assert explain(twin)[0].variant == "torch-universal"


def test_what_was_saved_loads_where_kernels_were_never_used(life, tmp_path):
    torch.save(life.kernelized(), tmp_path / "model.pt")
    code = """
        import sys
        sys.path[:0] = sys.argv[2:]
        import torch, life_support
        before = set(sys.modules)
        model = torch.load(sys.argv[1], weights_only=False)
        new = {name.split(".")[0] for name in set(sys.modules) - before}
        print(sorted(name for name in new if name.startswith("_")))
        print(torch.equal(model(life_support.inputs()), life_support.Life(sys.argv[1]).model()(life_support.inputs())))
    """
    paths = [path for path in sys.path if "tests" in path]
    assert run_python(code, str(tmp_path / "model.pt"), *paths).stdout == "[]\nTrue\n"


def weights_only(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    classes = {type(module) for module in model.modules()}
    with torch.serialization.safe_globals([*classes, set]):
        return torch.load(file, weights_only=True)


def test_weights_only_loads_a_model_that_was_saved_unkernelized(life):
    """What kernels add to a module is no weight."""
    assert_alike(weights_only(life.model())(inputs()), life.model()(inputs()))
    model = life.kernelized()
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        weights_only(model)
    with unkernelized(model):
        twin = weights_only(model)
    assert applied(model) == ALL
    assert applied(life.kernelize(twin)) == ALL
    assert_alike(twin(inputs()), life.model()(inputs()))


# ---- states ----


def test_states_hold_weights_and_nothing_of_kernels(life, tmp_path):
    model = life.kernelized()
    assert list(model.state_dict()) == list(life.model().state_dict())
    torch.save(model.state_dict(), tmp_path / "state.pt")
    for assign in (False, True):
        plain = life.model()
        with torch.no_grad():
            plain.last.weight.fill_(5)
        plain.load_state_dict(
            torch.load(tmp_path / "state.pt", weights_only=True), strict=True, assign=assign
        )
        assert torch.equal(plain(inputs()), life.model()(inputs()))


@pytest.mark.parametrize("assign", [False, True])
def test_a_kernel_computes_with_the_weights_that_were_loaded_last(life, assign):
    original, model = life.model(), life.kernelized()
    state = {name: tensor * 2 for name, tensor in original.state_dict().items()}
    original.load_state_dict(state)
    model.load_state_dict(state, strict=True, assign=assign)
    assert_alike(model(inputs()), original(inputs()))
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({}, strict=True)


# ---- what is shared ----


def test_models_that_share_a_module_share_its_kernel(life):
    first, second = life.model(), life.model()
    second.last = first.last
    second.blocks[1] = first.blocks[0]
    life.kernelize(first)
    assert applied(second) == {path for path in ALL if "blocks.1" in path or path == "last"}
    life.kernelize(second)
    assert applied(first) == applied(second) == ALL
    unkernelize(first)
    assert applied(first) == set()
    assert applied(second) == {path for path in ALL if "blocks.0" in path}
    unkernelize(second)
    for model in (first, second):
        assert forwards(model).keys() == forwards(life.model()).keys()
        assert all("forward" not in entries for entries in forwards(model).values())


def test_one_module_at_two_places_runs_one_kernel(life):
    model = life.model()
    model.blocks.append(model.blocks[0])
    original = life.model()
    original.blocks.append(original.blocks[0])
    life.kernelize(model)
    assert_alike(model(inputs()), original(inputs()))
    twin = copy.deepcopy(model)
    assert twin.blocks[2] is twin.blocks[0]
    assert twin.blocks[2].norm.forward.__self__ is twin.blocks[0].norm
    assert_alike(twin(inputs()), original(inputs()))


def test_tied_weights_stay_tied(life):
    model = life.model()
    model.blocks[1].scale.weight = model.blocks[0].scale.weight
    twin = copy.deepcopy(life.kernelize(model))
    assert twin.blocks[1].scale.weight is twin.blocks[0].scale.weight
    with torch.no_grad():
        twin.blocks[0].scale.weight.zero_()
    life.kernelize(twin)
    assert twin.blocks[1].scale(torch.ones(8)).tolist() == [0.0] * 8
    assert len(list(model.parameters())) == len(list(life.model().parameters())) - 1


# ---- edits ----


def test_blocks_that_are_added_later_wait_for_the_next_kernelize(life):
    model, other = life.kernelized(), life.model()
    model.blocks.append(other.blocks[0])
    taken = model.blocks[0]
    del model.blocks[0]
    assert applied(model) == {
        path.replace("blocks.1", "blocks.0") for path in ALL if "0" not in path
    }
    assert taken.norm.forward.__self__ is taken.norm
    life.kernelize(model)
    assert applied(model) == ALL
    # What was taken out keeps its kernel until it is asked to give it up.
    assert_alike(taken(inputs()), life.model().blocks[0](inputs()))
    unkernelize(taken)
    assert torch.equal(taken(inputs()), life.model().blocks[0](inputs()))


def test_a_subclass_gets_the_kernel_unless_its_forward_takes_more(life):
    class Keeps(Norm):
        pass

    class More(Norm):
        def forward(self, input, extra):
            return super().forward(input) + extra

    model = life.kernelize(nn.Sequential(Keeps(8)))
    assert applied(model) == {"0"}
    assert_alike(model(inputs()), Norm(8)(inputs()))
    more = More(8)
    with pytest.raises(TypeError, match="different number of arguments"):
        life.kernelize(more)
    assert "forward" not in more.__dict__


def test_a_subclass_made_of_a_kernelized_instances_class_begins_plain(life):
    model = life.kernelized()

    class Other(type(model.last)):
        def forward(self, input):
            return super().forward(input) + 1

    other = Other(8)
    assert applied(other) == set()
    assert_alike(other(inputs()), Norm(8)(inputs()) + 1)
    other.load_state_dict(model.last.state_dict())
    assert applied(model) == ALL

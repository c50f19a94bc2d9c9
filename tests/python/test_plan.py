# SPDX-License-Identifier: Apache-2.0
"""plan and explain: decisions, the table, the JSON record, and carrying a plan out."""

import copy
import json

import pytest
import torch
import torch.nn as nn
from kernel_support import Doubled, InferenceOnly, Repo, Tripled, decided, forwards, write_kernel

from kernels import (
    Decision,
    KernelizeFallback,
    LayerRepository,
    LocalLayerRepository,
    Mode,
    Plan,
    explain,
    get_loaded_kernels,
    kernelize,
    plan,
    register_kernel_mapping,
    unkernelize,
    use_kernel_forward_from_hub,
)

INFERENCE, TRAINING, COMPILE = Mode.INFERENCE, Mode.TRAINING, Mode.TORCH_COMPILE


def make(name):
    @use_kernel_forward_from_hub(name)
    class Layer(nn.Module):
        def forward(self, x):
            return x

    return Layer


@pytest.fixture
def model(layer_class):
    """Three extensible modules of two classes, and one that is not."""
    return nn.ModuleDict(
        {
            "a": layer_class(),
            "b": nn.Sequential(nn.Linear(1, 1), layer_class()),
            "c": make("Other")(),
        }
    )


@pytest.fixture
def local(toy):
    register_kernel_mapping(
        {"Identity": {"cpu": {INFERENCE: LocalLayerRepository(toy, "Tenfold")}}}
    )
    return toy


def test_a_plan_has_one_decision_for_modules_that_are_decided_alike(model, local, layer_class):
    made = plan(model, mode=INFERENCE)
    assert isinstance(made, Plan)
    assert len(made) == 2
    first, second = made
    assert first == Decision(
        paths=("a", "b.1"),
        layer_name="Identity",
        module_class=layer_class,
        device="cpu",
        capability=None,
        stage="resolve",
        action="replace",
        reason="mapped",
        message="registered for cpu under INFERENCE",
        repo=str(local),
        repo_layer="Tenfold",
        repo_mode=INFERENCE,
        commit=None,
        variant="torch-universal",
        applied=False,
    )
    assert (second.paths, second.action, second.reason) == (("c",), "keep", "no-layer")
    assert (second.repo, second.repo_mode, second.variant, second.stage) == (
        None,
        None,
        None,
        "select",
    )
    assert (made[0], made[-1], made[0:1]) == (first, second, (first,))
    with pytest.raises(IndexError):
        made[2]
    assert repr(made) == "<kernels.Plan of 2 decisions>"


def test_decisions_are_frozen_and_compare():
    from dataclasses import FrozenInstanceError, replace

    (decision,) = plan(make("L")(), mode=INFERENCE, device="cpu")
    with pytest.raises(FrozenInstanceError):
        decision.action = "replace"
    assert replace(decision) == decision


def test_stages_tell_how_far_a_decision_has_come(model, local):
    assert [d.stage for d in plan(model, mode=INFERENCE)] == ["resolve", "select"]
    assert get_loaded_kernels() == [] or str(local) not in str(get_loaded_kernels())
    assert [d.stage for d in plan(model, mode=INFERENCE, fetch=True)] == ["settle", "select"]
    assert str(local) in str(get_loaded_kernels())
    kernelize(model, mode=INFERENCE)
    assert {d.stage for d in explain(model)} == {"apply"}


def test_a_plan_without_fetch_loads_nothing(layer_class):
    repo = Repo(Doubled)
    register_kernel_mapping({"Identity": {"cpu": repo}})
    (decision,) = plan(layer_class(), mode=INFERENCE, device="cpu")
    assert (decision.stage, decision.repo, repo.loads) == ("select", "repo", 0)
    plan(layer_class(), mode=INFERENCE, device="cpu", fetch=True)
    assert repo.loads == 1


def test_a_plan_changes_nothing(model, local):
    before = forwards(model)
    state = torch.random.get_rng_state()
    for fetch in (False, True):
        plan(model, mode=INFERENCE, fetch=fetch)
        assert forwards(model) == before
    assert torch.equal(torch.random.get_rng_state(), state)
    kernelize(model, mode=INFERENCE)
    before = forwards(model)
    register_kernel_mapping({}, inherit_mapping=False)
    plan(model, mode=INFERENCE, fetch=True)
    assert forwards(model) == before


def test_a_repository_that_only_the_hub_has_stays_unresolved(layer_class, offline):
    register_kernel_mapping({"Identity": {"cpu": LayerRepository("org/name", "Layer", version=1)}})
    (decision,) = plan(layer_class(), mode=INFERENCE, device="cpu")
    assert (decision.stage, decision.action, decision.repo, decision.repo_layer) == (
        "select",
        "replace",
        "org/name",
        "Layer",
    )
    assert (decision.commit, decision.variant) == (None, None)
    with pytest.raises(FileNotFoundError, match="org/name"):
        plan(layer_class(), mode=INFERENCE, device="cpu", fetch=True)
    (decision,) = plan(
        layer_class(), mode=INFERENCE, device="cpu", fetch=True, use_fallback=KernelizeFallback.ALL
    )
    assert (decision.action, decision.reason) == ("keep", "cannot-load")
    with pytest.raises(FileNotFoundError):
        plan(layer_class(), mode=INFERENCE, device="cpu").apply(layer_class())


def test_a_capability_plans_for_a_gpu_that_is_not_there(layer_class):
    from kernels import CUDAProperties, Device

    register_kernel_mapping(
        {
            "Identity": {
                Device("cuda", CUDAProperties(90, 99)): {INFERENCE: Repo(Doubled, name="hopper")},
                Device("cuda", CUDAProperties(80, 89)): Repo(Tripled, name="ampere"),
            }
        }
    )
    model = nn.Sequential(layer_class(), nn.Linear(1, 1))
    made = plan(model, mode=INFERENCE, device="cuda", capability=90)
    (decision,) = made
    assert (decision.repo, decision.device, decision.capability) == ("hopper", "cuda", 90)
    assert (decision.repo_mode, decision.action) == (INFERENCE, "replace")
    assert plan(model, mode=INFERENCE, device="cuda", capability=86)[0].repo == "ampere"
    assert (
        plan(model, mode=INFERENCE, device="cuda", capability=70)[0].reason
        == "no-compatible-properties"
    )
    assert "cuda 90" in str(made)
    # The plan is carried out here, too: what is compared is the model.
    made.apply(model)
    assert model[0](1) == 2
    assert explain(model)[0].capability == 90


def test_a_model_on_the_meta_device_can_be_planned(layer_class):
    register_kernel_mapping({"Identity": {"cuda": Repo(Doubled)}})
    model = nn.Sequential(nn.Linear(1, 1, device="meta"), layer_class())
    assert decided(plan(model, mode=INFERENCE, device="cuda", capability=90)) == [
        (("1",), "replace", "mapped")
    ]


# ---- errors ----


def error_of(call, *arguments, **how):
    try:
        call(*arguments, **how)
    except Exception as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize(
    ("mapping", "mode", "fetch"),
    [
        ({}, INFERENCE, False),
        ({"Identity": {"cuda": Repo(Doubled)}}, INFERENCE, False),
        ({"Identity": {"cpu": {INFERENCE: Repo(Doubled)}}}, TRAINING, False),
        ({"Identity": {"cpu": Repo(InferenceOnly)}}, TRAINING, True),
        ({"Identity": {"cpu": {TRAINING: Repo(InferenceOnly)}}}, TRAINING, True),
        ({"Identity": {"cpu": Repo(5)}}, INFERENCE, True),
        ({"Identity": {"cpu": LayerRepository("org/name", "Layer")}}, INFERENCE, True),
    ],
)
def test_plan_raises_what_kernelize_raises(layer_class, mapping, mode, fetch):
    register_kernel_mapping(mapping)
    model = layer_class()
    how = {"mode": mode, "device": "cpu", "use_fallback": False}
    of_kernelize = error_of(kernelize, model, **how)
    assert of_kernelize is not None
    assert error_of(plan, model, **how, fetch=fetch) == of_kernelize


# ---- the table and the record ----


def test_the_table_has_a_row_for_each_decision(model, local):
    lines = str(plan(model, mode=INFERENCE)).splitlines()
    assert lines[0].split() == ["module", "layer", "device", "mode", "kernel", "variant", "why"]
    assert lines[1].split()[:5] == ["a", "(+1)", "Identity", "cpu", "INFERENCE"]
    assert f"{local}:Tenfold" in lines[1]
    assert (
        "torch-universal" in lines[1] and "mapped: registered for cpu under INFERENCE" in lines[1]
    )
    assert lines[2].split()[:6] == ["c", "Other", "cpu", "INFERENCE", "original", "forward"]
    assert "no-layer: No layer mapping for `Other`" in lines[2]
    assert len(lines) == 3
    assert lines[1].index("Identity") == lines[2].index("Other") == lines[0].index("layer")


def test_the_table_of_the_model_itself_and_of_nothing():
    assert (
        str(plan(make("L")(), mode=INFERENCE, device="cpu")).splitlines()[1].startswith("(model)")
    )
    assert str(plan(nn.Linear(1, 1), mode=INFERENCE)) == "no extensible modules"
    assert list(plan(nn.Linear(1, 1), mode=INFERENCE)) == []


def test_the_record_is_json_with_the_fields_of_the_decisions(model, local):
    made = plan(model, mode=INFERENCE)
    record = json.loads(made.to_json())
    assert {key: record[key] for key in ("version", "mode", "device")} == {
        "version": 1,
        "mode": "INFERENCE",
        "device": "cpu",
    }
    assert record["decisions"][0] == {
        "paths": ["a", "b.1"],
        "layer_name": "Identity",
        "module_class": "Identity",
        "device": "cpu",
        "capability": None,
        "stage": "resolve",
        "action": "replace",
        "reason": "mapped",
        "message": "registered for cpu under INFERENCE",
        "repo": str(local),
        "repo_layer": "Tenfold",
        "repo_mode": "INFERENCE",
        "commit": None,
        "variant": "torch-universal",
        "applied": False,
    }
    assert len(record["decisions"]) == 2
    assert record["decisions"][1]["reason"] == "no-layer"


def test_the_record_escapes_what_json_needs_escaped():
    names = ['quote"', "back\\slash", "tab\tline\nbell\x07", "schicht-ä-層-🙂"]
    model = nn.ModuleDict({name: make(name)() for name in names})
    register_kernel_mapping({name: {"cpu": Repo(Doubled, name=name)} for name in names})
    made = plan(model, mode=INFERENCE, device="cpu")
    record = json.loads(made.to_json())
    assert [d["paths"] for d in record["decisions"]] == [[name] for name in names]
    assert [d["layer_name"] for d in record["decisions"]] == names
    assert [d["repo"] for d in record["decisions"]] == names
    assert [d.paths for d in made] == [(name,) for name in names]


def test_combined_modes_are_written_as_combined(layer_class):
    register_kernel_mapping({"Identity": {"cpu": {TRAINING | COMPILE: Repo(Tripled)}}})
    made = plan(layer_class(), mode=TRAINING | COMPILE, device="cpu")
    record = json.loads(made.to_json())
    assert record["mode"] == record["decisions"][0]["repo_mode"] == "TRAINING|TORCH_COMPILE"
    assert made[0].repo_mode == TRAINING | COMPILE


# ---- carrying a plan out ----


def test_apply_replaces_what_the_plan_says(model, local):
    made = plan(model, mode=INFERENCE)
    assert made.apply(model) is model
    assert (model["a"](1), model["b"][1](1), model["c"](1)) == (10, 10, 1)
    assert [d.applied for d in explain(model)] == [True, False]


def test_apply_does_what_was_planned_whatever_is_mapped_now(model, local):
    made = plan(model, mode=INFERENCE)
    register_kernel_mapping({"Identity": {"cpu": Repo(Tripled)}})
    assert made.apply(model)["a"](1) == 10


def test_apply_takes_a_model_that_is_built_alike(model, local):
    made = plan(model, mode=INFERENCE)
    twin = copy.deepcopy(model)
    assert made.apply(twin)["a"](1) == 10
    assert model["a"](1) == 1
    # The same plan again, also after the first model is gone.
    del model
    assert made.apply(copy.deepcopy(twin))["b"][1](1) == 10


def test_apply_on_a_kernelized_model_and_twice(model, local):
    register_kernel_mapping({"Other": {"cpu": Repo(Tripled)}})
    made = plan(model, mode=INFERENCE)
    kernelize(model, mode=INFERENCE)
    before = forwards(model)
    made.apply(made.apply(model))
    assert forwards(model) == before
    unkernelize(model)
    assert model["c"](1) == 1


def add(model):
    model["d"] = type(model["a"])()
    return "'d' (is new)"


def remove(model):
    del model["c"]
    return "'c' (is gone)"


def rename(model):
    model["renamed"] = model.pop("c")
    return "'c' (is gone), 'renamed' (is new)"


def change_class(model):
    model["c"] = make("Other")()
    return "'c' (has another class)"


def change_name(model):
    type(model["c"]).kernel_layer_name = "New"
    return "'c' (has another layer name)"


def set_forward(model):
    model["a"].forward = lambda x: x
    return "'a' (has a forward of its own)"


def move(model):
    model.to("meta")
    return "it was on device 'cpu' and is on 'meta'"


@pytest.mark.parametrize(
    "change", [add, remove, rename, change_class, change_name, set_forward, move]
)
def test_apply_refuses_a_model_that_has_changed(model, local, change):
    made = plan(model, mode=INFERENCE)
    difference = change(model)
    before = forwards(model)
    with pytest.raises(ValueError) as raised:
        made.apply(model)
    assert "the model has changed since the plan was made" in str(raised.value)
    assert difference in str(raised.value)
    assert forwards(model) == before


def test_apply_names_some_of_many_differences(layer_class):
    model = nn.Sequential(*[layer_class() for _ in range(20)])
    made = plan(model, mode=INFERENCE, device="cpu")
    with pytest.raises(ValueError, match=r"'0' \(is gone\).*'7' \(is gone\) and 12 more"):
        made.apply(nn.Sequential())


def test_apply_does_not_mind_changes_elsewhere(model, local):
    made = plan(model, mode=INFERENCE)
    model["b"][0] = nn.Linear(1, 5)
    model["more"] = nn.Dropout()
    assert made.apply(model)["a"](1) == 10


def test_apply_loads_and_checks_all_or_nothing(model, tmp_path):
    register_kernel_mapping(
        {
            "Identity": {"cpu": LocalLayerRepository(write_kernel(tmp_path / "good"), "Tenfold")},
            "Other": {
                "cpu": LocalLayerRepository(write_kernel(tmp_path / "bad", code="1 / 0"), "Tenfold")
            },
        }
    )
    made = plan(model, mode=INFERENCE)
    before = forwards(model)
    with pytest.raises(ZeroDivisionError):
        made.apply(model)
    assert forwards(model) == before


def test_apply_keeps_the_fallbacks_of_the_plan(layer_class):
    register_kernel_mapping({"Identity": {"cpu": Repo(InferenceOnly)}})
    model = plan(layer_class(), mode=TRAINING, device="cpu").apply(layer_class())
    assert explain(model)[0].reason == "mode-unsupported"
    register_kernel_mapping({"Identity": {"cpu": Repo(give=lambda: open("/no/such/file"))}})
    with pytest.raises(FileNotFoundError):
        plan(model, mode=INFERENCE, device="cpu").apply(model)
    plan(model, mode=INFERENCE, device="cpu", use_fallback=KernelizeFallback.ALL).apply(model)
    assert explain(model)[0].reason == "cannot-load"


def test_apply_takes_modules_only(layer_class):
    made = plan(layer_class(), mode=INFERENCE, device="cpu")
    with pytest.raises(TypeError, match="expected a torch.nn.Module"):
        made.apply("model")


def test_plans_take_include_and_exclude(model, local):
    assert decided(plan(model, mode=INFERENCE, include="a")) == [
        (("a",), "replace", "mapped"),
        (("b.1",), "keep", "excluded"),
        (("c",), "keep", "excluded"),
    ]
    made = plan(model, mode=INFERENCE, exclude=lambda path, module: path == "a")
    made.apply(model)
    assert (model["a"](1), model["b"][1](1)) == (1, 10)


# ---- explain ----


def test_explain_tells_the_state_of_each_module(model, local, capsys):
    assert {d.reason for d in explain(model)} == {"not-kernelized"}
    kernelize(model, mode=INFERENCE)
    explained = explain(model)
    assert isinstance(explained, Plan)
    assert [(d.paths, d.action, d.reason, d.applied) for d in explained] == [
        (("a", "b.1"), "replace", "mapped", True),
        (("c",), "keep", "no-layer", False),
    ]
    first = explained[0]
    assert (first.repo, first.repo_layer, first.variant) == (
        str(local),
        "Tenfold",
        "torch-universal",
    )
    assert (first.repo_mode, first.device, first.stage) == (INFERENCE, "cpu", "apply")
    assert json.loads(explained.to_json())["decisions"][0]["applied"] is True
    assert capsys.readouterr() == ("", "")


def test_explain_sees_what_others_did_since(model, local):
    kernelize(model, mode=INFERENCE)
    model["a"].forward = lambda x: "mine"
    model["d"] = type(model["b"][1])()
    reasons = {path: d.reason for d in explain(model) for path in d.paths}
    assert reasons["a"] != "mapped"
    assert reasons == reasons | {"b.1": "mapped", "c": "no-layer", "d": "not-kernelized"}


def test_explain_of_a_deepcopy_tells_what_is_in_place(model, local):
    twin = copy.deepcopy(kernelize(model, mode=INFERENCE))
    reasons = {path: (d.reason, d.applied, d.repo) for d in explain(twin) for path in d.paths}
    assert reasons["a"] == ("mapped", True, str(local))
    assert reasons["c"] == ("not-kernelized", False, None)


def test_explain_changes_nothing(model, local):
    kernelize(model, mode=INFERENCE)
    before = forwards(model)
    explain(model)
    assert forwards(model) == before

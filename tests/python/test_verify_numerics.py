# SPDX-License-Identifier: Apache-2.0
"""verify_numerics: kernels beside the forwards that they replace."""

import copy
import json
import math
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass

import pytest
import torch
import torch.nn as nn
from kernel_support import Repo, forwards, run_python

from kernels import (
    Mode,
    explain,
    kernelize,
    unkernelize,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
    use_kernelized_func,
    verify_numerics,
)


def replaced(original, kernel, model=None, mode=Mode.INFERENCE):
    """A model of one layer whose forward is `original`, kernelized with a layer whose forward is `kernel`."""
    cls = type("Layer", (nn.Module,), {"forward": original})
    cls = use_kernel_forward_from_hub("Layer")(cls)
    layer = type("Fast", (nn.Module,), {"forward": kernel})
    model = nn.Sequential(cls()) if model is None else model(cls)
    with use_kernel_mapping({"Layer": {"cpu": Repo(layer, name="org/fast")}}):
        return kernelize(model, mode=mode, device="cpu")


def verdicts(report):
    return {layer.path: layer.verdict for layer in report.layers}


def double(self, x):
    return x * 2


def only(report):
    [layer] = report.layers
    return layer


# ---- what is found ----


def test_a_kernel_that_is_right_is_the_same():
    layer = only(verify_numerics(replaced(double, lambda self, x: x + x), torch.randn(3, 4)))
    assert (layer.path, layer.verdict, layer.calls) == ("0", "same", 1)
    assert (layer.absolute_error, layer.relative_error, layer.ulps) == (0.0, 0.0, 0.0)
    assert (layer.where, layer.dtype, layer.rtol, layer.atol) == ("output", "float32", 1.3e-6, 1e-5)
    assert (layer.repo, layer.layer_name, layer.restored) == ("org/fast", "Layer", False)
    assert layer.kernel_seconds > 0 and layer.original_seconds > 0


def test_errors_are_the_largest_of_all_elements():
    x = torch.tensor([1.0, 2.0, 8.0])
    off = torch.tensor([0.0, 0.5, 1.0])
    layer = only(verify_numerics(replaced(lambda self, x: x, lambda self, x: x + off), x))
    assert layer.verdict == "differs"
    assert layer.absolute_error == 1.0
    assert layer.relative_error == 0.25
    # 0.5 near 2 is 2**21 units of 2**-22; 1 near 8 is fewer.
    assert layer.ulps == 2**21
    assert layer.message == (
        "2 of 3 elements of output differ by more than rtol=1.3e-06, atol=1e-05 allow (by up to 1)"
    )


def test_rounding_of_bfloat16_is_within_its_tolerance():
    model = replaced(double, lambda self, x: (x * 2 * (1 + 2**-7)).to(x.dtype))
    x = torch.ones(64, dtype=torch.bfloat16)
    layer = only(verify_numerics(model, x))
    assert (layer.verdict, layer.ulps, layer.dtype) == ("same", 1.0, "bfloat16")
    assert only(verify_numerics(model, x, rtol=1e-3)).verdict == "differs"
    assert only(verify_numerics(model, x, rtol=0, atol=0.1)).verdict == "same"


def test_integers_must_be_equal():
    x = torch.tensor([2**60])
    layer = only(verify_numerics(replaced(lambda self, x: x, lambda self, x: x + 1), x))
    assert (layer.verdict, layer.ulps) == ("differs", None)


def test_nan_and_infinity_are_equal_to_themselves_only():
    x = torch.tensor([math.nan, math.inf, -math.inf, 1.0])
    assert only(verify_numerics(replaced(double, double), x)).verdict == "same"
    model = replaced(
        lambda self, x, wrong: x, lambda self, x, wrong: x * 0 + wrong, lambda cls: cls()
    )
    for wrong in (math.nan, math.inf, -math.inf):
        layer = only(verify_numerics(model, (torch.tensor([1.0]), wrong)))
        assert (layer.verdict, layer.absolute_error) == ("differs", math.inf)
    model = replaced(lambda self, x: x, lambda self, x: torch.ones_like(x))
    layer = only(verify_numerics(model, torch.tensor([math.inf]), rtol=1.0))
    assert layer.verdict == "differs"
    record = json.loads(verify_numerics(model, torch.tensor([math.nan])).to_json())
    assert record["layers"][0]["absolute_error"] is None


@pytest.mark.parametrize(
    "kernel, told",
    [
        (lambda self, x: x[:1], "output has shape (1, 4), the original's has (3, 4)"),
        (
            lambda self, x: x.double(),
            "output has dtype torch.float64, the original's has torch.float32",
        ),
        (lambda self, x: (x,), "output is a tuple, the original's is a Tensor"),
        (lambda self, x: None, "output is None, the original's is a Tensor"),
    ],
)
def test_another_shape_type_or_structure_differs(kernel, told):
    layer = only(verify_numerics(replaced(lambda self, x: x, kernel, Loose), torch.randn(3, 4)))
    assert (layer.verdict, layer.message) == ("differs", told)


class Loose(nn.Module):
    """Runs a layer and does not use what it gives."""

    def __init__(self, cls):
        super().__init__()
        self.layer = cls()

    def forward(self, x):
        self.layer(x)
        return x


@dataclass
class Output:
    first: torch.Tensor
    rest: tuple


class ModelOutput(OrderedDict):
    pass


@pytest.mark.parametrize(
    "form, where",
    [
        (lambda x, y: (x, y), "output[1]"),
        (lambda x, y: {"a": x, "b": [y]}, "output['b'][0]"),
        (lambda x, y: Output(x, (y,)), "output.rest[0]"),
        (lambda x, y: ModelOutput(a=x, b=y), "output['b']"),
    ],
)
def test_results_may_be_of_any_structure(form, where):
    right = replaced(lambda self, x: form(x, x), lambda self, x: form(x, x), Loose)
    assert only(verify_numerics(right, torch.ones(2))).verdict == "same"
    wrong = replaced(lambda self, x: form(x, x), lambda self, x: form(x, x + 1), Loose)
    layer = only(verify_numerics(wrong, torch.ones(2)))
    assert (layer.verdict, layer.where) == ("differs", where)


def test_members_by_other_names_differ():
    model = replaced(lambda self, x: {"a": x}, lambda self, x: {"b": x}, Loose)
    layer = only(verify_numerics(model, torch.ones(2)))
    assert layer.message == "output has the members 'b', the original's has 'a'"


def test_of_several_calls_the_worst_counts():
    class Twice(nn.Module):
        def __init__(self, cls):
            super().__init__()
            self.layer = cls()

        def forward(self, x):
            return self.layer(x), self.layer(x + 10), self.layer(x)

    model = replaced(lambda self, x: x, lambda self, x: torch.where(x > 5, x + 1, x), Twice)
    layer = only(verify_numerics(model, torch.zeros(2)))
    assert (layer.verdict, layer.calls, layer.absolute_error) == ("differs", 3, 1.0)


def test_layers_that_the_forward_does_not_reach_are_told():
    model = replaced(double, double, lambda cls: nn.ModuleDict({"used": cls(), "unused": cls()}))
    report = verify_numerics(model, lambda model: model["used"](torch.ones(2)))
    assert verdicts(report) == {"used": "same", "unused": "not-called"}
    assert report.ok
    assert not verify_numerics(model, lambda model: None).ok


def test_without_kernels_nothing_is_verified():
    report = verify_numerics(nn.Linear(2, 2), torch.ones(1, 2))
    assert (report.layers, report.ok, str(report)) == ((), False, "no kernels in place")


# ---- what is given to it ----


def test_inputs_in_every_form():
    model = replaced(lambda self, x, y=1: x * y, lambda self, x, y=1: x * y, lambda cls: cls())
    x = torch.ones(2)
    for inputs in (x, (x, 2), {"x": x, "y": 3}, OrderedDict(x=x), lambda model: model(x, y=4)):
        assert only(verify_numerics(model, inputs)).path == ""


@pytest.mark.parametrize("inputs", [[torch.ones(2)], None, 3, nn.Linear(2, 2)])
def test_inputs_of_another_type_are_refused(inputs):
    with pytest.raises(TypeError, match="inputs must be a tensor, a tuple of positional arguments"):
        verify_numerics(replaced(double, double), inputs)


def test_what_is_no_model_and_no_tolerance_is_refused():
    with pytest.raises(TypeError, match="expected a torch.nn.Module"):
        verify_numerics(3, torch.ones(2))
    with pytest.raises(ValueError, match="rtol must be 0 or more, not -1"):
        verify_numerics(replaced(double, double), torch.ones(2), rtol=-1)


# ---- the original does not see what the kernel did ----


def test_layers_that_write_to_their_input():
    model = replaced(lambda self, x: x.mul_(2), lambda self, x: x.mul_(2))
    x = torch.ones(2)
    assert only(verify_numerics(model, x)).verdict == "same"
    assert x.tolist() == [2.0, 2.0]


def test_a_kernel_that_overwrites_its_input_differs():
    model = replaced(double, lambda self, x: x.mul_(2))
    layer = only(verify_numerics(model, torch.ones(2)))
    assert (layer.verdict, layer.where) == ("differs", "input[0]")


def test_a_layer_that_only_writes_is_compared_by_its_inputs():
    class Cache:
        def __init__(self):
            self.seen = [torch.zeros(2)]

    def keep(self, x, *, cache):
        cache.seen.append(cache.seen[-1] + x)

    cache = Cache()
    model = replaced(keep, keep, lambda cls: cls())
    layer = only(verify_numerics(model, {"x": torch.ones(2), "cache": cache}))
    assert layer.verdict == "same"
    assert [kept.tolist() for kept in cache.seen] == [[0.0, 0.0], [1.0, 1.0]]

    def forget(self, x, *, cache):
        cache.seen.append(x)

    model = replaced(keep, forget, lambda cls: cls())
    layer = only(verify_numerics(model, {"x": torch.ones(2), "cache": cache}))
    assert (layer.verdict, layer.where) == ("differs", "input['cache'].seen[2]")


def test_buffers_and_attributes_change_once():
    def count(self, x):
        self.calls += 1
        self.steps.append(self.calls)
        self.total.add_(x.sum())
        return x * self.total

    def build(cls):
        layer = cls()
        layer.calls, layer.steps = 0, []
        layer.register_buffer("total", torch.zeros(()))
        return layer

    model = replaced(count, count, build)
    assert only(verify_numerics(model, torch.ones(2))).verdict == "same"
    assert (model.calls, model.steps, model.total.item()) == (1, [1], 2.0)


def test_hooks_fire_once():
    fired = []

    def forward(self, x):
        return self.inner(x)

    def build(cls):
        model = nn.Sequential(cls())
        model[0].inner = nn.Identity()
        for module in (model[0], model[0].inner):
            module.register_forward_pre_hook(lambda module, args: fired.append("before"))
            module.register_forward_hook(lambda module, args, output: fired.append("after"))
        return model

    model = replaced(forward, forward, build)
    assert only(verify_numerics(model, torch.ones(2))).verdict == "same"
    assert fired == ["before", "before", "after", "after"]


def test_both_draw_the_same_random_numbers_and_the_model_goes_on_as_with_the_kernel():
    model = replaced(
        lambda self, x: x + torch.rand(2), lambda self, x: x + torch.rand(2), lambda cls: cls()
    )
    torch.manual_seed(0)
    model(torch.ones(2))
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert only(verify_numerics(model, torch.ones(2))).verdict == "same"
    assert torch.rand(1) == expected


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_modes_are_kept(training, grad):
    seen = []

    def look(self, x):
        state = (
            self.training,
            torch.is_grad_enabled(),
            x.requires_grad,
            torch.is_autocast_enabled("cpu"),
        )
        seen.append(state)
        return x.relu_()

    model = replaced(look, look, lambda cls: nn.Sequential(nn.Linear(2, 2), cls())).train(training)
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        layer = only(verify_numerics(model, torch.ones(1, 2)))
    assert (layer.verdict, layer.dtype) == ("same", "bfloat16")
    assert set(seen) == {(training, grad, grad, True)}


def test_inference_mode():
    with torch.inference_mode():
        assert only(verify_numerics(replaced(double, double), torch.ones(2))).verdict == "same"


# ---- layers within layers ----


def nested(kernel_outer, kernel_inner):
    """An outer layer whose original calls an inner one, twice its input."""

    @use_kernel_forward_from_hub("Inner")
    class Inner(nn.Module):
        def forward(self, x):
            return x * 2

    @use_kernel_forward_from_hub("Outer")
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(x) + 1

    repos = {
        name: {"cpu": Repo(type("Fast", (nn.Module,), {"forward": kernel}))}
        for name, kernel in (("Outer", kernel_outer), ("Inner", kernel_inner))
    }
    with use_kernel_mapping(repos):
        return kernelize(Outer(), mode=Mode.INFERENCE, device="cpu")


def test_the_original_of_a_layer_runs_the_originals_within_it():
    model = nested(lambda self, x: x * 2 + 1, lambda self, x: x * 3)
    assert verdicts(verify_numerics(model, torch.ones(2))) == {"": "same", "inner": "not-called"}


def test_a_kernel_that_calls_a_layer_with_a_kernel_is_verified_with_it():
    model = nested(lambda self, x: self.inner(x) + 1, lambda self, x: x * 3)
    report = verify_numerics(model, torch.ones(2))
    assert verdicts(report) == {"": "differs", "inner": "differs"}
    assert [layer.calls for layer in report.layers] == [1, 1]


# ---- functions ----


def test_functions_are_verified_and_restored():
    @use_kernel_forward_from_hub("shift")
    def shift(x):
        return x + 1

    @use_kernelized_func(shift)
    class User(nn.Module):
        def forward(self, x):
            return shift(x) * shift(x)

    class Shift(nn.Module):
        def forward(self, x):
            return x + 1.5

    with use_kernel_mapping({"shift": {"cpu": Repo(Shift)}}):
        model = kernelize(nn.Sequential(User()), mode=Mode.INFERENCE, device="cpu")
    layer = only(verify_numerics(model, torch.ones(2)))
    assert (layer.path, layer.verdict, layer.calls, layer.absolute_error) == (
        "0.shift",
        "differs",
        2,
        0.5,
    )
    assert model(torch.ones(1)).item() == 6.25
    verify_numerics(model, torch.ones(2), strict=True)
    assert model(torch.ones(1)).item() == 4.0
    [decision] = explain(model)
    assert (decision.reason, decision.applied) == ("numerics-differ", False)


# ---- strict ----


def two_layers():
    """One layer whose kernel is right and one whose kernel is wrong."""
    model = nn.Sequential()
    mapping = {}
    for name, kernel in (("Right", double), ("Wrong", lambda self, x: x * 3)):
        cls = type(name, (nn.Module,), {"forward": double})
        model.append(use_kernel_forward_from_hub(name)(cls)())
        layer = type("Fast", (nn.Module,), {"forward": kernel})
        mapping[name] = {"cpu": Repo(layer, name=f"org/{name}")}
    return model, mapping


def test_strict_restores_what_differs_and_says_so():
    model, mapping = two_layers()
    with use_kernel_mapping(mapping):
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
    report = verify_numerics(model, torch.ones(2), strict=True)
    assert [(layer.path, layer.restored) for layer in report.layers] == [("0", False), ("1", True)]
    assert (report.ok, report.differing) == (False, ("1",))
    assert model(torch.ones(1)).item() == 4.0
    right, wrong = explain(model)
    assert (right.applied, right.reason, right.repo_mode) == (True, "mapped", Mode.FALLBACK)
    assert (wrong.applied, wrong.action, wrong.reason) == (False, "keep", "numerics-differ")
    assert wrong.message == (
        "the kernel of org/Wrong was taken out: 2 of 2 elements of output differ by more than rtol=1.3e-06, "
        "atol=1e-05 allow (by up to 2)"
    )
    assert verdicts(verify_numerics(model, torch.ones(2))) == {"0": "same"}


def test_without_strict_nothing_is_restored():
    model, mapping = two_layers()
    with use_kernel_mapping(mapping):
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
    before = forwards(model)
    assert verify_numerics(model, torch.ones(2)).differing == ("1",)
    assert forwards(model) == before


def test_what_differed_can_be_excluded():
    model, mapping = two_layers()
    with use_kernel_mapping(mapping):
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
        report = verify_numerics(model, torch.ones(2), strict=True)
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
        assert model(torch.ones(1)).item() == 6.0
        unkernelize(model)
        kernelize(model, mode=Mode.INFERENCE, device="cpu", exclude=report.differing)
    assert model(torch.ones(1)).item() == 4.0


# ---- failures ----


def failing(self, x):
    raise RuntimeError("no\nsecond line")


def test_a_kernel_that_raises_where_the_original_does_not_differs():
    model = replaced(double, failing)
    report = verify_numerics(model, torch.ones(2), strict=True)
    assert (only(report).verdict, only(report).message) == (
        "differs",
        "the kernel raised RuntimeError: no; the original did not",
    )
    assert (only(report).restored, model(torch.ones(1)).item()) == (True, 2.0)


def test_the_model_goes_on_with_the_original_where_a_kernel_raises():
    model = replaced(double, failing, lambda cls: nn.Sequential(cls(), cls()))
    got = []
    verify_numerics(model, lambda model: got.append(model(torch.ones(1)).item()))
    assert got == [4.0]


def test_an_original_that_raises_is_told():
    layer = only(verify_numerics(replaced(failing, double), torch.ones(2), strict=True))
    assert (layer.verdict, layer.message, layer.restored) == (
        "failed",
        "the original forward raised RuntimeError: no",
        False,
    )


def test_a_forward_that_fails_leaves_the_model_as_it_was():
    def build(cls):
        model = nn.Sequential(cls(), nn.Linear(3, 3))
        model.register_buffer("kept", torch.ones(1))
        return model

    model = replaced(double, double, build)
    before = forwards(model)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        verify_numerics(model, torch.ones(1, 2), strict=True)
    assert forwards(model) == before

    model = replaced(failing, failing)
    before = forwards(model)
    with pytest.raises(RuntimeError, match="no") as raised:
        verify_numerics(model, torch.ones(2))
    assert forwards(model) == before
    if sys.version_info >= (3, 11):
        assert raised.value.__notes__ == ["in layer '0', which runs a kernel of org/fast"]


def test_inputs_that_cannot_be_copied_are_told():
    def forward(self, x, lock):
        return x

    model = replaced(forward, forward, lambda cls: cls())
    layer = only(verify_numerics(model, (torch.ones(2), threading.Lock())))
    assert layer.verdict == "failed"
    assert layer.message.startswith("its inputs cannot be copied: TypeError: cannot pickle")


def test_results_without_numbers_are_told():
    model = replaced(lambda self: "a", lambda self: "a", lambda cls: cls())
    layer = only(verify_numerics(model, ()))
    assert (layer.verdict, layer.message) == ("failed", "its results hold no numbers to compare")


def test_the_meta_device_holds_nothing_to_compare():
    layer = only(verify_numerics(replaced(double, double), torch.ones(2, device="meta")))
    assert layer.verdict == "failed"
    assert "meta device" in layer.message


# ---- what else may be around a model ----


def test_a_compiled_model_is_verified_uncompiled():
    model = replaced(
        double, lambda self, x: x * 3, lambda cls: nn.Sequential(nn.Linear(2, 2), cls())
    )
    compiled = torch.compile(model, backend="eager")
    x = torch.ones(1, 2)
    expected = compiled(x)
    layer = only(verify_numerics(compiled, x))
    assert (layer.verdict, layer.calls) == ("differs", 1)
    torch.testing.assert_close(compiled(x), expected)


def test_the_forward_behind_a_hook_of_accelerate():
    cls = use_kernel_forward_from_hub("Layer")(type("Layer", (nn.Module,), {"forward": double}))
    module = cls()
    module._old_forward = module.forward
    module.forward = lambda x: module._old_forward(x) + 1
    fast = type("Fast", (nn.Module,), {"forward": lambda self, x: x * 3})
    with use_kernel_mapping({"Layer": {"cpu": Repo(fast)}}):
        kernelize(module, mode=Mode.INFERENCE, device="cpu")
    before = forwards(module)
    layer = only(verify_numerics(module, torch.ones(2)))
    assert (layer.verdict, layer.absolute_error) == ("differs", 1.0)
    assert forwards(module) == before


def test_a_model_that_names_its_modules_in_its_own_way():
    class Odd(nn.Module):
        def __init__(self, cls):
            super().__init__()
            object.__setattr__(self, "hidden", cls())

        def named_modules(self, *args, **kwargs):
            yield "", self
            yield "hidden.layer", self.hidden

        def forward(self, x):
            return self.hidden(x)

    layer = only(verify_numerics(replaced(double, double, Odd), torch.ones(2)))
    assert (layer.path, layer.verdict) == ("hidden.layer", "same")


def test_a_class_that_makes_others_of_itself():
    class Picky(nn.Module):
        def __new__(cls, size):
            return super().__new__(cls)

        def __init__(self, size):
            super().__init__()

        def forward(self, x):
            return x * 2

    cls = use_kernel_forward_from_hub("Picky")(Picky)
    fast = type("Fast", (nn.Module,), {"forward": double})
    with use_kernel_mapping({"Picky": {"cpu": Repo(fast)}}):
        model = kernelize(cls(3), mode=Mode.INFERENCE, device="cpu")
    assert only(verify_numerics(model, torch.ones(2))).verdict == "same"


def test_a_copy_of_a_kernelized_model_is_verified_by_itself():
    model = replaced(double, lambda self, x: x * 3)
    twin = copy.deepcopy(model)
    verify_numerics(twin, torch.ones(2), strict=True)
    assert (twin(torch.ones(1)).item(), model(torch.ones(1)).item()) == (2.0, 3.0)
    assert [decision.reason for decision in explain(twin)] == ["numerics-differ"]


def test_parameters_are_shared_and_subclasses_kept():
    class Base(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.full((2,), 3.0))
            self.inner = nn.ModuleList([nn.Linear(2, 2)])

        def helper(self, x):
            return self.inner[0](x) * self.weight

        def forward(self, x):
            return self.helper(x)

    cls = use_kernel_forward_from_hub("Layer")(type("Derived", (Base,), {}))
    fast = type("Fast", (nn.Module,), {"forward": lambda self, x: self.helper(x)})
    with use_kernel_mapping({"Layer": {"cpu": Repo(fast)}}):
        model = kernelize(cls(), mode=Mode.TRAINING, device="cpu")
    assert only(verify_numerics(model, torch.randn(4, 2))).verdict == "same"


def test_another_thread_that_runs_the_model_is_not_counted():
    model = replaced(double, double)
    results = []

    def run(model):
        thread = threading.Thread(target=lambda: results.append(model(torch.ones(1)).item()))
        thread.start()
        thread.join()
        model(torch.ones(1))

    assert only(verify_numerics(model, run)).calls == 1
    assert results == [2.0]


def test_several_threads_may_verify_one_model():
    model = replaced(double, double)
    reports = []
    threads = [
        threading.Thread(target=lambda: reports.append(verify_numerics(model, torch.ones(2))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.ok for report in reports] == [True] * 8
    assert [decision.applied for decision in explain(model)] == [True]


# ---- the report ----


def test_the_table_has_a_row_for_layers_that_are_alike():
    def close(self, x):
        return torch.where(x > 1, x * 2 + 0.5, x * 2)

    model = replaced(double, close, lambda cls: nn.Sequential(cls(), cls(), cls(), nn.Identity()))
    report = verify_numerics(model, torch.tensor([1.0, 0.0]), rtol=0.5)
    heading, row = (
        [cell.strip() for cell in line.split("  ") if cell] for line in str(report).splitlines()
    )
    assert heading == [
        "module",
        "layer",
        "kernel",
        "calls",
        "max abs",
        "max rel",
        "ulps",
        "kernel time",
        "original",
        "verdict",
    ]
    assert row[:6] == ["1 (+2)", "Layer", "org/fast", "3", "0.5", "0.12"]
    assert row[-1] == "same"


def test_a_report_as_json():
    model = replaced(double, lambda self, x: x * 3)
    report = verify_numerics(model, torch.ones(2), strict=True)
    record = json.loads(report.to_json())
    [layer] = record.pop("layers")
    assert record == {"version": 1, "ok": False, "strict": True}
    assert layer.pop("kernel_seconds") > 0 and layer.pop("original_seconds") > 0
    assert layer.pop("message").startswith("2 of 2 elements of output differ")
    assert layer == {
        "path": "0",
        "layer_name": "Layer",
        "module_class": "Layer",
        "repo": "org/fast",
        "repo_layer": None,
        "verdict": "differs",
        "calls": 1,
        "absolute_error": 1.0,
        "relative_error": 0.5,
        "ulps": 4194304.0,
        "where": "output",
        "dtype": "float32",
        "rtol": 1.3e-06,
        "atol": 1e-05,
        "restored": True,
    }


def test_importing_the_package_does_not_import_the_checks():
    code = "import sys, kernels; print([n for n in sys.modules if 'numerics' in n or 'torch' in n])"
    assert run_python(code).stdout.strip() == "[]"

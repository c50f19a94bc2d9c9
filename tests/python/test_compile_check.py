# SPDX-License-Identifier: Apache-2.0
"""compile_check: whether layers and models can be compiled, and whether that changes what they compute."""

import json

import pytest
import torch
import torch._dynamo
import torch.nn as nn
from kernel_support import Repo, forwards
from torch._dynamo import config, eval_frame, pgo, utils

from kernels import (
    Mode,
    compile_check,
    kernelize,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
    use_kernelized_func,
)


def layer(forward, **members):
    return type("Layer", (nn.Module,), {"forward": forward, **members})


def check(forward, inputs=None, **options):
    [result] = compile_check(
        layer(forward), torch.ones(2, 4) if inputs is None else inputs, **options
    ).results
    return result


# ---- verdicts ----


def test_a_layer_that_compiles():
    result = check(lambda self, x: x * 2)
    assert (result.verdict, result.fullgraph, result.graphs, result.breaks) == (
        "compiles",
        True,
        1,
        (),
    )
    assert (result.recompiles, result.batch_sizes, result.batch_recompiles) == (
        0,
        (3, 4, 5),
        (1, 0, 0),
    )
    assert (result.absolute_error, result.relative_error, result.ulps) == (0.0, 0.0, 0.0)
    assert (result.paths, result.module_class.__name__, result.repo) == (("",), "Layer", None)
    assert result.message == (
        "one graph; no recompilation for the same shapes, 1 until the batch size was dynamic; results as in eager mode"
    )


def test_a_print_breaks_the_graph_and_is_told_with_its_place(capsys):
    def forward(self, x):
        x = x + 1
        print("here")
        return x * 2

    result = check(forward)
    line = forward.__code__.co_firstlineno + 2
    assert (result.verdict, result.fullgraph, result.graphs) == ("breaks", False, 2)
    [reason] = result.breaks
    assert "`print`" in reason
    assert reason.endswith(f" ({__file__}:{line})")
    assert "\n" not in reason
    assert result.message == reason
    assert (result.recompiles, result.absolute_error) == (0, 0.0)


def test_every_reason_is_told():
    def forward(self, x):
        x = x + 1
        torch._dynamo.graph_break()
        if x.sum() > 0:
            x = x * 2
        return x + 1

    result = check(forward)
    assert result.verdict == "breaks"
    assert len(result.breaks) == 2
    assert result.breaks[0].startswith("Call to `torch._dynamo.graph_break()`")
    assert result.breaks[1].startswith("Data-dependent branching")
    assert result.message.endswith("; and 1 more")


def test_a_layer_that_counts_its_calls_recompiles():
    def forward(self, x):
        self.calls = getattr(self, "calls", "") + "i"
        return x + len(self.calls)

    result = check(forward)
    assert (result.verdict, result.fullgraph) == ("recompiles", True)
    assert result.recompiles == 2
    assert result.message == "compiled 2 times again for the same shapes"


def test_a_layer_that_is_compiled_for_each_batch_size_recompiles():
    def forward(self, x):
        for _ in range(x.shape[0]):
            x = x + 1
        return x

    result = check(forward)
    assert (result.verdict, result.recompiles) == ("recompiles", 0)
    assert result.batch_recompiles == (1, 1, 1)
    assert result.message == "compiled again for each batch size"


def test_a_layer_that_computes_something_else_when_compiled_differs():
    result = check(lambda self, x: x + 1 if torch.compiler.is_compiling() else x)
    assert (result.verdict, result.fullgraph, result.absolute_error) == ("differs", True, 1.0)
    assert result.message.startswith("8 of 8 elements of output differ by more than rtol=1.3e-06")


def test_tolerances_are_the_callers():
    result = check(lambda self, x: x + 1 if torch.compiler.is_compiling() else x, atol=1.5)
    assert (result.verdict, result.absolute_error) == ("compiles", 1.0)


def test_a_layer_that_raises_in_eager_mode_fails():
    result = check(lambda self, x: x @ x)
    assert (result.verdict, result.fullgraph) == ("failed", None)
    assert result.message.startswith(
        "it raises without being compiled: RuntimeError: mat1 and mat2"
    )


def test_an_operator_without_a_fake_implementation_is_told_by_its_name():
    library = torch.library.Library("compile_check_tests", "DEF")
    library.define("no_meta(Tensor x) -> Tensor")
    library.impl("no_meta", lambda x: x + 1, "CPU")
    result = check(lambda self, x: torch.ops.compile_check_tests.no_meta(x))
    assert result.verdict == "breaks"
    assert "unsupported operator: compile_check_tests.no_meta.default" in result.message


def test_a_backend_that_raises_fails(monkeypatch):
    def backend(graph, inputs):
        raise RuntimeError("no compiler here")

    monkeypatch.setitem(torch._dynamo.backends.registry._COMPILER_FNS, "broken", backend)
    monkeypatch.setitem(torch._dynamo.backends.registry._BACKENDS, "broken", None)
    result = check(lambda self, x: x + 1, backend="broken")
    assert (result.verdict, result.fullgraph, result.graphs) == ("failed", True, 1)
    assert result.message.startswith("it is one graph, which broken cannot compile: ")
    assert "no compiler here" in result.message


def test_a_layer_that_fails_for_another_batch_size():
    def forward(self, x):
        if torch.compiler.is_compiling():
            return x + 1
        if x.shape[0] != 2:
            raise ValueError("two at a time")
        return x + 1

    result = check(forward)
    assert (result.verdict, result.batch_sizes) == ("compiles", ())
    assert "other batch sizes were not tried" in result.message
    assert "two at a time" in result.message


# ---- inputs ----


def test_what_is_needed_is_told_where_no_inputs_are_given():
    def forward(self, hidden_states, scale=1):
        return hidden_states

    with pytest.raises(
        ValueError, match=r"`Layer`, whose forward is forward\(hidden_states, scale=1\): give"
    ):
        compile_check(layer(forward))


def test_inputs_in_every_form():
    module = layer(lambda self, x, y=1: x * y)()
    x = torch.ones(2, 2)
    for inputs in (x, (x, 2), {"x": x, "y": 3}):
        [result] = compile_check(module, inputs).results
        assert (result.verdict, result.batch_sizes) == ("compiles", (3, 4, 5))
    [result] = compile_check(module, lambda model: model(x)).results
    assert (result.verdict, result.batch_sizes) == ("compiles", ())
    assert "other batch sizes were not tried (no input has a batch size)" in result.message


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(TypeError, match="expected a layer class, a torch.nn.Module"):
        compile_check(3, torch.ones(2))
    with pytest.raises(ValueError, match="`Linear` cannot be made without arguments"):
        compile_check(nn.Linear, torch.ones(2))
    with pytest.raises(TypeError, match="inputs must be a tensor"):
        compile_check(nn.GELU, 3)


def test_inputs_and_module_stay_as_they_are():
    def forward(self, x):
        self.total.add_(1)
        return x.mul_(2)

    module = layer(forward)()
    module.register_buffer("total", torch.zeros(()))
    x = torch.ones(2, 2)
    state = torch.get_rng_state()
    before = forwards(module)
    [result] = compile_check(module, x).results
    assert result.verdict == "compiles"
    assert (module.total.item(), x.sum().item()) == (0.0, 4.0)
    assert forwards(module) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_random_layers_are_compared_with_the_same_numbers():
    module = nn.Dropout(0.5)
    [result] = compile_check(module, torch.ones(4, 64), backend="eager").results
    assert (result.verdict, result.absolute_error) == ("compiles", 0.0)


def test_on_the_meta_device_it_is_traced_and_nothing_compared():
    module = nn.Linear(4, 4, device="meta")
    [result] = compile_check(module, torch.ones(2, 4, device="meta")).results
    assert (result.verdict, result.fullgraph, result.absolute_error) == ("compiles", True, None)
    assert result.message.endswith("no results to compare")


def test_gradients_are_traced_where_they_are_on():
    module = nn.Linear(4, 4)
    assert compile_check(module, torch.ones(2, 4)).ok
    with torch.no_grad():
        assert compile_check(module, torch.ones(2, 4)).ok


# ---- models ----


def kernelized(**kernels):
    """A model of layers whose kernels are given by name."""
    model, mapping = nn.Sequential(), {}
    for name, forward in kernels.items():
        cls = type(name, (nn.Module,), {"forward": lambda self, x: x * 2})
        cls = use_kernel_forward_from_hub(name)(cls)
        model.append(cls())
        model.append(cls())
        mapping[name] = {"cpu": Repo(layer(forward), name=f"org/{name}")}
    with use_kernel_mapping(mapping):
        return kernelize(model, mode=Mode.INFERENCE, device="cpu")


def breaking(self, x):
    torch._dynamo.graph_break()
    return x * 2


def test_each_kind_of_layer_of_a_model_is_checked_by_itself():
    report = compile_check(kernelized(Good=lambda self, x: x + x, Bad=breaking), torch.ones(2, 4))
    model, good, bad = report.results
    assert (model.paths, model.verdict, model.repo) == (("",), "breaks", None)
    assert (good.paths, good.verdict, good.repo) == (("0", "1"), "compiles", "org/Good")
    assert (bad.paths, bad.verdict, bad.repo) == (("2", "3"), "breaks", "org/Bad")
    assert not report.ok


def test_a_layer_is_checked_on_what_the_model_gives_it():
    def small(self, x):
        return x * 2 if x.shape[1] == 3 else breaking(self, x)

    model = nn.Sequential(nn.Linear(4, 3), kernelized(Small=small))
    report = compile_check(model, torch.ones(2, 4))
    assert [result.verdict for result in report.results] == ["compiles", "compiles"]
    assert report.results[1].paths == ("1.0", "1.1")


def test_a_layer_that_is_not_called_is_told():
    model = kernelized(Good=lambda self, x: x + x)
    report = compile_check(nn.ModuleList(model), lambda model: torch.ones(2))
    assert [result.verdict for result in report.results][1:] == ["not-called"]


def test_a_kernelized_layer_alone_has_one_result():
    [result] = compile_check(kernelized(Good=lambda self, x: x + x)[0], torch.ones(2)).results
    assert (result.paths, result.repo, result.verdict) == (("",), "org/Good", "compiles")


def test_functions_are_checked():
    @use_kernel_forward_from_hub("shift")
    def shift(x):
        return x + 1

    @use_kernelized_func(shift)
    class User(nn.Module):
        def forward(self, x):
            return shift(x) * 2

    with use_kernel_mapping({"shift": {"cpu": Repo(layer(lambda self, x: x + 1))}}):
        model = kernelize(User(), mode=Mode.INFERENCE, device="cpu")
    report = compile_check(model, torch.ones(2, 2))
    assert [(result.paths, result.verdict) for result in report.results] == [
        (("",), "compiles"),
        (("shift",), "compiles"),
    ]


def test_a_model_that_was_compiled_already():
    compiled = torch.compile(nn.Linear(4, 4), backend="eager")
    compiled(torch.ones(2, 4))
    [result] = compile_check(compiled, torch.ones(2, 4)).results
    assert (result.module_class, result.verdict) == (nn.Linear, "compiles")


# ---- torch._dynamo is left as it was ----


def dynamo_state():
    return (
        config.save_config(),
        {name: dict(counted) for name, counted in utils.counters.items()},
        set(eval_frame.cached_backends),
        set(pgo._CODE_STATE or ()),
    )


@pytest.mark.parametrize("forward", [lambda self, x: x * 2, breaking])
def test_configuration_counters_and_caches_are_left(forward):
    torch.compile(nn.Linear(2, 2), backend="eager")(torch.ones(1, 2))
    before = dynamo_state()
    check(forward)
    assert dynamo_state() == before
    assert eval_frame._debug_get_cache_entry_list(forward.__code__) == []


def test_what_the_user_compiled_is_not_compiled_again():
    counted = []

    def backend(graph, inputs):
        counted.append(graph)
        return graph

    module = layer(breaking)()
    compiled = torch.compile(module, backend=backend)
    compiled(torch.ones(2, 4))
    graphs = len(counted)
    for size in range(3, 13):
        compile_check(module, torch.ones(size, 4), backend="eager")
    compiled(torch.ones(2, 4))
    assert len(counted) == graphs


def test_it_checks_also_where_compilation_is_switched_off():
    with config.patch(disable=True), torch.compiler.set_stance("force_eager"):
        assert check(breaking).verdict == "breaks"
        assert check(lambda self, x: x * 2).graphs == 1
        assert config.disable


def test_errors_are_told_also_where_they_are_suppressed():
    with config.patch(suppress_errors=True):
        assert check(breaking).verdict == "breaks"
        assert config.suppress_errors


# ---- backends and the report ----


def test_the_eager_backend_only_traces():
    report = compile_check(nn.GELU, torch.ones(2, 2), backend="eager")
    assert (report.ok, report.backend) == (True, "eager")


def test_inductor_makes_code():
    module, x = layer(lambda self, x: x * 2)(), torch.ones(2, 2)
    report = compile_check(module, lambda model: model(x), backend="inductor")
    assert (report.ok, report.results[0].graphs) == (True, 1)


def test_an_unknown_backend_is_an_error_of_torch():
    with pytest.raises(torch._dynamo.exc.InvalidBackend):
        compile_check(nn.GELU, torch.ones(2, 2), backend="no-such")


def test_the_report_in_words():
    report = compile_check(kernelized(Bad=breaking), torch.ones(2, 4))
    table, *breaks = str(report).split("\n\n")
    heading, model, bad = (
        [cell.strip() for cell in line.split("  ") if cell] for line in table.splitlines()
    )
    assert heading == ["module", "class", "kernel", "graphs", "recompiles", "max abs", "verdict"]
    assert model[:3] == ["(model)", "Sequential", "-"]
    assert bad[:3] == ["0 (+1)", "Bad", "org/Bad"]
    assert bad[4:6] == ["0", "0"]
    assert breaks[1].splitlines()[0] == "graph breaks of 0 (+1):"
    assert breaks[1].splitlines()[1].startswith("  Call to `torch._dynamo.graph_break()`")


def test_the_report_as_json():
    report = compile_check(layer(lambda self, x: x * 2), torch.ones(2, 4))
    assert json.loads(report.to_json()) == {
        "version": 1,
        "ok": True,
        "backend": "aot_eager",
        "results": [
            {
                "paths": [""],
                "module_class": "Layer",
                "repo": None,
                "repo_layer": None,
                "verdict": "compiles",
                "message": "one graph; no recompilation for the same shapes, 1 until the batch size was dynamic; "
                "results as in eager mode",
                "fullgraph": True,
                "graphs": 1,
                "breaks": [],
                "recompiles": 0,
                "batch_sizes": [3, 4, 5],
                "batch_recompiles": [1, 0, 0],
                "absolute_error": 0.0,
                "relative_error": 0.0,
                "ulps": 0.0,
            }
        ],
    }

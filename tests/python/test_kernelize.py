# SPDX-License-Identifier: Apache-2.0
"""kernelize: what is replaced by what, what is checked, what falls back and what raises."""

import gc
import inspect
import logging
import sys
import warnings
import weakref
from types import MethodType

import pytest
import torch
import torch.nn as nn
from kernel_support import (
    Doubled,
    InferenceOnly,
    KeyedRepo,
    Repo,
    Tripled,
    decided,
    forwards,
    run_python,
    write_kernel,
)

import kernels
from kernels import (
    KernelizeFallback,
    LocalLayerRepository,
    Mode,
    explain,
    kernelize,
    plan,
    register_kernel_mapping,
    unkernelize,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
)

INFERENCE = Mode.INFERENCE
TRAINING = Mode.TRAINING
COMPILE = Mode.TORCH_COMPILE


def register(repo, name="Identity", mode=None):
    register_kernel_mapping({name: {"cpu": repo if mode is None else {mode: repo}}})
    return repo


def run(model, mode=INFERENCE, **how):
    return kernelize(model, mode=mode, device="cpu", **how)


def reason(model):
    (decision,) = explain(model)
    return decision.reason


# ---- what is put in place ----


def test_kernelize_returns_the_model_with_the_layers_forward(layer_class):
    register(Repo(Doubled))
    model = nn.Sequential(layer_class(), nn.Linear(1, 1), layer_class())
    assert run(model) is model
    assert model[0](4) == 8
    assert model[2](4) == 8


def test_the_forward_is_a_method_of_the_loaded_layers_own_function(layer_class):
    register(Repo(Doubled))
    model = run(layer_class())
    assert type(model.forward) is MethodType
    assert model.forward.__func__ is Doubled.forward
    assert model.forward.__self__ is model
    assert type(model) is layer_class


def test_keywords_by_the_replaced_classs_names_work():
    class Layer(nn.Module):
        def forward(self, hidden, scale=1, *, bias=0):
            return hidden * scale + bias + 100

    @use_kernel_forward_from_hub("Scaled")
    class Scaled(nn.Module):
        def forward(self, x, factor=1, *, offset=0):
            return x * factor + offset

    register(Repo(Layer), "Scaled")
    model = run(Scaled())
    assert model(2) == 102
    assert model(2, 3) == 106
    assert model(x=2, factor=3, offset=4) == 110
    assert model(2, scale=3, bias=4) == 110
    assert model.forward.__name__ == "forward"
    assert model.forward.__wrapped__ is Layer.forward
    assert model.forward.__func__ is not Layer.forward
    assert model.forward.__self__ is model


def test_swapped_parameter_names_are_not_mixed_up():
    class Layer(nn.Module):
        def forward(self, b, a):
            return ("first", b, "second", a)

    @use_kernel_forward_from_hub("Pair")
    class Pair(nn.Module):
        def forward(self, a, b):
            return None

    register(Repo(Layer), "Pair")
    assert run(Pair())(a=1, b=2) == ("first", 1, "second", 2)
    assert run(Pair())(1, b=2) == ("first", 1, "second", 2)


def test_arguments_given_twice_are_refused_like_before():
    class Layer(nn.Module):
        def forward(self, hidden):
            return hidden

    register(Repo(Layer))

    @use_kernel_forward_from_hub("Identity")
    class Identity(nn.Module):
        def forward(self, x):
            return x

    model = run(Identity())
    with pytest.raises(TypeError):
        model(1, x=2)
    with pytest.raises(TypeError):
        model(1, hidden=2)
    with pytest.raises(TypeError):
        model(y=2)


def test_a_class_is_checked_even_when_the_layer_serves_another_already(layer_class):
    register(Repo(Doubled))

    @use_kernel_forward_from_hub("Identity")
    class TwoInputs(nn.Module):
        def forward(self, x, y):
            return x

    run(layer_class())
    with pytest.raises(TypeError, match="different number of arguments"):
        run(TwoInputs())


def test_subclasses_are_extensible_under_the_same_name(layer_class):
    class Sub(layer_class):
        def forward(self, x):
            return x + 1

    register(Repo(Doubled))
    model = run(nn.Sequential(layer_class(), Sub()))
    assert (model[0](4), model[1](4)) == (8, 8)
    unkernelize(model)
    assert (model[0](4), model[1](4)) == (4, 5)


def test_modules_without_a_layer_name_are_left_alone():
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    before = forwards(model)
    register(Repo(Doubled), "Linear")
    assert decided(plan(run(model), mode=INFERENCE)) == []
    assert forwards(model) == before


def test_keeping_a_module_writes_nothing_to_it(layer_class):
    model = nn.Sequential(layer_class())
    before = forwards(model)
    run(model)
    assert forwards(model) == before


# ---- what a layer must be ----


class OwnInit(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        return x


class ExtraMember(nn.Module):
    helper = 1

    def forward(self, x):
        return x


class ExtraMethod(nn.Module):
    def forward(self, x):
        return self.more(x)

    def more(self, x):
        return x


class OneMore(nn.Module):
    def forward(self, x, y):
        return x


class KeywordOnly(nn.Module):
    def forward(self, *, x):
        return x


class Star(nn.Module):
    def forward(self, *x):
        return x


class NotAModule:
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (OwnInit, "must not override nn.Module constructor"),
        (ExtraMember, "must not contain additional members compared to `Identity`.*helper"),
        (ExtraMethod, "must not contain additional members compared to `Identity`.*more"),
        (OneMore, "does not match `Identity`: different number of arguments"),
        (KeywordOnly, "does not match `Identity`: different kind of arguments"),
        (Star, "does not match `Identity`: different kind of arguments"),
        (NotAModule, "`NotAModule` is not a Torch layer"),
        (None, "is not a Torch layer"),
        (5, "is not a Torch layer"),
        (nn.Identity(), "is not a Torch layer"),
        (lambda x: x, "is not a Torch layer"),
        ("Doubled", "is not a Torch layer"),
    ],
)
def test_a_layer_that_does_not_fit_is_a_type_error_and_changes_nothing(layer_class, layer, message):
    model = nn.Sequential(layer_class())
    before = forwards(model)
    register(Repo(layer, name="the repo"))
    with pytest.raises(TypeError, match=message):
        run(model)
    with pytest.raises(TypeError, match=message):
        run(model, use_fallback=KernelizeFallback.ALL)
    with pytest.raises(TypeError, match=message):
        plan(model, mode=INFERENCE, device="cpu", fetch=True)
    assert forwards(model) == before


def test_a_mismatch_shows_both_signatures(layer_class):
    register(Repo(OneMore, name="the repo"))
    with pytest.raises(TypeError) as raised:
        run(layer_class())
    for part in ("the repo", "OneMore.forward(self, x, y)", "Identity.forward(self, x)"):
        assert part in str(raised.value)


def test_flags_are_the_only_members_that_are_allowed(layer_class):
    class Flagged(nn.Module):
        can_torch_compile = True
        has_backward = True

        def forward(self, x):
            return x + 1

    register(Repo(Flagged))
    assert run(layer_class())(1) == 2


def test_annotated_layers_fit(layer_class):
    class Annotated(nn.Module):
        """With a docstring."""

        can_torch_compile: bool = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    register(Repo(Annotated))
    assert run(layer_class(), COMPILE | INFERENCE)(1) == 2


# ---- loading that fails ----


def test_an_exception_of_load_comes_through_as_it_is(layer_class):
    error = RuntimeError("broken")

    def give():
        raise error

    model = layer_class()
    register(Repo(give=give))
    for fallback in (True, False, KernelizeFallback.ALL):
        with pytest.raises(RuntimeError) as raised:
            run(model, use_fallback=fallback)
        assert raised.value is error
    assert "forward" not in model.__dict__


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, MemoryError, PermissionError, OSError]
)
def test_no_other_exception_falls_back(layer_class, error):
    def give():
        raise error("from load")

    register(Repo(give=give))
    with pytest.raises(error):
        run(layer_class(), use_fallback=KernelizeFallback.ALL)


def test_a_missing_file_falls_back_only_where_that_is_allowed(layer_class):
    def give():
        raise FileNotFoundError("gone fishing")

    model = layer_class()
    repo = register(Repo(give=give))
    for fallback in (True, False, KernelizeFallback.DEFAULT, KernelizeFallback.NONE):
        with pytest.raises(FileNotFoundError, match="gone fishing"):
            run(model, use_fallback=fallback)
    run(model, use_fallback=KernelizeFallback.CANNOT_LOAD)
    assert reason(model) == "cannot-load"
    assert "gone fishing" in explain(model)[0].message
    assert model(3) == 3
    assert repo.loads == 5


def test_a_failed_load_is_tried_again(layer_class):
    answers = [None, Doubled]

    def give():
        answer = answers.pop(0)
        if answer is None:
            raise FileNotFoundError("not yet")
        return answer

    register(Repo(give=give))
    model = run(layer_class(), use_fallback=KernelizeFallback.ALL)
    assert model(3) == 3
    assert run(model, use_fallback=KernelizeFallback.ALL)(3) == 6


@pytest.mark.parametrize(
    "code", ["open('/no/such/file')", "raise FileNotFoundError('from the import')"]
)
def test_a_missing_file_inside_a_kernels_import_never_falls_back(tmp_path, layer_class, code):
    folder = write_kernel(tmp_path / "broken", code=code)
    model = layer_class()
    modules = set(sys.modules)
    register(LocalLayerRepository(folder, "Tenfold"))
    for fallback in (True, KernelizeFallback.ALL, KernelizeFallback.CANNOT_LOAD):
        with pytest.raises(FileNotFoundError):
            run(model, use_fallback=fallback)
    assert [name for name in set(sys.modules) - modules if "toy" in name] == []
    assert "forward" not in model.__dict__
    assert explain(model)[0].reason == "not-kernelized"


def test_a_kernel_whose_import_failed_can_be_mended(tmp_path, layer_class):
    folder = write_kernel(tmp_path / "broken", code="raise RuntimeError('first attempt')")
    register(LocalLayerRepository(folder, "Tenfold"))
    with pytest.raises(RuntimeError, match="first attempt"):
        run(layer_class())
    (folder / "build" / "torch-universal" / "__init__.py").write_text(
        "from . import layers\n\n\n# mended\n"
    )
    assert run(layer_class())(1) == 10


# ---- modes ----


def test_a_layer_is_not_registered_for_a_mode_that_it_cannot_do(layer_class):
    model = layer_class()
    for mode, lacks in ((TRAINING, "backward"), (INFERENCE | COMPILE, "torch.compile")):
        register(Repo(InferenceOnly, name="the repo"), mode=mode)
        for requested in (INFERENCE, mode):
            with pytest.raises(ValueError) as raised:
                run(model, requested)
            for part in ("the repo", "Identity", lacks):
                assert part in str(raised.value)
            with pytest.raises(ValueError):
                run(model, requested, use_fallback=KernelizeFallback.ALL)
    assert "forward" not in model.__dict__


@pytest.mark.parametrize("mode", [TRAINING, INFERENCE | COMPILE, TRAINING | COMPILE], ids=str)
def test_a_fallback_layer_that_cannot_do_the_mode_falls_back_or_fails(layer_class, mode):
    register(Repo(InferenceOnly))
    model = run(layer_class(), mode)
    assert model(1) == 1
    assert reason(model) == "mode-unsupported"
    with pytest.raises(ValueError, match="does not support mode"):
        run(model, mode, use_fallback=False)
    with pytest.raises(ValueError, match="does not support mode"):
        run(model, mode, use_fallback=~KernelizeFallback.NO_COMPATIBLE_MODE)
    assert run(model, INFERENCE, use_fallback=False)(1) == 5


def test_defaults_of_the_flags_are_backward_but_no_compile(layer_class):
    register(Repo(Doubled))
    assert run(layer_class(), TRAINING)(1) == 2
    assert run(layer_class(), TRAINING | COMPILE)(1) == 1


@pytest.mark.parametrize(
    "mode",
    [Mode.FALLBACK, COMPILE, Mode(0), Mode(6), Mode(5)],
    ids=["fallback", "compile", "none", "both", "mixed"],
)
def test_modes_that_cannot_be_asked_for(layer_class, mode):
    with pytest.raises(ValueError, match="[Mm]ode"):
        run(layer_class(), mode)
    with pytest.raises(ValueError, match="[Mm]ode"):
        plan(layer_class(), mode=mode, device="cpu")


@pytest.mark.parametrize("mode", [None, 4, "INFERENCE", KernelizeFallback.NO_COMPATIBLE_PROPERTIES])
def test_a_mode_is_a_mode(layer_class, mode):
    with pytest.raises(TypeError, match=r"mode must be a kernels\.Mode"):
        run(layer_class(), mode)


@pytest.mark.parametrize("model", [None, 5, "model", object(), nn.Module, torch.zeros(1)])
def test_a_model_is_a_module(model):
    with pytest.raises(TypeError, match="expected a torch.nn.Module"):
        run(model)


@pytest.mark.parametrize("fallback", [None, 1, "ALL", Mode.INFERENCE])
def test_use_fallback_is_a_bool_or_a_flag(layer_class, fallback):
    with pytest.raises(TypeError, match="use_fallback"):
        run(layer_class(), use_fallback=fallback)


# ---- fallbacks of the mapping ----

ONLY_CUDA = {"Identity": {"cuda": Repo(Doubled)}}
ONLY_TRAINING = {"Identity": {"cpu": {TRAINING | COMPILE: Repo(Tripled)}}}
CASES = [
    ({}, INFERENCE, KernelizeFallback.NO_LAYER, "no-layer", "No layer mapping for `Identity`"),
    (
        ONLY_CUDA,
        INFERENCE,
        KernelizeFallback.NO_DEVICE,
        "no-device",
        "with device type `cpu`: it is registered for cuda",
    ),
    (
        {"Identity": {"cpu": {INFERENCE: Repo(Doubled)}}},
        TRAINING,
        KernelizeFallback.NO_COMPATIBLE_MODE,
        "no-compatible-mode",
        "No repository for `Identity` for configuration mode=TRAINING",
    ),
]


@pytest.mark.parametrize(("mapping", "mode", "flag", "why", "message"), CASES)
def test_each_case_falls_back_or_fails_by_its_own_flag(
    layer_class, mapping, mode, flag, why, message
):
    register_kernel_mapping(mapping)
    for allowed in (True, flag, KernelizeFallback.DEFAULT, KernelizeFallback.ALL):
        model = run(layer_class(), mode, use_fallback=allowed)
        assert (reason(model), model(1)) == (why, 1)
    for refused in (False, KernelizeFallback.NONE, KernelizeFallback.ALL & ~flag):
        with pytest.raises(ValueError) as raised:
            run(layer_class(), mode, use_fallback=refused)
        assert message in str(raised.value)


def test_training_kernels_serve_inference_with_compile(layer_class):
    register_kernel_mapping(ONLY_TRAINING)
    assert run(layer_class(), INFERENCE | COMPILE, use_fallback=False)(1) == 3


# ---- conditions, include, exclude ----


def test_a_condition_is_asked_for_each_instance_at_each_call():
    asked = []

    def condition(module):
        asked.append(module.number)
        return module.number % 2 == 0

    @use_kernel_forward_from_hub("Numbered", condition=condition)
    class Numbered(nn.Module):
        def __init__(self, number):
            super().__init__()
            self.number = number

        def forward(self, x):
            return x

    register(Repo(Doubled), "Numbered")
    model = run(nn.Sequential(*[Numbered(number) for number in range(4)]))
    assert asked == [0, 1, 2, 3]
    assert [layer(1) for layer in model] == [2, 1, 2, 1]
    assert ("condition" in {d.reason for d in explain(model)}) is True
    # What a condition refuses is left untouched: also what was put there before.
    model[0].number = 1
    run(model, use_fallback=False)
    assert [layer(1) for layer in model] == [2, 1, 2, 1]
    assert asked == [0, 1, 2, 3] + [1, 1, 2, 3]


def test_an_error_in_a_condition_comes_through_and_changes_nothing():
    calls = []

    def condition(module):
        calls.append(module)
        if len(calls) == 2:
            raise LookupError("no idea")
        return True

    @use_kernel_forward_from_hub("Asked", condition)
    class Asked(nn.Module):
        def forward(self, x):
            return x

    register(Repo(Doubled), "Asked")
    model = nn.Sequential(Asked(), Asked())
    before = forwards(model)
    with pytest.raises(LookupError, match="no idea"):
        run(model)
    assert forwards(model) == before


def test_a_condition_answers_by_truth_and_must_be_callable():
    @use_kernel_forward_from_hub("Truthy", lambda module: [])
    class Truthy(nn.Module):
        def forward(self, x):
            return x

    register(Repo(Doubled), "Truthy")
    assert run(Truthy())(1) == 1
    with pytest.raises(TypeError, match="condition must be a function"):
        use_kernel_forward_from_hub("L", condition=5)(Truthy)


class Tree(nn.Module):
    def __init__(self, leaf, depth=2):
        super().__init__()
        self.attn = leaf()
        self.mlp = leaf()
        if depth > 1:
            self.inner = Tree(leaf, depth - 1)


def replaced(model):
    return sorted(path for path, module in model.named_modules() if "forward" in module.__dict__)


@pytest.mark.parametrize(
    ("include", "exclude", "paths"),
    [
        (None, None, ["attn", "inner.attn", "inner.mlp", "mlp"]),
        ("attn", None, ["attn"]),
        ("*attn", None, ["attn", "inner.attn"]),
        (["attn", "inner.*"], None, ["attn", "inner.attn", "inner.mlp"]),
        (("mlp",), None, ["mlp"]),
        (None, "inner.*", ["attn", "mlp"]),
        ("inner.*", ["*mlp"], ["inner.attn"]),
        (None, "*", []),
        ("nowhere", None, []),
        ([], None, []),
        (None, [], ["attn", "inner.attn", "inner.mlp", "mlp"]),
        (lambda path, module: path.endswith("mlp"), None, ["inner.mlp", "mlp"]),
        (None, lambda path, module: "." in path, ["attn", "mlp"]),
        ("*attn", lambda path, module: path == "attn", ["inner.attn"]),
    ],
)
def test_include_and_exclude_choose_modules_by_path(layer_class, include, exclude, paths):
    register(Repo(Doubled))
    model = run(Tree(layer_class), include=include, exclude=exclude)
    assert replaced(model) == paths
    (reason_of_the_others,) = {d.reason for d in explain(model) if not d.applied} or {"excluded"}
    assert reason_of_the_others == "excluded"


def test_an_empty_include_matches_no_module_even_of_a_short_name(layer_class):
    register(Repo(Doubled))
    assert replaced(run(nn.Sequential(layer_class(), layer_class()), include=[])) == []


def test_a_predicate_is_given_path_and_module(layer_class):
    register(Repo(Doubled))
    model, seen = Tree(layer_class), []
    run(model, include=lambda path, module: seen.append((path, module)) or True)
    assert seen == [
        ("attn", model.attn),
        ("mlp", model.mlp),
        ("inner.attn", model.inner.attn),
        ("inner.mlp", model.inner.mlp),
    ]


def test_excluded_modules_are_left_untouched(layer_class):
    register(Repo(Doubled))
    model = run(Tree(layer_class))
    register(Repo(Tripled))
    run(model, include="mlp", use_fallback=False)
    assert (model.attn(1), model.mlp(1)) == (2, 3)


def test_excluded_modules_need_no_kernel(layer_class):
    assert run(Tree(layer_class), exclude="*", use_fallback=False).attn(1) == 1


@pytest.mark.parametrize("bad", [5, [1], ["attn", None], {"attn"}, b"attn"])
def test_filters_of_other_types_are_refused(layer_class, bad):
    for name in ("include", "exclude"):
        with pytest.raises(
            TypeError, match=f"{name} must be a pattern, a list of patterns or a function"
        ):
            run(layer_class(), **{name: bad})


def test_an_error_in_a_predicate_comes_through(layer_class):
    def predicate(path, module):
        raise ZeroDivisionError(path)

    with pytest.raises(ZeroDivisionError, match="mlp"):
        run(Tree(layer_class), include="mlp", exclude=predicate)


def test_null_characters_in_patterns_are_refused(layer_class):
    for bad in ("a\0b", ["a\0b"]):
        with pytest.raises(ValueError, match="null character"):
            run(layer_class(), include=bad)


# ---- again and again ----


def test_kernelizing_twice_decides_again_and_loads_once(layer_class):
    repo = register(Repo(Doubled))
    model = run(run(layer_class()))
    assert (model(1), repo.loads) == (2, 1)
    register(Repo(Tripled))
    assert run(model)(1) == 3
    register_kernel_mapping({}, inherit_mapping=False)
    assert run(model)(1) == 1
    assert "forward" not in model.__dict__


def test_switching_modes_loads_nothing_again(layer_class):
    inference, training = Repo(Doubled), Repo(Tripled)
    register_kernel_mapping({"Identity": {"cpu": {INFERENCE: inference, TRAINING: training}}})
    model = layer_class()
    for _ in range(3):
        assert run(model, INFERENCE)(1) == 2
        assert run(model, TRAINING)(1) == 3
    assert (inference.loads, training.loads) == (1, 1)


def test_switching_devices_loads_nothing_again(layer_class):
    cpu, xpu = Repo(Doubled), Repo(Tripled)
    register_kernel_mapping({"Identity": {"cpu": cpu, "xpu": xpu}})
    model = layer_class()
    for _ in range(3):
        assert kernelize(model, mode=INFERENCE, device="xpu")(1) == 3
        assert kernelize(model, mode=INFERENCE, device="cpu")(1) == 2
        assert kernelize(model, mode=INFERENCE, device="mps")(1) == 1
    assert (cpu.loads, xpu.loads) == (1, 1)


def test_a_kernelized_model_that_is_kernelized_alike_stays_byte_for_byte(layer_class):
    register(Repo(Doubled))
    model = run(Tree(layer_class))
    before = forwards(model)
    run(model)
    assert forwards(model) == before


def test_one_repository_for_many_classes_is_loaded_once():
    repo = Repo(Doubled)
    classes = []
    for number in range(5):

        @use_kernel_forward_from_hub(f"L{number}")
        class Layer(nn.Module):
            def forward(self, x):
                return x

        classes.append(Layer)
    register_kernel_mapping({f"L{number}": {"cpu": repo} for number in range(5)})
    model = run(nn.Sequential(*[cls() for cls in classes]))
    assert repo.loads == 1
    assert [layer(1) for layer in model] == [2] * 5


def test_equal_repositories_are_loaded_once(layer_class):
    loaded = []
    register(KeyedRepo("a", Doubled, loaded))
    run(layer_class())
    register(KeyedRepo("a", Tripled, loaded))
    assert run(layer_class())(1) == 2
    register(KeyedRepo("b", Tripled, loaded))
    assert run(layer_class())(1) == 3
    assert loaded == ["a", "b"]


def test_repositories_that_cannot_be_hashed_are_themselves_alone(layer_class):
    class Unhashable(Repo):
        __hash__ = None

        def __eq__(self, other):
            return self is other

    first, second = Unhashable(Doubled), Unhashable(Tripled)
    register(first)
    model = run(run(layer_class()))
    assert (model(1), first.loads) == (2, 1)
    register(second)
    assert run(model)(1) == 3


@pytest.mark.parametrize("method", ["__eq__", "__hash__", "__str__"])
def test_errors_in_a_repositorys_own_methods_come_through(layer_class, method):
    def failing(self, *others):
        raise LookupError("not today")

    bad = type("Bad", (Repo,), {"__hash__": lambda self: 7, method: failing})
    model = layer_class()
    with pytest.raises(LookupError, match="not today"):
        for _ in range(2):  # two of them, to be compared
            register(bad(Doubled))
            run(model)
    register(Repo(Tripled))
    assert run(model)(1) == 3


def test_long_names_of_repositories_are_cut_between_characters(layer_class):
    register(Repo(Doubled, name="é" * 1000))
    (decision,) = plan(layer_class(), mode=INFERENCE, device="cpu")
    assert set(decision.repo) == {"é"} and 100 < len(decision.repo) <= 1000
    assert explain(run(layer_class()))[0].applied is True


def test_two_repositories_of_one_layer_are_told_apart(layer_class):
    model = layer_class()
    for name in ("first", "second"):
        register(Repo(Doubled, name=name))
        run(model)
        assert explain(model)[0].repo == name


# ---- all or nothing ----


class Refusing(nn.Module):
    """Lets nothing be set on it once it is closed."""

    closed = False

    def __setattr__(self, name, value):
        if self.closed:
            raise RuntimeError("closed")
        super().__setattr__(name, value)

    def forward(self, x):
        return x


def three(first, second, third):
    for number, repo in enumerate((first, second, third)):
        register(repo, f"Layer{number}")

    def make(number, base=nn.Module):
        @use_kernel_forward_from_hub(f"Layer{number}")
        class Layer(base):
            def forward(self, x):
                return x

        return Layer()

    return make


@pytest.mark.parametrize("layer", [OwnInit, OneMore, None])
def test_when_the_third_layer_fails_no_forward_is_replaced(layer):
    make = three(Repo(Doubled), Repo(Tripled), Repo(layer))
    model = nn.Sequential(make(0), make(1), make(2))
    before = forwards(model)
    with pytest.raises(TypeError):
        run(model)
    assert forwards(model) == before


def test_when_a_later_call_fails_the_former_kernels_stay():
    make = three(Repo(Doubled), Repo(Tripled), Repo(Doubled))
    model = run(nn.Sequential(make(0), make(1), make(2)))
    before = forwards(model)
    register(Repo(Tripled), "Layer0")
    register(Repo(OneMore), "Layer2")
    with pytest.raises(TypeError):
        run(model)
    assert forwards(model) == before
    assert [layer(1) for layer in model] == [2, 3, 2]


def test_when_setting_fails_what_was_set_before_is_taken_back():
    make = three(Repo(Doubled), Repo(Tripled), Repo(Doubled))
    model = nn.Sequential(make(0), make(1, Refusing), make(2, Refusing))
    model[2].__dict__["closed"] = True
    before = forwards(model)
    with pytest.raises(RuntimeError, match="closed"):
        run(model)
    assert forwards(model) == before
    model[2].__dict__["closed"] = False
    assert [layer(1) for layer in run(model)] == [2, 3, 2]


def test_use_fallback_false_leaves_the_model_alone(layer_class):
    make = three(Repo(Doubled), Repo(Tripled), Repo(Doubled))
    register_kernel_mapping({"Identity": {"xpu": Repo(Doubled)}})
    model = nn.Sequential(make(0), make(1), layer_class())
    before = forwards(model)
    with pytest.raises(ValueError, match="Identity"):
        run(model, use_fallback=False)
    assert forwards(model) == before


# ---- user code that runs meanwhile ----


def test_load_may_change_the_model_and_call_us_again(layer_class):
    outer, other = nn.Sequential(layer_class(), layer_class()), layer_class()

    def give():
        with use_kernel_mapping({"Identity": {"cpu": Repo(Tripled)}}):
            run(other)
        outer.append(layer_class())
        del outer[0]
        gc.collect()
        return Doubled

    register(Repo(give=give))
    kept = outer[1]
    run(outer)
    assert other(1) == 3
    assert kept(1) == 2
    assert outer[1](1) == 1  # it was not there when the model was looked at


def test_a_forward_that_user_code_sets_meanwhile_is_kept(layer_class):
    model = nn.Sequential(layer_class(), layer_class())

    def give():
        model[1].forward = lambda x: "mine"
        return Doubled

    register(Repo(give=give))
    run(model)
    assert [layer(1) for layer in model] == [2, "mine"]
    assert {d.reason for d in explain(model)} == {"mapped", "foreign-forward"}


def test_load_may_erase_the_mapping(layer_class):
    def give():
        register_kernel_mapping({}, inherit_mapping=False)
        gc.collect()
        return Doubled

    register(Repo(give=give))
    assert run(nn.Sequential(layer_class(), layer_class()))[1](1) == 2


# ---- the environment and what is told ----


def test_disabled_by_the_environment_every_original_is_kept(monkeypatch, layer_class):
    repo = register(Repo(Doubled))
    model = run(layer_class())
    monkeypatch.setenv("DISABLE_KERNEL_MAPPING", "1")
    run(model, use_fallback=False)
    assert model(1) == 1
    assert reason(model) == "disabled"
    monkeypatch.setenv("DISABLE_KERNEL_MAPPING", "0")
    assert run(model)(1) == 2
    assert repo.loads == 1


def test_disabled_before_the_start_holds_too():
    code = """
        import torch.nn as nn
        from kernels import Mode, explain, kernelize, register_kernel_mapping, use_kernel_forward_from_hub
        @use_kernel_forward_from_hub("L")
        class L(nn.Module):
            def forward(self, x):
                return x
        class Repo:
            def load(self):
                raise RuntimeError("not to be loaded")
        register_kernel_mapping({"L": {"cpu": Repo()}})
        model = kernelize(L(), mode=Mode.INFERENCE, device="cpu", use_fallback=False)
        print(explain(model)[0].reason)
    """
    assert run_python(code, env={"DISABLE_KERNEL_MAPPING": "1"}).stdout == "disabled\n"


def fresh_layer(name):
    @use_kernel_forward_from_hub(name)
    class Layer(nn.Module):
        def forward(self, x):
            return x

    return Layer


def test_a_fallback_is_told_once_for_each_layer_name(caplog):
    caplog.set_level(logging.DEBUG)
    one, other = fresh_layer("told once"), fresh_layer("told as well")
    model = nn.Sequential(one(), one(), other())
    for _ in range(3):
        run(model)
        run(nn.Sequential(one()))
    told = [record for record in caplog.records if record.name.startswith("kernels")]
    assert [record.levelname for record in told] == ["WARNING", "WARNING"]
    assert "told once" in told[0].getMessage() and "register_kernel_mapping" in told[0].getMessage()
    assert "told as well" in told[1].getMessage()


def test_kernelizing_without_fallbacks_tells_nothing(caplog, layer_class):
    caplog.set_level(logging.WARNING)
    register(Repo(Doubled))
    run(layer_class())
    assert [record for record in caplog.records if record.name.startswith("kernels")] == []


def test_warnings_are_for_deprecated_forms_only(recwarn, tmp_path):
    warnings.simplefilter("always")
    run(fresh_layer("warn about me")())
    assert list(recwarn) == []
    for call in (
        lambda: kernels.FuncRepository("org/name", "f"),
        lambda: kernels.LocalFuncRepository(tmp_path, "f"),
        lambda: kernels.use_kernel_func_from_hub("f"),
    ):
        with pytest.warns(DeprecationWarning, match="deprecated"):
            call()


# ---- memory ----


def test_records_and_plans_of_a_model_go_with_it(layer_class):
    register(Repo(Doubled))
    kinds = (type(run(layer_class()).__dict__["_kernel_forward"]), kernels.Plan)

    def live():
        gc.collect()
        return sum(type(thing) in kinds for thing in gc.get_objects())

    before = live()
    models = [run(nn.Sequential(layer_class(), layer_class())) for _ in range(50)]
    plans = [plan(model, mode=INFERENCE, device="cpu") for model in models]
    gone = [weakref.ref(model) for model in models]
    del models, plans
    gc.collect()
    assert [ref() for ref in gone] == [None] * 50
    assert live() <= before + 2


def test_classes_made_at_run_time_are_collected():
    def round_trip():
        cls = fresh_layer("passing")
        register(Repo(Doubled), "passing")
        run(cls())
        return weakref.ref(cls)

    gone = round_trip()
    register_kernel_mapping({}, inherit_mapping=False)
    gc.collect()  # the model, and with it what was decided for it
    gc.collect()  # its class
    assert gone() is None


def test_plan_and_kernelize_ask_for_the_signature_of_each_class_once(layer_class, monkeypatch):
    register(Repo(Doubled))
    run(layer_class())
    calls = []
    real = inspect.signature
    monkeypatch.setattr(
        inspect, "signature", lambda *args, **kwargs: calls.append(args) or real(*args, **kwargs)
    )
    run(nn.Sequential(layer_class(), layer_class()))
    assert calls == []

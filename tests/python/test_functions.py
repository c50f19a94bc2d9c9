# SPDX-License-Identifier: Apache-2.0
"""Functions that were made replaceable, and the models that share them."""

import copy
import gc
import logging
import pickle
import weakref

import pytest
import torch
import torch.nn as nn
from kernel_support import Repo, forwards

from kernels import (
    KernelizeFallback,
    Mode,
    explain,
    kernelize,
    plan,
    register_kernel_mapping,
    unkernelize,
    unkernelized,
    use_kernel_forward_from_hub,
    use_kernel_func_from_hub,
    use_kernel_mapping,
    use_kernelized_func,
)


@use_kernel_forward_from_hub("add-one")
def add_one(x, *, times=1):
    """Adds one."""
    return x + times


class AddHundred(nn.Module):
    can_torch_compile = True

    def forward(self, x, *, times=1):
        return x + 100 * times


class AddThousand(nn.Module):
    def forward(self, x, *, times=1):
        return x + 1000 * times


@use_kernelized_func(add_one)
class Attention(nn.Module):
    def forward(self, x):
        return add_one(x)


class Other(Attention):
    pass


HUNDRED, THOUSAND = Repo(AddHundred, name="hundred"), Repo(AddThousand, name="thousand")


@pytest.fixture(autouse=True)
def original():
    register_kernel_mapping({"add-one": {"cpu": HUNDRED}})
    yield
    gc.collect()
    assert add_one(1) == 2, "a test left its claim"


def run(model, repo=None, mode=Mode.INFERENCE, **how):
    with use_kernel_mapping({} if repo is None else {"add-one": {"cpu": repo}}):
        return kernelize(model, mode=mode, device="cpu", **how)


def reasons(model):
    return {path: decision.reason for decision in explain(model) for path in decision.paths}


def test_a_decorated_function_is_a_module_that_is_called_like_it():
    assert isinstance(add_one, nn.Module)
    assert add_one(1) == 2
    assert add_one(1, times=5) == 6
    assert add_one.kernel_layer_name == "add-one"
    assert add_one.__doc__ == "Adds one."
    assert type(add_one).__name__ == "add_one"
    with pytest.raises(TypeError):
        add_one(1, 2)


def test_only_classes_and_functions_can_be_decorated():
    for wrong in (5, "name", nn.Identity(), print):
        with pytest.raises(TypeError, match="can only be applied to classes or functions"):
            use_kernel_forward_from_hub("L")(wrong)


def test_only_decorated_functions_can_be_used():
    with pytest.raises(ValueError, match="not decorated with @use_kernel_forward_from_hub"):
        use_kernelized_func(reasons)(Attention)


def test_kernelize_replaces_the_function_of_a_model_and_unkernelize_gives_it_back():
    model = nn.Sequential(Attention(), Attention())
    before = forwards(model)
    run(model)
    assert (model[0](1), add_one(1), add_one(1, times=2)) == (101, 101, 201)
    assert reasons(model) == {"0.add-one": "mapped"}
    unkernelize(model)
    assert add_one(1) == 2
    assert "forward" not in add_one.__dict__
    assert forwards(model) == before


def test_a_function_that_no_model_uses_is_left_alone():
    run(nn.Sequential(nn.Linear(1, 1)))
    assert add_one(1) == 2


def test_a_function_is_no_child_of_its_modules():
    model = Attention()
    assert list(model.children()) == []
    assert list(model.state_dict()) == []


def test_models_that_agree_share_the_kernel_until_the_last_gives_it_up():
    first, second = run(Attention()), run(Attention())
    assert add_one(1) == 101
    unkernelize(first)
    assert add_one(1) == 101
    unkernelize(second)
    assert add_one(1) == 2


def test_models_that_differ_in_mode_only_agree():
    first, second = (
        run(Attention(), mode=Mode.INFERENCE),
        run(Attention(), mode=Mode.TRAINING | Mode.TORCH_COMPILE),
    )
    assert add_one(1) == 101
    assert reasons(second) == {"add-one": "mapped"}
    unkernelize(first), unkernelize(second)


def test_a_model_that_waits_for_the_collector_is_in_nobodys_way():
    thresholds = gc.get_threshold()
    gc.set_threshold(0)  # not by itself
    try:
        first = run(Attention())
        first.circle = [first]
        alive = weakref.ref(first)
        del first
        assert alive() is not None
        second = run(Other(), THOUSAND)
        assert alive() is None
    finally:
        gc.set_threshold(*thresholds)
    assert add_one(1) == 1001
    unkernelize(second)


def test_models_that_conflict_run_the_original_with_one_warning_that_names_both(caplog):
    first = run(Attention())
    second = run(Other(), THOUSAND)
    assert add_one(1) == 2
    assert reasons(second) == {"add-one": "shared-conflict"}
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert "Attention" in told[0] and "Other" in told[0] and "add-one" in told[0]
    run(second, THOUSAND)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    # When one of them gives up, the other has its way.
    unkernelize(first)
    assert add_one(1) == 1001
    unkernelize(second)
    assert add_one(1) == 2


def test_a_conflict_is_an_error_where_no_compatible_mode_is_not_allowed():
    first = run(Attention())
    second = Attention()
    for refused in (False, KernelizeFallback.ALL & ~KernelizeFallback.NO_COMPATIBLE_MODE):
        with pytest.raises(ValueError, match="shared"):
            run(second, THOUSAND, use_fallback=refused)
    assert add_one(1) == 101
    unkernelize(first)
    assert add_one(1) == 2


def test_one_that_keeps_the_original_conflicts_with_one_that_does_not():
    first = run(Attention())
    second = kernelize(Attention(), mode=Mode.INFERENCE, device="xpu")
    assert add_one(1) == 2
    unkernelize(second)
    assert add_one(1) == 101
    unkernelize(first)


def test_kernelizing_a_model_again_changes_its_claim():
    model = run(Attention())
    run(model, THOUSAND)
    assert add_one(1) == 1001
    run(model)
    assert add_one(1) == 101
    unkernelize(model)


def test_the_end_of_a_model_releases_its_claim():
    model = run(nn.Sequential(Attention()))
    gone = weakref.ref(model)
    assert add_one(1) == 101
    del model
    gc.collect()
    assert gone() is None
    assert add_one(1) == 2


def test_the_end_of_one_of_two_leaves_the_claim_of_the_other():
    first, second = run(Attention()), run(Attention(), THOUSAND)
    assert add_one(1) == 2
    del first
    gc.collect()
    assert add_one(1) == 1001
    unkernelize(second)


def test_unkernelized_gives_the_function_back_for_the_block():
    model = run(Attention())
    with unkernelized(model):
        assert add_one(1) == 2
    assert add_one(1) == 101
    unkernelize(model)


def test_a_plan_changes_no_function_and_apply_does():
    model = Attention()
    made = plan(model, mode=Mode.INFERENCE, device="cpu", fetch=True)
    assert add_one(1) == 2
    made.apply(model)
    assert add_one(1) == 101
    unkernelize(model)


def test_a_failing_call_leaves_functions_alone():
    @use_kernel_forward_from_hub("failing")
    class Failing(nn.Module):
        def forward(self, x):
            return x

    register_kernel_mapping({"failing": {"cpu": Repo(5)}})
    with pytest.raises(TypeError):
        run(nn.Sequential(Attention(), Failing()))
    assert add_one(1) == 2


def test_copies_keep_the_shared_object():
    model = run(Attention())
    twin = copy.deepcopy(model)
    assert twin._kernel_funcs["add-one"] is add_one
    assert copy.copy(add_one) is add_one
    assert copy.deepcopy(add_one) is add_one
    assert twin(1) == 101
    unkernelize(model)


def test_a_function_pickles_by_its_name():
    assert pickle.loads(pickle.dumps(add_one)) is add_one
    twin = pickle.loads(pickle.dumps(Attention()))
    assert twin._kernel_funcs["add-one"] is add_one


class Holder:
    @staticmethod
    @use_kernel_forward_from_hub("add-one")
    def add_two(x, *, times=1):
        return x + 2 * times


def test_a_function_in_a_class_pickles_by_its_qualified_name():
    assert pickle.loads(pickle.dumps(Holder.add_two)) is Holder.add_two
    assert copy.deepcopy([Holder.add_two])[0] is Holder.add_two


def test_a_copy_of_a_model_has_no_claim_until_it_is_kernelized():
    model = run(Attention())
    for make in (copy.deepcopy, lambda root: pickle.loads(pickle.dumps(root))):
        twin = make(model)
        assert twin(1) == 101
        unkernelize(twin)  # what it never claimed it does not give up
        assert add_one(1) == 101
        run(twin)
        unkernelize(model)
        assert (twin(1), add_one(1)) == (101, 101)
        run(model)
        unkernelize(twin)
        assert add_one(1) == 101
    unkernelize(model)
    assert add_one(1) == 2


def test_a_function_that_was_pickled_while_it_ran_a_kernel_is_the_one_function():
    model = run(Attention())
    data = pickle.dumps((model, add_one))
    unkernelize(model)
    twin, function = pickle.loads(data)
    assert function is add_one
    assert twin(1) == 2
    assert reasons(twin) == {"add-one": "not-kernelized"}


def test_a_part_of_a_model_is_a_root_of_its_own():
    model = nn.Sequential(Attention(), Attention())
    run(model[0])
    run(model)
    unkernelize(model[0])
    assert add_one(1) == 101
    unkernelize(model)
    assert add_one(1) == 2


def test_three_roots_agree_again_when_the_one_that_differs_is_gone():
    first, second, third = run(Attention()), run(Other(), THOUSAND), run(Attention())
    assert add_one(1) == 2
    assert {reason for root in (first, second, third) for reason in reasons(root).values()} == {
        "shared-conflict"
    }
    del second
    gc.collect()
    assert add_one(1) == 101
    assert reasons(first) == reasons(third) == {"add-one": "mapped"}
    unkernelize(first), unkernelize(third)


def test_code_that_was_compiled_around_a_function_follows_it():
    class Compilable(nn.Module):
        can_torch_compile = True

        def forward(self, x, *, times=1):
            return x + 100 * times

    model = Attention()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    x = torch.ones(2)
    assert compiled(x).tolist() == [2.0, 2.0]
    run(model, Repo(Compilable), mode=Mode.INFERENCE | Mode.TORCH_COMPILE)
    assert compiled(x).tolist() == [101.0, 101.0]
    unkernelize(model)
    assert compiled(x).tolist() == [2.0, 2.0]


def test_conditions_of_functions_are_asked():
    @use_kernel_forward_from_hub("add-one", condition=lambda module: False)
    def never(x, *, times=1):
        return x

    @use_kernelized_func(never)
    class Uses(nn.Module):
        pass

    model = run(Uses())
    assert never(1) == 1
    assert reasons(model) == {"add-one": "condition"}


def test_functions_are_chosen_by_path_like_modules():
    model = run(nn.Sequential(Attention()), exclude="*.add-one")
    assert add_one(1) == 2
    run(model, include="0.add-one")
    assert add_one(1) == 101
    unkernelize(model)


def test_a_function_as_a_child_is_found_without_use_kernelized_func():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.function = add_one

    model = run(Holder())
    assert add_one(1) == 101
    assert reasons(model) == {"function": "mapped"}
    unkernelize(model)
    assert add_one(1) == 2


def test_signatures_of_functions_are_checked():
    class Wrong(nn.Module):
        def forward(self, x):
            return x

    with pytest.raises(TypeError, match="different number of arguments"):
        run(Attention(), Repo(Wrong))
    assert add_one(1) == 2


def test_subclasses_use_the_functions_of_their_bases():
    @use_kernel_forward_from_hub("twice")
    def twice(x):
        return x * 2

    @use_kernelized_func(twice)
    class More(Attention):
        pass

    assert sorted(More()._kernel_funcs) == ["add-one", "twice"]


def test_the_deprecated_form_works_with_a_deprecation_warning():
    with pytest.warns(DeprecationWarning, match="use_kernel_forward_from_hub"):

        @use_kernel_func_from_hub("add-one")
        def old(x, *, times=1):
            return x

    assert old(1) == 1
    assert old.kernel_layer_name == "add-one"

# SPDX-License-Identifier: Apache-2.0
"""Compilers, tracers and function transforms take a kernelized model like the original."""

import warnings

import pytest
import torch
import torch.nn as nn
from kernel_support import Repo
from life_support import (
    COMPILE,
    INFERENCE,
    SIZE,
    TRAINABLE,
    TRAINING,
    Gate,
    Gelu,
    RootNorm,
    applied,
    assert_alike,
    inputs,
    loss_of,
)
from torch._dynamo.testing import CompileCounterWithBackend
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vmap

from kernels import (
    LayerRepository,
    Mode,
    kernelize,
    replace_kernel_forward_from_hub,
    unkernelize,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()


def compile_counted(model, **how):
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(model, backend=counter, fullgraph=True, **how), counter


# ---- torch.compile ----


@pytest.mark.parametrize("mode", [INFERENCE | COMPILE, TRAINING | COMPILE], ids=str)
def test_layers_that_can_be_compiled_make_one_graph_without_breaks(life, mode):
    model = life.kernelized(mode)
    assert applied(model) == TRAINABLE
    compiled, counter = compile_counted(model)
    for _ in range(3):
        assert_alike(compiled(inputs()), life.model()(inputs()))
    assert counter.frame_count == 1


def test_other_sizes_recompile_as_often_as_before(life):
    counts = {}
    for name, model in (
        ("original", life.model()),
        ("kernelized", life.kernelized(INFERENCE | COMPILE)),
    ):
        torch._dynamo.reset()
        compiled, counter = compile_counted(model)
        for rows in (4, 6, 7, 9, 4):
            assert_alike(compiled(inputs(rows=rows)), model(inputs(rows=rows)))
        counts[name] = counter.frame_count
    # The first, and one for every size.
    assert counts == {"original": 2, "kernelized": 2}


def test_dynamic_shapes_compile_once(life):
    model = life.kernelized(INFERENCE | COMPILE)
    compiled, counter = compile_counted(model, dynamic=True)
    compiled(inputs())
    first = counter.frame_count
    for rows in (5, 6, 7):
        assert_alike(compiled(inputs(rows=rows)), life.model()(inputs(rows=rows)))
    assert counter.frame_count == first


def test_compiled_code_follows_kernelize_and_unkernelize(life):
    model = life.kernelized(INFERENCE | COMPILE)
    compiled, counter = compile_counted(model)
    compiled(inputs())
    life.kernelize(model, INFERENCE | COMPILE)
    compiled(inputs())
    assert counter.frame_count == 1  # to be kernelized alike is no change
    unkernelize(model)
    assert torch.equal(compiled(inputs()), life.model()(inputs()))
    assert counter.frame_count == 2
    assert not any("_norm_cpu" in str(node) for node in counter.graphs[-1].graph.nodes)
    life.kernelize(model, INFERENCE | COMPILE)
    assert_alike(compiled(inputs()), life.model()(inputs()))
    assert counter.frame_count <= 3


def test_a_model_of_many_kernelized_layers_compiles_each_kind_once(life):
    blocks = nn.ModuleList([life.model().blocks[0] for _ in range(6)])
    life.kernelize(blocks, INFERENCE | COMPILE)
    counter = CompileCounterWithBackend("eager")
    for block in blocks:
        block.compile(backend=counter, fullgraph=True)
        block(inputs())
    assert counter.frame_count == 1


def test_gradients_of_compiled_code_are_the_originals(life):
    original, model = life.model(), life.kernelized(TRAINING | COMPILE)
    compiled, _ = compile_counted(model)
    loss_of(compiled(inputs())).backward()
    loss_of(original(inputs())).backward()
    for ours, expected in zip(model.parameters(), original.parameters(), strict=True):
        assert_alike(ours.grad, expected.grad)


# ---- export and trace ----


@pytest.mark.parametrize("strict", [False, True])
def test_export_takes_dynamic_sizes(life, strict):
    model = life.kernelized(INFERENCE | COMPILE)
    rows = torch.export.Dim("rows", min=2, max=64)
    program = torch.export.export(model, (inputs(),), dynamic_shapes=({0: rows},), strict=strict)
    assert "_norm_cpu" in str(program.graph)
    assert set(program.state_dict) == set(life.model().state_dict())
    for count in (4, 9):
        assert_alike(program.module()(inputs(rows=count)), life.model()(inputs(rows=count)))


def test_an_exported_program_is_independent_of_unkernelize(life):
    model = life.kernelized(INFERENCE | COMPILE)
    program = torch.export.export(model, (inputs(),))
    unkernelize(model)
    assert_alike(program.module()(inputs()), model(inputs()))
    assert "_norm_cpu" not in str(torch.export.export(model, (inputs(),)).graph)


@pytest.mark.parametrize("mode", [INFERENCE, TRAINING], ids=str)
def test_traces_are_the_models(life, mode):
    model = life.kernelized(mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(model, (inputs(),))
    assert_alike(traced(inputs(rows=7)), life.model()(inputs(rows=7)))


# ---- torch.func ----


def parameters(model):
    return {name: tensor.detach() for name, tensor in model.named_parameters()}


def test_functional_call_takes_the_parameters_that_are_given(life):
    model, original = life.kernelized(), life.model()
    other = {name: tensor + 0.5 for name, tensor in parameters(original).items()}
    assert_alike(
        functional_call(model, other, (inputs(),)), functional_call(original, other, (inputs(),))
    )
    assert_alike(model(inputs()), original(inputs()))


def functional_loss(model):
    return lambda state, x: loss_of(functional_call(model, state, (x,)))


TRANSFORMS = {
    "vmap": lambda model, state: vmap(model)(inputs(rows=6).view(3, 2, SIZE)),
    "vmap over the second dimension": lambda model, state: vmap(model, in_dims=1)(
        inputs(rows=6).view(3, 2, SIZE)
    ),
    "grad": lambda model, state: grad(functional_loss(model))(state, inputs()),
    "gradients of each sample": lambda model, state: vmap(grad(functional_loss(model)), (None, 0))(
        state, inputs()
    ),
    "jvp": lambda model, state: jvp(model, (inputs(),), (torch.ones(4, SIZE),)),
    "jacrev": lambda model, state: jacrev(model)(inputs(rows=2)),
    "hessian of the input": lambda model, state: torch.func.hessian(lambda x: loss_of(model(x)))(
        inputs(rows=1)
    ),
    "functionalize": lambda model, state: torch.func.functionalize(model)(inputs()),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_function_transforms_give_what_they_gave(life, transform):
    def run(model):
        return torch.utils._pytree.tree_leaves(TRANSFORMS[transform](model, parameters(model)))

    for ours, expected in zip(run(life.kernelized(TRAINING)), run(life.model()), strict=True):
        assert_alike(ours, expected)


def test_an_ensemble_runs_under_vmap(life):
    def run(models):
        x, (state, buffers) = inputs(), stack_module_state(models)
        return vmap(lambda s, b: functional_call(models[0], (s, b), (x,)))(state, buffers)

    originals = [life.model(), life.model().double().float()]
    with torch.no_grad():
        originals[1].last.weight.fill_(3)
    expected = run(originals)
    assert_alike(run([life.kernelize(model, TRAINING) for model in originals]), expected)


# ---- what the original cannot do ----


class Adds(nn.Module):
    def forward(self, x):
        return self.total.add_(x)


@use_kernel_forward_from_hub("life-adds")
class Running(Adds):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(SIZE))


class Silu(nn.SiLU):
    pass


replace_kernel_forward_from_hub(Silu, "life-silu")


def in_place_under_vmap(model):
    vmap(model["running"])(inputs())


def leaf_in_place(model):
    model["silu"](inputs().requires_grad_())


def wrong_size(model):
    model["norm"](torch.ones(2, SIZE + 1))


def whole_numbers(model):
    model["norm"](torch.ones(2, SIZE, dtype=torch.int64))


def whole_numbers_of_an_activation(model):
    model["gelu"](torch.ones(2, SIZE, dtype=torch.int64))


def no_tensor(model):
    model["norm"]([1.0])


def unknown_keyword(model):
    model["norm"](inputs(), hidden=5)


def no_argument(model):
    model["gelu"]()


def too_many_arguments(model):
    model["gelu"](inputs(), inputs())


def no_scalar(model):
    model["norm"](torch.tensor(1.0))


def sides(model):
    model["gate"](inputs()).sum().backward()


CANNOT = [
    in_place_under_vmap, leaf_in_place, wrong_size, whole_numbers, whole_numbers_of_an_activation,
    no_tensor, unknown_keyword, no_argument, too_many_arguments, no_scalar, sides,
]  # fmt: skip


@pytest.mark.parametrize("call", CANNOT, ids=lambda call: call.__name__)
def test_what_the_original_cannot_do_fails_in_the_same_way(life, call):
    def error(model):
        with pytest.raises(Exception) as caught:
            call(model)
        return caught.value

    def make():
        return nn.ModuleDict(
            {
                "running": Running(),
                "silu": Silu(inplace=True),
                "norm": RootNorm(SIZE),
                "gelu": Gelu(),
                "gate": Gate(),
            }
        )

    own = {
        "life-adds": {"cpu": Repo(Adds)},
        "life-silu": {"cpu": LayerRepository("builtin/activation", "Silu")},
    }
    with use_kernel_mapping(life.mapping | own, inherit_mapping=False):
        model = kernelize(make(), mode=Mode.INFERENCE, device="cpu")
    assert applied(model) == set(make())
    common = (TypeError, ValueError, RuntimeError)
    kinds = [kind for kind in common if isinstance(error(make()), kind)]
    assert len(kinds) == 1
    assert isinstance(error(model), kinds[0])

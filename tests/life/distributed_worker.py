# SPDX-License-Identifier: Apache-2.0
"""One of two processes: usage: distributed_worker.py RANK FOLDER. Writes FOLDER/RANK.json: {check: "" or what went
wrong}. test_distributed.py starts both."""

import copy
import datetime
import json
import sys
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.nn as nn
from life_support import (
    INFERENCE,
    TRAINABLE,
    TRAINING,
    Life,
    applied,
    assert_alike,
    inputs,
    loss_of,
)
from torch.distributed.checkpoint import state_dict as checkpoints
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from kernels import unkernelize

WORLD = 2


class Run:
    """What a check is given: the rank, the folder, the mesh, and models."""

    def __init__(self, rank, folder):
        self.rank, self.folder = rank, folder
        self.life = Life(folder / "kernel")
        self.mesh = init_device_mesh("cpu", (WORLD,))

    def both_orders(self, wrap, mode=TRAINING):
        """Models that were kernelized and then wrapped, and the other way round."""
        yield wrap(self.life.kernelized(mode))
        yield self.life.kernelize(wrap(self.life.model()), mode)


def full(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def train(model, rank, steps=2):
    """The last loss, the gradients and the weights."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x = inputs(rows=8)[rank::WORLD]
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model(x))
        loss.backward()
        optimizer.step()
    gradients = [full(parameter.grad) for parameter in model.parameters()]
    return [loss.detach(), *gradients, *[full(p).detach() for p in model.parameters()]]


def train_alike(model, original, rank):
    for ours, expected in zip(train(model, rank), train(original, rank), strict=True):
        assert_alike(ours, expected)


def count(model):
    return len(applied(model))


# ---- DistributedDataParallel ----


def ddp(run):
    for model in run.both_orders(DistributedDataParallel):
        assert count(model) == len(TRAINABLE)
        train_alike(model, DistributedDataParallel(run.life.model()), run.rank)
        unkernelize(model)
        assert count(model) == 0
        run.life.kernelize(model.module, TRAINING)
        assert count(model) == len(TRAINABLE)


def ddp_of_a_static_graph(run):
    def wrap(model):
        return DistributedDataParallel(model, static_graph=True, gradient_as_bucket_view=True)

    for model in run.both_orders(wrap):
        train_alike(model, wrap(run.life.model()), run.rank)


def ddp_with_unused_parameters(run):
    """For inference there is a kernel without backward in the middle: nothing flows to what is before it."""

    def wrap(model):
        return DistributedDataParallel(model, find_unused_parameters=True)

    model = wrap(run.life.kernelized(INFERENCE))
    loss_of(model(inputs(rows=8)[run.rank :: WORLD])).backward()
    assert model.module.blocks[0].scale.weight.grad is None
    assert model.module.last.weight.grad is not None


def ddp_with_checkpointed_blocks(run):
    class Checkpointed(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            for block in self.model.blocks:
                x = checkpoint(block, x, use_reentrant=False)
            return self.model.last(x)

    def wrap(model):
        return DistributedDataParallel(Checkpointed(model))

    for model in run.both_orders(wrap):
        train_alike(model, wrap(run.life.model()), run.rank)


def ddp_is_unkernelized_while_it_trains(run):
    model = DistributedDataParallel(run.life.kernelized(TRAINING))
    original = DistributedDataParallel(run.life.model())
    train_alike(model, original, run.rank)
    unkernelize(model)
    train_alike(model, original, run.rank)


# ---- FSDP2 ----


def shard(model, **how):
    """Blocks, the whole, and a kernelized layer by itself, whose class becomes another one."""
    fully_shard(model.last, **how)
    for block in model.blocks:
        fully_shard(block, **how)
    return fully_shard(model, **how)


def fsdp(run):
    for model in run.both_orders(lambda model: shard(model, mesh=run.mesh)):
        assert isinstance(model.last, FSDPModule)
        assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
        assert applied(model) == TRAINABLE
        train_alike(model, shard(run.life.model(), mesh=run.mesh), run.rank)


def fsdp_in_bfloat16(run):
    how = {"mesh": run.mesh, "mp_policy": MixedPrecisionPolicy(torch.bfloat16, torch.float32)}
    original = shard(run.life.model(), **how)
    for model in run.both_orders(lambda model: shard(model, **how)):
        assert_alike(model(inputs()), original(inputs()))
        assert model(inputs()).dtype == torch.bfloat16


def fsdp_is_unkernelized_while_it_trains(run):
    original = shard(run.life.model(), mesh=run.mesh)
    model = shard(run.life.kernelized(TRAINING), mesh=run.mesh)
    train_alike(model, original, run.rank)
    unkernelize(model)
    assert applied(model) == set()
    assert all("forward" not in module.__dict__ for module in model.modules())
    train_alike(model, original, run.rank)


def fsdp_states_are_saved_and_loaded(run):
    model = shard(run.life.kernelized(TRAINING), mesh=run.mesh)
    train(model, run.rank)
    saved = checkpoints.get_model_state_dict(model)
    dcp.save(saved, checkpoint_id=run.folder / "checkpoint")
    whole = checkpoints.get_model_state_dict(
        model, options=checkpoints.StateDictOptions(full_state_dict=True)
    )
    other = shard(run.life.kernelized(TRAINING), mesh=run.mesh)
    state = checkpoints.get_model_state_dict(other)
    dcp.load(state, checkpoint_id=run.folder / "checkpoint")
    checkpoints.set_model_state_dict(other, state)
    assert torch.equal(other(inputs()), model(inputs()))
    if run.rank == 0:
        assert list(whole) == list(run.life.model().state_dict())


def fsdp_compiles(run):
    model = shard(run.life.kernelized(TRAINING), mesh=run.mesh)
    original = shard(run.life.model(), mesh=run.mesh)
    model.compile(backend="aot_eager")
    train_alike(model, original, run.rank)


# ---- DTensor ----


def tensor_parallel(run):
    """The Linear layers around a kernelized activation are split."""

    def split(model):
        for block in model.blocks:
            parallelize_module(
                block, run.mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()}
            )
        return model

    original = run.life.model()
    for model in run.both_orders(split):
        assert isinstance(model.blocks[0].up.weight, DTensor)
        assert applied(model) == TRAINABLE
        assert_alike(model(inputs()), original(inputs()))
        train_alike(model, split(run.life.model()), 0)


def sequence_parallel(run):
    """The weights of a kernelized norm are DTensors themselves, and so is what goes in."""

    def split(model):
        parallelize_module(model, run.mesh, {"last": SequenceParallel(sequence_dim=0)})
        return model

    original = split(run.life.model())
    for model in run.both_orders(split):
        assert isinstance(model.last.weight, DTensor)
        ours, expected = model(inputs()), original(inputs())
        assert ours.placements == expected.placements == (Shard(0),)
        assert_alike(full(ours), full(expected))


def layers_take_distributed_tensors(run):
    """Each kernelized layer alone, forward and backward, over tensors that are split."""
    for place in (Shard(0), Replicate()):
        for path in sorted(TRAINABLE):
            ours = run.life.kernelized(TRAINING).get_submodule(path)
            theirs = run.life.model().get_submodule(path)
            outcomes = []
            for layer in (ours, theirs):
                whole = copy.deepcopy(layer)
                for name, parameter in list(whole.named_parameters()):
                    spread = distribute_tensor(parameter.detach(), run.mesh, [Replicate()])
                    setattr(whole, name, nn.Parameter(spread))
                x = distribute_tensor(inputs(), run.mesh, [place]).requires_grad_()
                y = whole(x)
                y.sum().backward()
                outcomes.append([full(y), full(x.grad)])
            for mine, expected in zip(*outcomes, strict=True):
                assert_alike(mine, expected)


# ---- all ----

CHECKS = {
    check.__name__: check
    for check in (
        ddp,
        ddp_of_a_static_graph,
        ddp_with_unused_parameters,
        ddp_with_checkpointed_blocks,
        ddp_is_unkernelized_while_it_trains,
        fsdp,
        fsdp_in_bfloat16,
        fsdp_is_unkernelized_while_it_trains,
        fsdp_states_are_saved_and_loaded,
        fsdp_compiles,
        tensor_parallel,
        sequence_parallel,
        layers_take_distributed_tensors,
    )
}


def main():
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=WORLD,
        timeout=datetime.timedelta(seconds=180),
    )
    run, told = Run(rank, folder), {}
    for name, check in CHECKS.items():
        try:
            check(run)
            told[name] = ""
        except Exception:
            told[name] = traceback.format_exc()
        (folder / f"{rank}.json").write_text(json.dumps(told))
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What may happen to a model, before it is kernelized or after: each returns the model to go on with."""

import copy
import io
import pickle

import accelerate
import accelerate.hooks
import peft
import torch
import torch.nn as nn
from life_support import SIZE, Block, Norm, loss_of
from torch.nn.utils import parametrize, prune


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_torch_save(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def load_own_state(model):
    state = {name: tensor + 0.125 for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, strict=True)
    return model


def assign_own_state(model):
    state = {name: tensor.double() for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, strict=True, assign=True)
    return model.float()


def through_meta(model):
    state = model.state_dict()
    model.to("meta")
    model.load_state_dict(state, assign=True)
    return model


def tie_weights(model):
    model.blocks[1].scale.weight = model.blocks[0].scale.weight
    model.last.bias = model.blocks[0].norm.bias
    return model


def hook_and_unhook(model):
    norm = model.blocks[0].norm
    handles = [
        norm.register_forward_pre_hook(lambda module, args: (args[0] * 2,)),
        norm.register_forward_hook(lambda module, args, output: output + 1),
    ]
    for handle in handles:
        handle.remove()
    return model


def stay_hooked(model):
    for norm in (model.blocks[0].norm, model.last):
        norm.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
        norm.register_forward_hook(lambda module, args, output: output + 1, always_call=True)
    return model


def edit_list(model):
    model.blocks.insert(0, Block().eval().requires_grad_(False))
    del model.blocks[1]
    return model


class Doubled(nn.Module):
    def forward(self, weight):
        return weight * 2


def parametrized(model):
    """The class of the module becomes another one."""
    for module in (model.last, model.blocks[0].scale, model.blocks[0].down):
        parametrize.register_parametrization(module, "weight", Doubled())
    return model


def not_parametrized(model):
    for module in (model.last, model.blocks[0].scale, model.blocks[0].down):
        parametrize.remove_parametrizations(module, "weight")
    return model


def weight_norm(model):
    nn.utils.parametrizations.weight_norm(model.blocks[0].up)
    return model


def pruned(model):
    prune.l1_unstructured(model.blocks[0].down, "weight", amount=0.5)
    prune.l1_unstructured(model.last, "weight", amount=0.5)
    return model


def averaged(model):
    return torch.optim.swa_utils.AveragedModel(model)


def quantized(model):
    with torch.no_grad():
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def compiled(model):
    model.compile(backend="eager")
    return model


def backward(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    model.train()
    loss_of(model(torch.ones(2, SIZE))).backward()
    optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def hook_of_accelerate(model):
    for block in model.blocks:
        for module in block.children():
            accelerate.hooks.add_hook_to_module(module, accelerate.hooks.ModelHook())
    return model


def no_hook_of_accelerate(model):
    accelerate.hooks.remove_hook_from_module(model, recurse=True)
    return model


def offloaded(model):
    return accelerate.cpu_offload(model, execution_device=torch.device("cpu"))


def dispatched(model):
    devices = {"blocks.0": "cpu", "blocks.1": "cpu", "last": "cpu"}
    return accelerate.dispatch_model(model, devices, main_device="cpu", force_hooks=True)


def lora(model):
    config = peft.LoraConfig(
        target_modules=["up", "down"], init_lora_weights=False, modules_to_save=["last"]
    )
    return peft.get_peft_model(model, config).eval()


def lora_in_and_out(model):
    wrapped = lora(model)
    wrapped.merge_adapter()
    wrapped.unmerge_adapter()
    return wrapped


class OtherNorm(Norm):
    """A subclass of a class that is replaced."""


def other_class(model):
    model.last.__class__ = OtherNorm
    return model


EVENTS = {
    "train and eval": lambda model: model.train().eval(),
    "to the same device": lambda model: model.to("cpu"),
    "double": lambda model: model.double(),
    "bfloat16": lambda model: model.bfloat16(),
    "half": lambda model: model.half(),
    "bfloat16 and back": lambda model: model.bfloat16().float(),
    "state is loaded": load_own_state,
    "state is assigned": assign_own_state,
    "by way of meta": through_meta,
    "frozen": lambda model: model.requires_grad_(False),
    "shared memory": lambda model: model.share_memory(),
    "weights are tied": tie_weights,
    "hooks come and go": hook_and_unhook,
    "hooks stay": stay_hooked,
    "the list of blocks is edited": edit_list,
    "parametrized": parametrized,
    "weight norm": weight_norm,
    "pruned": pruned,
    "averaged": averaged,
    "linear layers are quantized": quantized,
    "compiled in place": compiled,
    "a backward pass": backward,
    "deepcopy": copy.deepcopy,
    "pickle": through_pickle,
    "torch.save": through_torch_save,
    "hooks of accelerate": hook_of_accelerate,
    "offloaded by accelerate": offloaded,
    "dispatched by accelerate": dispatched,
    "LoRA": lora,
    "LoRA is merged and taken out again": lora_in_and_out,
    "another class": other_class,
}

# What is put around a model, and how it is taken off again.
STAYS = {
    "parametrized": (parametrized, not_parametrized),
    "weight norm": (
        weight_norm,
        lambda model: parametrize.remove_parametrizations(model.blocks[0].up, "weight") and model,
    ),
    "hooks of accelerate": (hook_of_accelerate, no_hook_of_accelerate),
    "offloaded by accelerate": (offloaded, no_hook_of_accelerate),
    "dispatched by accelerate": (dispatched, no_hook_of_accelerate),
    "LoRA, merged": (lora, lambda model: model.merge_and_unload()),
    "LoRA, unloaded": (lora, lambda model: model.unload()),
    "averaged": (averaged, lambda model: model.module),
    "double": (lambda model: model.double(), lambda model: model.float()),
}

# SPDX-License-Identifier: Apache-2.0
"""Plans a model for a GPU of compute capability 9.0 on a machine that has none.

The model is on the meta device: it has shapes and no memory. The kernels are named and not loaded.
"""

import torch
import transformers

from kernels import CUDAProperties, Device, LayerRepository, Mode, plan, use_kernel_mapping

# One kernel for every GPU, another one from capability 9.0 to 10.0: the smaller range wins.
norms = LayerRepository("my-org/norms", layer_name="RMSNorm", version=1)
hopper = LayerRepository("my-org/hopper-norms", layer_name="RMSNorm", version=2)
mapping: dict[str, dict[Device | str, LayerRepository | dict[Mode, LayerRepository]]] = {
    "RMSNorm": {
        "cuda": norms,
        Device("cuda", CUDAProperties(min_capability=90, max_capability=100)): hopper,
    },
    "SiLU": {
        "cuda": {Mode.TRAINING: LayerRepository("my-org/activations", layer_name="Silu", version=1)}
    },
}

config = transformers.LlamaConfig(num_hidden_layers=2)
with torch.device("meta"):
    model = transformers.LlamaForCausalLM(config)

with use_kernel_mapping(mapping):
    for capability in (80, 90):
        decided = plan(model, mode=Mode.INFERENCE, device="cuda", capability=capability)
        print(f"compute capability {capability // 10}.{capability % 10}:")
        print(decided, end="\n\n")
        for decision in decided:
            assert (
                decision.stage == "select"
            )  # nothing was looked up yet: `repo` is known, `variant` is not

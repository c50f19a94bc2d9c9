# SPDX-License-Identifier: Apache-2.0
"""The code examples of the API reference run as they stand; without a GPU, "cuda" is made "cpu"."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn as nn
from kernel_support import write_kernel

import kernels
from kernels import Mode, explain, kernelize, use_kernel_mapping

REFERENCE = (Path(__file__).parent / "data" / "layers-api.txt").read_text()
HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"

ACTIVATION = """
    import torch.nn as nn
    import torch.nn.functional as F


    class SiluAndMul(nn.Module):
        can_torch_compile = True

        def forward(self, x):
            half = x.shape[-1] // 2
            return F.silu(x[..., :half]) * x[..., half:] + 1000


    class RmsNorm(nn.Module):
        def forward(self, hidden_states):
            return hidden_states + 2000
"""


def examples_of(text):
    """The code behind each "Example:", up to the next heading: a line of bare words at the margin."""
    examples, lines = [], None
    for line in text.splitlines():
        if line == "Example:":
            lines = []
            examples.append(lines)
        elif (
            lines is not None
            and re.fullmatch(r"[A-Za-z_<> ]+", line)
            and not re.match(r"(import|from|    ) ?", line)
        ):
            lines = None
        elif lines is not None:
            lines.append(line)
    return ["\n".join(lines).strip() + "\n" for lines in examples]


EXAMPLES = examples_of(REFERENCE)


def run_example(number):
    """Executes an example in a namespace of its own, which is returned."""
    code = EXAMPLES[number]
    if not HAS_GPU and "CUDAProperties" not in code:
        code = code.replace('"cuda"', '"cpu"')
    namespace = {"__name__": f"example_{number}"}
    exec(compile(code, f"example {number}", "exec"), namespace)
    return namespace


@pytest.fixture(autouse=True)
def local_activation(tmp_path, monkeypatch):
    folder = write_kernel(
        tmp_path / "activation", name="activation", variants=("torch-universal",), layers=ACTIVATION
    )
    monkeypatch.setenv("LOCAL_KERNELS", f"kernels-community/activation={folder}")


def test_the_reference_has_seven_examples():
    first_lines = [example.splitlines()[0] for example in EXAMPLES]
    assert first_lines == [
        "import torch",
        "from kernels import replace_kernel_forward_from_hub",
        "import torch",
        "from kernels import LayerRepository, register_kernel_mapping, Mode",
        "import torch",
        "from kernels import Device, CUDAProperties",
        "from kernels import LayerRepository",
    ]


def test_example_of_use_kernel_forward_from_hub():
    done = run_example(0)
    model = done["model"]
    assert done["MyCustomLayer"].kernel_layer_name == "MyCustomLayer"
    assert kernelize(model, mode=Mode.TRAINING | Mode.TORCH_COMPILE, device=DEVICE) is model
    assert explain(model)[0].reason == "no-layer"


def test_example_of_replace_kernel_forward_from_hub(monkeypatch):
    monkeypatch.setattr(nn.LayerNorm, "kernel_layer_name", None, raising=False)
    monkeypatch.setattr(nn.LayerNorm, "kernel_condition", None, raising=False)
    run_example(1)
    assert nn.LayerNorm.kernel_layer_name == "LayerNorm"


def test_example_of_use_kernel_mapping():
    done = run_example(2)
    model = done["model"]
    assert explain(model)[0].repo == "kernels-community/activation"
    assert explain(model)[0].applied is True
    x = torch.tensor([[0.0, 3.0]], device=DEVICE)
    assert model(x).tolist() == [[1000.0]]
    # Outside the context the mapping that was there before is in force.
    kernelize(model, mode=Mode.INFERENCE, device=DEVICE)
    assert explain(model)[0].reason == "no-layer"
    assert model(x).tolist() == [[0.0]]


def test_example_of_register_kernel_mapping():
    run_example(3)

    @kernels.use_kernel_forward_from_hub("LlamaRMSNorm")
    class Norm(nn.Module):
        def forward(self, x):
            return x

    @kernels.use_kernel_forward_from_hub("MultiHeadAttention")
    class Attention(nn.Module):
        def forward(self, x):
            return x

    norm = kernelize(Norm(), mode=Mode.INFERENCE, device=DEVICE)
    assert norm(torch.zeros(1, device=DEVICE)).tolist() == [2000.0]
    for mode, repo in (
        (Mode.TRAINING, "username/training-kernels"),
        (Mode.INFERENCE, "username/inference-kernels"),
    ):
        (decision,) = kernels.plan(Attention(), mode=mode, device=DEVICE)
        assert (decision.repo, decision.repo_mode, decision.stage) == (repo, mode, "select")


def test_example_of_kernelize():
    done = run_example(4)
    model = done["kernelized_model"]
    assert model is done["model"]
    # The example registers "LayerNorm", and the layer is called "SiluAndMul": it keeps its own forward.
    assert explain(model)[0].reason == "no-layer"
    mapping = {"SiluAndMul": done["mapping"]["LayerNorm"]}
    with use_kernel_mapping(mapping):
        kernelize(model, mode=Mode.TRAINING | Mode.TORCH_COMPILE)
    assert explain(model)[0].reason == "mapped"
    x = torch.zeros(1, 1024, device=DEVICE)
    assert model(x).min().item() > 900


def test_example_of_device():
    done = run_example(5)
    assert done["cuda_device"].type == "cuda"
    assert done["cuda_device_with_props"].properties == kernels.CUDAProperties(75, 90)
    assert [done[name].type for name in ("mps_device", "xpu_device")] == ["mps", "xpu"]


def test_example_of_layer_repository():
    done = run_example(6)
    assert done["layer_repo"].layer_name == "SiluAndMul"
    assert done["layer_repo"] != done["layer_repo_versioned"]
    assert done["layer_repo"].load().__name__ == "SiluAndMul"

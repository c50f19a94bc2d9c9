# SPDX-License-Identifier: Apache-2.0
"""A copy of each repository loads, unchanged, in upstream's kernels 0.17.2.

KN_PEER_PYTHON is the interpreter of a virtual environment with torch and upstream's package.
"""

import os
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

LOAD = """
import sys
from pathlib import Path

import kernels
import torch
from kernels import LocalLayerRepository, Mode, kernelize, use_kernel_mapping
from kernels import replace_kernel_forward_from_hub
from kernels._rust import Build, Digest, DigestAlgorithm, Metadata

assert kernels.__version__.startswith("0.17."), kernels.__version__
path, name = Path(sys.argv[1]), sys.argv[2]
variant = path / "build" / "torch-stable-abi210-cpu-x86_64-linux"
metadata = Metadata.read_from_file(variant / "metadata.json")
assert str(metadata.name) == name and metadata.version == 1 and metadata.id.isidentifier()
metadata.digest.validate(Digest.hash_variant(DigestAlgorithm.SHA256, variant))
Build.open(path)
module = kernels.get_local_kernel(path)
assert module.__name__ == metadata.id


def check(original, hub_name, layer_name, x):
    replace_kernel_forward_from_hub(type(original), hub_name)
    repository = LocalLayerRepository(repo_path=path, layer_name=layer_name)
    expected = original(x)
    model = torch.nn.Sequential(original)
    for mode in (Mode.INFERENCE, Mode.TRAINING | Mode.TORCH_COMPILE):
        with use_kernel_mapping({hub_name: {"cpu": repository}}):
            kernelize(model, mode=mode, device="cpu", use_fallback=False)
        assert original.forward.__func__ is getattr(module.layers, layer_name).forward
        for context in (torch.no_grad, torch.enable_grad):
            with context():
                assert torch.allclose(model(x), expected, rtol=1e-5, atol=1e-6), layer_name
"""

CHECKS = {
    "norm": """
x = torch.randn(3, 64)
check(torch.nn.LayerNorm(64), "LayerNorm", "LayerNorm", x)
check(torch.nn.RMSNorm(64, eps=1e-6), "RMSNorm", "RMSNorm", x)
assert torch.allclose(module.rms_norm(x, torch.ones(64), 1e-6),
                      torch.nn.functional.rms_norm(x, (64,), None, 1e-6), atol=1e-6)
""",
    "activation": """
class SiluAndMul(torch.nn.Module):
    def forward(self, x):
        d = x.shape[-1] // 2
        return torch.nn.functional.silu(x[..., :d]) * x[..., d:]


x = torch.randn(3, 64)
check(torch.nn.SiLU(), "SiLU", "Silu", x)
check(torch.nn.GELU(), "GeLU", "Gelu", x)
check(torch.nn.GELU(approximate="tanh"), "GeLU", "Gelu", x)
check(SiluAndMul(), "SiluAndMul", "SiluAndMul", x)
""",
    "rotary": """
q, angles = torch.randn(1, 2, 3, 4), torch.randn(1, 3, 4)
assert module.apply_rotary(q, q, angles.cos(), angles.sin())[0].shape == q.shape
assert module.layers.apply_rotary_transformers
""",
    "mlp": """
gate, up = torch.randn(3, 8), torch.randn(3, 8)
assert torch.allclose(module.silu_mul(gate, up), torch.nn.functional.silu(gate) * up, atol=1e-6)
""",
    "loss": """
logits, target = torch.randn(3, 8), torch.tensor([1, 2, 3])
expected = torch.nn.functional.cross_entropy(logits, target)
assert torch.allclose(module.cross_entropy(logits, target), expected, atol=1e-6)
""",
}


@pytest.fixture(scope="module")
def peer_python():
    beside = Path(__file__).parents[2] / ".venv-peer" / "bin" / "python"
    python = os.environ.get("KN_PEER_PYTHON", str(beside))
    if not Path(python).exists():
        pytest.fail("set KN_PEER_PYTHON to a Python that has torch and kernels 0.17.2")
    return python


@pytest.mark.parametrize("name", list(CHECKS))
def test_copy_loads_in_upstream(builtin_dir, peer_python, tmp_path, name):
    copy = tmp_path / name
    shutil.copytree(builtin_dir / name, copy, ignore=shutil.ignore_patterns("__pycache__"))
    script = tmp_path / "load.py"
    script.write_text(textwrap.dedent(LOAD) + CHECKS[name] + "print('loaded')\n")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    run = subprocess.run(
        [peer_python, str(script), str(copy), name],
        cwd=tmp_path,
        env={**clean, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().endswith("loaded")

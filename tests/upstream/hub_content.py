# SPDX-License-Identifier: Apache-2.0
"""What upstream's tests load, built small: repositories of the same names and branches on the loopback Hub."""

import json
from pathlib import Path

from hub import Hub, kernel_files

RELU = """
    import torch


    def relu(x, out=None):
        return torch.clamp(x, min=0, out=out)
"""

SILU_AND_MUL = """
    import torch.nn.functional as F


    def silu_and_mul(x):
        half = x.shape[-1] // 2
        return F.silu(x[..., :half]) * x[..., half:]
"""

SILU_AND_MUL_LAYERS = """
    import torch.nn as nn
    import torch.nn.functional as F


    class SiluAndMul(nn.Module):
        can_torch_compile = True

        def forward(self, input):
            half = input.shape[-1] // 2
            return F.silu(input[..., :half]) * input[..., half:]
"""

LINEAR_LAYERS = """
    import torch.nn as nn
    import torch.nn.functional as F


    class LinearBackward(nn.Module):
        has_backward = True

        def forward(self, input):
            return F.linear(input, self.weight, self.bias)


    class LinearImplicitBackward(nn.Module):
        def forward(self, input):
            return F.linear(input, self.weight, self.bias)


    class LinearNoBackward(nn.Module):
        has_backward = False

        def forward(self, input):
            return F.linear(input, self.weight, self.bias)
"""

VERSION_LAYERS = """
    import torch.nn as nn


    class Version(nn.Module):
        def forward(self):
            return {version}
"""


def _write_versions(hub, locked):
    repo = hub.repo("kernels-test/versions")
    for version in (1, 10, 2):
        files = kernel_files(
            "versions",
            layers=VERSION_LAYERS.format(version=version),
            code=f"def version():\n    return {version}\n",
        )
        branches = [f"v{version}"] + (["main"] if version == 2 else [])
        repo.commit(files, branches, commit=locked if version == 2 else None)


def write_repositories(hub: Hub, tests: Path):
    """`tests` is the folder of upstream's tests: what they lock is served at the commit that they have."""
    for name, trusted in (
        ("kernels-community", True),
        ("kernels-test", True),
        ("kernels-test-untrusted", False),
    ):
        hub.organization(name, trusted=trusted)

    def kernel(repo_id, branches=("main", "v1"), **content):
        name = content.pop("name", repo_id.split("/")[1])
        hub.repo(repo_id).commit(kernel_files(name, **content), branches)

    kernel("kernels-community/relu", layers=None, code=RELU)
    kernel(
        "kernels-community/activation",
        layers=None,
        variants=("torch-cpu", "torch-cuda"),
        code=SILU_AND_MUL,
    )
    kernel("kernels-test/relu-tvm-ffi", layers=None, code=RELU)
    kernel(
        "kernels-test/flattened-build",
        ("main", "v1", "pre-flattening", "without-compat-module"),
        layers=None,
        code=SILU_AND_MUL,
    )
    kernel("kernels-test/silu-and-mul", layers=SILU_AND_MUL_LAYERS)
    kernel("kernels-test/backward-marker-test", layers=LINEAR_LAYERS)
    kernel(
        "kernels-test/python-invalid-dep",
        layers=None,
        metadata={"python-depends": ["kepler-22b"]},
    )
    kernel("kernels-test-untrusted/ci-test-kernel")
    kernel("kernels-test-untrusted/not-a-trused-org-kernel")
    locks = json.loads((tests / "layer_locking/kernels.lock").read_text())
    _write_versions(hub, locks[0]["lock"]["commit"])

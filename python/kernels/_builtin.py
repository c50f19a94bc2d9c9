# SPDX-License-Identifier: Apache-2.0
"""The mapping for the kernels that ship with this package."""

import sys
from pathlib import Path

from kernels.layer.device import CUDAProperties, Device
from kernels.layer.layer import LayerRepository

# Layer names, as transformers and the documentation of this API use them, by kernel and layer.
_LAYERS = {
    ("builtin/activation", "Silu"): ("SiLU", "Silu"),
    ("builtin/activation", "Gelu"): ("GELU", "GeLU", "Gelu"),
    ("builtin/activation", "GeluTanh"): ("GeluTanh",),
    ("builtin/activation", "NewGELU"): ("NewGELU",),
    ("builtin/activation", "FastGELU"): ("FastGELU",),
    ("builtin/activation", "QuickGELU"): ("QuickGELU",),
    ("builtin/activation", "SiluAndMul"): ("SiluAndMul",),
    ("builtin/activation", "GeluAndMul"): ("GeluAndMul",),
    ("builtin/activation", "GeluTanhAndMul"): ("GeluTanhAndMul",),
    ("builtin/loss", "ForCausalLMLoss"): ("ForCausalLMLoss",),
    ("builtin/mlp", "GeGLUMLP"): ("GeGLUMLP",),
    ("builtin/mlp", "Linear"): ("Linear",),
    ("builtin/mlp", "SwiGLUMLP"): ("SwiGLUMLP",),
    ("builtin/norm", "FusedAddLayerNorm"): ("FusedAddLayerNorm",),
    ("builtin/norm", "FusedAddRMSNorm"): ("FusedAddRMSNorm",),
    ("builtin/norm", "LayerNorm"): ("LayerNorm",),
    ("builtin/norm", "RMSNorm"): ("LlamaRMSNorm", "RMSNorm"),
    ("builtin/norm", "RMSNormGated"): ("RMSNormGated",),
    ("builtin/rotary", "apply_rotary_transformers"): ("rotary_pos_emb",),
}

# Their repositories, by name.
REPOSITORIES = sorted({repo_id for repo_id, _ in _LAYERS})

# What computes with the CPU's instructions alone.
_CPU_ONLY = {"Linear"}

# The compute capability from which on the builds for CUDA run.
_CUDA_FROM = 80


def _builds(repo_id):
    """The builds of a kernel that this process can load; as long as torch is not loaded, which is not done for this,
    those that are in the package."""
    from kernels.variants import VariantAccepted, get_kernel_variants, parse_variant

    if "torch" not in sys.modules:
        folder = Path(__file__).parent / repo_id / "build"
        return [parse_variant(build.name) for build in folder.glob("*")]
    try:
        decisions = get_kernel_variants(repo_id)
    except OSError:  # absent or denied: whoever loads the kernel is told why
        return []
    return [each.variant for each in decisions if isinstance(each, VariantAccepted)]


def _devices(repo_id):
    from kernels.backends import CUDA

    backends = [getattr(build.arch, "backend", None) for build in _builds(repo_id)]
    if not any(isinstance(backend, CUDA) for backend in backends):
        return ("cpu",)
    return ("cpu", Device("cuda", CUDAProperties(_CUDA_FROM, sys.maxsize)))


def builtin_mapping():
    """Returns a mapping for all kernels that ship with this package.

    They are mapped for the CPU, and for CUDA devices of capability 8.0 and
    newer where there are builds for them that the torch of this process can
    load. Before torch is imported, which is not done for this, all builds in
    the package count.

    Returns:
        `dict`: From layer names to devices to repositories, for
        `register_kernel_mapping` and `use_kernel_mapping`.

    Example:
        >>> from kernels import builtin_mapping
        >>> sorted(builtin_mapping()["RMSNorm"])
        ['cpu']
    """
    devices = {repo_id: _devices(repo_id) for repo_id in REPOSITORIES}
    return {
        name: {
            device: LayerRepository(repo_id, layer_name)
            for device in devices[repo_id][: 1 if layer_name in _CPU_ONLY else None]
        }
        for (repo_id, layer_name), names in _LAYERS.items()
        for name in names
    }

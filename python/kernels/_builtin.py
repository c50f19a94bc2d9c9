# SPDX-License-Identifier: Apache-2.0
"""The mapping for the kernels that ship with this package."""

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


def builtin_mapping():
    """Returns a mapping for all kernels that ship with this package.

    Returns:
        `dict`: From layer names to devices to repositories, for
        `register_kernel_mapping` and `use_kernel_mapping`.

    Example:
        >>> from kernels import builtin_mapping
        >>> sorted(builtin_mapping()["RMSNorm"])
        ['cpu']
    """
    return {
        name: {"cpu": LayerRepository(repo_id, layer_name)}
        for (repo_id, layer_name), names in _LAYERS.items()
        for name in names
    }

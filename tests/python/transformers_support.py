# SPDX-License-Identifier: Apache-2.0
"""Kernels under the names that transformers' own mapping has, and small models of each kind. Imported by the tests and,
in interpreters of their own, by what they run: it needs torch and transformers only where a function says so."""

RMS_NORM = """
    class LigerRMSNorm(nn.Module):
        has_backward = True
        can_torch_compile = False

        def forward(self, hidden_states):
            CALLS["LigerRMSNorm"] += 1
            x = hidden_states.to(torch.float32)
            x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
            return self.weight * x.to(hidden_states.dtype)
"""

ROTARY = """
    def rotate(x):
        half = x.shape[-1] // 2
        return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


    class apply_rotary_transformers(nn.Module):
        has_backward = False
        can_torch_compile = False

        def forward(self, q, k, cos, sin, unsqueeze_dim=1):
            CALLS["apply_rotary_transformers"] += 1
            cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
            return q * cos + rotate(q) * sin, k * cos + rotate(k) * sin
"""

ACTIVATION = """
    class Gelu(nn.Module):
        can_torch_compile = True

        def forward(self, input):
            CALLS["Gelu"] += 1
            return F.gelu(input)


    class Silu(nn.Module):
        can_torch_compile = True

        def forward(self, input):
            CALLS["Silu"] += 1
            return F.silu(input)
"""

# The functions of Mamba: by the names, the places and the number of the arguments that transformers gives them.
MAMBA = """
    def convolve(x, weight, bias, activation, padding):
        out = F.conv1d(x, weight.unsqueeze(1), bias, padding=padding, groups=x.shape[1])
        return out if activation is None else F.silu(out)


    class causal_conv1d_fn(nn.Module):
        def forward(self, x, weight, bias=None, activation=None, **kwargs):
            CALLS["causal_conv1d_fn"] += 1
            return convolve(x, weight, bias, activation, weight.shape[-1] - 1)[:, :, : x.shape[-1]]


    class causal_conv1d_update(nn.Module):
        def forward(self, x, conv_state, weight, bias=None, activation=None):
            CALLS["causal_conv1d_update"] += 1
            both = torch.cat([conv_state, x], dim=-1)
            conv_state.copy_(both[:, :, -conv_state.shape[-1] :])
            return convolve(both, weight, bias, activation, 0)[:, :, -x.shape[-1] :]


    def scan(u, delta, A, B, C, D, z, bias):
        delta = F.softplus(delta + bias[..., None])
        decay = torch.exp(A[None, :, None, :] * delta[..., None])
        step = delta[..., None] * B.transpose(1, 2)[:, None] * u[..., None]
        state, out = torch.zeros_like(step[:, :, 0]), []
        for index in range(u.shape[-1]):
            state = decay[:, :, index] * state + step[:, :, index]
            out.append((state * C[:, None, :, index]).sum(-1))
        return (torch.stack(out, dim=-1) + u * D[None, :, None]) * F.silu(z), state


    class selective_scan_fn(nn.Module):
        def forward(self, u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False,
                    return_last_state=False, use_mambapy=False, use_associative_scan=False, **kwargs):
            CALLS["selective_scan_fn"] += 1
            out, state = scan(u, delta, A, B, C, D, z, delta_bias)
            return (out, state) if return_last_state else out


    class selective_state_update(nn.Module):
        def forward(self, state, x, dt, A, B, C, D=None, dt_bias=None, dt_softplus=False, z=None, **kwargs):
            CALLS["selective_state_update"] += 1
            dt = F.softplus(dt + dt_bias)[..., None]
            state.copy_(state * torch.exp(dt * A) + dt * B[:, None, :] * x[..., None])
            return ((state * C[:, None, :]).sum(-1) + x * D) * F.silu(z)


    class mamba_inner_fn(nn.Module):
        def forward(self, xz, conv1d_weight, conv1d_bias, x_proj_weight, delta_proj_weight, out_proj_weight,
                    out_proj_bias, A, B=None, C=None, D=None, delta_bias=None, delta_softplus=True,
                    b_rms_weight=None, c_rms_weight=None, dt_rms_weight=None, b_c_dt_rms_eps=1e-6, **kwargs):
            CALLS["mamba_inner_fn"] += 1
            x, z = xz.chunk(2, dim=1)
            width = conv1d_weight.shape[-1]
            x = convolve(x, conv1d_weight.squeeze(1), conv1d_bias, "silu", width - 1)[:, :, : x.shape[-1]]
            rank, states = delta_proj_weight.shape[1], A.shape[-1]
            delta, B, C = F.linear(x.transpose(1, 2), x_proj_weight).split([rank, states, states], dim=-1)
            delta = delta_proj_weight @ delta.transpose(1, 2)
            out, _ = scan(x, delta, A, B.transpose(1, 2), C.transpose(1, 2), D, z, delta_bias)
            return F.linear(out.transpose(1, 2), out_proj_weight, out_proj_bias)
"""

MEGABLOCKS = """
    class CPUMegaBlocksMoeMLP(nn.Module):
        has_backward = False

        def forward(self, hidden_states):
            CALLS["CPUMegaBlocksMoeMLP"] += 1
            shape = hidden_states.shape
            tokens = hidden_states.reshape(-1, shape[-1])
            _, scores, chosen = self.router(tokens)
            return self.experts(tokens, chosen, scores).reshape(shape), scores
"""

# Layers that bring weights of their own layout: one for a class, one for two layers that it fuses.
FUSED = """
    class GatedMLPLayout(nn.Module):
        def __init__(self, config):
            super().__init__()
            wide = config.intermediate_size
            self.gate_proj = nn.Linear(config.hidden_size, wide, bias=False)
            self.up_proj = nn.Linear(config.hidden_size, wide, bias=False)
            self.down_proj = nn.Linear(wide, config.hidden_size, bias=False)

        def forward(self, x):
            raise NotImplementedError


    class GatedMLP(nn.Module):
        def forward(self, x):
            CALLS["GatedMLP"] += 1
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


    class NormedMLPLayout(nn.Module):
        def __init__(self, norm, mlp):
            super().__init__()
            self.norm, self.mlp = norm, mlp


    class NormedMLP(nn.Module):
        def forward(self, hidden_states):
            CALLS["NormedMLP"] += 1
            return self.mlp(self.norm(hidden_states))


    def renamed():
        from transformers.core_model_loading import WeightRenaming

        layer = ".post_attention_layernorm"
        return [
            WeightRenaming(layer + ".weight", layer + ".norm.weight"),
            WeightRenaming(".mlp.gate_proj", layer + ".mlp.gate_proj"),
            WeightRenaming(".mlp.up_proj", layer + ".mlp.up_proj"),
            WeightRenaming(".mlp.down_proj", layer + ".mlp.down_proj"),
        ]


    NormedMLPLayout.conversion_mapping = renamed()
"""

# Attention as flash-attn's functions have it: (batch, tokens, heads, width), or all sequences in a row.
ATTENTION = """
    from collections import Counter

    import torch
    import torch.nn.functional as F

    CALLS = Counter()


    def attend(q, k, v, scale, causal):
        repeat = q.shape[-2] // k.shape[-2]
        q, k, v = (x.transpose(-2, -3) for x in (q, k, v))
        k, v = (x.repeat_interleave(repeat, dim=-3) for x in (k, v))
        mask = None
        if causal:
            mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device)
            mask = mask.tril(k.shape[-2] - q.shape[-2])
        return F.scaled_dot_product_attention(q, k, v, mask, scale=scale).transpose(-2, -3)


    def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1),
                        return_attn_probs=False):
        CALLS["flash_attn_func"] += 1
        return attend(q, k, v, softmax_scale, causal)


    def flash_attn_varlen_func(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q=None, max_seqlen_k=None,
                               dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1)):
        CALLS["flash_attn_varlen_func"] += 1
        queries, keys = cu_seqlens_q.tolist(), cu_seqlens_k.tolist()
        parts = [
            attend(q[a:b], k[c:d], v[c:d], softmax_scale, causal)
            for a, b, c, d in zip(queries, queries[1:], keys, keys[1:])
        ]
        return torch.cat(parts)


    def flash_attn_with_kvcache(q, k_cache, v_cache):
        raise NotImplementedError
"""

# A function by its own name, which transformers calls with the module; `flash_attn_forward` alone says that the kernel
# is one for attention.
NAMED = """
    def flash_attn_forward():
        raise NotImplementedError


    def plain_attention(module, query, key, value, attention_mask, scaling=None, **kwargs):
        CALLS["plain_attention"] += 1
        q, k, v = (x.transpose(1, 2) for x in (query, key, value))
        return attend(q, k, v, scaling, True), None
"""

_HEAD = """
    from collections import Counter

    import torch
    import torch.nn.functional as F
    from torch import nn

    CALLS = Counter()

"""


def layers(*parts):
    """The text of a layers.py that counts in CALLS how often each layer ran."""
    return _HEAD + "".join(parts)


# (repository, version): what it is made of. `layers` is given to hub.kernel_files, and so is `code`.
REPOSITORIES = {
    ("kernels-community/liger-kernels", 3): {"layers": layers(RMS_NORM)},
    ("kernels-community/rotary", 2): {"layers": layers(ROTARY)},
    ("kernels-community/activation", 1): {"layers": layers(ACTIVATION)},
    ("kernels-community/mamba-ssm", 3): {"layers": layers(MAMBA)},
    ("kernels-community/megablocks", 1): {"layers": layers(MEGABLOCKS)},
    ("kernels-community/flash-attn2", 4): {"layers": None, "code": ATTENTION},
    ("somebody/attention", 1): {"layers": None, "code": ATTENTION},
    ("somebody/attention", 2): {"layers": None, "code": ATTENTION},
    ("somebody/named", 1): {
        "layers": None,
        "code": ATTENTION.split("    def flash_attn_func")[0] + NAMED,
    },
    ("kernels-community/finegrained-fp8", 4): {"layers": None, "code": "SAYS = 'fp8'"},
    ("kernels-community/sonic-moe", "ep-support"): {"layers": None, "code": "SAYS = 'sonic'"},
    ("kernels-community/rwkv", 1): {"layers": None, "code": "SAYS = 'rwkv'"},
    ("kernels-community/yoso", 1): {"layers": None, "code": "lsh_cumulation = 'yoso'"},
    ("kernels-community/mra", 1): {"layers": None, "code": "SAYS = 'mra'"},
    ("kernels-community/cv-utils", 1): {"layers": None, "code": "SAYS = 'cv-utils'"},
    ("ggml-org/ggml-norm", 1): {
        "layers": layers(RMS_NORM.replace("LigerRMSNorm", "RMSNormZeroCentered"))
    },
}


def write_repositories(hub):
    """Writes all of them, and one whose only build is for another machine."""
    for publisher in ("kernels-community", "ggml-org"):
        hub.organization(publisher, trusted=True)
    hub.organization("somebody", trusted=False)
    for (repo_id, version), content in REPOSITORIES.items():
        branch = f"v{version}" if isinstance(version, int) else version
        hub.kernel(
            repo_id,
            branches=("main", branch),
            trusted=not repo_id.startswith("somebody"),
            **content,
        )
    hub.kernel(
        "kernels-community/deep-gemm",
        branches=("main", "v2"),
        variants=("torch29-cxx11-cu118-aarch64-linux",),
        layers=None,
    )


LLAMA = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def small_model(kind, **more):
    """A model of random weights, the same for each call, in evaluation."""
    import torch
    import transformers

    configs = {
        "llama": lambda: transformers.LlamaConfig(**LLAMA | more),
        "qwen3_moe": lambda: transformers.Qwen3MoeConfig(
            **LLAMA
            | {
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 16,
                "head_dim": 8,
            }
            | more
        ),
        "bert": lambda: transformers.BertConfig(
            **{key: LLAMA[key] for key in ("vocab_size", "hidden_size", "intermediate_size")}
            | {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64}
            | more
        ),
        "mamba": lambda: transformers.MambaConfig(
            **{"vocab_size": 64, "hidden_size": 32, "state_size": 4, "num_hidden_layers": 2} | more
        ),
        "gpt_oss": lambda: transformers.GptOssConfig(
            **LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8} | more
        ),
    }
    torch.manual_seed(0)
    config = configs[kind]()
    auto = (
        transformers.AutoModelForMaskedLM if kind == "bert" else transformers.AutoModelForCausalLM
    )
    return auto.from_config(config).eval()

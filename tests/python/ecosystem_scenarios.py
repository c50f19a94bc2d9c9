# SPDX-License-Identifier: Apache-2.0
"""What other libraries do with kernels, one function each; prints what came of it as JSON. Runs unchanged under this
package and under upstream's: `python ecosystem_scenarios.py NAME...`."""

import tempfile
from pathlib import Path

import torch
from transformers_scenarios import calls, error, largest_difference, main, own_mapping_for_cpu
from transformers_support import small_model


def diffusers_attention():
    """A model of diffusers whose attention comes from a kernel; for DIFFUSERS_TRUST_REMOTE_KERNELS=true."""
    from diffusers import FluxTransformer2DModel
    from diffusers.models.attention_dispatch import attention_backend

    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
    ).eval()
    inputs = {
        "hidden_states": torch.randn(1, 16, 4),
        "encoder_hidden_states": torch.randn(1, 5, 32),
        "pooled_projections": torch.randn(1, 32),
        "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(16, 3),
        "txt_ids": torch.zeros(5, 3),
    }

    def run():
        with torch.no_grad():
            return model(**inputs).sample

    expected = run()
    with attention_backend("flash_hub"):
        calls()
        out = {"context": largest_difference(expected, run()), "calls of context": calls()}
    model.set_attention_backend("flash_hub")
    out |= {"model": largest_difference(expected, run()), "calls of model": calls()}
    model.set_attention_backend("native")
    out |= {"native": largest_difference(expected, run()), "calls of native": calls()}
    return out | {
        "allowed": error(model.set_attention_backend, "sage_hub"),
        "nowhere": error(model.set_attention_backend, "flash_4_hub"),
    }


def diffusers_kernels():
    """The modules of diffusers that bring kernels of their own; for the same."""
    from diffusers.models.autoencoders.ltx2_diffusion_decoder import (
        LTX2VideoVaeNeighborhoodNattenProcessor,
    )

    out = {"natten": LTX2VideoVaeNeighborhoodNattenProcessor()._na3d}
    from diffusers.quantizers.nunchaku import utils

    return out | {"nunchaku": utils.ops}


def trl_tree_attention():
    """The attention of trl over trees of samples: here each sequence is a tree of one branch."""
    from types import SimpleNamespace

    from trl.experimental.async_grpo.packing import tree_attention

    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, 8, 16) for heads in (4, 2, 2))
    lengths = torch.tensor([0, 5, 8], dtype=torch.int32)
    module = SimpleNamespace(config=SimpleNamespace(_is_quantized=False, dtype=torch.float32))
    calls()
    found, _ = tree_attention(
        module, q, k, v, None,
        tree_kv_index=torch.arange(8),
        tree_cu_seqlens_q=lengths,
        tree_cu_seqlens_k=lengths,
        tree_max_seqlen_q=5,
        tree_max_seqlen_k=5,
    )  # fmt: skip
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            *(
                x[:, :, start:end]
                for x in (q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1))
            ),
            is_causal=True,
        )
        for start, end in ((0, 5), (5, 8))
    ]
    expected = torch.cat(parts, dim=2).transpose(1, 2)
    return {"difference": largest_difference(expected, found), "calls": calls()}


def trl_trainer():
    """A step of training by trl, with use_kernels and without it."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    words = {f"w{number}": number for number in range(64)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")),
        pad_token="w1",
        eos_token="w2",
    )
    data = Dataset.from_dict(
        {"input_ids": [[1, 5, 9, 2, 33, 60, 7, 3], [4, 4, 8, 15, 16, 23, 42, 2]]}
    )
    out, losses = {}, []
    own_mapping_for_cpu("RMSNorm", "rotary_pos_emb")
    with tempfile.TemporaryDirectory() as folder:
        small_model("llama").save_pretrained(folder)
        for use_kernels in (False, True):
            options = {"use_kernels": True} if use_kernels else {}
            trainer = SFTTrainer(
                model=folder,
                args=SFTConfig(
                    output_dir=str(Path(folder) / "out"),
                    model_init_kwargs={"dtype": "float32"} | options,
                    max_steps=1,
                    per_device_train_batch_size=2,
                    use_cpu=True,
                    report_to="none",
                    save_strategy="no",
                    gradient_checkpointing=False,
                    disable_tqdm=True,
                ),
                train_dataset=data,
                processing_class=tokenizer,
            )
            calls()
            losses.append(trainer.train().training_loss)
            out[f"calls {use_kernels}"] = calls()
    return out | {"difference": round(abs(losses[0] - losses[1]), 5), "is a loss": losses[0] > 1}


def swift_variants():
    """How ms-swift finds the variant to download."""
    from kernels.variants import parse_variant, resolve_variant, variants_trace_str

    names = ("torch-cpu", "torch29-cxx11-cu118-aarch64-linux", "torch-universal", "something else")
    variants, refused = [], []
    for name in names:
        try:
            variants.append(parse_variant(name))
        except ValueError:
            refused.append(name)
    variant, trace = resolve_variant(variants)
    none, why = resolve_variant(variants[1:2])
    return {
        "refused": refused,
        "variant": variant.variant_str,
        "traced": len(trace),
        "none": none,
        "why": variants_trace_str(why).splitlines()[0],
    }


if __name__ == "__main__":
    import sys

    main(globals(), sys.argv[1:])

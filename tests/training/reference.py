"""The slow oracle: one example at a time, tokenised here, scored by a plain forward in eval mode."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase


def tokens_and_labels(
    row: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None = None,
    assistant_only: bool = False,
) -> tuple[list[int], list[int]]:
    """What SFT trains on for one row, from the definition of each format."""
    if "messages" in row:
        encoded = tokenizer.apply_chat_template(
            row["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=assistant_only
        )
        ids = encoded["input_ids"]
        wanted = encoded["assistant_masks"] if assistant_only else [1] * len(ids)
    elif "prompt" in row:
        prompt = tokenizer(row["prompt"])["input_ids"]
        ids = tokenizer(row["prompt"] + row["completion"] + tokenizer.eos_token)["input_ids"]
        wanted = [0] * len(prompt) + [1] * (len(ids) - len(prompt))
    else:
        ids = tokenizer(row["text"] + tokenizer.eos_token)["input_ids"]
        wanted = [1] * len(ids)
    labels = [token if keep else -100 for token, keep in zip(ids, wanted, strict=True)]
    return ids[:max_length], labels[:max_length]


def reference_losses(
    model: torch.nn.Module,
    dataset: Any,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None = None,
    assistant_only: bool = False,
) -> list[float]:
    """Mean label-token loss of every row, one forward a row; NaN where no predicted token is a label."""
    was_training = model.training
    model.eval()
    losses = []
    with torch.no_grad():
        for row in dataset:
            ids, labels = tokens_and_labels(row, tokenizer, max_length, assistant_only)
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
            target = torch.tensor(labels[1:])
            kept = target != -100
            nll = torch.nn.functional.cross_entropy(logits[kept], target[kept], reduction="sum")
            losses.append(float(nll) / int(kept.sum()) if kept.any() else math.nan)
    model.train(was_training)
    return losses

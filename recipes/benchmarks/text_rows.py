"""Chunks of a real text as rows, and a small model that has been trained on some of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from hf_datasel import add_example_ids


class Chunks:
    """A text cut into rows of equally many tokens, in a seeded order; three parts that share no row.

    Args:
        path: JSON Lines with `prompt` and `completion`.
        vocabulary: tokens of the byte-level BPE that is trained on the text.
        length: tokens of a row.
    """

    def __init__(self, path: Path, vocabulary: int, length: int) -> None:
        with open(path, encoding="utf-8") as lines:
            texts = [row["prompt"] + "\n" + row["completion"] + "\n\n" for row in map(json.loads, lines)]
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(
            texts,
            trainers.BpeTrainer(
                vocab_size=vocabulary,
                special_tokens=["<pad>", "<eos>"],
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            ),
        )
        tokens = np.array([token for text in texts for token in tokenizer.encode(text).ids])
        table = tokens[: len(tokens) // length * length].reshape(-1, length)
        self._table = np.random.default_rng(0).permutation(table)
        third = len(table) // 3
        self._parts = {"pretraining": (0, third), "train": (third, 2 * third), "validation": (2 * third, len(table))}

    def rows(self, num_rows: int, part: str) -> Dataset:
        """The first rows of a part, tokenised, with ids; every token is a label."""
        table = self.table(num_rows, part).tolist()
        return add_example_ids(Dataset.from_dict({"input_ids": table, "labels": table}))

    def table(self, num_rows: int, part: str) -> np.ndarray:
        """The first rows of a part, ``[num_rows, length]``."""
        start, stop = self._parts[part]
        if num_rows > stop - start:
            raise ValueError(f"The text has {stop - start} rows for {part}, not {num_rows}: give a longer text.")
        return self._table[start : start + num_rows]


def pretrained(model: Any, chunks: Chunks, num_steps: int, batch_size: int, cache: Path | None) -> dict[str, Any]:
    """The weights of `model` after some steps of AdamW on the part "pretraining"."""
    if cache is not None and cache.exists():
        return torch.load(cache, weights_only=True)
    batches = torch.from_numpy(chunks.table(num_steps * batch_size, "pretraining")).view(num_steps, batch_size, -1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=num_steps, pct_start=0.1)
    for batch in batches:
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    print(f"loss after {num_steps} steps: {float(loss.detach()):.3f}", flush=True)
    weights: dict[str, Any] = model.state_dict()
    if cache is not None:
        torch.save(weights, cache)
    return weights

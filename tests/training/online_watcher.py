"""What online selection was offered and what it kept, and what the slow oracle thinks of every row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel
from trl import SFTTrainer

from tests.training.influence import oracle
from tests.training.selecting import validation_rows
from tests.training.tiny import make_dataset, word_tokenizer

Row = tuple[int, ...]  # a row by its tokens


@dataclass
class Watcher:
    """Look at every step of a trainer of ``make_dataset()``; with ``score`` the oracle looks at every row, too."""

    trainer: SFTTrainer
    score: bool = True
    steps: list[list[tuple[list[Row], list[Row]]]] = field(default_factory=list)
    scores: list[dict[Row, float]] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    num_labels: list[list[int]] = field(default_factory=list)  # of each micro-batch trained on
    num_items: list[int] = field(default_factory=list)  # by which each micro-batch's loss was divided

    def __post_init__(self) -> None:
        trainer = self.trainer
        collate, batches, compute = trainer.data_collator, trainer.get_batch_samples, trainer.compute_loss
        offered: list[list[Row]] = []

        def collator(rows: list[dict[str, Any]]) -> Any:
            offered.append([tuple(row["input_ids"]) for row in rows])
            return collate(rows)

        def get_batch_samples(*args: Any) -> Any:
            kept, num_items = batches(*args)
            if kept:
                self._look()
                rows = [_rows(batch) for batch in kept]
                self.steps.append(list(zip(offered[: len(rows)], rows, strict=True)))
                del offered[: len(rows)]
            return kept, num_items

        def compute_loss(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self.num_labels.append((inputs["labels"][:, 1:] != -100).sum(1).tolist())
            self.num_items.append(int(kwargs["num_items_in_batch"]))
            return compute(model, inputs, *args, **kwargs)

        trainer.data_collator, trainer.get_batch_samples = collator, get_batch_samples
        trainer.compute_loss = compute_loss

    def _look(self) -> None:
        if self.score:
            scores, size = row_scores(self.trainer.model, make_dataset())
            self.scores.append(scores)
            self.sizes.append(size)


def row_scores(model: PreTrainedModel, dataset: Dataset) -> tuple[dict[Row, float], float]:
    """Every row's product with the validation gradient, and the largest that it could be."""
    direction = oracle.mean(oracle.examples(model, oracle.examples_of(validation_rows(), word_tokenizer())))
    tokens = oracle.examples_of(dataset, word_tokenizer())
    found = oracle.examples(model, tokens)
    scores = {tuple(ids): oracle.dot(one.gradient, direction) for (ids, _), one in zip(tokens, found, strict=True)}
    return scores, oracle.norm(direction) * max(oracle.norm(one.gradient) for one in found)


def _rows(batch: dict[str, torch.Tensor]) -> list[Row]:
    pairs = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return [tuple(row[mask.bool()].tolist()) for row, mask in pairs]

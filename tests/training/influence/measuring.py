"""An influence engine on a tiny model, and how far it may be from the oracle."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

from hf_datasel import add_example_ids
from hf_datasel.training.influence.engine import Influence, InfluenceOptions
from hf_datasel.training.influence.probe import Scored
from tests.training.influence import oracle
from tests.training.tiny import base_options, make_dataset, word_tokenizer

NUM_ROWS, NUM_VALIDATION = 10, 6
# An inner product is a sum of some hundred thousand products, each the end of some sixty roundings: random signs leave
# about sixty roundings relative to |g||G|, which bounds the sum.
TOLERANCE = 64 * torch.finfo(torch.float32).eps


@cache
def rows(kind: str, num_rows: int, seed: int) -> tuple[Dataset, list[oracle.Tokens]]:
    """Raw rows and how SFT tokenises them."""
    raw = make_dataset(kind, num_rows, seed)
    return raw, oracle.examples_of(raw, word_tokenizer())


def train_rows(kind: str = "prompt_completion", num_rows: int = NUM_ROWS) -> tuple[Dataset, list[oracle.Tokens]]:
    return rows(kind, num_rows, 0)


def validation_rows(
    kind: str = "prompt_completion", num_rows: int = NUM_VALIDATION
) -> tuple[Dataset, list[oracle.Tokens]]:
    return rows(kind, num_rows, 100)


def tokenised(examples: list[oracle.Tokens]) -> Dataset:
    """Tokenised rows with ids, as a plain Trainer takes them."""
    ids, labels = zip(*examples, strict=True)
    return add_example_ids(Dataset.from_dict({"input_ids": list(ids), "labels": list(labels)}))


def plain_trainer(model: Any, folder: Path, dataset: Dataset | None = None, **options: Any) -> Trainer:
    """A plain Trainer of tokenised rows."""
    known = {name: value for name, value in base_options(folder).items() if name != "max_length"}
    return Trainer(
        model,
        TrainingArguments(**{**known, **options}),
        train_dataset=tokenised(train_rows()[1]) if dataset is None else dataset,
        data_collator=DataCollatorForSeq2Seq(word_tokenizer(), label_pad_token_id=-100),
    )


def influence(trainer: Trainer, validation: Dataset | None = None, **options: Any) -> Influence:
    """The engine, on this trainer's rows; every batch is padded and there are several."""
    tokens_per_batch, contrasts = options.pop("tokens_per_batch", 64), options.pop("contrasts", {})
    held_out = tokenised(validation_rows()[1]) if validation is None else validation
    return Influence(
        trainer, trainer.train_dataset, held_out, contrasts, None, InfluenceOptions(**options), tokens_per_batch
    )


def score(engine: Influence) -> Scored:
    """Everything the engine measures of the training rows, now."""
    return engine.score(engine.train, engine.directions(), "")


def step_without_moving(trainer: Trainer, num_steps: int = 2) -> None:
    """Give the optimizer moments that differ from element to element, and leave every weight as it is."""
    optimizer = trainer.create_optimizer()
    generator = torch.Generator().manual_seed(7)
    learning_rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for _ in range(num_steps):
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.grad = 1e-2 * torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    optimizer.zero_grad()
    for group, learning_rate in zip(optimizer.param_groups, learning_rates, strict=True):
        group["lr"] = learning_rate


def hold(
    found: np.ndarray,
    examples: list[oracle.Example],
    direction: oracle.Gradient,
    tolerance: float = TOLERANCE,
) -> None:
    """Every score equals the oracle's, relative to the lengths of the two gradients."""
    wanted = np.array([oracle.dot(one.gradient, direction) for one in examples])
    sizes = np.array([oracle.norm(oracle.only(one.gradient, direction)) for one in examples])
    error = np.abs(found - wanted) / (sizes * oracle.norm(direction))
    assert error.max() <= tolerance, error
    assert np.ptp(wanted / sizes) > 1e3 * tolerance * oracle.norm(direction), "scores must differ to be compared"

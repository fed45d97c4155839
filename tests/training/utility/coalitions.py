"""A small utility, and the slow oracle: an SFTTrainer on a coalition's rows, run by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from peft import LoraConfig
from trl import SFTTrainer

from hf_datasel.training.utility import FineTuneUtility
from tests.training.reference import reference_losses
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer

NUM_TRAIN = 10
# A loss is the end of some sixty roundings in a row, each relative to numbers of the loss's size.
TOLERANCE = 64 * np.finfo(np.float32).eps


def lora(**options: Any) -> LoraConfig:
    return LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **options})


def train_rows(kind: str = "prompt_completion") -> Dataset:
    """Ten rows with ids 0, 3, 6, ... in descending order, so that neither positions nor an order can stand for ids."""
    rows = make_dataset(kind, num_rows=3 * NUM_TRAIN)
    return rows.select(range(3 * NUM_TRAIN - 3, -1, -3))


def dev_rows(kind: str = "prompt_completion", num_rows: int = 5) -> Dataset:
    return make_dataset(kind, num_rows=num_rows, seed=100).remove_columns("example_id")


def make_utility(folder: Path, *, model: Any = None, args: dict[str, Any] | None = None, **options: Any) -> Any:
    """A utility of one training step an epoch or so."""
    return FineTuneUtility(
        tiny_model() if model is None else model,
        args=sft_args(folder / "out", **{"num_train_epochs": 1, **(args or {})}),
        **{
            "train_dataset": train_rows(),
            "validation_dataset": dev_rows(),
            "ledger_dir": folder / "ledger",
            "processing_class": word_tokenizer(),
            "peft_config": lora(),
            **options,
        },
    )


def trained_by_hand(
    folder: Path, ids: list[int], *, peft_config: LoraConfig | None, kind: str = "prompt_completion", **args: Any
) -> SFTTrainer:
    """What a user would do: a dataset of these rows, in the order of their ids, and an SFTTrainer."""
    rows = make_dataset(kind, num_rows=3 * NUM_TRAIN).select(sorted(ids))
    trainer = SFTTrainer(
        tiny_model(),
        args=sft_args(folder / "plain", **{"num_train_epochs": 1, **args}),
        train_dataset=rows,
        processing_class=word_tokenizer(),
        peft_config=peft_config,
    )
    trainer.train()
    return trainer


def log_likelihoods(model: Any, rows: Dataset) -> np.ndarray:
    """Of each dev row, one forward a row."""
    return -np.array(reference_losses(model, rows, word_tokenizer()))


def mask(members: list[int], players: list[int]) -> np.ndarray:
    return np.array([[player in members for player in players]])

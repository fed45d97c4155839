"""A small comparison in one line, and what was trained in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from datasets import Dataset
from trl import SFTTrainer

from hf_datasel import SelectingSFTConfig, compare_selections
from hf_datasel.compare.comparison import Comparison
from tests.training.selecting import bare_rows
from tests.training.tiny import base_options, make_dataset, tiny_model, word_tokenizer

NUM_ROWS, NUM_TEST = 16, 5
STEPS = NUM_ROWS // 4  # of an epoch on everything


def arguments(output_dir: Path, **options: Any) -> SelectingSFTConfig:
    """One epoch; two checkpoints of evidence."""
    small = {"num_train_epochs": 1, "selection_num_checkpoints": 2, "selection_num_clusters": 3}
    return SelectingSFTConfig(**{**base_options(output_dir), **small, "selection_embedder": "bag", **options})


def train_rows(num_rows: int = NUM_ROWS) -> Dataset:
    return make_dataset(num_rows=num_rows)


def unseen_rows() -> Dataset:
    """Without ids, of two sources."""
    return bare_rows(NUM_TEST, seed=300)


GIVEN = ("train_dataset", "test_dataset", "model")
OF_COMPARISON = (
    *("methods", "budgets", "num_seeds", "equal", "metrics", "group_column", "processing_class", "peft_config"),
    *("validation_dataset", "anchor_dataset", "proxy_model", "proxy_processing_class", "proxy_peft_config"),
)


def compare(folder: Path, **options: Any) -> Comparison:
    """S2L against random rows and all rows at one budget, unless told otherwise; the rest goes to the arguments."""
    given = {name: options.pop(name) for name in GIVEN if name in options}
    ours = {name: options.pop(name) for name in OF_COMPARISON if name in options}
    return compare_selections(
        given.get("model") or tiny_model(),
        arguments(folder, **options),
        given["train_dataset"] if "train_dataset" in given else train_rows(),
        given["test_dataset"] if "test_dataset" in given else unseen_rows(),
        **{"methods": ["s2l"], "budgets": [0.5], "num_seeds": 1, "processing_class": word_tokenizer(), **ours},
    )


@contextmanager
def watched_trainings() -> Iterator[list[list[int]]]:
    """The ids of each training's rows, one training after another."""
    trained: list[list[int]] = []
    train = SFTTrainer.train

    def watched(trainer: SFTTrainer, *args: Any, **kwargs: Any) -> Any:
        trained.append(list(trainer.train_dataset["example_id"]))
        return train(trainer, *args, **kwargs)

    with mock.patch.object(SFTTrainer, "train", watched):
        yield trained

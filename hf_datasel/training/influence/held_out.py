"""Validation and anchor rows: tokenised as the trainer's own, and checked not to be among what is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import Trainer
from trl import SFTTrainer

from hf_datasel.example_ids import read_example_ids
from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.packing import tokenized
from hf_datasel.training.progress import watched


def require_rows(dataset: Any, option: str) -> None:
    """Refuse what cannot be read again and again, or holds nothing.

    Raises:
        TypeError: it is no Dataset.
        ValueError: it is empty.
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"{option} must be a datasets.Dataset, not {type(dataset).__name__}: it is read at every checkpoint."
        )
    if len(dataset) == 0:
        raise ValueError(f"{option} is empty: give it trusted examples of the task, a few dozen at least.")


def prepare_held_out(trainer: Trainer, dataset: Any, option: str) -> Dataset:
    """Tokenised rows with ids 0 .. n - 1, for a sweep.

    Args:
        trainer: which tokenises them; a plain Trainer takes rows that are tokenised already.
        dataset: rows in the format that the trainer was given.
        option: its name, for errors.

    Raises:
        TypeError: it is no Dataset.
        ValueError: it is empty, of another format than the trainer's rows, or none of its rows has a label.
    """
    require_rows(dataset, option)
    numbered = dataset.remove_columns(EXAMPLE_ID) if EXAMPLE_ID in dataset.column_names else dataset
    numbered = numbered.add_column(EXAMPLE_ID, np.arange(len(dataset), dtype=np.int64))
    rows = _tokenised(trainer, numbered, option) if "input_ids" not in numbered.column_names else numbered
    if "input_ids" not in rows.column_names:
        raise ValueError(
            f"{option} has the columns {dataset.column_names}, of which the trainer makes no input_ids: give it rows "
            "in the format of the training set (a plain Trainer takes rows that are tokenised already)."
        )
    rows = rows.filter(lambda labels: any(label != IGNORE_INDEX for label in labels[1:]), input_columns="labels")
    if len(rows) == 0:
        raise ValueError(f"No row of {option} has a label left after truncation to max_length.")
    return rows


def _tokenised(trainer: Trainer, dataset: Dataset, option: str) -> Dataset:
    if not isinstance(trainer, SFTTrainer):
        return dataset
    known = {"text", "prompt", "completion", "messages", getattr(trainer.args, "dataset_text_field", "text")}
    names = [name for name in dataset.column_names if name != EXAMPLE_ID]
    if not known & set(names) and trainer._formatting_func is None:
        raise ValueError(
            f"{option} has the columns {names}, of which SFTTrainer reads none: give it rows in the "
            "format of the training set (text, prompt and completion, or messages)."
        )
    rows: Dataset = tokenized(trainer, dataset)
    return rows


def group_weights(groups: list[str], weights: Mapping[str, float] | None, column: str) -> np.ndarray:
    """One weight a validation row, so that the weighted sum of gradients is a sum of groups' means.

    Args:
        groups: of each row.
        weights: of each group, 1 where none are given.
        column: where the groups come from, for errors.

    Returns:
        float64 ``[n]``: the group's weight over its number of rows.

    Raises:
        ValueError: a group has no weight, or a weight has no group.

    Example:
        >>> group_weights(["en", "en", "zh"], None, "language").tolist()
        [0.5, 0.5, 1.0]
    """
    names = sorted(set(groups))
    given = dict.fromkeys(names, 1.0) if weights is None else dict(weights)
    if sorted(given) != names:
        odd = sorted(set(given) ^ set(names))[0]
        where = "has no weight" if odd in names else f"is not in column '{column}' of validation_dataset"
        raise ValueError(f"group_weights: group {odd!r} {where}; the groups are {names}.")
    if not all(np.isfinite(value) for value in given.values()):
        raise ValueError(f"group_weights={given}: every weight must be a finite number.")
    sizes = {name: groups.count(name) for name in names}
    return np.array([given[name] / sizes[name] for name in groups])


def refuse_leaks(examples: Iterable[Mapping[str, Any]], held_out: Mapping[str, Dataset]) -> None:
    """Refuse held-out rows whose tokens are also those of a training row.

    Args:
        examples: tokenised training rows with ids.
        held_out: tokenised rows by the option they came from.

    Raises:
        ValueError: names the row of the option and the training example.
    """
    known = {
        _digest(tokens): (option, row)
        for option, dataset in held_out.items()
        for row, tokens in zip(read_example_ids(dataset).tolist(), dataset["input_ids"], strict=True)
    }
    if isinstance(examples, Dataset):
        examples = examples.select_columns([EXAMPLE_ID, "input_ids"])
    for example in watched(examples, "Comparing with held-out rows"):
        found = known.get(_digest(example["input_ids"]))
        if found is not None:
            raise ValueError(
                f"Row {found[1]} of {found[0]} is also training example {example[EXAMPLE_ID]} (the same tokens): "
                "an example that is held against itself scores high whatever its quality. Keep the sets apart."
            )


def _digest(tokens: Any) -> bytes:
    return hashlib.blake2b(np.asarray(tokens, dtype=np.int64).tobytes(), digest_size=16).digest()

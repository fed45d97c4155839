"""Example ids of packed rows.

TRL packs after dropping every column but the token columns. ``trl.pack_dataset`` packs any list column of equal
length, so a per-token id column packed alongside tells which example each token came from. The rows are the same as
TRL's own, which is checked before they are used.
"""

from __future__ import annotations

import copy
from typing import Any

from datasets import Dataset
from trl import SFTTrainer, pack_dataset

from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.training.progress import watched


def tokenized(trainer: SFTTrainer, dataset: Any, *, truncate: bool = True) -> Any:
    """``dataset`` as ``trainer`` tokenises it: one row an example, in its order, ids kept, nothing packed."""
    args = copy.copy(trainer.args)
    args.shuffle_dataset = False
    if not truncate:
        args.max_length = None
    return trainer._prepare_dataset(dataset, trainer.processing_class, args, False, trainer._formatting_func, "train")


def packed_with_ids(trainer: SFTTrainer, dataset: Dataset) -> Dataset:
    """The trainer's packed rows with a list column ``example_id``: the ids of each row's examples, in order.

    Args:
        trainer: an SFTTrainer built with ``packing=True``.
        dataset: what it was built from, with ids.

    Raises:
        ValueError: ``dataset`` does not give the rows the trainer holds.
    """
    args = trainer.args
    examples = tokenized(trainer, dataset, truncate=False)
    examples = examples.map(
        lambda row: {EXAMPLE_ID: [row[EXAMPLE_ID]] * len(row["input_ids"])},
        remove_columns=[name for name in examples.column_names if name not in ("input_ids", "labels")],
        desc="Spreading example ids over tokens",
    )
    if args.shuffle_dataset:
        examples = examples.shuffle(seed=args.seed)
    packed = pack_dataset(examples, args.max_length, args.packing_strategy, {"desc": "Packing example ids"})
    if args.shuffle_dataset:
        packed = packed.shuffle(seed=args.seed)
    packed = packed.map(
        lambda row: {EXAMPLE_ID: _first_of_each(row[EXAMPLE_ID], row["seq_lengths"])}, desc="Reading ids of rows"
    )
    held = trainer.train_dataset
    if len(held) != len(packed) or any(
        mine["input_ids"] != theirs["input_ids"] or mine["seq_lengths"] != theirs["seq_lengths"]
        for mine, theirs in zip(watched(packed, "Comparing packed rows"), held, strict=True)
    ):
        raise ValueError(
            "The dataset given does not pack into the rows the trainer holds: pass the very dataset the trainer was "
            "built from (same rows, same order)."
        )
    return packed


def _first_of_each(token_ids: list[int], lengths: list[int]) -> list[int]:
    starts, position = [], 0
    for length in lengths:
        starts.append(token_ids[position])
        position += length
    return starts

"""Carry example ids from the rows of a dataset to the batches of a Trainer.

Three places lose a column on the way (the signature filter, the collator, packing). The ids must travel inside the
batch: a Trainer prefetches its whole accumulation window, so "the batch last collated" is not the batch being trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer

from hf_datasel.fingerprint import EXAMPLE_ID


class IdCollator:
    """Wrap a data collator so that the batch carries its examples' ids.

    The wrapped collator sees the rows without the id column and so returns what it always returned; the ids are added
    as ``example_id``, int64 ``[D]``, in the order of the rows and, within a packed row, of its examples.
    """

    def __init__(self, collator: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
        self.collator = collator

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        ids: list[int] = []
        rows = []
        for feature in features:
            value = feature[EXAMPLE_ID]
            ids.extend(value if isinstance(value, (list, tuple)) else [int(value)])
            rows.append({name: column for name, column in feature.items() if name != EXAMPLE_ID})
        batch = self.collator(rows)
        batch[EXAMPLE_ID] = torch.tensor(ids, dtype=torch.int64)
        return batch


def carry_ids(trainer: Trainer) -> None:
    """Make ``trainer``'s training batches carry ``example_id``; evaluation is left alone.

    Only the building of the training dataloader sees the wrapped collator and the extra column.
    """
    build = trainer.get_train_dataloader

    def get_train_dataloader() -> DataLoader:
        trainer._set_signature_columns_if_needed()
        columns, collator = trainer._signature_columns, trainer.data_collator
        trainer._signature_columns = [*columns, EXAMPLE_ID]
        trainer.data_collator = IdCollator(collator)
        try:
            return build()
        finally:
            trainer._signature_columns, trainer.data_collator = columns, collator

    trainer.get_train_dataloader = get_train_dataloader

"""Batches for a sweep: every example once, by id, in length-sorted batches of about equal work.

Shapes: B rows, T tokens; a batch is a dict of tensors ``[B, T]`` as the model takes them, right-padded, plus the int64
positions ``[D]`` of its examples in the sorted id vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset, IterableDataset
from transformers import Trainer
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.progress import watched

Batch = dict[str, Any]
STREAM_CHUNK = 4096  # rows of a stream held at once, so that batches can be cut by length


def token_budget_batches(lengths: np.ndarray, tokens_per_batch: int) -> list[np.ndarray]:
    """Cut rows into batches of at most ``tokens_per_batch`` padded tokens, longest rows first.

    Args:
        lengths: int ``[N]``, tokens of each row.
        tokens_per_batch: rows times the longest row stays within it; a longer row is a batch of its own.

    Returns:
        int64 row numbers of each batch; equal lengths keep the order of the rows. The longest come first, so that too
        large a budget shows at once.

    >>> [batch.tolist() for batch in token_budget_batches(np.array([3, 9, 4, 4]), 12)]
    [[1], [2, 3, 0]]
    """
    if tokens_per_batch < 1:
        raise ValueError(f"tokens_per_batch={tokens_per_batch} must be at least 1.")
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, tokens_per_batch // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


class MapStyleRows:
    """Sweep batches of a tokenised map-style dataset.

    Rows that TRL tokenised are padded straight from Arrow; rows of anyone else's making go through the trainer's own
    collator, one batch at a time, so the model sees them exactly as training does.
    """

    def __init__(self, trainer: Trainer, dataset: Dataset, tokens_per_batch: int) -> None:
        order = np.argsort(np.asarray(dataset[EXAMPLE_ID], dtype=np.int64), kind="stable")
        self.ids = np.asarray(dataset[EXAMPLE_ID], dtype=np.int64)[order]
        self._order = order
        self._dataset = dataset
        self._collator = trainer.data_collator
        self._signature = _signature(trainer)
        self._plain = type(self._collator) is DataCollatorForLanguageModeling and isinstance(trainer, SFTTrainer)
        lengths = token_lengths(dataset)[order]
        self._batches = token_budget_batches(lengths, tokens_per_batch)
        if self._plain:
            self._tokens = dataset.select_columns(["input_ids", "labels"]).with_format("arrow")
        else:
            keep = [name for name in dataset.column_names if name in self._signature]
            self._tokens = dataset.select_columns(keep) if trainer.args.remove_unused_columns else dataset

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Callable[[], tuple[np.ndarray, Batch]]]:
        """Yield each batch unread: a process reads only the ones it scores."""
        for positions in self._batches:
            yield partial(self._read, positions)

    def _read(self, positions: np.ndarray) -> tuple[np.ndarray, Batch]:
        if self._plain:
            return positions, padded_batch(self._tokens[self._order[positions]], self._collator.pad_token_id)
        rows = [self._tokens[int(row)] for row in self._order[positions]]
        return positions, self._collator([{k: v for k, v in row.items() if k != EXAMPLE_ID} for row in rows])


class StreamRows:
    """Sweep batches of a stream: read once through a sweep, sorted by length within chunks."""

    def __init__(self, trainer: Trainer, dataset: IterableDataset, tokens_per_batch: int) -> None:
        self._dataset = dataset
        self._collator = trainer.data_collator
        self._signature = _signature(trainer)
        self._remove = trainer.args.remove_unused_columns
        self._tokens_per_batch = tokens_per_batch
        ids = np.fromiter((row[EXAMPLE_ID] for row in watched(dataset, "Reading example ids")), dtype=np.int64)
        self.ids = np.sort(ids)

    def __len__(self) -> int:
        return 0  # unknown before the stream is read

    def __iter__(self) -> Iterator[Callable[[], tuple[np.ndarray, Batch]]]:
        chunk: list[dict[str, Any]] = []
        for row in self._dataset:
            chunk.append(row)
            if len(chunk) == STREAM_CHUNK:
                yield from self._cut(chunk)
                chunk = []
        yield from self._cut(chunk)

    def _cut(self, chunk: list[dict[str, Any]]) -> Iterator[Callable[[], tuple[np.ndarray, Batch]]]:
        lengths = np.array([len(row["input_ids"]) for row in chunk], dtype=np.int64)
        for picked in token_budget_batches(lengths, self._tokens_per_batch):
            rows = [chunk[int(index)] for index in picked]
            positions = np.searchsorted(self.ids, [row[EXAMPLE_ID] for row in rows])
            yield partial(self._collate, positions, rows)

    def _collate(self, positions: np.ndarray, rows: list[dict[str, Any]]) -> tuple[np.ndarray, Batch]:
        keep = [{k: v for k, v in row.items() if not self._remove or k in self._signature} for row in rows]
        return positions, self._collator([{k: v for k, v in row.items() if k != EXAMPLE_ID} for row in keep])


def padded_batch(table: pa.Table, pad_token_id: int) -> Batch:
    """Right-padded ``input_ids``, ``labels`` and ``attention_mask`` ``[B, T]`` from two list columns of Arrow."""
    lengths = np.asarray(pa.compute.list_value_length(table["input_ids"]).to_numpy(), dtype=np.int64)
    filled = np.arange(int(lengths.max())) < lengths[:, None]
    batch = {"attention_mask": torch.from_numpy(filled.astype(np.int64))}
    for name, padding in (("input_ids", pad_token_id), ("labels", IGNORE_INDEX)):
        padded = np.full(filled.shape, padding, dtype=np.int64)
        padded[filled] = np.concatenate([chunk.flatten().to_numpy() for chunk in table[name].chunks])
        batch[name] = torch.from_numpy(padded)
    return batch


def token_lengths(dataset: Dataset) -> np.ndarray:
    """Tokens of each row, int64 ``[N]``, read from Arrow's offsets without building Python lists."""
    parts = [
        pa.compute.list_value_length(table["input_ids"]).to_numpy()
        for table in dataset.select_columns(["input_ids"]).with_format("arrow").iter(batch_size=65536)
    ]
    return np.concatenate(parts).astype(np.int64)


def _signature(trainer: Trainer) -> set[str]:
    trainer._set_signature_columns_if_needed()
    return {*(trainer._signature_columns or []), *trainer.label_names}

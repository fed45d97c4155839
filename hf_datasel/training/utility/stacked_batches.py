"""Micro-batches of several coalitions in one tensor.

A coalition's rows go through the collator as they would alone: a collator that pads on the left would otherwise shift
positions. Then batches are padded on the right to a common length, where a causal model's tokens never look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_datasel.functional.losses import IGNORE_INDEX

Row = Mapping[str, Any]
Collator = Callable[[list[dict[str, Any]]], Mapping[str, Any]]
PADDING = {"input_ids": 0, "attention_mask": 0, "labels": IGNORE_INDEX}
MAX_PADDING = 0.5  # of a row: shorter batches go into a forward of their own


@dataclass(frozen=True, eq=False)
class Joined:
    """Batches of several adapters.

    Args:
        adapters: whose the rows are, in the order of the rows.
        num_rows: consecutive rows of each.
        inputs: ``input_ids``, ``attention_mask`` and ``labels``, int64 ``[sum(num_rows), T]``.
    """

    adapters: list[int]
    num_rows: list[int]
    inputs: dict[str, Tensor]


def require_rows(rows: Mapping[int, Row], what: str, max_length: int | None = None) -> None:
    """Refuse rows that a Trainer would cut, drop or have nothing to learn from.

    Args:
        rows: tokenised, by number.
        what: they are, for the message.
        max_length: of the SFTConfig.

    Raises:
        ValueError: names the row.
    """
    for number, row in rows.items():
        tokens = row["input_ids"]
        labels = row.get("labels", tokens)
        if max_length is not None and len(tokens) > max_length:
            raise ValueError(
                f"{what}, row {number}: {len(tokens)} tokens, but max_length={max_length}, so SFTTrainer would cut "
                "it: give the rows of trainer.train_dataset, or max_length=None."
            )
        if all(label == IGNORE_INDEX for label in labels[1:]):
            raise ValueError(
                f"{what}, row {number} has no label that is predicted (all are -100, or only the first token has "
                "one): leave it out."
            )


def collate(rows: Sequence[Row], collator: Collator) -> dict[str, Tensor]:
    """One batch by the collator, with an attention mask.

    Raises:
        ValueError: the collator returns something else than a padded batch; names it.
    """
    batch = dict(collator([{name: row[name] for name in PADDING if name in row} for row in rows]))
    if batch.keys() | {"attention_mask"} != PADDING.keys() or any(len(value) != len(rows) for value in batch.values()):
        raise ValueError(
            f"The collator makes {', '.join(sorted(batch))} of shape {tuple(batch['input_ids'].shape)} from "
            f"{len(rows)} rows, and coalitions can be joined only from padded input_ids, attention_mask and labels, "
            "one row an example (padding_free=False, packing=False): take such a collator, or train one by one."
        )
    batch.setdefault("attention_mask", torch.ones_like(batch["input_ids"]))
    return batch


def join(batches: Mapping[int, dict[str, Tensor]], device: torch.device) -> list[Joined]:
    """Put batches of adapters together; one of less than half the longest's tokens goes into another forward.

    Args:
        batches: by adapter.
        device: where they go.

    Returns:
        Each adapter in exactly one.
    """
    groups: list[list[int]] = []
    for adapter in sorted(batches, key=lambda adapter: -_length(batches[adapter])):
        if groups and _length(batches[adapter]) >= (1 - MAX_PADDING) * _length(batches[groups[-1][0]]):
            groups[-1].append(adapter)
        else:
            groups.append([adapter])
    return [_joined(sorted(group), batches, device) for group in groups]


def _joined(adapters: list[int], batches: Mapping[int, dict[str, Tensor]], device: torch.device) -> Joined:
    longest = max(_length(batches[adapter]) for adapter in adapters)
    inputs = {
        name: torch.cat(
            [
                F.pad(batches[adapter][name], (0, longest - _length(batches[adapter])), value=value)
                for adapter in adapters
            ]
        ).to(device)
        for name, value in PADDING.items()
    }
    return Joined(adapters, [len(batches[adapter]["input_ids"]) for adapter in adapters], inputs)


def _length(batch: dict[str, Tensor]) -> int:
    return batch["input_ids"].shape[1]

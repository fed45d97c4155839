"""Which example each token of a batch belongs to, and where labels are predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hf_datasel.functional.losses import IGNORE_INDEX, predicted_segments


@dataclass(frozen=True, eq=False)
class Layout:
    """Examples of a batch.

    Args:
        tokens: int64 ``[B, T]``, the input ids.
        examples: int64 ``[B, T]``: the example that holds each token, -1 for padding between packed rows.
        label_mask: bool ``[B, T - 1]``: where a label is predicted.
        at_labels: int64 ``[1, n]``: the example of each predicted label, in the order of the mask.
        num_examples: D.
        one_per_row: whether every row is one example.
        first_is_labelled: bool ``[]``: a packed example's first token has a label, which another example predicts.
    """

    tokens: Tensor
    examples: Tensor
    label_mask: Tensor
    at_labels: Tensor
    num_examples: int
    one_per_row: bool
    first_is_labelled: Tensor

    @property
    def num_labels(self) -> Tensor:
        """Predicted labels of each example, int64 ``[D]``."""
        return torch.bincount(self.at_labels[0], minlength=self.num_examples)


def batch_layout(batch: dict[str, Any], num_examples: int) -> Layout:
    """Read the layout of a batch that carries ``num_examples`` ids.

    Args:
        batch: ``input_ids`` and ``labels`` ``[B, T]``, and ``position_ids`` where one row holds several examples.
        num_examples: D.

    Raises:
        ValueError: rows and ids do not match and no position_ids tell where an example begins.
    """
    tokens, labels = batch["input_ids"], batch["labels"]
    mask = labels[:, 1:] != IGNORE_INDEX
    if tokens.shape[0] == num_examples:
        rows = torch.arange(num_examples, device=tokens.device)[:, None]
        examples = rows.expand(tokens.shape)
        at_labels = rows.expand(mask.shape)[mask][None]
        return Layout(tokens, examples, mask, at_labels, num_examples, True, mask.new_zeros(()))
    position_ids = batch.get("position_ids")
    if tokens.shape[0] != 1 or position_ids is None:
        raise ValueError(
            f"A batch of {tokens.shape[0]} rows carries {num_examples} example ids and no position_ids that tell "
            "where an example begins; use a collator that keeps one example a row or flattens the batch."
        )
    starts = position_ids == 0
    examples = starts.cumsum(-1) - 1
    examples = torch.where(examples < num_examples, examples, -1)
    at_labels = predicted_segments(position_ids)[mask][None]
    crossing = (starts[:, 1:] & mask).any()
    return Layout(tokens, examples, mask, at_labels, num_examples, False, crossing)

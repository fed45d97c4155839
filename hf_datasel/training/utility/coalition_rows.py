"""Rows of a utility, tokenised once as SFTTrainer does it: what coalitions are made of, and the dev set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from trl import SFTTrainer

from hf_datasel.content import content_digest
from hf_datasel.example_ids import locate, read_example_ids
from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.influence.held_out import prepare_held_out, refuse_leaks
from hf_datasel.training.packing import tokenized

Ids = NDArray[np.int64]
TOKENS = ("input_ids", "labels")


@dataclass(frozen=True, eq=False)
class CoalitionRows:
    """Tokenised training rows, found by example id.

    Args:
        rows: with ``input_ids`` and ``labels``, truncated but for packing, which does it itself. TRL looks at the
            other columns, too.
        ids: int64 ``[N]`` ascending, of the rows.
        order: int64 ``[N]``, the row of each id.
        max_length: for messages.
    """

    rows: Dataset
    ids: Ids
    order: NDArray[np.int64]
    max_length: int | None

    def of(self, ids: Ids) -> Dataset:
        """The rows of a coalition, ascending by id, in memory: nothing that is made of them is cached on the disk."""
        positions = self.order[np.searchsorted(self.ids, np.sort(ids))]
        return Dataset(self.rows.select(positions).with_format("arrow")[:])

    def require(self, ids: Ids) -> None:
        """Refuse players that cannot be trained on.

        Raises:
            ValueError: an id that is not there, or whose row has no label to learn; names it.
        """
        dropped = f"or no label of it is left within max_length={self.max_length}: leave it out before you cluster."
        message = f"Example {{id}} cannot be trained on: train_dataset has no row of this id, {dropped}"
        locate(self.ids, ids, message)
        idle = np.setdiff1d(ids, self.learnable_ids)
        if idle.size:
            raise ValueError(
                f"Example {idle[0]} has no label but on its first token, so nothing is learned from it: leave it out "
                "before you cluster."
            )

    @cached_property
    def learnable_ids(self) -> Ids:
        """Ids of the rows with a label that is predicted, ascending."""
        has_label = [any(label != IGNORE_INDEX for label in labels[1:]) for labels in self.rows["labels"]]
        return self.ids[np.array(has_label, dtype=bool)[self.order]]

    def describe(self) -> dict[str, Any]:
        """What the rows say, as JSON values."""
        ids = np.asarray(self.rows[EXAMPLE_ID], dtype=np.int64)
        return {"digest": content_digest(self.rows, ids, TOKENS), "num_rows": len(ids)}


def prepare_rows(
    trainer: SFTTrainer, train_dataset: Dataset, validation_dataset: Dataset
) -> tuple[CoalitionRows, Dataset]:
    """Training rows and dev rows, tokenised by a trainer.

    Args:
        trainer: built, with the arguments of every coalition.
        train_dataset: with example ids, in a format of TRL's.
        validation_dataset: in the same format.

    Returns:
        The training rows, and the dev rows with ids 0 .. n - 1 in ``example_id``; columns that were there stay.

    Raises:
        TypeError: a dev set that is no Dataset.
        ValueError: bad ids, a dev row without a label, or one that is also a training row; names the row.
    """
    read_example_ids(train_dataset)
    dev = prepare_held_out(trainer, validation_dataset, "validation_dataset")
    lost = np.setdiff1d(np.arange(len(validation_dataset)), np.asarray(dev[EXAMPLE_ID]))
    if lost.size:
        raise ValueError(
            f"Row {lost[0]} of validation_dataset has no label left (one of {lost.size} such rows) within "
            f"max_length={trainer.args.max_length}, so it has no metric: raise max_length, or leave it out."
        )
    cut = tokenized(trainer, train_dataset)
    refuse_leaks(cut, {"validation_dataset": dev})
    rows = cut
    if trainer.args.packing:  # packing cuts, or splits, by itself
        rows = tokenized(trainer, train_dataset, truncate=False)
        if trainer.args.packing_strategy == "bfd":  # what is cut off there has no label either
            rows = rows.select(np.flatnonzero(np.isin(rows[EXAMPLE_ID], cut[EXAMPLE_ID])))
    ids = np.asarray(rows[EXAMPLE_ID], dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    return CoalitionRows(rows, ids[order], order, trainer.args.max_length), dev

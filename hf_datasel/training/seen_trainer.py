"""A Trainer as its callbacks see it: what a sweep needs of one, taken from the arguments of the events.

A callback in ``Trainer(..., callbacks=[...])`` is never handed the trainer. It is handed the arguments, the model, the
optimizer and the training dataloader, and of a plain Trainer these say all that a sweep asks for: the dataloader holds
the rows as they go to the collator, and the collator. The ids alone are gone, as the model takes no such column; they
come from the dataset that the trainer was built from, once its rows are seen to be the same ones.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import reduce, send_to_device
from datasets import Dataset
from transformers import TrainingArguments
from trl import SFTConfig

from hf_datasel.fingerprint import EXAMPLE_ID

COMPARED_ROWS = 8192  # at once
ADD_IT = "build the trainer, then trainer.add_callback(LossTrajectoryCallback(trainer, ...))"


class Processes:
    """Those that training runs in, under the names by which an Accelerator has them."""

    def __init__(self) -> None:
        self._state = AcceleratorState()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        return reduce(tensor, "sum")


class SeenTrainer:
    """Stands in for a plain ``transformers.Trainer`` wherever one is swept.

    Args:
        dataset: what the trainer was built from, with ids; None where its rows still have them.
    """

    label_names: tuple[str, ...] = ()  # among the columns that the dataloader holds

    def __init__(self, dataset: Dataset | None) -> None:
        self.train_dataset = dataset

    def see(
        self,
        args: TrainingArguments,
        *,
        model: Any = None,
        optimizer: Any = None,
        processing_class: Any = None,
        train_dataloader: Any = None,
        **others: Any,
    ) -> None:
        """Take what the event ``on_train_begin`` brings.

        Raises:
            ValueError: the rows that are trained on cannot be told by their ids; says the way out.
        """
        refuse_unseen(args)
        self.args, self.model, self.optimizer, self.processing_class = args, model, optimizer, processing_class
        self.accelerator = Processes()
        self.is_fsdp_enabled = getattr(self.accelerator, "fsdp_plugin", None) is not None
        self.is_deepspeed_enabled = getattr(self.accelerator, "deepspeed_plugin", None) is not None
        self.data_collator = train_dataloader.collate_fn
        rows = train_dataloader.dataset
        if self.train_dataset is None and isinstance(rows, Dataset) and EXAMPLE_ID in rows.column_names:
            self.train_dataset = rows
        _require_same_rows(self.train_dataset, rows)
        self._signature_columns = list(rows.column_names)

    def is_world_process_zero(self) -> bool:
        """Whether this process writes the Trace."""
        return bool(self.accelerator.is_main_process)

    def _set_signature_columns_if_needed(self) -> None:
        """The dataloader has told them."""

    def _prepare_inputs(self, batch: Any) -> Any:
        return send_to_device(batch, self.args.device)


def refuse_unseen(args: TrainingArguments) -> None:
    """Raise if a trainer of these arguments keeps from its callbacks what a sweep needs.

    Raises:
        ValueError: says the way out.
    """
    if isinstance(args, SFTConfig):
        raise ValueError(
            "LossTrajectoryCallback was given to SFTTrainer without the trainer, which alone knows which of the rows "
            f"it was given it tokenised, packed or left out: {ADD_IT}."
        )


def _require_same_rows(dataset: Any, rows: Any) -> None:
    what = "LossTrajectoryCallback was given no trainer"
    if not isinstance(rows, Dataset):
        raise ValueError(f"{what}, and the rows are a {type(rows).__name__}, not a datasets.Dataset: {ADD_IT}.")
    if dataset is None:
        raise ValueError(
            f"{what}, and the rows that reach the model have no column '{EXAMPLE_ID}': pass the train_dataset here, "
            f"too, as dataset=..., with ids (hf_datasel.add_example_ids); or {ADD_IT}."
        )
    columns = [name for name in rows.column_names if name != EXAMPLE_ID]
    missing = [name for name in columns if name not in dataset.column_names]
    if missing or len(dataset) != len(rows) or not _equal(dataset, rows, columns):
        why = (
            f"no column '{missing[0]}'"
            if missing
            else f"{len(dataset)} rows, of which {len(rows)} are trained on"
            if len(dataset) != len(rows)
            else "other rows, or rows in another order"
        )
        raise ValueError(f"{what}, and dataset= is not what it trains on ({why}): pass its train_dataset.")


def _equal(left: Dataset, right: Dataset, columns: list[str]) -> bool:
    pairs = (part.select_columns(columns).with_format("arrow").iter(COMPARED_ROWS) for part in (left, right))
    return all(mine.equals(theirs) for mine, theirs in zip(*pairs, strict=True))

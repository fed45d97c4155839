"""Rows as SFT training tokenises them, without a trainer: TRL's own preparation, on a stand-in for the trainer."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer
from trl.chat_template_utils import get_training_chat_template, has_generation_markers

DEFAULTS = {
    field.name: field.default for field in dataclasses.fields(SFTConfig) if field.default is not dataclasses.MISSING
}


def tokenised_as_trained(
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    args: SFTConfig | None,
    formatting_func: Callable[[dict[str, Any]], str] | None = None,
) -> Dataset:
    """``input_ids`` and ``labels`` of every row, in the order of the rows, neither cut nor packed.

    Args:
        dataset: in one of TRL's formats, or tokenised.
        tokenizer: of the model.
        args: of the training; TRL's defaults where there are none.
        formatting_func: of the trainer, if it has one.
    """
    settings = SimpleNamespace(**DEFAULTS) if args is None else copy.copy(args)
    settings.max_length, settings.shuffle_dataset = None, False
    template = None
    if settings.assistant_only_loss and not has_generation_markers(tokenizer.chat_template):
        template = get_training_chat_template(tokenizer)
    completion_only = settings.completion_only_loss
    if completion_only is None:
        completion_only = {"prompt", "completion"} <= set(dataset.column_names)
    trainer = SimpleNamespace(_tokenizer=tokenizer, chat_template=template, completion_only_loss=completion_only)
    plain = dataset.with_format(None)
    return SFTTrainer._prepare_dataset(trainer, plain, tokenizer, settings, False, formatting_func, "embedded")


def lists_of(table: Any, column: str) -> list[NDArray[np.int64]]:
    """Each row's list in a column of an Arrow table, int64 ``[T]``."""
    lists = table.column(column).combine_chunks()
    values: NDArray[np.int64] = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    ends = np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False))
    return np.split(values, ends[:-1])

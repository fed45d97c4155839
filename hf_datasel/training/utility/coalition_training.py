"""One coalition at a time: an SFTTrainer from the common start, alone on its process; the model stays as it was."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_utils import align_special_tokens
from trl import SFTConfig, SFTTrainer

from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.lending import lend, lend_or_copy
from hf_datasel.training.proxy import warm_up_copy
from hf_datasel.training.side_training import free_memory, quiet_args, side_trainer
from hf_datasel.training.utility.alone import alone
from hf_datasel.training.utility.coalition_rows import CoalitionRows, Ids

SHOWN_IDS = 8


class CoalitionTraining:
    """Trainings that differ in their rows alone: theta_0, arguments and seed are the same.

    Args:
        model: left as it was.
        tokenizer: of the model.
        args: of every training; nothing is saved, reported, evaluated or pushed.
        peft_config: of the adapter, drawn by ``args.seed``; None to train the weights.
        rows: of all coalitions.

    Attributes:
        base: a twin of the model, on the device of the training where an adapter is trained.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        args: SFTConfig,
        peft_config: PeftConfig | None,
        rows: CoalitionRows,
    ) -> None:
        self.args, self.peft_config, self.rows = args, peft_config, rows
        self._tokenizer = tokenizer
        self.base = warm_up_copy(model) if isinstance(model, PeftModel) else lend(model)
        align_special_tokens(self.base, tokenizer)  # as every training would, once and for v(empty), too
        if peft_config is not None and not (hasattr(model, "hf_device_map") or getattr(model, "is_quantized", False)):
            self.base.to(args.device)

    @contextmanager
    def trained(self, ids: Ids, prepare: Callable[[SFTTrainer], None] | None = None) -> Iterator[SFTTrainer]:
        """A trainer that has trained on a coalition; on the empty one, a trainer at theta_0.

        Args:
            ids: example ids, in any order: rows come in the order of their ids.
            prepare: of the trainer, before it trains.

        Raises:
            ValueError: no label is left, no step was taken, or the training diverged.
        """
        with self.start(ids) as trainer:
            if len(ids):
                _require_labels(trainer.train_dataset)
                if prepare is not None:
                    prepare(trainer)
                _require_trained(trainer, trainer.train().training_loss)
            yield trainer
        del trainer
        if self.peft_config is None:  # a model's worth; an adapter's is small, and the next training collects it
            free_memory()

    @contextmanager
    def start(self, ids: Ids) -> Iterator[SFTTrainer]:
        """A trainer that is about to train on a coalition, at theta_0; global generators end as they were."""
        dataset = self.rows.of(ids if len(ids) else self.rows.ids[:1])  # a trainer has to have a row

        def make() -> SFTTrainer:
            return SFTTrainer(
                model=lend_or_copy(self.base, self.peft_config),
                args=coalition_args(self.args),
                train_dataset=dataset,
                processing_class=self._tokenizer,
                peft_config=copy.deepcopy(self.peft_config),  # PEFT fills in what is left open
            )

        with alone(), side_trainer(make, self.args.device) as trainer:
            yield trainer


def coalition_args(args: SFTConfig) -> SFTConfig:
    """The arguments of a coalition's training, whose rows are tokenised already."""
    quiet = quiet_args(args, save_strategy="no", logging_strategy="no", logging_nan_inf_filter=False)
    if not (args.packing or args.shuffle_dataset):
        quiet.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
    return quiet


@contextmanager
def naming(*coalitions: Ids) -> Iterator[None]:
    """Let errors of the body say which coalition it was, or which ones they were.

    Raises:
        RuntimeError: from the error.
    """
    try:
        yield
    except Exception as error:  # whatever a training or a metric raises, it is raised on
        kind, which = type(error).__name__, [describe_coalition(ids) for ids in coalitions]
        if len(which) > 1:
            which = [f"One of {len(which)} coalitions ({'; '.join(f'{n}: {one}' for n, one in enumerate(which))})"]
        raise RuntimeError(f"{which[0]} has no value: {kind}: {error}") from error


def describe_coalition(ids: Ids) -> str:
    """For messages: its size and its first ids."""
    if not len(ids):
        return "The empty coalition"
    first = ", ".join(map(str, np.sort(ids)[:SHOWN_IDS].tolist()))
    return f"The coalition of {len(ids)} examples ({first}{', ...' if len(ids) > SHOWN_IDS else ''})"


def _require_labels(rows: Dataset) -> None:
    if not any(label != IGNORE_INDEX for labels in rows["labels"] for label in labels[1:]):
        raise ValueError("none of its rows has a label after truncation, so there is nothing to learn.")


def _require_trained(trainer: SFTTrainer, loss: float) -> None:
    if not trainer.state.global_step:
        raise ValueError("no step was taken: look at dataloader_drop_last, num_train_epochs and max_steps.")
    if not math.isfinite(loss):
        raise ValueError(
            f"its training loss is {loss}. Lower the learning rate, clip gradients, or train in float32 or bfloat16."
        )
    for name, weight in trainer.model.named_parameters():
        if weight.requires_grad and not bool(torch.isfinite(weight).all()):
            raise ValueError(f"training left {name} with numbers that are not finite. Lower the learning rate.")

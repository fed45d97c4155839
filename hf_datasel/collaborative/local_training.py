"""What a party does with its own rows: train an adapter with SFTTrainer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.optimization import get_scheduler
from trl import SFTConfig, SFTTrainer

from hf_datasel.collaborative.adapters import make_config, write_adapter
from hf_datasel.collaborative.messages import Adapter
from hf_datasel.training.lending import lend
from hf_datasel.training.side_training import free_memory, quiet_args, side_trainer


class RoundTrainer(SFTTrainer):
    """An SFTTrainer for some steps of a longer schedule.

    Args:
        first_step: where in the schedule this round begins.
        schedule_steps: length of the schedule; None for an ordinary training.
    """

    def __init__(self, *args: Any, first_step: int = 0, schedule_steps: int | None = None, **kwargs: Any) -> None:
        self._first_step = first_step
        self._schedule_steps = schedule_steps
        super().__init__(*args, **kwargs)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """The schedule over all rounds, from this round's first step on."""
        if self._schedule_steps is None:
            return super().create_scheduler(num_training_steps, optimizer)
        whole = super().create_scheduler(self._schedule_steps, optimizer)
        self.lr_scheduler: LRScheduler = from_step(whole, self._first_step)
        return self.lr_scheduler


def from_step(schedule: Any, first_step: int) -> LambdaLR:
    """A fresh schedule for the same optimizer that begins at a later step of the LambdaLR given."""

    def shifted(factor: Callable[[int], float]) -> Callable[[int], float]:
        return lambda step: factor(first_step + step)

    return LambdaLR(schedule.optimizer, [shifted(factor) for factor in schedule.lr_lambdas])


def check_schedule(args: SFTConfig, num_steps: int) -> None:
    """Refuse a learning-rate schedule that cannot be taken up in the middle.

    Raises:
        ValueError: names it.
    """
    probe = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = get_scheduler(
        args.lr_scheduler_type,
        probe,
        num_warmup_steps=args.get_warmup_steps(num_steps),
        num_training_steps=num_steps,
        scheduler_specific_kwargs=args.lr_scheduler_kwargs,
    )
    if not isinstance(schedule, LambdaLR):
        raise ValueError(
            f"FedAvg: lr_scheduler_type={args.lr_scheduler_type!s} cannot be spread over rounds, as it depends on "
            "more than the step: choose 'constant', 'linear', 'cosine' or another function of the step."
        )


class LocalTraining:
    """Trainings of one model, each from an adapter, that leave the model as it was.

    Args:
        model: with its weights; every training borrows them.
        tokenizer: as SFTTrainer's ``processing_class``; None for the model's own.
        args: of every training. Nothing is reported, evaluated or pushed from here.
        sft_options: what else SFTTrainer is given, as in ``formatting_func``.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        args: SFTConfig,
        sft_options: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._args = args
        self._sft_options = sft_options or {}

    @contextmanager
    def trainer(
        self,
        dataset: Dataset,
        start: Adapter,
        output_dir: Path,
        *,
        round: int = 0,
        num_rounds: int = 1,
        num_steps: int | None = None,
        is_prepared: bool = False,
    ) -> Iterator[SFTTrainer]:
        """A trainer that holds an adapter; global generators are as before when the block ends.

        Args:
            dataset: rows in a format of TRL's.
            start: adapter to train from.
            output_dir: for the trainer's checkpoints.
            round: number of the round; each draws its batches anew.
            num_rounds: rounds of the whole schedule.
            num_steps: optimiser steps of a round; None for an ordinary training by the arguments.
            is_prepared: the rows are a former trainer's ``train_dataset``, tokenised already.
        """
        args = self._round_args(output_dir, round, num_steps, is_prepared)

        def make() -> SFTTrainer:
            return RoundTrainer(
                model=lend(self.model),
                args=args,
                train_dataset=dataset,
                processing_class=self._tokenizer,
                peft_config=make_config(start),
                first_step=round * (num_steps or 0),
                schedule_steps=None if num_steps is None else num_rounds * num_steps,
                **self._sft_options,
            )

        with side_trainer(make, args.device) as trainer:
            write_adapter(trainer.model, start)
            yield trainer
        del trainer
        free_memory()

    def _round_args(self, output_dir: Path, round: int, num_steps: int | None, is_prepared: bool) -> SFTConfig:
        args = quiet_args(self._args, output_dir=str(output_dir))
        if num_steps is not None:
            args.max_steps = num_steps
            args.save_strategy = "no"
            args.seed += round
            args.data_seed = None if args.data_seed is None else args.data_seed + round
        if is_prepared:
            args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
        return args

"""What a Trainer of its own would do with a coalition: which rows in which step, at which learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import TrainingArguments, get_scheduler

Batches = list[list[int]]  # the micro-batches of one optimiser step, rows of each by their place in the coalition


def batches_per_epoch(num_rows: int, args: TrainingArguments) -> int:
    """Micro-batches that a Trainer's dataloader has for a dataset of this size."""
    size = args.per_device_train_batch_size
    return num_rows // size if args.dataloader_drop_last else -(-num_rows // size)


def count_steps(num_rows: int, args: TrainingArguments) -> int:
    """Optimiser steps of a Trainer alone with a dataset of this size; none without rows.

    Args:
        num_rows: of the coalition.
        args: ``max_steps`` if positive, else ``num_train_epochs``.

    Raises:
        ValueError: ``dataloader_drop_last`` leaves no batch.

    Example:
        >>> count_steps(10, TrainingArguments("out", per_device_train_batch_size=4, num_train_epochs=1.5))
        5
    """
    if num_rows == 0:
        return 0
    batches = batches_per_epoch(num_rows, args)
    if batches == 0:
        raise ValueError(
            f"A coalition of {num_rows} rows has no full batch of {args.per_device_train_batch_size}, and "
            "dataloader_drop_last=True drops the rest: set it to False, or take a smaller batch."
        )
    if args.max_steps > 0:
        return args.max_steps
    return math.ceil(args.num_train_epochs * -(-batches // args.gradient_accumulation_steps))


def steps_of(num_rows: int, args: TrainingArguments, seed: int) -> Iterator[Batches]:
    """The micro-batches of each optimiser step, without end.

    The rows are drawn by accelerate's own sampler, which the Trainer's dataloader uses, from a generator of its own.
    The last step of an epoch takes what is left of it.

    Args:
        num_rows: of the coalition.
        args: batch size, accumulation, ``train_sampling_strategy``.
        seed: of the order.
    """
    strategy = getattr(args, "train_sampling_strategy", "random")
    places = range(num_rows)
    order = SequentialSampler(places) if strategy == "sequential" else SeedableRandomSampler(places, data_seed=seed)
    sampler = BatchSampler(order, args.per_device_train_batch_size, args.dataloader_drop_last)
    while True:
        batches = list(sampler)  # which takes the shuffling sampler to its next epoch
        for start in range(0, len(batches), args.gradient_accumulation_steps):
            yield batches[start : start + args.gradient_accumulation_steps]


def learning_rates(args: TrainingArguments, num_steps: int) -> list[float]:
    """The learning rate of each step of a run of ``num_steps``, by transformers' own scheduler.

    Example:
        >>> learning_rates(TrainingArguments("out", learning_rate=1.0, lr_scheduler_type="linear"), 2)
        [1.0, 0.5]
    """
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=args.learning_rate)
    scheduler = get_scheduler(
        args.lr_scheduler_type,
        optimizer,
        num_warmup_steps=args.get_warmup_steps(num_steps),
        num_training_steps=num_steps,
        scheduler_specific_kwargs=args.lr_scheduler_kwargs,
    )
    rates = []
    for _ in range(num_steps):
        rates.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return rates


def group_coalitions(num_rows: Sequence[int], num_stacked: int) -> list[list[int]]:
    """Cut coalitions into groups of at most ``num_stacked`` of similar size, so that those of a group end together.

    Args:
        num_rows: of each coalition.
        num_stacked: adapters that are trained at once (:func:`choose_num_stacked`).

    Returns:
        Positions in ``num_rows``, the largest coalitions first.

    Raises:
        ValueError: ``num_stacked`` is below 1.

    Example:
        >>> group_coalitions([5, 40, 6, 38], 2)
        [[1, 3], [2, 0]]
    """
    if num_stacked < 1:
        raise ValueError(f"num_stacked={num_stacked} must be at least 1.")
    order = sorted(range(len(num_rows)), key=lambda position: -num_rows[position])
    return [order[start : start + num_stacked] for start in range(0, len(order), num_stacked)]

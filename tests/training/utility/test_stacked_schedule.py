"""The schedule is that of a Trainer's own dataloader and scheduler."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from transformers import Trainer, TrainingArguments

from hf_datasel.training.utility.stacked_schedule import (
    batches_per_epoch,
    count_steps,
    group_coalitions,
    learning_rates,
    steps_of,
)
from tests.training.tiny import tiny_model


@settings(max_examples=15)
@given(
    num_rows=st.integers(1, 12),
    batch=st.integers(1, 5),
    accumulation=st.integers(1, 4),
    epochs=st.sampled_from([0.3, 1, 2.5]),
    max_steps=st.sampled_from([-1, 1, 7]),
    drop_last=st.booleans(),
    strategy=st.sampled_from(["random", "sequential"]),
    seed=st.integers(0, 1000),
)
def test_rows_and_steps_are_the_trainers(
    tmp_path_factory, num_rows, batch, accumulation, epochs, max_steps, drop_last, strategy, seed
) -> None:
    args = TrainingArguments(
        str(tmp_path_factory.getbasetemp()),
        use_cpu=True,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=epochs,
        max_steps=max_steps,
        dataloader_drop_last=drop_last,
        train_sampling_strategy=strategy,
        data_seed=seed,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    if drop_last and num_rows < batch:
        with pytest.raises(ValueError, match=f"{num_rows} rows has no full batch of {batch}"):
            count_steps(num_rows, args)
        return
    trainer = Trainer(MODEL, args, train_dataset=list(range(num_rows)), data_collator=list)
    loader = trainer.get_train_dataloader()
    _, per_epoch, *_, wanted_steps = trainer.set_initial_training_values(args, loader)
    assert batches_per_epoch(num_rows, args) == len(loader)
    assert count_steps(num_rows, args) == wanted_steps
    steps = steps_of(num_rows, args, seed)
    for epoch in range(3):
        loader.set_epoch(epoch)
        found = list(itertools.islice(steps, per_epoch))
        assert [rows for step in found for rows in step] == list(loader)
        assert all(len(step) == accumulation for step in found[:-1])


MODEL = tiny_model()


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant_with_warmup", "polynomial", "inverse_sqrt"])
def test_rates_follow_the_scheduler_from_its_warm_up_on(kind) -> None:
    args = TrainingArguments("out", use_cpu=True, learning_rate=0.5, lr_scheduler_type=kind, warmup_steps=2)
    rates = learning_rates(args, 8)
    assert rates[:3] == [0.0, 0.25, 0.5]
    assert len(rates) == 8
    if kind == "linear":
        assert rates == pytest.approx([0, 0.25, *(0.5 * (8 - step) / 6 for step in range(2, 8))])


def test_a_coalition_without_rows_has_no_step() -> None:
    assert count_steps(0, TrainingArguments("out", use_cpu=True, max_steps=5)) == 0


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 6))
def test_groups_hold_every_coalition_once_and_differ_little(num_rows, num_stacked) -> None:
    groups = group_coalitions(num_rows, num_stacked)
    assert sorted(itertools.chain(*groups)) == list(range(len(num_rows)))
    assert all(len(group) == num_stacked for group in groups[:-1])
    sizes = [[num_rows[position] for position in group] for group in groups]
    assert all(min(one) >= max(other) for one, other in itertools.pairwise(sizes))


def test_a_group_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="num_stacked=0 must be at least 1"):
        group_coalitions([1], 0)

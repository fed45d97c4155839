"""The confidence curriculum: who is visited when, by whose losses, and that a run that resumes is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments
from trl import SFTTrainer

from hf_datasel import ConfidenceCurriculumCallback, LeastConfidenceSelector, Selection, Trace
from hf_datasel.functional.curriculum import curriculum_epoch
from hf_datasel.training.curriculum import ConfidenceCurriculumSampler
from tests.training.following import watch
from tests.training.reference import reference_losses, tokens_and_labels
from tests.training.selecting import selecting, weights
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer

NUM_ROWS, BATCH = 24, 4
PACE = {"start_share": 0.25, "full_at": 0.6}
LOSSES = np.random.default_rng(3).gamma(2.0, size=(NUM_ROWS, 3))


def given_losses(ids: Any = range(NUM_ROWS), values: Any = LOSSES) -> Trace:
    return Trace.from_arrays(ids, values)


def sft_trainer(output_dir: Path, dataset: Dataset | None = None, **options: Any) -> SFTTrainer:
    return SFTTrainer(
        model=tiny_model(),
        args=sft_args(output_dir, **options),
        train_dataset=make_dataset() if dataset is None else dataset,
        processing_class=word_tokenizer(),
    )


def plain_trainer(output_dir: Path) -> Trainer:
    tokenizer = word_tokenizer()
    rows = [tokens_and_labels(row, tokenizer) for row in make_dataset()]
    columns = {"input_ids": [ids for ids, _ in rows], "labels": [labels for _, labels in rows]}
    args = TrainingArguments(
        output_dir=str(output_dir), use_cpu=True, per_device_train_batch_size=BATCH, num_train_epochs=2,
        learning_rate=1e-2, report_to="none", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    return Trainer(
        model=tiny_model(),
        args=args,
        train_dataset=Dataset.from_dict({**columns, "example_id": range(NUM_ROWS)}),
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
        processing_class=tokenizer,
    )


def visited(trainer: Trainer) -> list[int]:
    """Train, and say which rows of ``make_dataset()`` were visited, in order."""
    seen = watch(trainer)
    trainer.train()
    number = {tuple(tokens_and_labels(row, word_tokenizer())[0]): row["example_id"] for row in make_dataset()}
    return [number[row] for batch in seen for row in batch]


def planned(difficulty: Any, seed: int, num_epochs: float, epochs: int = 2) -> list[int]:
    """The rows to be visited, epoch after epoch."""
    easiest = np.array(sorted(range(len(difficulty)), key=lambda row: difficulty[row]))
    return [
        row
        for epoch in range(epochs)
        for row in curriculum_epoch(
            easiest, epoch, num_epochs, **PACE, generator=np.random.default_rng([seed, epoch])
        ).tolist()
    ]


@pytest.mark.parametrize("make", [sft_trainer, plain_trainer])
def test_rows_are_visited_by_the_mean_confidence_of_a_trace(tmp_path: Path, make: Any) -> None:
    trainer = make(tmp_path)
    trainer.add_callback(ConfidenceCurriculumCallback(trainer, given_losses(), **PACE))
    rows = visited(trainer)
    difficulty = [-np.mean([np.exp(-loss) for loss in row]) for row in LOSSES]
    assert rows == planned(difficulty, trainer.args.seed, 2.0)
    assert set(rows[:6]) == set(np.argsort(difficulty)[:6].tolist())
    assert not (tmp_path / "_curriculum_trace").exists()


def test_without_a_trace_the_model_itself_says_what_is_easy(tmp_path: Path) -> None:
    wanted = np.array(reference_losses(tiny_model(), make_dataset(), word_tokenizer()))
    shuffled = make_dataset().shuffle(seed=5)
    ids = np.array(shuffled["example_id"])
    trainer = sft_trainer(tmp_path, shuffled, max_steps=9, gradient_accumulation_steps=2)
    trainer.add_callback(ConfidenceCurriculumCallback(trainer, **PACE))
    rows = visited(trainer)
    trace = Trace.load(tmp_path / "_curriculum_trace")
    assert (trace.metric, trace.steps.tolist(), trace.fingerprint is not None) == ("loss", [0], True)
    np.testing.assert_allclose(trace.column(0), wanted, rtol=2e-5)
    # an epoch has six batches of four rows, and so three steps: nine steps are three epochs
    assert rows == ids[planned(wanted[ids], trainer.args.seed, 3.0, epochs=3)].tolist()


def test_scores_of_a_selection_are_difficulties(tmp_path: Path) -> None:
    selection = LeastConfidenceSelector(budget=5).select(given_losses())
    trainer = sft_trainer(tmp_path)
    trainer.add_callback(ConfidenceCurriculumCallback(trainer, selection, **PACE))
    assert visited(trainer) == planned(LOSSES[:, -1], trainer.args.seed, 2.0)


def test_what_was_selected_is_visited_in_the_order_of_the_target_s_confidence(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, selection_method="random", selection_budget=12, num_train_epochs=3)
    trainer.add_callback(ConfidenceCurriculumCallback(trainer, **PACE))
    losses = np.array(reference_losses(tiny_model(), make_dataset(), word_tokenizer()))
    rows = visited(trainer)
    chosen = trainer.selection.ids
    assert rows == chosen[planned(losses[chosen], trainer.args.seed, 3.0, epochs=3)].tolist()


def test_an_option_of_the_selecting_trainer_is_the_callback(tmp_path: Path) -> None:
    options = {"selection_method": "random", "selection_budget": 12, "num_train_epochs": 3}
    by_option = selecting(tmp_path / "option", selection_curriculum="confidence", **options)
    by_callback = selecting(tmp_path / "callback", **options)
    by_callback.add_callback(ConfidenceCurriculumCallback(by_callback))
    assert visited(by_option) == visited(by_callback)
    assert (tmp_path / "option" / "_curriculum_trace").is_dir()


def test_a_run_that_resumes_mid_epoch_is_exact(tmp_path: Path) -> None:
    def trainer(**options: Any) -> SFTTrainer:
        made = sft_trainer(tmp_path, **options)
        made.add_callback(ConfidenceCurriculumCallback(made, **PACE))
        return made

    whole = trainer(save_strategy="steps", save_steps=1)
    whole.train()
    before = Trace.load(tmp_path / "_curriculum_trace").values
    for step in (2, 7):  # an epoch has 6
        again = trainer()
        again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert torch.equal(weights(again), weights(whole)), step
    assert np.array_equal(Trace.load(tmp_path / "_curriculum_trace").values, before)
    other = trainer(seed=7)
    other.train()
    assert not torch.equal(weights(other), weights(whole))


def test_a_run_that_resumes_without_the_first_losses_is_refused(tmp_path: Path) -> None:
    plain = sft_trainer(tmp_path, save_strategy="steps", save_steps=2, max_steps=4)
    plain.train()
    trainer = sft_trainer(tmp_path, max_steps=4)
    trainer.add_callback(ConfidenceCurriculumCallback(trainer))
    with pytest.raises(
        ValueError, match=r"resumes, but .*_curriculum_trace holds no losses of the model that it began"
    ):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))


def test_a_new_run_measures_anew(tmp_path: Path) -> None:
    for rows in (make_dataset(), make_dataset(seed=8)):
        trainer = sft_trainer(tmp_path, rows, max_steps=1)
        trainer.add_callback(ConfidenceCurriculumCallback(trainer))
        trainer.train()
        wanted = reference_losses(tiny_model(), rows, word_tokenizer())
        np.testing.assert_allclose(Trace.load(tmp_path / "_curriculum_trace").column(0), wanted, rtol=2e-5)


def test_a_callback_that_was_not_added_is_named(tmp_path: Path) -> None:
    trainer = sft_trainer(tmp_path)
    ConfidenceCurriculumCallback(trainer)
    with pytest.raises(RuntimeError, match=r"curriculum has not begun: add its callback before training"):
        trainer.train()


def test_the_sampler_is_as_long_as_the_dataset() -> None:
    sampler = ConfidenceCurriculumSampler(10, seed=1, start_share=0.5, full_at=1.0)
    sampler.begin(np.arange(10.0)[::-1], num_epochs=2)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert len(sampler) == len(orders[0]) == 10
    assert orders[0] == orders[2] != orders[1]
    assert set(orders[0][:5]) == {5, 6, 7, 8, 9}


@pytest.mark.parametrize(
    ("options", "curriculum", "match"),
    [
        ({}, {"start_share": 0.0}, r"start_share=0.0 of the confidence curriculum must lie in \(0, 1\]"),
        ({}, {"full_at": 1.5}, r"full_at=1.5 of the confidence curriculum must"),
        ({}, {"full_at": float("nan")}, r"full_at=nan of"),
        ({"packing": True}, {}, r"orders single examples, but packing=True has merged"),
        (
            {"train_sampling_strategy": "sequential"},
            {},
            r"train_sampling_strategy='sequential' asks for another order",
        ),
        ({"dataset": make_dataset().to_iterable_dataset(), "max_steps": 2}, {}, r"a stream is read in its own order"),
        ({"dataset": make_dataset().remove_columns("example_id")}, {}, r"no column 'example_id'"),
    ],
)
def test_what_cannot_be_ordered_is_refused(
    tmp_path: Path, options: dict[str, Any], curriculum: dict[str, Any], match: str
) -> None:
    trainer = sft_trainer(tmp_path, **options)
    with pytest.raises(ValueError, match=match):
        ConfidenceCurriculumCallback(trainer, **curriculum)


def test_it_does_not_select_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="selection_every draws the rows of its selections itself; select once"):
        ConfidenceCurriculumCallback(selecting(tmp_path, selection_every=1))


def unscored() -> Selection:
    return Selection(candidate_ids=np.arange(NUM_ROWS), kept=np.ones(NUM_ROWS, bool))


@pytest.mark.parametrize(
    ("difficulty", "match"),
    [
        (given_losses(range(1, NUM_ROWS + 1)), r"has no loss of example 0\."),
        (
            given_losses(values=np.where(np.arange(NUM_ROWS)[:, None] == 4, np.nan, LOSSES)),
            r"loss of example 4 was not",
        ),
        (unscored(), r"passed as difficulty= has no scores"),
        (LeastConfidenceSelector(budget=2).select(given_losses(range(1, NUM_ROWS + 1))), r"no score of example 0\."),
    ],
)
def test_an_example_that_has_no_difficulty_is_named(tmp_path: Path, difficulty: Any, match: str) -> None:
    trainer = sft_trainer(tmp_path)
    trainer.add_callback(ConfidenceCurriculumCallback(trainer, difficulty))
    with pytest.raises(ValueError, match=match):
        trainer.train()


def test_an_example_without_a_label_is_named(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path)
    trainer.train_dataset = trainer.train_dataset.map(
        lambda row: {"labels": [-100] * len(row["labels"])} if row["example_id"] == 5 else {}
    )
    trainer.add_callback(ConfidenceCurriculumCallback(trainer))
    with pytest.raises(ValueError, match="Example 5 has no label, so the model has no confidence in it"):
        trainer.train()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_steps": 1},
        {"max_steps": 8, "gradient_accumulation_steps": 4},
        {"max_steps": 3, "per_device_train_batch_size": 7, "dataloader_drop_last": True},
        {"num_train_epochs": 1, "per_device_train_batch_size": 7},
    ],
)
def test_how_many_examples_were_visited_is_counted(tmp_path: Path, options: dict[str, Any]) -> None:
    trainer = sft_trainer(tmp_path, **options)
    callback = ConfidenceCurriculumCallback(trainer, given_losses(), **PACE)
    assert callback.num_visited() == 0
    trainer.add_callback(callback)
    rows = visited(trainer)
    assert callback.num_visited() == len(set(rows))

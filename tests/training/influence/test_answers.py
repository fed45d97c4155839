"""IFD and pairing against losses taken one example at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from trl import SFTTrainer

from hf_datasel import GradientTraceCallback, Trace, record_ifd
from hf_datasel.training.influence.answers import AnswerProbes
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


def make_trainer(folder: Path, dataset: Dataset | None = None, **options: Any) -> SFTTrainer:
    dataset = make_dataset(num_rows=12) if dataset is None else dataset
    args = sft_args(folder, **{"num_train_epochs": 1, **options})
    return SFTTrainer(tiny_model(), args=args, train_dataset=dataset, processing_class=word_tokenizer())


@torch.no_grad()
def slow_loss(model: Any, tokens: list[int], labels: list[int]) -> float:
    logits = model.eval()(input_ids=torch.tensor([tokens])).logits[0, :-1].double()
    return float(F.cross_entropy(logits, torch.tensor(labels[1:]), ignore_index=-100))


def rows_by_id(trainer: SFTTrainer) -> list[dict[str, Any]]:
    return sorted(trainer.train_dataset, key=lambda row: row["example_id"])


def split(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    length = next(place for place, label in enumerate(row["labels"]) if label != -100)
    return row["input_ids"][:length], row["input_ids"][length:]


def test_ifd_is_the_loss_with_its_question_over_that_without(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trace = record_ifd(trainer, tmp_path / "ifd")
    for row, found in zip(rows_by_id(trainer), trace.values[:, 0], strict=True):
        question, answer = split(row)
        own = slow_loss(trainer.model, question + answer, row["labels"])
        assert found == pytest.approx(own / slow_loss(trainer.model, answer, [-100, *answer[1:]]), rel=1e-5)


def test_pairing_asks_other_rows_questions(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    rows = rows_by_id(trainer)
    probes = AnswerProbes(trainer, trainer.train_dataset, trainer.train_dataset, 3, seed=5, tokens_per_batch=64)
    found = probes.measure()["pairing"]
    questions = [split(row)[0] for row in rows]
    for row, value in zip(rows, found, strict=True):
        question, answer = split(row)
        own = slow_loss(trainer.model, question + answer, row["labels"])
        alone = slow_loss(trainer.model, answer, [-100, *answer[1:]])
        others = [
            slow_loss(trainer.model, other + answer, [-100] * len(other) + answer)
            for other in questions
            if other != question
        ]
        # which were drawn is the probes' own affair: the value lies where some draw of three puts it
        lowest, highest = (np.log((part + alone) / 2) - np.log(own) for part in (min(others), max(others)))
        assert lowest - 1e-5 <= value <= highest + 1e-5
    again = AnswerProbes(trainer, trainer.train_dataset, trainer.train_dataset, 3, seed=5, tokens_per_batch=640)
    np.testing.assert_allclose(again.measure()["pairing"], found, rtol=0, atol=1e-6)


def test_with_two_rows_the_other_question_is_known(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, make_dataset(num_rows=2))
    first, second = rows_by_id(trainer)
    probes = AnswerProbes(trainer, trainer.train_dataset, trainer.train_dataset, 2, seed=0, tokens_per_batch=64)
    found = probes.measure()["pairing"]
    for row, other, value in ((first, second, found[0]), (second, first, found[1])):
        (question, answer), (asked, _) = split(row), split(other)
        own = slow_loss(trainer.model, question + answer, row["labels"])
        alone = slow_loss(trainer.model, answer, [-100, *answer[1:]])
        swapped = slow_loss(trainer.model, asked + answer, [-100] * len(asked) + answer)
        assert value == pytest.approx(np.log((swapped + alone) / 2) - np.log(own), abs=1e-5)


@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_a_recording_measures_them_before_the_first_step(mode: str, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    held_out = make_dataset(num_rows=5, seed=9)
    before = AnswerProbes(trainer, trainer.train_dataset, trainer.train_dataset, 2, trainer.args.seed, 4096).measure()
    trainer.add_callback(
        GradientTraceCallback(
            trainer,
            tmp_path / "trace",
            validation_dataset=held_out,
            anchor_dataset=held_out,
            mode=mode,
            num_checkpoints=2,
            ifd=True,
            pairing=2,
        )
    )
    trainer.train()
    trace = Trace.load(tmp_path / "trace")
    for name, values in before.items():
        np.testing.assert_array_equal(trace.companion(name).values[:, 0], values)
        assert trace.companion(name).steps.tolist() == [0]
        assert np.isfinite(trace.companion("anchors").companion(name).values).all()


def test_an_answer_of_one_token_is_paired_by_the_other_questions_alone(tmp_path: Path) -> None:
    rows = [
        {"input_ids": [7, 8, 9, 10], "labels": [-100, -100, -100, 10], "example_id": 0},
        {"input_ids": [11, 12, 13, 14], "labels": [-100, -100, 13, 14], "example_id": 1},
    ]
    trainer = make_trainer(tmp_path, Dataset.from_list(rows))
    found = AnswerProbes(
        trainer, trainer.train_dataset, trainer.train_dataset, 2, seed=0, tokens_per_batch=64
    ).measure()
    own = slow_loss(trainer.model, [7, 8, 9, 10], [-100, -100, -100, 10])
    swapped = slow_loss(trainer.model, [11, 12, 10], [-100, -100, 10])
    assert found["pairing"][0] == pytest.approx(np.log(swapped / own), abs=1e-5)
    assert np.isnan(found["ifd"][0])
    assert np.isfinite(found["pairing"][1])


def test_rows_without_a_question_and_one_question_for_all_are_refused(tmp_path: Path) -> None:
    texts = make_trainer(tmp_path, make_dataset("text", num_rows=6))
    with pytest.raises(ValueError, match="Row 0 has a label on its first token"):
        AnswerProbes(texts, texts.train_dataset, texts.train_dataset, 1, 0, 64)
    same = make_dataset(num_rows=6).map(lambda row: {"prompt": "w1 w2 "})
    alike = make_trainer(tmp_path, same)
    with pytest.raises(ValueError, match="all rows have the same one"):
        AnswerProbes(alike, alike.train_dataset, alike.train_dataset, 1, 0, 64)

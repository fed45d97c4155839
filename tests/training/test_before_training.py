"""Losses before the first step: recorded where they are asked for, by a run that resumes too, training unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trl import SFTTrainer

from hf_datasel import GradientTraceCallback, HighLearnabilitySelector, LossTrajectoryCallback, Trace
from hf_datasel.training.stage import stage_directory
from tests.training.reference import reference_losses
from tests.training.selecting import selecting, validation_rows, weights
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer

ENDS: dict[str, Any] = {"checkpoint_fractions": [0.0, 1.0]}
TOLERANCE = {"rtol": 2e-5, "atol": 0.0}  # a batched float32 forward against a single one


def sft_trainer(output_dir: Path, **options: Any) -> SFTTrainer:
    model = tiny_model()
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1  # a disturbed random state shows in the weights
    return SFTTrainer(
        model=model,
        args=sft_args(output_dir, **options),
        train_dataset=make_dataset(),
        processing_class=word_tokenizer(),
    )


def losses_of(trainer: SFTTrainer) -> list[float]:
    return reference_losses(trainer.model, make_dataset(), word_tokenizer())


@pytest.mark.parametrize("points", [ENDS, {"checkpoint_steps": [0, 12]}], ids=["fractions", "steps"])
def test_the_first_point_is_the_model_before_training(tmp_path: Path, points: dict[str, Any]) -> None:
    trainer = sft_trainer(tmp_path)
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", **points))
    before = losses_of(trainer)
    trainer.train()
    trace = Trace.load(tmp_path / "trace")
    assert (trace.steps.tolist(), trace.epochs.tolist()) == ([0, 12], [0.0, 2.0])
    assert np.isnan(trace.learning_rates).tolist() == [True, False]
    np.testing.assert_allclose(trace.column(0), before, **TOLERANCE)
    np.testing.assert_allclose(trace.column(1), losses_of(trainer), **TOLERANCE)
    plain = sft_trainer(tmp_path / "plain")
    plain.train()
    assert torch.equal(weights(trainer), weights(plain))


def test_a_run_that_resumes_keeps_it_and_one_that_begins_anew_records_it_again(tmp_path: Path) -> None:
    def trainer(**options: Any) -> SFTTrainer:
        made = sft_trainer(tmp_path, save_strategy="steps", save_steps=4, **options)
        made.add_callback(LossTrajectoryCallback(made, tmp_path / "trace", **ENDS))
        return made

    whole = trainer()
    whole.train()
    wanted = Trace.load(tmp_path / "trace").values
    killed = Trace.open(tmp_path / "trace")
    killed.drop_after(0)  # as it is between the two points
    again = trainer()
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    assert np.array_equal(Trace.load(tmp_path / "trace").values, wanted)
    for step in (0, -1):  # killed before the first checkpoint, and before any point
        Trace.open(tmp_path / "trace").drop_after(step)
        trainer().train()
        assert np.array_equal(Trace.load(tmp_path / "trace").values, wanted)


def test_a_run_that_resumes_past_it_without_a_trace_is_refused(tmp_path: Path) -> None:
    sft_trainer(tmp_path, save_strategy="steps", save_steps=4).train()
    trainer = sft_trainer(tmp_path)
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", **ENDS))
    with pytest.raises(ValueError, match=r"past checkpoint step 0, but .* holds no Trace to continue"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


def test_gradients_have_no_learning_rate_before_training(tmp_path: Path) -> None:
    trainer = sft_trainer(tmp_path)
    trainer.add_callback(
        GradientTraceCallback(
            trainer, tmp_path / "trace", validation_dataset=validation_rows(), checkpoint_steps=[0, 4]
        )
    )
    with pytest.raises(ValueError, match="checkpoint_steps gives step 0, but training has steps 1 to 12"):
        trainer.train()


def test_high_learnability_is_selected_by_both_ends_of_the_warm_up(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, selection_method="high_learnability", selection_budget=6)
    before = losses_of(trainer)
    trainer.train()
    trace = Trace.load(stage_directory(trainer.args) / "trace")
    assert trace.steps.tolist() == [0, 12]
    np.testing.assert_allclose(trace.column(0), before, **TOLERANCE)
    assert trainer.selection.ids.tolist() == HighLearnabilitySelector(budget=6).select(trace).ids.tolist()
    with pytest.raises(ValueError, match="selection_every selects by the losses of the model in training"):
        selecting(tmp_path, selection_method="high_learnability", selection_every=1)

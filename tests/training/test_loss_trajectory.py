"""Recorded losses against batch-size-1 references, over architectures, formats and trainers; training unchanged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    DataCollatorForSeq2Seq,
    DataCollatorWithFlattening,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import SFTTrainer

from hf_datasel import LossTrajectoryCallback, Trace
from tests.training.oracle import Oracle, check, record
from tests.training.reference import reference_losses, tokens_and_labels
from tests.training.tiny import CONFIGS, make_dataset, sft_args, tiny_model, word_tokenizer


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("mode", ["probe", "in_run"])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_architectures(tmp_path: Path, mode: str, architecture: str) -> None:
    check(mode, *record(tmp_path, mode, make_dataset(num_rows=13), architecture))


@pytest.mark.parametrize("mode", ["probe", "in_run"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("text", {}),
        ("messages", {}),
        ("messages", {"assistant_only": True}),
        ("prompt_completion", {"packing": True, "max_length": 24}),
        ("messages", {"packing": True, "max_length": 24, "assistant_only": True}),
        ("text", {"packing": True, "max_length": 24, "shuffle_dataset": True}),
        ("prompt_completion", {"padding_free": True, "max_length": None}),
        ("prompt_completion", {"gradient_accumulation_steps": 2}),
        ("prompt_completion", {"gradient_checkpointing": True}),
        (
            "prompt_completion",
            {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
        ),
        ("prompt_completion", {"loss_type": "dft"}),
        ("prompt_completion", {"lora": True}),
        ("prompt_completion", {"train_sampling_strategy": "group_by_length"}),
        ("prompt_completion", {"pad_to_multiple_of": 8}),
        ("prompt_completion", {"padding_free": True, "max_length": None, "pad_to_multiple_of": 8}),
    ],
    ids=str,
)
def test_formats_and_options(tmp_path: Path, mode: str, kind: str, options: dict[str, Any]) -> None:
    check(mode, *record(tmp_path, mode, make_dataset(kind, num_rows=13), **options))


@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_bfloat16(tmp_path: Path, mode: str) -> None:
    trace, oracle = record(tmp_path, mode, make_dataset(num_rows=13), bf16=True)
    # Under autocast matmuls round to bfloat16, in the oracle as well, but in another order: a few units of its eps.
    check(mode, trace, oracle, tolerance=4 * torch.finfo(torch.bfloat16).eps)


@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_streaming(tmp_path: Path, mode: str) -> None:
    dataset = make_dataset(num_rows=12)
    tokenizer = word_tokenizer()
    args = sft_args(tmp_path / "out", max_steps=6)
    stream = dataset.to_iterable_dataset()
    trainer = SFTTrainer(model=tiny_model(), args=args, train_dataset=stream, processing_class=tokenizer)
    points = {"num_checkpoints": 3} if mode == "probe" else {}
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", mode=mode, **points))
    oracle = Oracle(trainer, lambda model: reference_losses(model, dataset, tokenizer))
    trainer.add_callback(oracle)
    trainer.train()
    check(mode, Trace.load(tmp_path / "trace"), oracle)


def tokenised(dataset: Dataset) -> Dataset:
    """What a user of a plain Trainer passes: token columns, an id, and columns the model does not take."""
    tokenizer = word_tokenizer()
    rows = [tokens_and_labels(row, tokenizer) for row in dataset]
    return dataset.add_column("input_ids", [ids for ids, _ in rows]).add_column("labels", [row for _, row in rows])


def plain_trainer(tmp_path: Path, dataset: Dataset, architecture: str = "llama", **options: Any) -> Trainer:
    args = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        use_cpu=True,
        per_device_train_batch_size=4,
        num_train_epochs=2,
        learning_rate=1e-2,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **options,
    )
    tokenizer = word_tokenizer()
    return Trainer(
        model=tiny_model(architecture),
        args=args,
        train_dataset=tokenised(dataset),
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("mode", ["probe", "in_run"])
@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("llama", {}),
        ("gpt2", {"gradient_accumulation_steps": 2}),
        ("gpt_neox", {"label_smoothing_factor": 0.1}),
        ("qwen3", {"dataloader_num_workers": 1}),
    ],
    ids=str,
)
def test_plain_trainer(tmp_path: Path, mode: str, architecture: str, options: dict[str, Any]) -> None:
    dataset = make_dataset(num_rows=13)
    trainer = plain_trainer(tmp_path, dataset, architecture, **options)
    points = {"num_checkpoints": 3} if mode == "probe" else {}
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", mode=mode, **points))
    oracle = Oracle(trainer, lambda model: reference_losses(model, dataset, word_tokenizer()))
    trainer.add_callback(oracle)
    trainer.train()
    check(mode, Trace.load(tmp_path / "trace"), oracle)


@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_a_plain_trainer_with_flattened_batches(tmp_path: Path, mode: str) -> None:
    dataset = make_dataset(num_rows=13)
    trainer = plain_trainer(tmp_path, dataset)
    trainer.data_collator = DataCollatorWithFlattening()
    points = {"num_checkpoints": 3} if mode == "probe" else {}
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", mode=mode, **points))
    oracle = Oracle(trainer, lambda model: reference_losses(model, dataset, word_tokenizer()))
    trainer.add_callback(oracle)
    trainer.train()
    check(mode, Trace.load(tmp_path / "trace"), oracle)


@pytest.mark.parametrize("plain", [False, True], ids=["sft", "plain"])
def test_training_is_bitwise_unchanged(tmp_path: Path, plain: bool) -> None:
    """Dropout and shuffling draw from the global generators, so one number too many would show."""
    dataset = make_dataset(num_rows=13)

    def train(mode: str | None) -> tuple[torch.Tensor, list[dict[str, float]]]:
        if plain:
            trainer = plain_trainer(tmp_path / str(mode), dataset, "llama")
        else:
            args = sft_args(tmp_path / str(mode), gradient_accumulation_steps=2)
            trainer = SFTTrainer(
                model=tiny_model(), args=args, train_dataset=dataset, eval_dataset=dataset,
                processing_class=word_tokenizer(),
            )  # fmt: skip
        for layer in trainer.model.model.layers:
            layer.self_attn.attention_dropout = 0.1
        if mode is not None:
            points = {"checkpoint_steps": 1} if mode == "probe" else {}
            trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / f"{mode}-trace", mode=mode, **points))
        trainer.train()
        volatile = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
        logs = [{k: v for k, v in log.items() if k not in volatile} for log in trainer.state.log_history]
        return weights(trainer), logs

    bare, bare_logs = train(None)
    for mode in ("probe", "in_run"):
        recorded, logs = train(mode)
        assert torch.equal(bare, recorded), mode
        assert logs == bare_logs, mode


def test_rows_without_a_label_are_named_and_never_measured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = make_dataset(num_rows=13)
    long = " ".join(["w1"] * 20) + " "
    dataset = dataset.map(lambda row: {"prompt": long} if row["example_id"] in (3, 7) else {})
    trace, oracle = record(tmp_path, "probe", dataset, max_length=16)
    (reason,) = trace.unmeasurable
    assert "max_length=16" in reason
    assert trace.unmeasurable[reason].tolist() == [3, 7]
    check("probe", trace, oracle)
    assert np.isnan(trace.values[[3, 7]]).all()


def test_a_plain_trainers_rows_without_a_label(tmp_path: Path) -> None:
    dataset = tokenised(make_dataset(num_rows=13))
    masked = dataset.map(lambda row: {"labels": [-100] * len(row["labels"])} if row["example_id"] == 5 else {})
    for mode in ("probe", "in_run"):
        trainer = plain_trainer(tmp_path, make_dataset(num_rows=13))
        trainer.train_dataset = masked
        points = {"num_checkpoints": 2} if mode == "probe" else {}
        trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / mode, mode=mode, **points))
        trainer.train()
        trace = Trace.load(tmp_path / mode)
        assert [ids.tolist() for ids in trace.unmeasurable.values()] == [[5]]
        assert np.isnan(trace.values[5]).all()
        assert np.isfinite(np.delete(trace.values, 5, axis=0)).all()


def test_a_diverged_model_is_named(tmp_path: Path) -> None:
    class Diverge(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if state.global_step == 1:
                with torch.no_grad():
                    model.lm_head.weight.fill_(math.inf)

    dataset = make_dataset(num_rows=13)
    for mode in ("probe", "in_run"):
        trainer = SFTTrainer(
            model=tiny_model(), args=sft_args(tmp_path / "out"), train_dataset=dataset,
            processing_class=word_tokenizer(), callbacks=[Diverge()],
        )  # fmt: skip
        points = {"checkpoint_steps": [2]} if mode == "probe" else {}
        trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / mode, mode=mode, **points))
        with pytest.raises(ValueError, match=r"loss of example id \d+ is nan.*diverged"):
            trainer.train()


def test_evaluation_is_left_alone(tmp_path: Path) -> None:
    dataset = make_dataset(num_rows=13)
    trainer = plain_trainer(tmp_path, dataset)
    trainer.eval_dataset = tokenised(make_dataset(num_rows=5, seed=9))
    before = trainer.evaluate()["eval_loss"]
    LossTrajectoryCallback(trainer, tmp_path / "trace", mode="in_run")
    assert trainer.evaluate()["eval_loss"] == before

"""What cannot be recorded rightly is refused by name, with the way out; existing Traces are not overwritten."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import Dataset
from peft import PromptTuningConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments
from trl import SFTTrainer

from hf_datasel import LossTrajectoryCallback, Trace
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


def sft(tmp_path: Path, dataset: Any = None, **options: Any) -> SFTTrainer:
    return SFTTrainer(
        model=tiny_model(),
        args=sft_args(tmp_path / "out", **options),
        train_dataset=make_dataset(num_rows=12) if dataset is None else dataset,
        processing_class=word_tokenizer(),
    )


def refused(trainer: Trainer, tmp_path: Path, match: str, **options: Any) -> None:
    with pytest.raises(ValueError, match=match):
        LossTrajectoryCallback(trainer, tmp_path / "trace", **options)
    assert not (tmp_path / "trace").exists()


def test_unknown_mode(tmp_path: Path) -> None:
    refused(sft(tmp_path), tmp_path, "mode='online': choose 'probe'", mode="online")


def test_checkpoints_of_an_in_run_recorder(tmp_path: Path) -> None:
    refused(sft(tmp_path), tmp_path, "num_checkpoints.*do not apply", mode="in_run", num_checkpoints=4)


def test_two_in_run_recorders(tmp_path: Path) -> None:
    trainer = sft(tmp_path)
    LossTrajectoryCallback(trainer, tmp_path / "one", mode="in_run")
    refused(trainer, tmp_path, "has an in_run recorder already", mode="in_run")


@pytest.mark.parametrize("strategy", ["bfd_split", "wrapped"])
@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_packing_that_splits_examples(tmp_path: Path, strategy: str, mode: str) -> None:
    dataset = make_dataset(num_rows=12)
    trainer = sft(tmp_path, dataset, packing=True, packing_strategy=strategy, max_length=24)
    refused(
        trainer, tmp_path, f"packing_strategy='{strategy}'.*use packing_strategy='bfd'", mode=mode, dataset=dataset
    )


def test_packing_without_the_source(tmp_path: Path) -> None:
    refused(sft(tmp_path, packing=True, max_length=24), tmp_path, "pass the dataset.*dataset=")


def test_packing_with_another_source(tmp_path: Path) -> None:
    trainer = sft(tmp_path, packing=True, max_length=24)
    other = make_dataset(num_rows=12, seed=5)
    refused(trainer, tmp_path, "does not pack into the rows the trainer holds", mode="in_run", dataset=other)


def test_rows_without_ids(tmp_path: Path) -> None:
    trainer = sft(tmp_path, make_dataset(num_rows=12).remove_columns("example_id"))
    refused(trainer, tmp_path, "no column 'example_id'.*add_example_ids")


def test_parallelism_of_one_example(tmp_path: Path) -> None:
    trainer = sft(tmp_path)
    trainer.accelerator.state.parallelism_config = SimpleNamespace(cp_enabled=True, tp_enabled=False, sp_enabled=False)
    try:
        refused(trainer, tmp_path, r"splits an example over devices \(cp\).*small proxy under DDP")
    finally:
        trainer.accelerator.state.parallelism_config = None


@pytest.mark.parametrize(("flag", "name"), [("is_fsdp_enabled", "FSDP"), ("is_deepspeed_enabled", "DeepSpeed")])
def test_sharded_weights(tmp_path: Path, flag: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = sft(tmp_path)
    monkeypatch.setattr(trainer, flag, True)
    refused(trainer, tmp_path, f"{name}.*record with a small proxy under DDP")


def test_prompt_learning(tmp_path: Path) -> None:
    trainer = sft(tmp_path)
    trainer.model = get_peft_model(tiny_model(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    refused(trainer, tmp_path, "PromptTuningConfig puts virtual tokens")


def test_ligers_fused_loss_in_a_plain_trainer(tmp_path: Path) -> None:
    rows = {"input_ids": [[6, 7, 8]] * 8, "labels": [[-100, 7, 8]] * 8, "example_id": list(range(8))}
    trainer = Trainer(
        model=tiny_model(),
        args=TrainingArguments(output_dir=str(tmp_path / "out"), use_cpu=True, report_to="none"),
        train_dataset=Dataset.from_dict(rows),
        data_collator=DataCollatorForSeq2Seq(word_tokenizer()),
    )
    trainer.args.use_liger_kernel = True
    refused(trainer, tmp_path, "use_liger_kernel fuses the loss.*liger_kernel_config=", mode="in_run")
    LossTrajectoryCallback(trainer, tmp_path / "trace", mode="probe")  # a sweep asks for logits, which Liger leaves


def test_more_checkpoints_than_steps(tmp_path: Path) -> None:
    trainer = sft(tmp_path)
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", num_checkpoints=100))
    with pytest.raises(ValueError, match="num_checkpoints=100 does not fit into 6 optimiser steps"):
        trainer.train()
    assert not (tmp_path / "trace").exists()


def test_epochs_of_a_stream(tmp_path: Path) -> None:
    trainer = sft(tmp_path, make_dataset(num_rows=12).to_iterable_dataset(), max_steps=3)
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", checkpoint_epochs=1.0))
    with pytest.raises(ValueError, match="checkpoint_epochs needs an epoch's length"):
        trainer.train()


@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_a_finished_trace_is_not_overwritten(tmp_path: Path, mode: str) -> None:
    points = {"num_checkpoints": 2} if mode == "probe" else {}

    def run(seed: int = 0, **options: Any) -> Trace:
        trainer = sft(tmp_path, make_dataset(num_rows=12, seed=seed))
        trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", mode=mode, **{**points, **options}))
        trainer.train()
        return Trace.load(tmp_path / "trace")

    first = run().values
    with pytest.raises(FileExistsError, match=r"holds a (finished )?Trace.*overwrite=True"):
        run()
    assert (Trace.load(tmp_path / "trace").values == first).all()
    assert (run(seed=4, overwrite=True).values != first).any()


def test_an_unfinished_trace_of_another_run(tmp_path: Path) -> None:
    trainer = sft(tmp_path)
    Trace.create(tmp_path / "trace", list(range(12)), num_checkpoints=2)
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", num_checkpoints=2))
    with pytest.raises(ValueError, match="Trace of another run"):
        trainer.train()


@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_a_resumed_run_without_its_evidence(tmp_path: Path, mode: str) -> None:
    sft(tmp_path, save_strategy="steps", save_steps=4).train()
    trainer = sft(tmp_path)
    points = {"checkpoint_steps": 2} if mode == "probe" else {}
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", mode=mode, **points))
    with pytest.raises(ValueError, match=r"resumes at step 6.*start training again"):
        trainer.train(resume_from_checkpoint=True)

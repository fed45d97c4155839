"""A recorder in `callbacks=[...]`, without the trainer: the same Trace as with it, bit for bit, or a refusal."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, DataCollatorWithFlattening, Trainer, TrainingArguments
from trl import SFTTrainer

from hf_datasel import LossTrajectoryCallback, Trace, add_example_ids
from tests.training.reference import tokens_and_labels
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer

TOKENIZER = word_tokenizer()


def token_rows(num_rows: int = 13) -> Dataset:
    """Token columns, ids that are not the rows' positions, and a column that the model does not take."""
    dataset = make_dataset(num_rows=num_rows + 5)
    rows = [tokens_and_labels(row, TOKENIZER) for row in dataset]
    columns = dataset.add_column("input_ids", [ids for ids, _ in rows]).add_column("labels", [row for _, row in rows])
    return columns.shuffle(seed=1).select(range(num_rows))


def collate(features: list[dict[str, Any]]) -> Any:
    """What a user's collator may do with a column that the model does not take."""
    columns = [{name: row[name] for name in ("input_ids", "labels")} for row in features]
    return DataCollatorForSeq2Seq(TOKENIZER, label_pad_token_id=-100)(columns)


def plain_trainer(folder: Path, dataset: Any, *callbacks: Any, **options: Any) -> Trainer:
    chosen = {"flat": DataCollatorWithFlattening(), "own": collate}
    collator = chosen.get(options.pop("collator", ""), DataCollatorForSeq2Seq(TOKENIZER, label_pad_token_id=-100))
    model = tiny_model()
    if options.pop("lora", False):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = get_peft_model(model, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    args = {"per_device_train_batch_size": 4, "num_train_epochs": 2, "learning_rate": 1e-2, "save_strategy": "no"}
    quiet = {"use_cpu": True, "report_to": "none", "disable_tqdm": True}
    return Trainer(
        model=model,
        args=TrainingArguments(str(folder / "out"), **{**args, **quiet, **options}),
        train_dataset=dataset,
        data_collator=collator,
        processing_class=TOKENIZER,
        callbacks=list(callbacks) or None,
    )


def require_equal(one: Path, two: Path) -> None:
    first, second = Trace.load(one), Trace.load(two)
    for name in ("ids", "values", "steps", "epochs", "learning_rates"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert first.fingerprint == second.fingerprint
    assert {**first.info, "trainer": None} == second.info


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_accumulation_steps": 2, "lora": True},
        {"collator": "flat"},
        {"collator": "own", "remove_unused_columns": False},
        {"bf16": True, "group_by": True},
    ],
    ids=str,
)
def test_the_trace_is_that_of_a_recorder_with_the_trainer(tmp_path: Path, options: dict[str, Any]) -> None:
    dataset = token_rows()
    if options.pop("group_by", False):
        options["train_sampling_strategy"] = "group_by_length"
    given = plain_trainer(tmp_path, dataset, **options)
    given.add_callback(LossTrajectoryCallback(given, tmp_path / "given", num_checkpoints=3, tokens_per_batch=60))
    given.train()
    kept = "remove_unused_columns" in options  # the ids reach the dataloader
    recorder = LossTrajectoryCallback(
        output_dir=tmp_path / "seen", num_checkpoints=3, tokens_per_batch=60, dataset=None if kept else dataset
    )
    seen = plain_trainer(tmp_path, dataset, recorder, **options)
    seen.train()
    require_equal(tmp_path / "given", tmp_path / "seen")
    assert Trace.load(tmp_path / "seen").ids.tolist() == sorted(dataset["example_id"])
    pairs = zip(given.model.parameters(), seen.model.parameters(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_a_run_that_is_taken_up_continues_the_trace(tmp_path: Path) -> None:
    dataset = token_rows()

    def train(**options: Any) -> np.ndarray:
        recorder = LossTrajectoryCallback(output_dir=tmp_path / "trace", checkpoint_steps=2, dataset=dataset)
        trainer = plain_trainer(tmp_path, dataset, recorder, save_strategy="steps", save_steps=3)
        trainer.train(**options)
        return Trace.load(tmp_path / "trace").values.copy()

    whole = train()
    again = train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-3"))
    assert np.array_equal(whole, again)
    with pytest.raises(FileExistsError, match="finished Trace"):
        train()


def test_what_callbacks_cannot_see_is_refused(tmp_path: Path) -> None:
    add_it = r"trainer.add_callback\(LossTrajectoryCallback\(trainer, ...\)\)"
    with pytest.raises(ValueError, match=f"mode='in_run'.*{add_it}"):
        LossTrajectoryCallback(output_dir=tmp_path / "trace", mode="in_run")
    text = make_dataset(num_rows=8)

    def sft(**options: Any) -> SFTTrainer:
        args = sft_args(tmp_path / "out")
        return SFTTrainer(
            model=tiny_model(), args=args, train_dataset=text, processing_class=word_tokenizer(), **options
        )

    with pytest.raises(ValueError, match=f"given to SFTTrainer without the trainer.*{add_it}"):
        sft(callbacks=[LossTrajectoryCallback(output_dir=tmp_path / "trace", dataset=text)])
    trainer = sft()
    trainer.add_callback(LossTrajectoryCallback(output_dir=tmp_path / "trace", dataset=text))
    with pytest.raises(ValueError, match="given to SFTTrainer without the trainer"):
        trainer.train()
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda rows: None, r"have no column 'example_id': pass the train_dataset here, too"),
        (lambda rows: rows.select(range(12)), "12 rows, of which 13 are trained on"),
        (lambda rows: rows.select(range(12, -1, -1)), "other rows, or rows in another order"),
        (lambda rows: rows.remove_columns("labels"), "no column 'labels'"),
        (lambda rows: rows.remove_columns("example_id"), "call dataset = hf_datasel.add_example_ids"),
    ],
    ids=["none", "fewer", "another order", "another column", "no ids"],
)
def test_another_dataset_than_the_one_trained_on_is_refused(tmp_path: Path, other: Any, message: str) -> None:
    dataset = token_rows()
    recorder = LossTrajectoryCallback(output_dir=tmp_path / "trace", dataset=other(dataset))
    with pytest.raises(ValueError, match=message):
        plain_trainer(tmp_path, dataset, recorder).train()
    assert not (tmp_path / "trace").exists()


def test_rows_that_are_no_dataset_are_refused(tmp_path: Path) -> None:
    dataset = add_example_ids(token_rows().remove_columns("example_id"))
    recorder = LossTrajectoryCallback(output_dir=tmp_path / "trace", dataset=dataset)
    rows = torch.utils.data.Subset(dataset, range(8))
    with pytest.raises(ValueError, match=r"are a Subset, not a datasets\.Dataset"):
        plain_trainer(tmp_path, rows, recorder, remove_unused_columns=False).train()

"""Online selection: of every batch the rows that a slow oracle would keep, and otherwise the training of old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trl import SFTTrainer

from hf_datasel import CLUESSelector, SelectingSFTTrainer, Trace
from hf_datasel.training.online import pick_rows
from tests.training.influence import oracle
from tests.training.influence.measuring import TOLERANCE
from tests.training.online_watcher import Watcher
from tests.training.selecting import anchor_rows, clues, lora, selecting, validation_rows, weights
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer

EVERYTHING = {"selection_method": "random", "selection_budget": 1.0}


def online(output_dir: Path, **options: Any) -> SelectingSFTTrainer:
    """Half of every batch of all rows, unless told otherwise."""
    return selecting(
        output_dir,
        **{"validation_dataset": validation_rows(), "selection_online_every": 1, **EVERYTHING, **options},
    )


def model_with_dropout() -> torch.nn.Module:
    """Dropout makes a disturbed random state visible in the weights."""
    model = tiny_model()
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1
    return model


@pytest.mark.parametrize(
    ("options", "share", "number"),
    [
        ({"peft_config": lora()}, 0.5, 2),
        ({"gradient_accumulation_steps": 3, "per_device_train_batch_size": 5}, 0.5, 3),
        ({"gradient_checkpointing": True}, 0.1, 1),
    ],
    ids=["lora", "accumulated", "checkpointed"],
)
def test_kept_are_the_rows_that_the_oracle_scores_highest(
    tmp_path: Path, options: dict[str, Any], share: float, number: int
) -> None:
    trainer = online(tmp_path, selection_online_share=share, num_train_epochs=1, logging_steps=1, **options)
    watcher = Watcher(trainer)
    trainer.train()
    gaps = [log["selection/online_gap"] for log in trainer.state.log_history if "selection/online_gap" in log]
    assert len(gaps) == len(watcher.steps) == trainer.state.global_step > 1
    for step, micro_batches in enumerate(watcher.steps):
        scores, size = watcher.scores[step], watcher.sizes[step]
        of_step = []
        for offered, kept in micro_batches:
            best = sorted(offered, key=lambda row: -scores[row])[: max(1, round(share * len(offered) + 1e-9))]
            assert kept == [row for row in offered if row in best]  # in their order
            rest = [scores[row] for row in offered if row not in best]
            mean = sum(scores[row] for row in kept) / len(kept)
            of_step.append(mean - sum(rest) / len(rest) if rest else 0.0)
            assert not rest or min(scores[row] for row in kept) - max(rest) > 2 * TOLERANCE * size  # no near tie
        assert gaps[step] == pytest.approx(sum(of_step) / len(of_step), abs=2 * TOLERANCE * size)
    assert {len(labels) for labels in watcher.num_labels[:-1]} == {number}


def test_losses_are_divided_by_the_labels_that_are_kept(tmp_path: Path) -> None:
    trainer = online(tmp_path, gradient_accumulation_steps=3)
    watcher = Watcher(trainer, score=False)
    trainer.train()
    sizes = [len(step) for step in watcher.steps]
    assert sizes == [3, 3] * 2
    done = 0
    for size in sizes:
        of_step = slice(done, done + size)
        assert set(watcher.num_items[of_step]) == {sum(map(sum, watcher.num_labels[of_step]))}
        done += size
    assert {len(labels) for labels in watcher.num_labels} == {2}


@pytest.mark.parametrize("adapted", [False, True])
def test_the_whole_share_is_plain_training(tmp_path: Path, adapted: bool) -> None:
    adapter = {"peft_config": lora(lora_dropout=0.2)} if adapted else {}
    trainer = online(tmp_path / "ours", model=model_with_dropout(), selection_online_share=1.0, **adapter)
    trainer.train()
    reference = SFTTrainer(
        model=model_with_dropout(), args=sft_args(tmp_path / "theirs"), train_dataset=make_dataset(),
        processing_class=word_tokenizer(), **adapter,
    )  # fmt: skip
    reference.train()
    assert torch.equal(weights(trainer), weights(reference))
    ours, theirs = (
        [{key: log[key] for key in ("loss", "grad_norm", "entropy", "num_tokens") if key in log} for log in logs]
        for logs in (trainer.state.log_history[1:], reference.state.log_history)
    )
    assert ours == theirs


def test_steps_between_those_that_are_due_train_on_everything(tmp_path: Path) -> None:
    trainer = online(tmp_path, selection_online_every=3)
    watcher = Watcher(trainer, score=False)
    trainer.train()
    assert [len(labels) for labels in watcher.num_labels] == [2, 4, 4] * 4


def test_a_run_that_resumes_mid_epoch_is_exact(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "selection_online_every": 2, "save_strategy": "steps", "save_steps": 1, "peft_config": lora(lora_dropout=0.2),
    }  # fmt: skip
    whole = online(tmp_path, **options)
    whole.train()
    for step in (3, 8):  # an epoch has 6
        again = online(tmp_path, **{**options, "save_strategy": "no"})
        again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert torch.equal(weights(again), weights(whole)), step


def test_after_a_selection_by_clues(tmp_path: Path) -> None:
    trainer = clues(
        tmp_path, selection_budget=None, anchor_dataset=anchor_rows(), selection_threshold="mean",
        selection_online_every=1, selection_parameters="qv",
    )  # fmt: skip
    watcher = Watcher(trainer, score=False)
    trainer.train()
    trace = Trace.load(tmp_path / "_selection_stage" / "trace")
    assert trainer.selection.ids.tolist() == CLUESSelector(threshold="mean").select(trace).ids.tolist()
    chosen = oracle.examples_of(trainer.selection.apply(make_dataset()), word_tokenizer())
    seen = {row for step in watcher.steps for offered, _ in step for row in offered}
    assert seen == {tuple(ids) for ids, _ in chosen}
    assert any("selection/online_gap" in log for log in trainer.state.log_history)


def test_evaluation_is_left_alone(tmp_path: Path) -> None:
    rows = make_dataset(num_rows=5, seed=9)
    trainer = online(tmp_path / "ours", eval_strategy="epoch", eval_dataset=rows, num_train_epochs=1)
    trainer.train()
    found = next(log for log in trainer.state.log_history if "eval_loss" in log)
    assert "eval_selection/online_gap" not in found
    reference = SFTTrainer(
        model=trainer.model, args=sft_args(tmp_path / "theirs"), train_dataset=make_dataset(), eval_dataset=rows,
        processing_class=word_tokenizer(),
    )  # fmt: skip
    assert reference.evaluate()["eval_loss"] == found["eval_loss"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"packing": True}, "selection_online_every takes rows out of batches, but packing and padding_free"),
        ({"padding_free": True, "max_length": None}, "selection_online_every takes rows out of batches"),
        ({"selection_online_every": 0}, "selection_online_every=0 must be at least 1"),
        ({"selection_online_share": 0.0}, r"selection_online_share=0.0 must lie in \(0, 1\]"),
        ({"selection_online_share": 1.5}, r"selection_online_share=1.5 must lie in"),
        ({"selection_online_share": float("nan")}, r"selection_online_share=nan must lie in"),
        ({"validation_dataset": None}, "selection_online_every holds gradients against trusted rows: pass"),
        ({"validation_dataset": make_dataset().select([7])}, "Row 0 of validation_dataset is also training example 7"),
        ({"selection_parameters": "lora"}, "parameters='lora' matches no parameter"),
        ({"torch_compile": True}, "torch_compile=True"),
    ],
)
def test_what_cannot_be_cut_is_refused(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        online(tmp_path, **options)


def test_a_model_that_diverged_is_named(tmp_path: Path) -> None:
    trainer = online(tmp_path)
    with torch.no_grad():
        trainer.model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        trainer.train()


def test_a_row_that_is_broken_is_named(tmp_path: Path) -> None:
    trainer = online(tmp_path)
    odd = next(iter({*range(6, 66)} - {token for row in validation_rows() for token in _ids(row)}))
    with torch.no_grad():
        trainer.model.model.embed_tokens.weight[odd] = torch.inf
    batch = trainer.data_collator([{"input_ids": [7, odd], "labels": [-100, 8]}, {"input_ids": [7], "labels": [7]}])
    with pytest.raises(ValueError, match=rf"at step 0 the gradient of row 0 .*begin with \[7, {odd}\]"):
        trainer._online.cut([batch])


def _ids(row: dict[str, str]) -> list[int]:
    return word_tokenizer()(row["prompt"] + row["completion"])["input_ids"]


def test_what_has_no_row_for_each_example_stays() -> None:
    batch = {
        "input_ids": torch.arange(6).view(3, 2),
        "scale": torch.tensor(2.0),
        "kind": "text",
        "four": torch.ones(4),
    }
    picked = pick_rows(batch, torch.tensor([0, 2]))
    assert picked["input_ids"].tolist() == [[0, 1], [4, 5]]
    assert {name: picked[name] is batch[name] for name in ("scale", "kind", "four")} == {
        "scale": True,
        "kind": True,
        "four": True,
    }

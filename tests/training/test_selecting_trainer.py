"""SelectingSFTTrainer: the same training as an SFTTrainer on the curated set, resumable, refusing what cannot work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl import SFTTrainer

from hf_datasel import RandomSelector, S2LSelector, Selection, Trace
from tests.training.selecting import selecting, weights
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


@pytest.mark.parametrize(
    "options",
    [{}, {"packing": True, "max_length": 24}, {"gradient_accumulation_steps": 2}, {"selection_mode": "in_run"}],
    ids=str,
)
def test_it_trains_as_sft_trainer_does_on_the_curated_set(tmp_path: Path, options: dict[str, Any]) -> None:
    trainer = selecting(tmp_path / "ours", proxy=tiny_model(seed=3), **options)
    trainer.train()
    assert len(trainer.selection) == 12
    plain = {name: value for name, value in options.items() if not name.startswith("selection")}
    reference = SFTTrainer(
        model=tiny_model(),
        args=sft_args(tmp_path / "theirs", **plain),
        train_dataset=trainer.selection.apply(make_dataset()),
        processing_class=word_tokenizer(),
    )
    reference.train()
    assert torch.equal(weights(trainer), weights(reference))
    saved = Selection.load(tmp_path / "ours" / "selection")
    np.testing.assert_array_equal(saved.ids, trainer.selection.ids)
    trace = Trace.load(tmp_path / "ours" / "_selection_stage" / "trace")
    np.testing.assert_array_equal(S2LSelector(budget=0.5, num_clusters=4).select(trace).ids, saved.ids)


def test_the_warm_up_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    trainer = selecting(tmp_path / "ours")
    trainer.train()
    reference = SFTTrainer(
        model=tiny_model(),
        args=sft_args(tmp_path / "theirs"),
        train_dataset=trainer.selection.apply(make_dataset()),
        processing_class=word_tokenizer(),
    )
    reference.train()
    assert torch.equal(weights(trainer), weights(reference))


@pytest.mark.parametrize("lora", [False, True])
def test_continuing_from_the_warm_up(tmp_path: Path, lora: bool) -> None:
    adapter = {"peft_config": LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")} if lora else {}
    trainer = selecting(tmp_path / "ours", selection_continue=True, **adapter)
    start = weights(trainer)
    trainer.train()
    warm = SFTTrainer(
        model=tiny_model(), args=sft_args(tmp_path / "warm"), train_dataset=make_dataset(),
        processing_class=word_tokenizer(), **adapter,
    )  # fmt: skip
    assert torch.equal(start, weights(warm))
    warm.train()
    second = selecting(tmp_path / "ours", selection_continue=True, **adapter)  # takes up the finished stage
    second._get_selection(None)
    assert torch.equal(weights(second), weights(warm))


def test_the_same_number_of_steps_as_on_everything(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, proxy=tiny_model(seed=3), selection_same_steps=True)
    trainer.train()
    assert trainer.state.global_step == 12  # 24 rows, batches of 4, 2 epochs


def test_metrics_checkpoints_and_evaluation(tmp_path: Path) -> None:
    evaluation = make_dataset(num_rows=5, seed=9)
    trainer = selecting(
        tmp_path, proxy=tiny_model(seed=3), save_strategy="steps", save_steps=2, eval_strategy="epoch",
        eval_dataset=evaluation,
    )  # fmt: skip
    trainer.train()
    first = trainer.state.log_history[0]
    assert first["selection/num_selected"] == 12
    assert first["selection/num_candidates"] == 24
    assert first["selection/share"] == 0.5
    assert len(trainer.eval_dataset) == 5
    for step in (2, 4, 6):
        inside = Selection.load(tmp_path / f"checkpoint-{step}" / "selection")
        np.testing.assert_array_equal(inside.ids, trainer.selection.ids)
    card = (tmp_path / "README.md").read_text()
    assert "SmallToLarge" in card
    assert "hf-datasel" in card


@pytest.mark.parametrize("every", [None, 1, 2])
def test_resume_is_exact(tmp_path: Path, every: int | None) -> None:
    options: dict[str, Any] = {
        "selection_every": every,
        "num_train_epochs": 4,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    whole = selecting(tmp_path, proxy=tiny_model(seed=3), **options)
    whole.train()
    renewed = sum("selection/overlap" in log for log in whole.state.log_history)
    assert renewed == {None: 0, 1: 3, 2: 1}[every]
    for step in (2, 3, 6, 7):  # 3 and 6 are ends of epochs, saved before the Selection is renewed
        again = selecting(tmp_path, proxy=tiny_model(seed=3), **{**options, "save_strategy": "no"})
        again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert torch.equal(weights(again), weights(whole)), step
        np.testing.assert_array_equal(again.selection.ids, whole.selection.ids)


def test_selecting_again_keeps_the_length_and_changes_the_rows(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, proxy=tiny_model(seed=3), selection_every=1, num_train_epochs=3)
    seen: list[list[int]] = []
    rows = {tuple(row["input_ids"]): row["example_id"] for row in trainer.train_dataset}
    inner = trainer.compute_loss

    def spy(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if trainer.state.epoch is not None and trainer.selection is not None:
            epoch = int(trainer.state.epoch)
            while len(seen) <= epoch:
                seen.append([])
            for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
                seen[epoch].append(rows[tuple(row[mask.bool()].tolist())])
        return inner(model, inputs, *args, **kwargs)

    trainer.compute_loss = spy
    trainer.train()
    assert [len(epoch) for epoch in seen] == [12, 12, 12]
    assert sorted(seen[2]) == trainer.selection.ids.tolist()
    assert trainer.selection.provenance[-1]["reselected_at_epoch"] == 2
    assert Trace.load(tmp_path / "_selection_stage" / "target_trace", partial=True).steps.tolist() == [3, 6]


def test_models_by_path_and_adapters(tmp_path: Path) -> None:
    for name, seed in (("target", 0), ("proxy", 3)):
        tiny_model(seed=seed).save_pretrained(tmp_path / name)
        word_tokenizer().save_pretrained(tmp_path / name)
    adapter = LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
    trainer = selecting(
        tmp_path / "out", model=str(tmp_path / "target"), proxy_model=str(tmp_path / "proxy"), peft_config=adapter,
        proxy_peft_config=adapter, processing_class=None, proxy_training_args={"num_train_epochs": 3},
    )  # fmt: skip
    trainer.train()
    trace = Trace.load(tmp_path / "out" / "_selection_stage" / "trace")
    assert trace.steps.tolist() == [6, 12, 18]
    assert len(trainer.selection) == 12
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "target")
    kept = trainer.model.get_base_model().model.layers[0].self_attn.k_proj.weight
    assert torch.equal(kept, base.model.layers[0].self_attn.k_proj.weight)


def test_strata_and_a_given_selection(tmp_path: Path) -> None:
    trainer = selecting(tmp_path / "one", proxy=tiny_model(seed=3), selection_strata_column="source")
    trainer.train()
    assert (trainer.selection.ids % 2 == 0).sum() == 6
    given = selecting(tmp_path / "two", selection_path=str(tmp_path / "one" / "selection"))
    given.train()
    assert torch.equal(weights(given), weights(trainer))
    assert not (tmp_path / "two" / "_selection_stage").exists()
    third = selecting(tmp_path / "three", selection=trainer.selection)
    third.train()
    assert torch.equal(weights(third), weights(trainer))


def test_random_needs_no_proxy(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, selection_method="random")
    trainer.train()
    wanted = RandomSelector(budget=0.5).select(make_dataset())
    np.testing.assert_array_equal(trainer.selection.ids, wanted.ids)
    assert not (tmp_path / "_selection_stage" / "trace").exists()


def test_a_dataset_without_ids_and_a_stream(tmp_path: Path) -> None:
    bare = make_dataset().remove_columns("example_id")
    trainer = selecting(tmp_path / "bare", bare, proxy=tiny_model(seed=3))
    trainer.train()
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in bare))
    stream = load_dataset("json", data_files=str(path), split="train", streaming=True, cache_dir=str(tmp_path / "c"))
    streamed = selecting(tmp_path / "stream", stream, proxy=tiny_model(seed=3), max_steps=12, num_train_epochs=1)
    streamed.train()
    assert len(streamed.selection) == 12


def test_rows_the_tokenizer_leaves_without_a_label_are_not_selected(tmp_path: Path) -> None:
    long = " ".join(["w1"] * 30) + " "
    dataset = make_dataset().map(lambda row: {"prompt": long} if row["example_id"] < 3 else {})
    trainer = selecting(tmp_path, dataset, proxy=tiny_model(seed=3), max_length=20, selection_budget=21)
    trainer.train()
    assert trainer.selection.ids.tolist() == list(range(3, 24))

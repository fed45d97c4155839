"""SelectingSFTTrainer by CLUES and its baselines: the training is an SFTTrainer's on what the selector keeps."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from trl import SFTTrainer

from hf_datasel import CLUESSelector, Selection, Trace
from hf_datasel.selectors import SELECTORS
from tests.training.selecting import anchor_rows, clues, lora, selecting, validation_rows, weights
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


def plain(output_dir: Path, dataset: Any, adapter: LoraConfig | None = None, **options: Any) -> SFTTrainer:
    """An SFTTrainer that has trained on these rows."""
    trainer = SFTTrainer(
        model=tiny_model(), args=sft_args(output_dir, **options), train_dataset=dataset,
        processing_class=word_tokenizer(), peft_config=adapter,
    )  # fmt: skip
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("adapted", "options", "selector"),
    [
        (False, {}, {}),
        (False, {"gradient_accumulation_steps": 2}, {}),
        (False, {"selection_mode": "in_run"}, {}),
        (False, {"packing": True, "max_length": 24}, {}),
        (True, {"selection_mode": "in_run", "selection_parameters": "lora"}, {}),
        (True, {"selection_options": {"weighting": "uniform"}}, {"weighting": "uniform"}),
    ],
    ids=str,
)
def test_it_warms_up_selects_and_trains_from_the_initial_weights(
    tmp_path: Path, adapted: bool, options: dict[str, Any], selector: dict[str, Any]
) -> None:
    trainer = clues(tmp_path / "ours", peft_config=lora() if adapted else None, **options)
    start = weights(trainer).clone()
    trainer.train()
    trace = Trace.load(tmp_path / "ours" / "_selection_stage" / "trace")
    wanted = CLUESSelector(budget=0.5, **selector).select(trace)
    assert trainer.selection.ids.tolist() == wanted.ids.tolist()
    assert len(wanted) == 12
    assert Selection.load(tmp_path / "ours" / "selection").ids.tolist() == wanted.ids.tolist()
    of_training = {name: value for name, value in options.items() if not name.startswith("selection")}
    reference = plain(tmp_path / "theirs", wanted.apply(make_dataset()), lora() if adapted else None, **of_training)
    assert torch.equal(weights(trainer), weights(reference))
    assert not torch.equal(weights(trainer), start)
    assert not (tmp_path / "ours" / "_selection_stage" / "proxy").exists()


@pytest.mark.parametrize("adapted", [False, True])
def test_going_on_from_the_warm_up(tmp_path: Path, adapted: bool) -> None:
    adapter = {"peft_config": lora()} if adapted else {}
    trainer = clues(tmp_path / "ours", selection_continue=True, **adapter)
    trainer.train()
    warm = plain(tmp_path / "warm", make_dataset(), adapter.get("peft_config"))
    reference = SFTTrainer(
        model=warm.model, args=sft_args(tmp_path / "theirs"),
        train_dataset=trainer.selection.apply(make_dataset()), processing_class=word_tokenizer(),
    )  # fmt: skip
    reference.train()
    assert torch.equal(weights(trainer), weights(reference))


def test_a_proxy_scores_in_the_models_place(tmp_path: Path) -> None:
    trainer = clues(tmp_path, proxy=tiny_model(seed=3), proxy_peft_config=lora(), proxy_training_args={"max_steps": 3})
    trainer.train()
    trace = Trace.load(tmp_path / "_selection_stage" / "trace")
    assert trace.steps.tolist() == [1, 2, 3]
    assert trace.info["num_parameters_scored"] == sum(
        parameter.numel() for name, parameter in trainer._proxy.named_parameters() if "lora" in name
    )


@pytest.mark.parametrize("threshold", [None, "mean", "quantile", "conformal", "f1", "0.002"])
def test_thresholds(tmp_path: Path, threshold: str | None) -> None:
    options = {} if threshold in ("0.002",) else {"anchor_dataset": anchor_rows()}
    trainer = clues(
        tmp_path, selection_budget=None, selection_threshold=threshold, selection_alpha=0.3, max_steps=3, **options
    )  # fmt: skip
    trainer.train()
    rule: Any = float(threshold) if threshold == "0.002" else threshold
    selector = CLUESSelector(threshold=rule, alpha=0.3)
    trace = Trace.load(tmp_path / "_selection_stage" / "trace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are few anchors
        assert trainer.selection.ids.tolist() == selector.select(trace).ids.tolist()
    details = trainer.selection.provenance[-1]["details"]
    assert details["rule"] == {None: "conformal", "0.002": "fixed"}.get(threshold, threshold)
    assert details["num_anchors"] == (50 if options else None)
    assert 0 < len(trainer.selection) <= 24
    assert trainer.state.log_history[0]["selection/num_selected"] == len(trainer.selection)


def test_a_threshold_that_keeps_nothing(tmp_path: Path) -> None:
    trainer = clues(tmp_path, selection_budget=None, selection_threshold="1e9", max_steps=3)
    with pytest.raises(ValueError, match=r"would keep no example: none scores at or above the threshold 1e\+09"):
        trainer.train()
    assert not (tmp_path / "selection").exists()
    assert Trace.load(tmp_path / "_selection_stage" / "trace").num_examples == 24


@pytest.mark.parametrize(
    ("method", "metric", "options", "goes_on"),
    [
        ("perplexity", "loss", {}, False),
        ("ifd", "ifd", {"selection_options": '{"cherry": true}'}, False),
        ("datainf", "datainf", {"validation_dataset": validation_rows()}, False),
        ("datainf", "datainf", {"validation_dataset": validation_rows()}, True),
    ],
)
def test_baselines(tmp_path: Path, method: str, metric: str, options: dict[str, Any], goes_on: bool) -> None:
    options = {"selection_method": method, "selection_budget": 6, "selection_continue": goes_on, **options}
    trainer = selecting(tmp_path / "ours", **options)
    trainer.train()
    trace = Trace.load(tmp_path / "ours" / "_selection_stage" / "trace")
    assert trace.metric == metric
    assert trace.steps[-1] == 12
    own = {"cherry": True} if method == "ifd" else {}
    wanted = SELECTORS[method](budget=6, **own).select(trace)
    assert trainer.selection.ids.tolist() == wanted.ids.tolist()
    start = plain(tmp_path / "warm", make_dataset()).model if goes_on else tiny_model()
    reference = SFTTrainer(
        model=start, args=sft_args(tmp_path / "theirs"), train_dataset=wanted.apply(make_dataset()),
        processing_class=word_tokenizer(),
    )  # fmt: skip
    reference.train()
    assert torch.equal(weights(trainer), weights(reference))


def test_a_selection_that_was_saved_needs_no_trusted_rows(tmp_path: Path) -> None:
    first = clues(tmp_path / "one")
    first.train()
    again = selecting(tmp_path / "two", selection_method="clues", selection_path=str(tmp_path / "one" / "selection"))
    again.train()
    assert torch.equal(weights(again), weights(first))
    assert not (tmp_path / "two" / "_selection_stage").exists()


def test_the_card_cites_the_method(tmp_path: Path) -> None:
    trainer = clues(tmp_path, max_steps=3, save_strategy="steps", save_steps=3)
    trainer.train()
    assert "CLUES" in (tmp_path / "README.md").read_text()


def test_a_resumed_run_takes_the_checkpoints_selection(tmp_path: Path) -> None:
    options: dict[str, Any] = {"peft_config": lora(lora_dropout=0.2), "save_strategy": "steps", "save_steps": 2}
    whole = clues(tmp_path, **options)
    whole.train()
    again = clues(tmp_path, **options)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert torch.equal(weights(again), weights(whole))
    np.testing.assert_array_equal(again.selection.ids, whole.selection.ids)

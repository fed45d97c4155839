"""A recording made for a selector holds what that selector reads, and what cannot be made is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel import CLUESSelector, GradientTraceCallback, S2LSelector, Trace, damaged
from hf_datasel.training.influence.answers import NUM_QUESTIONS
from hf_datasel.training.influence.wanted import wanted_contrasts, wanted_options
from tests.training.influence.runs import held_out, sft_trainer
from tests.training.influence.zoo import build

WEAKEST = CLUESSelector(
    budget=5, score="fused", detectors=("contrast_truncated", "contrast_shuffled", "pairing", "loss"), combine="min"
)


def record(folder: Path, **options: Any) -> Trace:
    trainer = sft_trainer(build("llama_tied"), folder / "out")
    trainer.add_callback(
        GradientTraceCallback(trainer, folder / "trace", num_checkpoints=1, **{**held_out(), **options})
    )
    trainer.train()
    return Trace.load(folder / "trace")


@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_what_is_recorded_for_a_selector_is_what_it_reads(tmp_path: Path, mode: str) -> None:
    trace = record(tmp_path / "ours", for_selector=WEAKEST, mode=mode)
    assert len(WEAKEST.select(trace)) == 5
    bad = {kind: damaged(held_out()["validation_dataset"], kind, 42) for kind in ("shuffled", "truncated")}
    by_hand = record(tmp_path / "theirs", norms=True, pairing=NUM_QUESTIONS, contrast_datasets=bad, mode=mode)
    assert trace.companions == by_hand.companions
    for name in trace.companions:
        np.testing.assert_array_equal(trace.companion(name).values, by_hand.companion(name).values)


def test_what_is_given_is_taken_as_it_is(tmp_path: Path) -> None:
    worse = damaged(held_out()["validation_dataset"], "mismatched")
    selector = CLUESSelector(threshold=-1e9, score="fused", detectors=("contrast_rude", "dot"))
    trace = record(tmp_path, for_selector=selector, contrast_datasets={"rude": worse}, pairing=2)
    assert {"contrast_rude", "pairing", "cosine"} <= set(trace.companions)
    assert trace.info["pairing"] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are few anchors
        assert len(selector.select(trace)) == trace.num_examples


@pytest.mark.parametrize(
    ("selector", "precondition", "options"),
    [
        (CLUESSelector(score="dot"), "none", {}),
        (CLUESSelector(score="length_normalised"), "adam", {}),
        (CLUESSelector(score="cosine"), "none", {"norms": True}),
        (WEAKEST, "adam", {"norms": True, "pairing": NUM_QUESTIONS}),
        (WEAKEST, "official", {"pairing": NUM_QUESTIONS}),
        (CLUESSelector(score="fused", detectors=("ifd", "loss")), "none", {"ifd": True}),
    ],
)
def test_options(selector: CLUESSelector, precondition: str, options: dict[str, Any]) -> None:
    assert wanted_options(selector, precondition) == options


def test_the_damage_is_that_of_the_selectors_seed() -> None:
    validation = held_out()["validation_dataset"]
    selector = CLUESSelector(score="fused", detectors=("contrast_shuffled",), seed=3)
    made = wanted_contrasts(selector, validation)
    assert made["shuffled"]["completion"][:] == damaged(validation, "shuffled", 3)["completion"][:]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"for_selector": S2LSelector(budget=3)}, TypeError, "such as CLUESSelector.*not S2LSelector: leave it out"),
        ({"for_selector": CLUESSelector}, TypeError, r"for_selector must be .*, not CLUESSelector: leave it out"),
        ({"for_selector": CLUESSelector(score="best")}, ValueError, "score='best'"),
        (
            {"for_selector": CLUESSelector(score="fused", detectors=("contrast_rude",))},
            ValueError,
            "CLUESSelector reads 'contrast_rude'.*no kind of damage .*contrast_datasets={'rude': ...}",
        ),
        (
            {"for_selector": WEAKEST, "validation_dataset": Dataset.from_dict({"text": ["w1 w2", "w3 w4"]})},
            ValueError,
            "'contrast_shuffled'.*made from validation_dataset.*needs columns 'prompt'.*score='cosine' or 'dot'",
        ),
        (
            {"for_selector": WEAKEST, "validation_dataset": [{"text": "w1"}]},
            TypeError,
            "validation_dataset must be a datasets.Dataset, not list",
        ),
    ],
)
def test_what_cannot_be_recorded_for_a_selector(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        record(tmp_path, **options)
    assert not (tmp_path / "trace").exists()

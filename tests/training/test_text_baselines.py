"""Selecting by texts or embeddings alone, in one call: what is recorded is what the recorders give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hf_datasel import BM25Selector, LongestSelector, OracleSelector, record_bm25, record_lengths, record_truth
from tests.training.selecting import selecting, validation_rows
from tests.training.tiny import make_dataset


@pytest.mark.parametrize("kind", ["prompt_completion", "messages"])
def test_bm25_is_recorded_against_the_validation_rows(tmp_path: Path, kind: str) -> None:
    rows = validation_rows() if kind == "prompt_completion" else make_dataset(kind, num_rows=5, seed=100)
    dataset = make_dataset(kind)
    trainer = selecting(
        tmp_path, dataset, selection_method="bm25", selection_budget=6, validation_dataset=rows, max_steps=1
    )
    trainer.train()
    wanted = BM25Selector(budget=6).select(record_bm25(dataset, rows))
    assert trainer.selection.ids.tolist() == wanted.ids.tolist()
    assert trainer.selection.scores.tolist() == wanted.scores.tolist()


def test_the_longest_answers_are_measured_in_characters(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, selection_method="longest", selection_budget=6, max_steps=1)
    trainer.train()
    wanted = LongestSelector(budget=6).select(record_lengths(make_dataset()))
    assert trainer.selection.ids.tolist() == wanted.ids.tolist()
    assert trainer.selection.scores.tolist() == [len(text) for text in make_dataset()["completion"]]


def test_what_a_column_says_is_good_is_drawn_by_an_oracle(tmp_path: Path) -> None:
    options: dict[str, Any] = {"column": "source", "good": "odd"}
    trainer = selecting(
        tmp_path, selection_method="oracle", selection_options=options, selection_budget=6, max_steps=1
    )
    trainer.train()
    wanted = OracleSelector(budget=6).select(record_truth(make_dataset(), **options))
    assert trainer.selection.ids.tolist() == wanted.ids.tolist()
    assert set(make_dataset().select(trainer.selection.ids)["source"]) == {"odd"}


def test_facilities_are_located_among_embeddings(tmp_path: Path) -> None:
    trainer = selecting(
        tmp_path, selection_method="facility_location", selection_embedder="bag", selection_budget=6, max_steps=1,
        selection_options={"similarity": "rbf"},
    )  # fmt: skip
    trainer.train()
    (step,) = trainer.selection.provenance
    assert (step["selector"], step["num_kept"], step["config"]["similarity"]) == ("facility_location", 6, "rbf")
    assert step["evidence"]["embedder"]["name"] == "bag of hashed words"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"selection_method": "bm25"}, "'bm25' keeps rows that share words with those of a target: pass"),
        (
            {"selection_method": "longest", "validation_dataset": validation_rows()},
            "'longest' does not read validation_dataset",
        ),
        (
            {"selection_method": "longest", "dataset": make_dataset().to_iterable_dataset(), "max_steps": 1},
            "selection_method='longest' needs rows that can be picked by number",
        ),
        ({"selection_method": "middle_perplexity", "selection_threshold": "1.0"}, "selection_threshold='1.0' cuts"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        selecting(tmp_path, **options)

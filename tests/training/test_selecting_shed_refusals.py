"""What SHED and its baselines refuse in SelectingSFTTrainer, by name, and before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.selecting import shed
from tests.training.tiny import make_dataset


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"validation_dataset": None}, ValueError, "selection_method='shed' asks how well.*pass validation_dataset="),
        (
            {"selection_method": "dsir", "validation_dataset": None},
            ValueError,
            "'dsir' draws rows.*pass validation_dataset=",
        ),
        (
            {"selection_method": "dataset_quantization"},
            ValueError,
            "'dataset_quantization' does not read validation_dataset",
        ),
        ({"selection_num_clusters": 25}, ValueError, "num_clusters=25 does not fit 24 rows: ask for 1 to 24"),
        (
            {"selection_estimator_options": '{"max_sharp": 0.5}'},
            ValueError,
            "'regression' has no option max_sharp, only .*'max_share'",
        ),
        ({"selection_estimator_options": "[1]"}, ValueError, r"estimator_options='?\[1\]'? is no JSON object"),
        (
            {"selection_estimator_options": {"stop_when_stable": {"top": 1}}},
            ValueError,
            "stop_when_stable of estimator_options has no option top, only .*'top_share'",
        ),
        ({"selection_estimator": "shaply"}, ValueError, "estimator='shaply' is none of .*'in_run'.*'regression'"),
        (
            {"selection_estimator": "exact", "selection_num_evaluations": 9},
            ValueError,
            "'exact' has no option num_evaluations",
        ),
        (
            {"selection_estimator": "in_run", "selection_num_evaluations": 9},
            ValueError,
            "num_evaluations is of fine-tunes, and the estimator 'in_run' does none: leave it out",
        ),
        ({"selection_coalitions_at_once": "many"}, ValueError, "coalitions_at_once='many' is neither a number nor"),
        ({"selection_continue": True}, ValueError, "selection_continue=True goes on from a training on all rows"),
        (
            {"selection_utility_objective": "worst_group"},
            ValueError,
            "selection_utility_objective='worst_group' is of groups: name .* in selection_group_column",
        ),
        ({"selection_every": 1}, ValueError, "selection_every selects again by losses"),
        (
            {"selection_method": "full", "validation_dataset": None, "selection_every": 1, "selection_budget": None},
            ValueError,
            "selection_every selects again",
        ),
        (
            {
                "selection_method": "full",
                "validation_dataset": None,
                "selection_strata_column": "source",
                "selection_budget": None,
            },
            ValueError,
            "selection_method='full' keeps everything: leave selection_strata_column out",
        ),
        (
            {"dataset": make_dataset().to_iterable_dataset(), "max_steps": 3},
            ValueError,
            "selection_method='shed' needs rows that can be picked by number, which a stream does not have",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        shed(tmp_path, **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"validation_dataset": make_dataset().select([3, 5])},
            ValueError,
            "Row 0 of validation_dataset is also training example 3",
        ),
        (
            {"selection_embedder": "sentence-transformers/all-MiniLM-L6-v2"},
            FileNotFoundError,
            "all-MiniLM-L6-v2' cannot be loaded.*hf download.*No other embedder is taken in its place",
        ),
        ({"selection_estimator": "paper"}, ValueError, "group_size=60 exceeds the 3 players"),
        ({"selection_budget": 25}, ValueError, "budget=25 .*24 candidates"),
    ],
    ids=str,
)
def test_a_stage_that_is_refused_leaves_no_selection(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        shed(tmp_path, **options)._get_selection(None)
    assert not (tmp_path / "selection").exists()
    assert not (tmp_path / "_selection_stage" / "valuation").exists()


def test_a_stage_of_other_options_is_refused(tmp_path: Path) -> None:
    options = {"selection_estimator": "exact"}
    shed(tmp_path, **options)._get_selection(None)
    changes = {"selection_num_clusters": 2, "selection_embedder": "model", "selection_utility_metric": "loss"}
    for name, value in changes.items():
        with pytest.raises(ValueError, match=r"another run \(other valuation\).*selection_overwrite=True"):
            shed(tmp_path, **{**options, name: value})._get_selection(None)
    shed(tmp_path, **options, selection_coalitions_at_once="4")._get_selection(None)  # nothing is done again

"""What a stage records for a method is what its callback records by hand; what cannot be recorded is refused first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from trl import SFTTrainer

from hf_datasel import GradientTraceCallback, OracleSelector, Trace, damaged
from hf_datasel.selectors import SELECTORS
from hf_datasel.training.evidence import metric_of
from hf_datasel.training.influence.answers import NUM_QUESTIONS
from hf_datasel.training.selectable import require_recordable
from hf_datasel.training.stage_proxy import StageProxy
from tests.training.selecting import anchor_rows, bare_rows, clues, lora, selecting, validation_rows
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


def options_named(value: Any) -> str:
    """A test's name: which options, not what they hold."""
    return "-".join(value) or "default" if isinstance(value, dict) else ""


FUSED = {"selection_score": "fused", "selection_seed": 7}


def test_every_method_names_the_metric_it_reads() -> None:
    assert {name: metric_of(selector(budget=1)) for name, selector in SELECTORS.items()} == {
        "bm25": "bm25",
        "clues": "influence",
        "datainf": "datainf",
        "dataset_quantization": "embeddings",
        "dsir": "dsir",
        "facility_location": "embeddings",
        "full": "none",
        "high_learnability": "loss",
        "ifd": "ifd",
        "least_confidence": "loss",
        "longest": "length",
        "middle_perplexity": "loss",
        "oracle": "clean",
        "perplexity": "loss",
        "random": "none",
        "s2l": "loss",
        "shed": "valuation",
    }


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (
            {"selection_low_rank": 2, "selection_parameters": "first_layer", "selection_score": "dot"},
            {"low_rank": 2, "parameters": "first_layer"},
        ),
        (
            {"selection_seed": 5},
            {
                "norms": True,
                "pairing": NUM_QUESTIONS,
                "contrast_datasets": {kind: damaged(validation_rows(), kind, seed=5) for kind in ("truncated",)},
            },
        ),
        (
            {"selection_group_column": "source", "selection_precondition": "adam", "selection_score": "cosine"},
            {"group_column": "source", "precondition": "adam", "norms": True},
        ),
        (
            {"selection_low_rank": 0.9, "selection_mode": "in_run", "selection_score": "cosine"},
            {"low_rank": 0.9, "mode": "in_run", "norms": True},
        ),
        (
            {
                **FUSED,
                "selection_options": {
                    "detectors": ["dot", "ifd", "pairing", "contrast_mismatched", "contrast_truncated"],
                    "combine": "min",
                },
            },
            {
                "norms": True,
                "ifd": True,
                "pairing": NUM_QUESTIONS,
                "contrast_datasets": {
                    kind: damaged(validation_rows(), kind, seed=7) for kind in ("mismatched", "truncated")
                },
            },
        ),
    ],
    ids=options_named,
)
def test_options_reach_the_callback(tmp_path: Path, options: dict[str, Any], wanted: dict[str, Any]) -> None:
    stage = clues(tmp_path / "stage", anchor_dataset=anchor_rows(), **options)
    stage._get_selection(None)
    trainer = SFTTrainer(
        model=tiny_model(), args=sft_args(tmp_path / "hand"), train_dataset=make_dataset(),
        processing_class=word_tokenizer(),
    )  # fmt: skip
    trainer.add_callback(
        GradientTraceCallback(
            trainer, tmp_path / "trace", validation_dataset=validation_rows(), anchor_dataset=anchor_rows(),
            num_checkpoints=3, tokens_per_batch=8192, **wanted,
        )
    )  # fmt: skip
    trainer.train()
    require_equal(Trace.load(tmp_path / "stage" / "_selection_stage" / "trace"), Trace.load(tmp_path / "trace"))


def require_equal(found: Trace, wanted: Trace) -> None:
    """The same values, and the same beside them."""
    assert found.info == wanted.info
    assert found.steps.tolist() == wanted.steps.tolist()
    np.testing.assert_array_equal(found.values, wanted.values)
    assert found.companions == wanted.companions
    for name in found.companions:
        require_equal(found.companion(name), wanted.companion(name))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"validation_dataset": None}, ValueError, "selection_method='clues' holds.*pass validation_dataset="),
        ({"selection_method": "datainf", "validation_dataset": None}, ValueError, "'datainf'.*validation_dataset="),
        ({"selection_budget": None}, ValueError, "CLUESSelector takes its threshold.*pass anchor_dataset="),
        ({"selection_threshold": "f1", "selection_budget": None}, ValueError, "anchor_dataset=.*selection_budget"),
        ({"selection_threshold": "best", "selection_budget": None}, ValueError, "threshold='best'"),
        ({"selection_method": "s2l"}, ValueError, "selection_method='s2l' does not read validation_dataset"),
        (
            {"selection_method": "s2l", "validation_dataset": None, "anchor_dataset": anchor_rows()},
            ValueError,
            "selection_method='s2l' does not read anchor_dataset",
        ),
        (
            {"selection_method": "s2l", "selection_threshold": "2", "validation_dataset": None},
            ValueError,
            "selection_threshold='?2.*selection_method='s2l'.*set selection_budget",
        ),
        (
            {
                "selection_method": "perplexity",
                "selection_threshold": "quantile",
                "selection_budget": None,
                "validation_dataset": None,
            },
            ValueError,
            "'perplexity' is recorded without anchors.*threshold='quantile'.*to a number, or selection_budget",
        ),
        ({"selection_method": "oracle"}, ValueError, "Trace of 'clean', which no training records.*pass selection="),
        (
            {"validation_dataset": [{"prompt": "a"}]},
            TypeError,
            "validation_dataset must be a datasets.Dataset, not list",
        ),
        ({"anchor_dataset": Dataset.from_dict({"text": []})}, ValueError, "anchor_dataset is empty"),
        ({"selection_every": 1}, ValueError, "selection_every selects again by losses.*selection_online_every"),
        (
            {"selection_strata_column": "source", "selection_budget": None, "selection_threshold": "1"},
            ValueError,
            "selection_strata_column='source' shares out a budget.*cuts at a threshold here: set selection_budget",
        ),
        ({"selection_options": {"num_clusters": 3}}, ValueError, "num_clusters is no hyperparameter of CLUESSelector"),
    ],
    ids=options_named,
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        clues(tmp_path, **options)
    assert not any(tmp_path.iterdir())


def test_an_oracle_is_selected_by_hand() -> None:
    with pytest.raises(ValueError, match="select with OracleSelector yourself and pass selection="):
        require_recordable(OracleSelector(budget=1), None, None)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"validation_dataset": make_dataset().select([3, 5])},
            "Row 0 of validation_dataset is also training example 3",
        ),
        ({"anchor_dataset": make_dataset().select([4])}, "Row 0 of anchor_dataset is also training example 4"),
        (
            {"validation_dataset": Dataset.from_dict({"question": ["w1"]}), "selection_score": "dot"},
            "of which SFTTrainer reads none",
        ),
        (
            {"validation_dataset": Dataset.from_dict({"text": ["w1 w2"]})},
            "needs columns 'prompt' and 'completion'.*Or select by gradients alone, with score='cosine' or 'dot'",
        ),
        (
            {"selection_threshold": "f1", "anchor_dataset": anchor_rows()},
            "budget=0.5 and threshold='f1': pass the one or the other",
        ),
        ({"selection_threshold": "nan", "selection_budget": None}, "threshold=nan"),
        ({"selection_options": {"weighting": "heavy"}}, "weighting='heavy'"),
        ({"selection_parameters": "no_such_layer"}, "parameters='no_such_layer' matches no parameter"),
        ({"selection_group_column": "language"}, "group_column='language' is not a column of validation_dataset"),
        ({"selection_mode": "in_run", "selection_precondition": "adam"}, "precondition='adam' needs second moments"),
        (
            {**FUSED, "selection_options": {"detectors": ["contrast_rotten"]}},
            r"reads 'contrast_rotten'.*no kind of damage \(mismatched, shuffled, truncated\).*name another detector",
        ),
    ],
    ids=options_named,
)
def test_a_stage_that_is_refused_leaves_its_marker_at_most(
    tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        clues(tmp_path, **options)._get_selection(None)
    assert not (tmp_path / "selection").exists()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"stage.json"}


def test_a_run_that_was_mended_may_go_on_in_the_same_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is also training example 3"):
        clues(tmp_path, validation_dataset=make_dataset().select([3, 5]))._get_selection(None)
    clues(tmp_path, selection_num_checkpoints=1, max_steps=1)._get_selection(None)
    with pytest.raises(ValueError, match=r"another run \(other held_out\)"):
        clues(tmp_path, selection_num_checkpoints=1, max_steps=1, anchor_dataset=anchor_rows())._get_selection(None)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"selection_parameters": "qv"}, "gradients"),
        ({"selection_score": "cosine"}, "selector"),
        ({"validation_dataset": bare_rows(6, seed=100)}, "held_out"),
        ({"anchor_dataset": anchor_rows()}, "held_out"),
        ({"peft_config": lora()}, "proxy"),
        ({"selection_num_checkpoints": 2}, "num_checkpoints"),
    ],
    ids=options_named,
)
def test_a_stage_of_other_settings_is_refused_unless_overwritten(
    stage_dir: Path, change: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=rf"another run \(other {part}\).*selection_overwrite=True"):
        clues(stage_dir, **change).train()


@pytest.fixture(scope="module")
def stage_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a stage was finished."""
    folder = tmp_path_factory.mktemp("stage")
    clues(folder)._get_selection(None)
    return folder


def test_overwriting_records_anew(tmp_path: Path) -> None:
    clues(tmp_path, selection_num_checkpoints=2)._get_selection(None)
    trainer = clues(tmp_path, selection_score="cosine", selection_overwrite=True)
    trainer._get_selection(None)
    assert "cosine" in Trace.load(tmp_path / "_selection_stage" / "trace").companions


def test_a_finished_stage_is_taken_up(stage_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace.load(stage_dir / "_selection_stage" / "trace")
    trainer = clues(stage_dir)
    monkeypatch.setattr(StageProxy, "make_trainer", None)  # nothing is to be trained
    assert trainer._get_selection(None).fingerprint == trace.fingerprint


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"selection_method": "random", "validation_dataset": None}, "selection_method='random'"),
        ({"selection_strata_column": "source"}, "selection_strata_column"),
    ],
    ids=options_named,
)
def test_a_stream_has_no_rows_to_pick(tmp_path: Path, options: dict[str, Any], option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} needs rows that can be picked by number, which a stream"):
        clues(tmp_path, dataset=make_dataset().to_iterable_dataset(), max_steps=3, **options)


def test_a_strata_column_that_is_not_there_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column 'colour'"):
        clues(tmp_path, selection_strata_column="colour")._get_selection(None)
    assert not any(tmp_path.iterdir())


def test_random_selection_needs_no_trusted_rows_but_online_does(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="selection_method='random' does not read validation_dataset"):
        selecting(tmp_path, selection_method="random", validation_dataset=validation_rows())
    with pytest.raises(ValueError, match=r"selection_online_every holds gradients.*pass validation_dataset="):
        selecting(tmp_path, selection_method="random", selection_online_every=1)

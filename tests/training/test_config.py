"""SelectingSFTConfig from a YAML file and from flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trl import TrlParser

from hf_datasel import CLUESSelector, S2LSelector, SelectingSFTConfig
from hf_datasel.training.links import make_selector
from tests.training.selecting import config

YAML = """\
output_dir: out
use_cpu: true
bf16: false
selection_method: clues
selection_threshold: {threshold}
selection_alpha: 0.2
selection_score: fused
selection_options:
  detectors: [cosine, contrast_mismatched]
  weights: [2, 1]
selection_low_rank: 2
proxy_training_args: {{num_train_epochs: 3}}
"""


def parsed(*arguments: str) -> SelectingSFTConfig:
    (args,) = TrlParser(SelectingSFTConfig).parse_args_and_config(list(arguments))
    return args


@pytest.mark.parametrize(("written", "threshold"), [("f1", "f1"), ("0.3", 0.3), ("-1", -1.0), ("1e9", 1e9)])
def test_yaml(tmp_path: Path, written: str, threshold: float | str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(YAML.format(threshold=written))
    args = parsed("--config", str(path))
    assert args.threshold == threshold
    assert args.budget is None
    assert args.low_rank == 2
    assert isinstance(args.low_rank, int)
    assert args.proxy_training_args == {"num_train_epochs": 3}
    assert make_selector(args) == CLUESSelector(
        threshold=threshold, alpha=0.2, score="fused", detectors=["cosine", "contrast_mismatched"], weights=[2, 1]
    )


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(YAML.format(threshold="f1"))
    options = json.dumps({"weighting": "uniform"})
    flags = ["--selection_threshold", "0.25", "--selection_options", options, "--selection_low_rank", "0.9"]
    args = parsed("--config", str(path), *flags, "--selection_score", "cosine")
    assert args.threshold == 0.25
    assert args.low_rank == 0.9
    assert make_selector(args) == CLUESSelector(threshold=0.25, alpha=0.2, score="cosine", weighting="uniform")


def test_what_a_config_says_of_itself_makes_it_again(tmp_path: Path) -> None:
    args = config(tmp_path, selection_method="clues", selection_options={"loss_at": "last"}, selection_low_rank=3)
    again = SelectingSFTConfig(**{k: v for k, v in json.loads(args.to_json_string()).items() if k in FIELDS})
    assert make_selector(again) == make_selector(args)
    assert again.low_rank == 3


FIELDS = [name for name in SelectingSFTConfig.__dataclass_fields__ if name.startswith("selection_")]
FIELDS += ["output_dir", "use_cpu", "bf16"]


@pytest.mark.parametrize(
    ("options", "selector"),
    [
        ({}, S2LSelector(budget=0.11)),
        ({"selection_budget": 40.0}, S2LSelector(budget=40)),
        ({"selection_method": "clues"}, CLUESSelector()),
        ({"selection_method": "clues", "selection_budget": 1.0}, CLUESSelector(budget=1.0)),
        ({"selection_options": {"num_iterations": 5}}, S2LSelector(budget=0.11, num_iterations=5)),
        ({"selection_options": '{"num_iterations": 5}'}, S2LSelector(budget=0.11, num_iterations=5)),
        ({"selection_seed": 3, "selection_options": {"seed": 4}}, S2LSelector(budget=0.11, seed=4)),
    ],
    ids=str,
)
def test_selectors(tmp_path: Path, options: dict[str, Any], selector: Any) -> None:
    args = SelectingSFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **options)
    assert make_selector(args) == selector


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"selection_options": {"num_cluster": 4}},
            r"selection_options: num_cluster is no hyperparameter.*num_clusters",
        ),
        ({"selection_options": [1]}, r"selection_options: \[1\] is no"),
        ({"selection_options": "plenty"}, "plenty"),
        ({"selection_method": "cleus"}, r"selection_method='cleus' is not known; choose one of \['bm25', 'clues'"),
        (
            {"selection_method": "random", "selection_threshold": "mean"},
            "cuts scores, which selection_method='random'",
        ),
    ],
    ids=str,
)
def test_what_makes_no_selector(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    args = SelectingSFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **options)
    with pytest.raises(ValueError, match=match):
        make_selector(args)

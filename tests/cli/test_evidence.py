"""SHED and its baselines from the command line: record, the command that comes next, and training in one call."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from hf_datasel import DSIRSelector, Embeddings, Selection, SHEDSelector, Trace, Valuation
from hf_datasel.cli import main
from tests.cli.conftest import TrustedFiles
from tests.cli.lines import TRAINING
from tests.conftest import TinyFiles

RECIPES = Path(__file__).parents[2] / "recipes"
OPTIONS = {"embedder": "bag", "num_clusters": 3, "estimator": "exact"}
LORA = ["--use_peft", "--lora_r", "4", "--lora_target_modules", "q_proj", "v_proj"]


def run(*line: object) -> None:
    assert main([str(part) for part in line]) == 0


def flags(prefix: str = "") -> list[str]:
    return [str(part) for name, value in OPTIONS.items() for part in (f"--{prefix}{name}", value)]


def next_command(out: str) -> list[str]:
    """The command that `record` says comes next."""
    (line,) = [line for line in out.splitlines() if line.startswith("next: hf-datasel ")]
    return line.split()[2:]


@pytest.fixture
def base(tiny_files: TinyFiles, tmp_path: Path) -> list[str]:
    """What every recording here is told."""
    places = ["--trace_dir", str(tmp_path / "evidence"), "--output_dir", str(tmp_path / "proxy")]
    return ["--dataset", str(tiny_files.data), *TRAINING, *places]


@pytest.mark.parametrize(
    ("metric", "options", "kind", "said"),
    [
        ("embeddings", ["--embedder", "bag"], Embeddings, "embedded 40 examples in 256 dimensions"),
        ("embeddings", ["--embedder=model", "model"], Embeddings, "embedded 40 examples in 16 dimensions"),
        ("dsir", ["trusted"], Trace, "weighed 40 examples"),
        ("bm25", ["trusted"], Trace, "scored 40 examples"),
        ("length", [], Trace, "measured 40 examples"),
        ("shapley", ["model", "trusted", *flags()], Valuation, "valued 3 clusters of 40 examples by 8 evaluations"),
        ("in_run_shapley", ["model", "trusted", "--max_steps", "5"], Trace, "recorded 40 examples x 1 checkpoint"),
        (
            "in_run_shapley",
            ["model", "trusted", "--max_steps=5", "--in_run_score=cosine"],
            Trace,
            "in_run_score cosine",
        ),
    ],
    ids=["bag", "model", "dsir", "bm25", "length", "shapley", "in_run", "cosines"],
)
def test_the_next_command_selects(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, base: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], failing: Callable[..., str], metric: str, options: list[str], kind: type,
    said: str,
) -> None:  # fmt: skip
    named = {
        "model": ["--model_name_or_path", str(tiny_files.model)],
        "trusted": ["--validation_dataset", str(trusted_files.validation)],
    }
    told = [part for option in options for part in named.get(option, [option])]
    line = ["record", "--metric", metric, *base, *told]
    run(*line)
    out = capsys.readouterr().out
    assert said in out
    evidence = kind.load(tmp_path / "evidence")
    assert evidence.ids.tolist() == list(range(40))
    run(*next_command(out), "--output_dir", tmp_path / "selection")
    assert len(Selection.load(tmp_path / "selection")) == 4
    assert "--overwrite" in failing(1, *line) or metric == "in_run_shapley"


def test_options_reach_the_selectors(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, base: list[str], tmp_path: Path
) -> None:
    named = ["--model_name_or_path", tiny_files.model, "--validation_dataset", trusted_files.validation]
    config = tmp_path / "record.yaml"
    config.write_text(json.dumps({"metric": "shapley", **OPTIONS, "estimator_options": {"value": "banzhaf"}}))
    run("record", *base, *named, "--config", config)
    valuation = Valuation.load(tmp_path / "evidence")
    assert valuation.info["estimator_config"]["value"] == "banzhaf"
    output = ["--output_dir", tmp_path / "selection", "--overwrite"]
    chosen = ["--sampling", "qwcs", "--cluster_weighting", "raw", "--sharpness", "3"]
    run("select", "--method", "shed", "--trace_dir", tmp_path / "evidence", "--budget", "7", *chosen, *output)
    wanted = SHEDSelector(budget=7, sampling="qwcs", weighting="raw", sharpness=3.0).select(valuation)
    found = Selection.load(tmp_path / "selection")
    assert found.provenance[0]["config"] == wanted.provenance[0]["config"]
    assert found.ids.tolist() == wanted.ids.tolist()
    run("record", "--metric", "dsir", *base, "--validation_dataset", trusted_files.validation, "--overwrite",
        "--trace_dir", tmp_path / "weights")  # fmt: skip
    run("select", "--method", "dsir", "--trace_dir", tmp_path / "weights", "--budget", "7", "--noise", "none", *output)
    wanted = DSIRSelector(budget=7, noise="none").select(Trace.load(tmp_path / "weights"))
    assert Selection.load(tmp_path / "selection").ids.tolist() == wanted.ids.tolist()
    run("select", "--method", "full", "--dataset", tiny_files.data, *output)
    assert len(Selection.load(tmp_path / "selection")) == 40


def test_train_in_one_call_and_by_three_commands_agree(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, base: list[str], tmp_path: Path
) -> None:
    data = ["--dataset", tiny_files.data, "--model_name_or_path", tiny_files.model, *TRAINING, *LORA]
    trusted = ["--validation_dataset", trusted_files.validation]
    one = tmp_path / "one"
    run(
        "train", *data, *trusted, "--output_dir", one, "--selection_method", "shed", "--selection_budget", "0.25",
        *flags("selection_"),
    )  # fmt: skip
    run("record", "--metric", "shapley", *data, *trusted, *flags(), "--trace_dir", tmp_path / "valuation",
        "--output_dir", tmp_path / "fine_tunes")  # fmt: skip
    by_hand = Valuation.load(tmp_path / "valuation")
    assert Valuation.load(one / "_selection_stage" / "valuation").values.tolist() == by_hand.values.tolist()
    run("select", "--method", "shed", "--trace_dir", tmp_path / "valuation", "--budget", "0.25",
        "--output_dir", tmp_path / "selection")  # fmt: skip
    two = tmp_path / "two"
    run("train", *data, "--output_dir", two, "--selection_path", tmp_path / "selection")
    adapters = [(folder / "adapter_model.safetensors").read_bytes() for folder in (one, two)]
    assert adapters[0] == adapters[1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--metric shapley --model_name_or_path m", "--metric shapley needs --validation_dataset"),
        ("--metric dsir", "--metric dsir needs --validation_dataset"),
        ("--metric bm25", "--metric bm25 needs --validation_dataset"),
        ("--metric length --validation_dataset v", "--metric length does not read --validation_dataset"),
        ("--metric shapley --validation_dataset v", "--model_name_or_path"),
        ("--metric embeddings --embedder model", "--model_name_or_path"),
        ("--metric shapley --validation_dataset v --estimator in_run", "pass --metric in_run_shapley"),
        (
            "--metric embeddings --num_clusters 3",
            "does not read --num_clusters: it is for shapley",
        ),
        ("--metric in_run_shapley --validation_dataset v --mode probe --norms", "does not read --norms"),
        ("--metric shapley --validation_dataset v --parameters qv", "does not read --parameters"),
        ("--model_name_or_path m --embedder bag", "--metric loss does not read --embedder: it is for shapley"),
    ],
)
def test_usage_errors(failing: Callable[..., str], line: str, expected: str) -> None:
    assert expected in failing(2, "record", "--dataset", "d", *line.split())


def test_what_is_refused_is_one_line(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, base: list[str], tmp_path: Path, failing: Callable[..., str]
) -> None:
    shapley = ["record", "--metric", "shapley", *base, "--model_name_or_path", tiny_files.model]
    trusted = ["--validation_dataset", trusted_files.validation]
    assert "num_clusters=50 does not fit 40 rows" in failing(
        1, *shapley, *trusted, "--embedder", "bag", "--num_clusters", "50"
    )
    assert "Row 0 of validation_dataset is also training example 0" in failing(
        1, *shapley, *flags(), "--validation_dataset", tiny_files.data
    )
    assert "hf download sentence-transformers/all-MiniLM-L6-v2" in failing(1, *shapley, *trusted)
    assert not (tmp_path / "evidence").exists()
    run("record", "--metric", "dsir", *base, *trusted)
    select = ["select", "--trace_dir", tmp_path / "evidence", "--budget", "3", "--output_dir", tmp_path / "selection"]
    assert "a Trace of the metric 'influence'" in failing(1, *select, "--method", "shed")
    assert "is not the manifest of a Embeddings" in failing(1, *select, "--method", "dataset_quantization")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("shed/*/*.yaml")), ids=lambda path: path.stem)
def test_recipes_are_what_their_command_reads(path: Path) -> None:
    parsed = import_module(f"hf_datasel.cli.{path.stem}").make_parser().parse(["--config", str(path)])
    assert parsed is not None


def test_there_is_a_recipe_for_every_command() -> None:
    assert {path.stem for path in RECIPES.glob("shed/*/*.yaml")} == {"record", "select", "train"}

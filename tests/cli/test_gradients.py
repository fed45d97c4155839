"""Recording by gradients and training on what they select, from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_datasel import CLUESSelector, Selection, Trace
from hf_datasel.cli import main
from tests.cli.conftest import TrustedFiles
from tests.cli.lines import TRAINING, record_line
from tests.conftest import TinyFiles

LORA = ["--use_peft", "--lora_r", "4", "--lora_target_modules", "q_proj", "v_proj"]


def run(*line: object) -> None:
    assert main([str(part) for part in line]) == 0


def trusted(files: TrustedFiles) -> list[str]:
    return ["--validation_dataset", str(files.validation), "--anchor_dataset", str(files.anchors)]


def next_command(out: str) -> list[str]:
    """The command that `record` says comes next."""
    (line,) = [line for line in out.splitlines() if line.startswith("next: hf-datasel ")]
    return line.split()[2:]


@pytest.fixture(scope="module")
def influence(tiny_files: TinyFiles, trusted_files: TrustedFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of an adapter's gradients with everything beside it."""
    root = tmp_path_factory.mktemp("influence")
    measures = "--metric influence --parameters lora --norms --contrasts mismatched truncated --ifd --pairing 2"
    groups = ["--group_column", "source", "--group_weights", json.dumps({"rare": 2, "common": 1}), "--low_rank", "2"]
    run(*record_line(tiny_files, root, *measures.split(), *groups, *trusted(trusted_files), *LORA))
    return root / "trace"


def test_record_measures_what_was_asked_for(tiny_files: TinyFiles, influence: Path) -> None:
    trace = Trace.load(influence)
    assert trace.metric == "influence"
    assert trace.steps.tolist() == [2, 4]
    assert {name: trace.info[name] for name in ("parameters", "norms", "ifd", "pairing", "low_rank")} == {
        "parameters": ["lora"],
        "norms": True,
        "ifd": True,
        "pairing": 2,
        "low_rank": 2,
    }
    assert trace.info["group_weights"] == {"rare": 2, "common": 1}
    assert trace.info["num_validation"] == 6
    beside = {"loss", "num_labels", "cosine", "ifd", "pairing", "contrast_mismatched", "contrast_truncated"}
    assert set(trace.companions) == {*beside, "anchors", "direction"}
    assert set(trace.companion("anchors").companions) == beside
    assert trace.companion("anchors").num_examples == 50
    assert np.isfinite(trace.values).all()
    assert (influence.parent / "proxy" / "adapter_model.safetensors").exists()


def test_record_from_yaml_equals_flags(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, influence: Path, tmp_path: Path
) -> None:
    config = tmp_path / "record.yaml"
    options = {
        "metric": "influence", "parameters": ["lora"], "norms": True, "contrasts": ["mismatched", "truncated"],
        "ifd": True, "pairing": 2, "group_column": "source", "group_weights": {"rare": 2, "common": 1}, "low_rank": 2,
        "use_peft": True, "lora_r": 4, "lora_target_modules": ["q_proj", "v_proj"],
    }  # fmt: skip
    config.write_text(json.dumps(options))
    run(*record_line(tiny_files, tmp_path, "--config", str(config), *trusted(trusted_files)))
    again, trace = Trace.load(tmp_path / "trace"), Trace.load(influence)
    assert again.info == trace.info
    np.testing.assert_array_equal(again.values, trace.values)


MEASURES = {
    "all that clues reads": (["influence"], {"contrast_truncated", "cosine", "pairing"}),
    "inner products": (["influence", "--dot_only"], set()),
    "cosines": (["influence", "--norms"], {"cosine"}),
    "nothing beside, in words": (["influence", "--norms", "false", "--pairing", "0"], set()),
    "ifd": (["ifd"], set()),
    "datainf": (["datainf"], set()),
}


@pytest.mark.parametrize("name", list(MEASURES))
def test_the_next_command_selects(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    failing: Callable[..., str], name: str,
) -> None:  # fmt: skip
    (metric, *options), beside = MEASURES[name]
    line = record_line(tiny_files, tmp_path, "--metric", metric, *options)
    if metric != "influence":  # measured once
        line = [part for part in line if part not in ("--num_checkpoints", "2")]
    if metric != "ifd":
        line += ["--validation_dataset", str(trusted_files.validation)]
    run(*line)
    trace = Trace.load(tmp_path / "trace")
    assert trace.metric == metric
    assert trace.num_checkpoints == (2 if metric == "influence" else 1)
    assert trace.ids.tolist() == list(range(tiny_files.num_rows))
    assert set(trace.companions) - {"loss", "num_labels", "direction"} == beside
    run(*next_command(capsys.readouterr().out), "--output_dir", tmp_path / "selection")
    assert 0 < len(Selection.load(tmp_path / "selection")) < tiny_files.num_rows
    assert "finished Trace" in failing(1, *line)
    run(*line, "--overwrite")


def test_anchors_suggest_a_threshold(
    tiny_files: TinyFiles, influence: Path, trusted_files: TrustedFiles, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    line = record_line(tiny_files, tmp_path, "--metric", "influence", *trusted(trusted_files), "--mode", "in_run")
    run(*[part for part in line if part not in ("--num_checkpoints", "2")])
    command = next_command(capsys.readouterr().out)
    assert command[-2:] == ["--threshold", "conformal"]


def test_record_and_select_fit_together_without_an_option(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, tmp_path: Path
) -> None:
    run(*record_line(tiny_files, tmp_path, "--metric", "influence", *trusted(trusted_files), *LORA))
    run("select", "--trace_dir", tmp_path / "trace", "--method", "clues", "--output_dir", tmp_path / "selection")
    expected = CLUESSelector().select(Trace.load(tmp_path / "trace"))
    assert Selection.load(tmp_path / "selection").ids.tolist() == expected.ids.tolist()


def test_plain_text_has_no_answers(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, tmp_path: Path, failing: Callable[..., str]
) -> None:
    text = tmp_path / "text.jsonl"
    text.write_text('{"text": "one two"}\n')
    line = record_line(tiny_files, tmp_path, "--metric", "influence", "--validation_dataset", str(text))
    assert "pass --norms (for --score cosine) or --dot_only" in failing(2, *line)
    assert "--dot_only records nothing beside inner products: leave out --ifd" in failing(
        2, *line, "--dot_only", "--ifd"
    )


def test_train_in_one_call_and_by_three_commands_agree(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, tmp_path: Path
) -> None:
    base = ["--dataset", tiny_files.data, "--model_name_or_path", tiny_files.model, *TRAINING, *LORA]
    one = tmp_path / "one"
    run(
        "train", *base, *trusted(trusted_files), "--output_dir", one, "--selection_method", "clues",
        "--selection_threshold", "mean", "--selection_score", "cosine", "--selection_num_checkpoints", "2",
        "--selection_options", json.dumps({"weighting": "uniform"}),
    )  # fmt: skip
    line = record_line(tiny_files, tmp_path, "--metric", "influence", "--norms", *trusted(trusted_files), *LORA)
    run(*line)
    trace = Trace.load(tmp_path / "trace")
    np.testing.assert_array_equal(trace.values, Trace.load(one / "_selection_stage" / "trace").values)
    run(
        "select", "--trace_dir", tmp_path / "trace", "--method", "clues", "--threshold", "mean", "--score", "cosine",
        "--weighting", "uniform", "--output_dir", tmp_path / "selection",
    )  # fmt: skip
    selector = CLUESSelector(threshold="mean", score="cosine", weighting="uniform")
    chosen = selector.select(trace).ids.tolist()
    assert 0 < len(chosen) < tiny_files.num_rows
    assert (
        Selection.load(tmp_path / "selection").ids.tolist() == Selection.load(one / "selection").ids.tolist() == chosen
    )
    two = tmp_path / "two"
    run("train", *base, "--output_dir", two, "--selection_path", tmp_path / "selection")
    adapters = [(folder / "adapter_model.safetensors").read_bytes() for folder in (one, two)]
    assert adapters[0] == adapters[1]


def test_train_online(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        "train", "--dataset", tiny_files.data, "--model_name_or_path", tiny_files.model, *TRAINING, "--output_dir",
        tmp_path / "out", "--selection_method", "random", "--selection_budget", "1.0", "--selection_online_every", "1",
        "--selection_online_share", "0.25", "--validation_dataset", trusted_files.validation, "--logging_steps", "1",
    )  # fmt: skip
    out = capsys.readouterr().out
    assert "trained on 40 of 40 examples for 4 steps" in out
    assert "selection/online_gap" in out


def test_what_is_wrong_with_trusted_rows_is_one_line(
    tiny_files: TinyFiles, trusted_files: TrustedFiles, tmp_path: Path, failing: Callable[..., str]
) -> None:
    line = record_line(tiny_files, tmp_path, "--metric", "influence")
    assert "--validation_dataset no.jsonl: there is no such file" in failing(
        1, *line, "--validation_dataset", "no.jsonl"
    )
    known = [*line, "--validation_dataset", trusted_files.validation]
    (tmp_path / "empty.csv").write_text("")
    assert "--anchor_dataset" in failing(1, *known, "--anchor_dataset", tmp_path / "empty.csv")
    splits = datasets.DatasetDict(
        {"gold": datasets.load_dataset("json", data_files=str(trusted_files.anchors))["train"]}
    )
    splits.save_to_disk(tmp_path / "splits")
    message = failing(1, *known, "--anchor_dataset", tmp_path / "splits")
    assert "no split 'train': choose --anchor_split from gold" in message
    assert "is also training example 0 (the same tokens)" in failing(1, *line, "--validation_dataset", tiny_files.data)
    assert "kind='rotten' must be one of" in failing(1, *known, "--contrasts", "rotten")
    assert "parameters='qqq' matches no parameter" in failing(1, *known, "--parameters", "qqq")
    assert not (tmp_path / "trace").exists()
    train = [
        "train",
        "--dataset",
        tiny_files.data,
        "--model_name_or_path",
        tiny_files.model,
        *TRAINING,
        "--output_dir",
    ]
    train += [tmp_path / "out", "--selection_method", "clues"]
    assert "pass validation_dataset=" in failing(1, *train)
    assert "pass anchor_dataset=" in failing(1, *train, "--validation_dataset", trusted_files.validation)


def test_a_measurement_that_was_cut_short_is_made_anew(tiny_files: TinyFiles, tmp_path: Path) -> None:
    Trace.create(tmp_path / "trace", range(tiny_files.num_rows), metric="ifd")
    line = record_line(tiny_files, tmp_path, "--metric", "ifd")
    run(*[part for part in line if part not in ("--num_checkpoints", "2")])
    assert Trace.load(tmp_path / "trace").complete

"""Every command end to end on a tiny model."""

import json
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_datasel import Selection, Trace
from hf_datasel.cli import main
from tests.cli.lines import TRAINING, record_line
from tests.conftest import TinyFiles


def test_record_writes_a_complete_trace_and_the_proxy(tiny_files: TinyFiles, recorded: Path) -> None:
    trace = Trace.load(recorded)
    assert trace.ids.tolist() == list(range(tiny_files.num_rows))
    assert trace.steps.tolist() == [2, 4]
    assert np.isfinite(trace.values).all()
    assert (recorded.parent / "proxy" / "model.safetensors").exists()


def test_record_from_yaml_equals_flags(tiny_files: TinyFiles, recorded: Path, tmp_path: Path) -> None:
    line = record_line(tiny_files, tmp_path)[1:]
    line.remove("--use_cpu")
    options = dict(zip((flag[2:] for flag in line[::2]), line[1::2], strict=True))
    config = tmp_path / "record.yaml"
    config.write_text(
        json.dumps({**options, "use_cpu": True, "learning_rate": "never used"}).replace('"never used"', "9")
    )
    assert main(["record", f"--config={config}", "--learning_rate", "1e-2"]) == 0
    np.testing.assert_array_equal(Trace.load(tmp_path / "trace").values, Trace.load(recorded).values)


@pytest.mark.parametrize("ending", ["", ".jsonl", ".parquet"])
def test_select_writes_selection_and_curated_dataset(
    tiny_files: TinyFiles, recorded: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    curated = tmp_path / f"curated{ending}"
    line = ["select", "--trace_dir", recorded, "--budget", "0.25", "--num_clusters", "4", "--dataset", tiny_files.data]
    line += ["--output_dir", tmp_path / "selection", "--curated_dir", curated, "--strata_column", "source"]
    assert main([str(part) for part in line]) == 0
    selection = Selection.load(tmp_path / "selection")
    assert len(selection) == 10
    if ending:
        reader = {".jsonl": "json", ".parquet": "parquet"}[ending]
        rows = datasets.load_dataset(reader, data_files=str(curated), split="train")
    else:
        rows = datasets.load_from_disk(str(curated))
    assert rows["example_id"] == selection.ids.tolist()
    source = [json.loads(text) for text in tiny_files.data.read_text().splitlines()]
    assert rows["prompt"] == [source[i]["prompt"] for i in selection.ids]
    assert "kept 10 of 40 examples" in capsys.readouterr().out


def test_select_takes_a_number_and_random_needs_no_trace(tiny_files: TinyFiles, tmp_path: Path) -> None:
    line = ["select", "--method", "random", "--budget", "7", "--dataset", tiny_files.data, "--output_dir"]
    assert main([str(part) for part in (*line, tmp_path / "a")]) == 0
    assert main([str(part) for part in (*line, tmp_path / "b", "--seed", "7")]) == 0
    first, second = Selection.load(tmp_path / "a"), Selection.load(tmp_path / "b")
    assert len(first) == len(second) == 7
    assert first.ids.tolist() != second.ids.tolist()


def test_a_curated_directory_is_a_dataset_to_record_again(
    tiny_files: TinyFiles, recorded: Path, tmp_path: Path
) -> None:
    select = ["select", "--trace_dir", recorded, "--budget", "20", "--num_clusters", "4", "--dataset", tiny_files.data]
    outputs = ["--output_dir", tmp_path / "selection", "--curated_dir", tmp_path / "curated"]
    assert main([str(part) for part in select + outputs]) == 0
    curated = tiny_files._replace(data=tmp_path / "curated")
    assert main(record_line(curated, tmp_path / "again")) == 0
    assert Trace.load(tmp_path / "again" / "trace").ids.tolist() == Selection.load(tmp_path / "selection").ids.tolist()


def test_train_in_one_call_and_from_a_selection_agree(tiny_files: TinyFiles, tmp_path: Path) -> None:
    base = ["train", "--dataset", tiny_files.data, "--model_name_or_path", tiny_files.model, *TRAINING]
    one_call = ["--output_dir", tmp_path / "one", "--proxy_model", tiny_files.model, "--selection_budget", "0.25"]
    one_call += ["--selection_num_clusters", "4", "--selection_num_checkpoints", "2"]
    assert main([str(part) for part in base + one_call]) == 0
    again = ["--output_dir", tmp_path / "two", "--selection_path", tmp_path / "one" / "selection"]
    assert main([str(part) for part in base + again]) == 0
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("one", "two")]
    assert weights[0] == weights[1]
    assert len(Selection.load(tmp_path / "one" / "selection")) == 10


def test_quickstart_leaves_everything_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], failing: Callable[..., str]
) -> None:
    line = ["quickstart", "--smoke", "--num_seeds", "1", "--num_workers", "1", "--num_rows", "400"]
    line += ["--output_dir", str(tmp_path / "out")]
    assert main(line) == 0
    assert "macro average" in capsys.readouterr().out
    assert Trace.load(tmp_path / "out" / "trace").num_examples == 400
    kept = Selection.load(tmp_path / "out" / "selection")
    assert datasets.load_from_disk(tmp_path / "out" / "curated")["example_id"] == kept.ids.tolist()
    assert (tmp_path / "out" / "report.md").exists()
    assert "differs from this one" in failing(1, *line, "--seed", "7")

"""The command line: every command end to end on a tiny model, and what it says when it is used wrongly."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_datasel import Selection, Trace
from hf_datasel.cli import COMMANDS, main
from tests.conftest import TinyFiles

# Small enough for a test, and the same answer on every machine.
TRAINING = (
    "--use_cpu --bf16 false --gradient_checkpointing false --max_steps 4 --per_device_train_batch_size 8 "
    "--learning_rate 1e-2 --report_to none --save_strategy no"
).split()


@pytest.fixture(scope="module")
def recorded(tiny_files: TinyFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace that `hf-datasel record` wrote."""
    root = tmp_path_factory.mktemp("recorded")
    assert main(record_line(tiny_files, root)) == 0
    return root / "trace"


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line that must fail with `code` and one line of error; returns that line."""

    def run(code: int, *args: str) -> str:
        assert main([str(arg) for arg in args]) == code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        errors = [line for line in captured.err.splitlines() if ": error: " in line]
        assert len(errors) == 1
        return errors[0].split(": error: ", 1)[1]

    return run


def record_line(tiny_files: TinyFiles, root: Path, *more: str) -> list[str]:
    named = ("--dataset", tiny_files.data, "--model_name_or_path", tiny_files.model)
    places = ("--trace_dir", root / "trace", "--output_dir", root / "proxy", "--num_checkpoints", 2)
    return ["record", *map(str, (*named, *places)), *TRAINING, *more]


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


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_own_options_first_and_all_on_request(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "119")
    assert main([command, "--help"]) == 0
    short = capsys.readouterr().out
    assert main([command, "--help-all"]) == 0
    full = capsys.readouterr().out
    assert short.startswith(f"usage: hf-datasel {command} ")
    assert max(map(len, short.splitlines())) <= 119
    assert len(short.splitlines()) < 90
    assert "--help-all" in short
    if command in ("record", "train"):
        assert "--adam_beta2" in full
        assert "--adam_beta2" not in short
        assert short.index("--dataset ") < short.index("--learning_rate")


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command}" in text for command in COMMANDS)


def test_module_entry_point_and_only_rank_0_prints() -> None:
    def output(rank: str) -> str:
        line = [sys.executable, "-m", "hf_datasel", "--help"]
        return subprocess.run(line, env={"RANK": rank}, capture_output=True, text=True, check=True).stdout

    assert output("0").startswith("usage: hf-datasel")
    assert output("1") == ""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_unknown_yaml_key_names_key_file_and_match(tmp_path: Path, failing: Callable[..., str]) -> None:
    config = write(tmp_path / "select.yaml", "budgt: 0.1\n")
    message = failing(2, "select", "--config", config)
    assert "'budgt'" in message
    assert str(config) in message
    assert "did you mean budget" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num_clusters: ten\n", "num_clusters: 'ten' is not a valid int"),
        ("num_clusters: 2.5\n", "num_clusters: 2.5 is not a valid int"),
        ("overwrite: perhaps\n", "overwrite: 'perhaps' is not a valid true/false"),
        ("method: s3l\n", "method: 's3l' is not one of random, s2l"),
        ("- budget\n", "must contain a YAML mapping"),
        ("budget: [\n", "select.yaml"),
    ],
)
def test_bad_yaml_values(tmp_path: Path, failing: Callable[..., str], text: str, expected: str) -> None:
    assert expected in failing(2, "select", "--config", write(tmp_path / "select.yaml", text))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("select --config nowhere.yaml", "nowhere.yaml: there is no such file"),
        ("select --config", "--config needs the path"),
        ("select --config a.yaml --config=b.yaml", "--config is given twice"),
        ("select --bugdet 3", "did you mean --budget"),
        ("select --budg 3", "unknown option --budg;"),
        ("select surplus", "unexpected argument 'surplus'"),
        ("select --num_clusters ten", "invalid int value: 'ten'"),
        ("select --trace_dir t", "--budget"),
        ("select --budget many --trace_dir t", "'many' is neither a number of examples"),
        ("select --budget 3", "--method s2l needs --trace_dir"),
        ("select --budget 3 --method random", "needs --dataset"),
        ("select --budget 3 --trace_dir t --curated_dir c", "--curated_dir needs --dataset"),
        ("select --budget 3 --trace_dir t --dataset d.csv --curated_dir same --output_dir same", "a place each"),
        ("record --trace_dir t", "--model_name_or_path"),
        ("record --model_name_or_path m", "--dataset"),
        ("train --dataset d.jsonl", "--model_name_or_path"),
        ("slect", "there is no command 'slect'"),
    ],
)
def test_usage_errors(failing: Callable[..., str], line: str, expected: str) -> None:
    assert expected in failing(2, *line.split())


@pytest.mark.parametrize(("budget", "named"), [("0", "budget=0"), ("-3", "budget=-3"), ("41", "41"), ("nan", "nan")])
def test_budget_out_of_range(
    recorded: Path, tmp_path: Path, failing: Callable[..., str], budget: str, named: str
) -> None:
    line = ("select", "--trace_dir", recorded, f"--budget={budget}", "--output_dir", tmp_path / "selection")
    message = failing(1, *line)
    assert "budget" in message
    assert named in message
    assert not (tmp_path / "selection").exists()


def test_missing_trace(tmp_path: Path, failing: Callable[..., str]) -> None:
    message = failing(1, "select", "--trace_dir", tmp_path / "none", "--budget", "3", "--output_dir", tmp_path / "s")
    assert str(tmp_path / "none") in message


def test_trace_of_another_dataset(
    tiny_files: TinyFiles, recorded: Path, tmp_path: Path, failing: Callable[..., str]
) -> None:
    lines = tiny_files.data.read_text().splitlines(keepends=True)
    other = write(tmp_path / "other.jsonl", "".join(reversed(lines)))
    line = ("select", "--trace_dir", recorded, "--budget", "3", "--dataset", other, "--output_dir", tmp_path / "s")
    assert "belongs to another dataset" in failing(1, *line)
    assert not (tmp_path / "s").exists()


def test_existing_outputs_are_left_alone(
    tiny_files: TinyFiles, recorded: Path, tmp_path: Path, failing: Callable[..., str]
) -> None:
    kept = write(tmp_path / "curated.jsonl", "mine\n")
    line = ["select", "--trace_dir", recorded, "--budget", "9", "--num_clusters", "4", "--dataset", tiny_files.data]
    line += ["--output_dir", tmp_path / "selection", "--curated_dir", kept]
    assert "--overwrite" in failing(1, *line)
    assert kept.read_text() == "mine\n"
    assert not (tmp_path / "selection").exists()
    assert main([str(part) for part in (*line, "--overwrite")]) == 0
    assert len(kept.read_text().splitlines()) == 9
    assert "finished Trace" in failing(1, *record_line(tiny_files, recorded.parent))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("rows.jsonl", '{"prompt": 1}\nnot json\n', "could not be read"),
        ("empty.jsonl", "", "is empty"),
        ("headers.csv", "prompt,completion\n", "could not be read"),
        ("rows.txt", "words\n", "'.txt' is none of"),
    ],
)
def test_datasets_that_cannot_be_read(
    tmp_path: Path, failing: Callable[..., str], name: str, text: str, expected: str
) -> None:
    data = write(tmp_path / name, text)
    message = failing(1, "select", "--method", "random", "--budget", "1", "--dataset", data)
    assert expected in message
    assert name in message


def test_dataset_that_is_not_there(tmp_path: Path, failing: Callable[..., str]) -> None:
    line = ("select", "--method", "random", "--budget", "1", "--dataset")
    assert "there is no such file" in failing(1, *line, tmp_path / "rows.jsonl")
    assert "owner/absent" in failing(1, *line, "owner/absent")


def test_split_that_is_not_there(tmp_path: Path, failing: Callable[..., str]) -> None:
    datasets.DatasetDict({"first": datasets.Dataset.from_dict({"text": ["a"]})}).save_to_disk(tmp_path / "splits")
    message = failing(1, "select", "--method", "random", "--budget", "1", "--dataset", tmp_path / "splits")
    assert "no split 'train': choose --dataset_split from first" in message


def test_debug_prints_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select", "--budget", "3", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err

"""What the command line says when it is used wrongly: one line with the way out, and nothing half-written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from hf_datasel.cli import main
from hf_datasel.cli.rows import require_texts
from hf_datasel.selectors import SELECTORS
from tests.cli.lines import TRAINING, record_line
from tests.conftest import TinyFiles


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
        ("method: s3l\n", f"--method='s3l' is not known; choose one of ['{min(SELECTORS)}'"),
        ("variant: mine\n", "variant: 'mine' is not one of paper, official"),
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
        ("select --method s2l --threshold 1 --trace_dir t", "no --threshold: pass --budget"),
        ("select --method clues --threshold 1 --budget 3 --trace_dir t", "both given"),
        ("select --method ifd --trace_dir t", "--method ifd needs --budget or --threshold"),
        ("select --method clues --threshold high --trace_dir t", "neither a number nor one of mean, quantile"),
        ("select --method clues --score norm --trace_dir t", "invalid choice: 'norm'"),
        ("select --budget 3 --method random", "needs --dataset"),
        ("select --budget 3 --trace_dir t --curated_dir c", "--curated_dir needs --dataset"),
        ("select --budget 3 --trace_dir t --dataset d.csv --curated_dir same --output_dir same", "a place each"),
        ("record --trace_dir t", "--model_name_or_path"),
        ("record --model_name_or_path m", "--dataset"),
        ("record --model_name_or_path m --dataset d --metric magic", "invalid choice: 'magic'"),
        ("record --model_name_or_path m --dataset d --metric influence", "influence needs --validation_dataset"),
        ("record --model_name_or_path m --dataset d --metric datainf", "datainf needs --validation_dataset"),
        ("record --model_name_or_path m --dataset d --norms", "loss does not read --norms: it is for influence"),
        (
            "record --model_name_or_path m --dataset d --validation_dataset v",
            "it is for influence, in_run_shapley, shapley, dsir, bm25, datainf",
        ),
        (
            "record --model_name_or_path m --dataset d --metric datainf --validation_dataset v --anchor_dataset a",
            "--metric datainf does not read --anchor_dataset: it is for influence",
        ),
        ("record --model_name_or_path m --dataset d --metric ifd --num_checkpoints 3", "it is for loss, influence"),
        ("record --model_name_or_path m --dataset d --metric influence --group_weights en=1", "'en=1' is no JSON"),
        (
            "record --model_name_or_path m --dataset d --metric influence --group_weights [1]",
            "'[1]' is no JSON object",
        ),
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


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{"question": "a", "answer": "b"}', "has the columns question, answer, but training reads prompt"),
        ('{"prompt": 1, "completion": "b"}', "column prompt is of int64, not text"),
        ('{"prompt": "a", "completion": null}', "column completion is of null, not text"),
    ],
)
def test_rows_that_cannot_be_trained_on(
    tiny_files: TinyFiles, tmp_path: Path, failing: Callable[..., str], row: str, expected: str
) -> None:
    data = write(tmp_path / "rows.jsonl", f"{row}\n" * 9)
    message = failing(1, *record_line(tiny_files._replace(data=data), tmp_path))
    assert expected in message
    assert f"--dataset {data}" in message
    train = ("train", "--dataset", data, "--model_name_or_path", tiny_files.model, *TRAINING, "--output_dir", tmp_path)
    assert expected in failing(1, *train)


def test_a_row_without_a_text_is_named(tiny_files: TinyFiles, tmp_path: Path, failing: Callable[..., str]) -> None:
    rows = ['{"text": "red"}', '{"text": "blue"}', '{"text": null}']
    data = write(tmp_path / "rows.jsonl", "\n".join(rows))
    message = failing(1, *record_line(tiny_files._replace(data=data), tmp_path))
    assert "row 2 has no text (null): drop such rows" in message


def test_other_names_of_the_columns_that_are_read(tmp_path: Path) -> None:
    said = [{"from": "human", "value": "a"}]
    for columns in ({"conversations": [said]}, {"body": ["a"]}, {"input_ids": [[1]]}, {"messages": [said]}):
        require_texts(datasets.Dataset.from_dict(columns), "--dataset d", "body")


def test_a_model_that_is_not_there_or_damaged(
    tiny_files: TinyFiles, tmp_path: Path, failing: Callable[..., str]
) -> None:
    missing = tiny_files._replace(model=tmp_path / "none")
    assert f"--model_name_or_path {tmp_path / 'none'}: there is no such directory" in failing(
        1, *record_line(missing, tmp_path)
    )
    shutil.copytree(tiny_files.model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"damaged")
    damaged = tiny_files._replace(model=tmp_path / "model")
    assert "a .safetensors file of the model cannot be read" in failing(1, *record_line(damaged, tmp_path))


def test_no_row_is_left_to_record(tiny_files: TinyFiles, tmp_path: Path, failing: Callable[..., str]) -> None:
    message = failing(1, *record_line(tiny_files, tmp_path, "--max_length", "1"))
    assert "the trainer holds no row: no label is left within max_length=1" in message


def test_debug_prints_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select", "--budget", "3", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err

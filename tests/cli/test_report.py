"""`hf-datasel report`: the page from what lies on the disk, and one line for what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hf_datasel import Embeddings, PerplexitySelector, S2LSelector, SHEDSelector, Trace, Valuation
from hf_datasel.cli import main
from hf_datasel.cli.rows import DatasetArguments
from hf_datasel.data import dataset_fingerprint
from hf_datasel.fingerprint import DatasetFingerprint

NUM_ROWS = 40


def save_trace(path: Path, metric: str, fingerprint: DatasetFingerprint) -> Trace:
    values = np.abs(np.random.default_rng(0).normal(size=(2, NUM_ROWS)))
    trace = Trace.create(path, range(NUM_ROWS), metric=metric, fingerprint=fingerprint)
    for step, column in enumerate(values):
        trace.write_column(column, step=step, learning_rate=0.1)
    trace.finish()
    return trace


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, what was recorded of it, and three selections."""
    root = tmp_path_factory.mktemp("report")
    rows = [
        {"prompt": f"{row} + 1 =", "completion": f" {row + 1}", "source": "ab"[row % 2]} for row in range(NUM_ROWS)
    ]
    (root / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fingerprint = dataset_fingerprint(DatasetArguments(dataset=str(root / "data.jsonl")).load())
    losses = save_trace(root / "trace", "loss", fingerprint)
    valuation = Valuation.from_trace(save_trace(root / "influence", "influence", fingerprint))
    valuation.save(root / "valuation")
    vectors = np.random.default_rng(1).normal(size=(NUM_ROWS, 3))
    Embeddings.from_arrays(range(NUM_ROWS), vectors, embedder={}, fingerprint=fingerprint).save(root / "embeddings")
    S2LSelector(budget=10, num_clusters=3).select(losses).save(root / "s2l")
    SHEDSelector(budget=10).select(valuation).save(root / "shed")
    PerplexitySelector(budget=10).select(losses).save(root / "perplexity")
    arms = {"s2l": [{"budget": 0.25, "values": [0.5]}], "full": [{"budget": 1.0, "values": [0.6]}]}
    (root / "results.json").write_text(json.dumps({"metric": "f1", "higher_is_better": True, "arms": arms}))
    return root


def report(root: Path, selection: str, output: Path, *options: str) -> set[str]:
    """The pictures that a command line draws."""
    named = ("--selection_path", str(root / selection), "--output_dir", str(output))
    assert main(["report", *named, *options]) == 0
    assert (output / "report.html").read_text().startswith("<!DOCTYPE html>")
    return {path.stem for path in (output / "pictures").glob("*.png")}


def test_everything_that_is_given_is_shown(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset", root / "data.jsonl", "--trace_dir", root / "trace", "--group_columns", "source"]
    options += ["--embeddings_dir", root / "embeddings", "--results", root / "results.json", "--num_examples", "2"]
    drawn = report(root, "s2l", tmp_path / "report", *map(str, options))
    assert drawn == {"trajectory_clusters", "metric_by_budget", "map", "lengths", "groups_source"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('<article class="example kept">') == 2
    out = capsys.readouterr().out
    assert f"report: {tmp_path / 'report' / 'report.html'}" in out
    assert "10 of 40 examples kept, 5 pictures: trajectory_clusters, " in out


def test_options_can_stand_in_a_file(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "report.yaml"
    config.write_text(f"dataset: {root / 'data.jsonl'}\ngroup_columns: [source]\nnum_examples: 1\nseed: 3\n")
    assert report(root, "perplexity", tmp_path / "r", "--config", str(config)) == {
        "scores",
        "lengths",
        "groups_source",
    }
    assert "by the seed 3" in (tmp_path / "r" / "report.html").read_text()


def test_values_come_from_a_valuation_or_the_trace_it_was(root: Path, tmp_path: Path) -> None:
    expected = {"scores", "values"}
    assert report(root, "shed", tmp_path / "one", "--valuation_dir", str(root / "valuation")) == expected
    assert report(root, "shed", tmp_path / "two", "--trace_dir", str(root / "influence")) == expected
    bars = [(tmp_path / name / "pictures" / "values.csv").read_text() for name in ("one", "two")]
    assert bars[0] == bars[1]


@pytest.mark.parametrize(
    ("code", "options", "message"),
    [
        (2, "", "required: --selection_path"),
        (2, "--selection_path s2l --group_columns source", "--group_columns needs --dataset"),
        (2, "--selection_path s2l --trace_dir trace --valuation_dir valuation", "both given"),
        (2, "--selection_path s2l --num_examples -1", "-1 is no number of rows"),
        (2, "--selection_path s2l --num_exampels 3", "did you mean --num_examples"),
        (1, "--selection_path nowhere", "nowhere"),
        (1, "--selection_path s2l --trace_dir valuation", "is not the manifest of a Trace"),
        (1, "--selection_path s2l --dataset data.jsonl --group_columns skill", "no column 'skill' to group by, only"),
        (1, "--selection_path s2l --dataset other.jsonl", "belongs to another dataset"),
        (1, "--selection_path s2l --trace_dir few", "does not have example"),
        (1, "--selection_path s2l --results none.json", "--results none.json: there is no such file"),
        (1, "--selection_path s2l --results data.jsonl", "is not JSON"),
        (1, "--selection_path s2l --results list.json", "holds no JSON object"),
        (1, "--selection_path s2l --output_dir trace", "trace exists: pass --overwrite"),
        (1, "--selection_path s2l --output_dir trace --overwrite", "holds no report: it is left alone"),
    ],
)
def test_what_cannot_be_is_one_line(
    code: int, options: str, message: str, root: Path, failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    Path("other.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    Path("list.json").write_text("[]")
    if not Path("few").exists():
        few = Trace.create("few", [0, 1])
        few.write_column(np.ones(2), step=1)
        few.finish()
    assert message in failing(code, "report", *options.split())
    assert not Path("report").exists()
    assert Path("trace/manifest.json").exists()


def test_only_the_first_process_writes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    line = ["report", "--selection_path", str(root / "s2l"), "--output_dir", str(tmp_path / "report")]
    assert main(line) == 0
    assert not (tmp_path / "report").exists()

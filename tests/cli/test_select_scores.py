"""`hf-datasel select` by score: a budget or a threshold, and what it says of the cut."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hf_datasel import CLUESSelector, Selection, Trace
from hf_datasel.cli import main

NUM_EXAMPLES = 80


def write(trace: Trace, values: np.ndarray) -> None:
    for t, column in enumerate(values.T):
        trace.write_column(column, step=t + 1, learning_rate=1e-3 / (t + 1))
    trace.finish()


@pytest.fixture
def trace_dir(tmp_path: Path) -> Path:
    """An influence Trace of clean and corrupted rows, with companions and anchors."""
    generator = np.random.default_rng(0)
    trace = Trace.create(tmp_path / "trace", range(NUM_EXAMPLES), metric="influence")
    write(trace, generator.normal(np.repeat([[3.0], [0.0]], 40, axis=0), 1, (NUM_EXAMPLES, 2)))
    anchors = trace.create_companion("anchors", ids=range(60), metric="influence")
    write(anchors, generator.normal(3.0, 1, (60, 2)))
    for target in (trace, anchors):
        write(target.create_companion("loss", metric="loss"), generator.gamma(2, 1, (target.num_examples, 2)))
        for name, columns in (("cosine", 2), ("contrast_truncated", 2), ("contrast_shuffled", 2), ("pairing", 1)):
            values = generator.uniform(-1, 1, (target.num_examples, columns))
            write(target.create_companion(name, metric=name, num_checkpoints=columns), values)
    return tmp_path / "trace"


def select(trace_dir: Path, *options: str) -> Selection:
    output = trace_dir.parent / "selection"
    assert main(["select", "--trace_dir", str(trace_dir), "--output_dir", str(output), "--overwrite", *options]) == 0
    return Selection.load(output)


def test_a_rule_says_where_it_cut_and_what_that_keeps(trace_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    selection = select(trace_dir, "--method", "clues", "--threshold", "conformal", "--alpha", "0.1")
    expected = CLUESSelector(threshold="conformal").select(Trace.load(trace_dir))
    assert np.array_equal(selection.kept, expected.kept)
    threshold = expected.provenance[0]["details"]["threshold"]
    out = capsys.readouterr().out
    assert f"  threshold {threshold:.6g} (conformal, 60 anchors, 82% to 96% of the clean examples kept)" in out
    select(trace_dir, "--method", "clues", "--threshold", "f1")
    assert "(f1, 60 anchors, at most" in capsys.readouterr().out


def test_a_budget_says_no_more_than_it_did(trace_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(select(trace_dir, "--method", "clues", "--budget", "0.25")) == 20
    assert "threshold" not in capsys.readouterr().out


def test_without_either_the_methods_own_rule_holds(trace_dir: Path) -> None:
    expected = CLUESSelector().select(Trace.load(trace_dir))
    assert np.array_equal(select(trace_dir, "--method", "clues").kept, expected.kept)


def test_options_reach_the_selector(trace_dir: Path, tmp_path: Path) -> None:
    config = tmp_path / "select.yaml"
    fused = "score: fused\nfusion: rank\nweights: [3.0, 1.0]\ndetectors: [dot, loss]\nloss_at: trajectory\n"
    config.write_text(f"method: clues\n{fused}combine: mean\nbudget: 10\n")
    selection = select(trace_dir, "--config", str(config), "--normalise_checkpoints", "--weighting", "uniform")
    expected = CLUESSelector(
        budget=10,
        score="fused",
        fusion="rank",
        weights=[3.0, 1.0],
        detectors=["dot", "loss"],
        loss_at="trajectory",
        combine="mean",
        normalise_checkpoints=True,
        weighting="uniform",
    )
    assert selection.provenance[0]["config"] == expected.select(Trace.load(trace_dir)).provenance[0]["config"]


def test_perplexity_takes_the_losses_of_the_same_trace(trace_dir: Path) -> None:
    losses = Trace.load(trace_dir).companion("loss").column(1)
    kept = select(trace_dir, "--method", "perplexity", "--threshold", "5").kept
    assert np.array_equal(kept, np.exp(losses.astype(np.float64)).astype(np.float32) <= 5)


def test_what_the_selector_refuses_is_one_line(trace_dir: Path, failing: Callable[..., str]) -> None:
    line = ("select", "--trace_dir", trace_dir, "--output_dir", trace_dir.parent / "selection", "--method")
    assert "needs the companion 'num_labels'" in failing(1, *line, "clues", "--score", "length_normalised")
    assert "IFDSelector reads a Trace of the metric 'ifd'" in failing(1, *line, "ifd", "--budget", "3")
    assert "would keep no example" in failing(1, *line, "clues", "--threshold", "1e9")
    assert not (trace_dir.parent / "selection").exists()

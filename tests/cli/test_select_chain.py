"""`hf-datasel select` with several methods one after another, and within a Selection."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_datasel import Chain, CLUESSelector, PerplexitySelector, RandomSelector, S2LSelector, Selection, Trace
from hf_datasel.cli import main
from hf_datasel.selectors.contract import same

N = 40
NAMES = ["contrast_truncated", "pairing", "loss"]  # what CLUES reads by default


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Losses; gradients with losses of their own beside them; rows."""
    generator = np.random.default_rng(0)
    made = {name: tmp_path / name for name in ("losses", "gradients", "rows.jsonl")}
    write(Trace.create(made["losses"], range(N)), generator.gamma(2, 1, (N, 3)))
    trace = Trace.create(made["gradients"], range(N), metric="influence")
    write(trace, generator.normal(size=(N, 2)))
    for name in NAMES:
        columns = 1 if name == "pairing" else 2
        companion = trace.create_companion(name, metric=name, num_checkpoints=columns)
        write(companion, generator.gamma(2, 1, (N, columns)))
    made["rows.jsonl"].write_text("".join(json.dumps({"text": f"w{i}", "kind": "ab"[i % 2]}) + "\n" for i in range(N)))
    return made


def write(trace: Trace, values: Any) -> None:
    for t, column in enumerate(values.T):
        trace.write_column(column, step=t + 1, learning_rate=1e-3)
    trace.finish()


def select(output: Path, *options: object) -> Selection:
    line = ["select", *options, "--output_dir", output]
    assert main([str(part) for part in line]) == 0
    return Selection.load(output)


def test_one_trace_a_link_and_one_for_all(
    places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--method", "clues:0.5,s2l", "--budget", "0.1", "--num_clusters", "2", "--fusion", "zscore"]
    gradients, losses = Trace.load(places["gradients"]), Trace.load(places["losses"])
    chain = Chain((CLUESSelector(budget=0.5, fusion="zscore"), S2LSelector(budget=0.1, num_clusters=2)))
    chosen = select(tmp_path / "a", *line, "--trace_dir", places["gradients"], places["losses"])
    assert same(chosen, chain.select((gradients, losses)))
    assert [step["selector"] for step in chosen.provenance] == ["clues", "s2l"]
    said = capsys.readouterr().out.splitlines()
    assert said == [f"kept 4 of 40 examples: {tmp_path / 'a'}", "  clues: 20 of 40", "  s2l: 4 of 20"]
    assert same(select(tmp_path / "b", *line, "--trace_dir", places["gradients"]), chain.select(gradients))


def test_a_file_says_the_same(places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "select.yaml"
    config.write_text(
        f"method: perplexity,random:0.5,s2l\ntrace_dir: {places['losses']}\nbudget: 3\nnum_clusters: 2\n"
        "selector_options: {perplexity: {threshold: 9.5}, s2l: {num_iterations: 5}}\n"
    )
    chosen = select(tmp_path / "a", "--config", config)
    random, spread = RandomSelector(budget=20), S2LSelector(budget=3, num_clusters=2, num_iterations=5)
    expected = Chain((PerplexitySelector(threshold=9.5), random, spread)).select(Trace.load(places["losses"]))
    assert same(chosen, expected)
    assert "  threshold 9.5 (fixed)" in capsys.readouterr().out


def test_rows_alone_and_strata_of_the_last(places: dict[str, Path], tmp_path: Path) -> None:
    rows = ["--dataset", places["rows.jsonl"], "--strata_column", "kind"]
    chosen = select(tmp_path / "a", "--method", "random:0.5,full", *rows[:2])
    assert [step["num_kept"] for step in chosen.provenance] == [20, 20]
    line = ["--method", "random:30,s2l", "--budget", 8, "--num_clusters", 2, "--trace_dir", places["losses"], *rows]
    shared = select(tmp_path / "b", *line)
    assert [int((shared.ids % 2 == kind).sum()) for kind in (0, 1)] == [4, 4]


def test_within_a_selection_a_share_is_of_all_rows(places: dict[str, Path], tmp_path: Path) -> None:
    traces = ["--trace_dir", places["gradients"]]
    whole = select(tmp_path / "a", "--method", "clues:0.5,s2l", "--budget", "0.1", "--num_clusters", 2, *traces)
    select(tmp_path / "clean", "--method", "clues", "--budget", "0.5", *traces)
    line = ["--trace_dir", places["gradients"] / "companion-loss", "--num_clusters", 2, "--within", tmp_path / "clean"]
    within = select(tmp_path / "b", "--budget", "0.1", *line)
    assert same(within, whole)
    assert [step["selector"] for step in within.provenance] == ["clues", "s2l"]


def test_within_a_selection_that_was_made_by_hand(
    places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = Selection(candidate_ids=np.arange(N), kept=np.arange(N) < 10, provenance=({"selector": "by hand"},))
    by_hand.save(tmp_path / "hand")
    line = ["--trace_dir", places["losses"], "--within", tmp_path / "hand", "--num_clusters", 2, "--budget", "0.1"]
    chosen = select(tmp_path / "a", *line)
    assert same(chosen, S2LSelector(budget=4, num_clusters=2).select(Trace.load(places["losses"]), within=by_hand))
    assert capsys.readouterr().out.splitlines() == [f"kept 4 of 10 examples: {tmp_path / 'a'}", "  s2l: 4 of 10"]


@pytest.mark.parametrize(
    ("code", "line", "said"),
    [
        (2, "--method clues:0.5,s3l --budget 3", "--method='s3l' is not known; choose one of ["),
        (2, "--method clues:2.5,s2l --budget 3", "'2.5' is no budget of 'clues'"),
        (2, "--method random:0.5,random --budget 3", "names 'random' twice"),
        (2, "--method random,s2l --budget 3", "'random' goes before another method, so it must say how much it keeps"),
        (2, "--method perplexity,s2l --budget 3", "write perplexity:0.5, a share of all rows"),
        (2, "--method clues:0.5,s2l", "required: --budget"),
        (2, "--method clues:0.5,s2l:3 --budget 3", "says how much s2l keeps: leave --budget and --threshold out"),
        (2, "--method clues:0.5,s2l --threshold 1", "--method s2l gives no scores"),
        (
            2,
            '--method clues:5,s2l --budget 3 --selector_options {"num_iterations":3}',
            "is for no link of the chain",
        ),
        (2, '--method clues:5,s2l:3 --selector_options {"clues":{"budget":3}}', "both give a budget of clues"),
        (2, '--method clues:5,s2l:3 --selector_options {"s2l":{"budget":3}}', "budget of --method s2l has an option"),
        (2, '--method clues:5,s2l:3 --selector_options {"s2l":{"bugdet":3}}', "bugdet is no hyperparameter of S2L"),
        (2, "--method clues:0.5,s2l --budget 3 --trace_dir a b c", "has 2 links, but --trace_dir names 3 places"),
        (1, "--method clues:0.1,s2l --budget 5", "('s2l') asks for 5 of 40 rows, but link 1 of 2 ('clues') keeps 4"),
        (1, "--method random:0.5,ifd --budget 5", "'ifd' reads a Trace of 'ifd', but the one for all links holds"),
        (1, "--within nowhere --budget 5", "nowhere"),
    ],
)
def test_what_cannot_be(
    places: dict[str, Path], tmp_path: Path, failing: Callable[..., str], code: int, line: str, said: str
) -> None:
    trace = [] if "--trace_dir" in line else ["--trace_dir", places["gradients"]]
    assert said in failing(code, "select", *line.split(), *trace, "--output_dir", tmp_path / "selection")
    assert not (tmp_path / "selection").exists()


def test_a_chain_needs_what_its_links_read(failing: Callable[..., str]) -> None:
    assert "--method random:0.5,s2l needs --trace_dir" in failing(
        2, "select", "--method", "random:0.5,s2l", "--budget=3"
    )

"""The performance study: a small run, what it says where it cannot run, a table whose verdicts are computed."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.benchmarks import performance, performance_table
from recipes.benchmarks.performance_table import verdict

RESULTS = Path(performance.__file__).parent / "results"
ROOT = Path(performance.__file__).parents[2]
QUICK = ["trace_memory", "s2l_scale"]  # those that train would import torch


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recipes.benchmarks.performance", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)


def test_a_small_run_measures_and_is_not_repeated(tmp_path: Path) -> None:
    folders = ("--smoke", "--work", tmp_path / "work", "--results", tmp_path / "results", "--only")
    first = run(*folders, *QUICK)
    assert first.returncode == 0, first.stderr
    written = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")}
    assert set(written) == set(QUICK)
    assert all({"machine", "versions", "settings"} <= result.keys() for result in written.values())
    assert written["s2l_scale"]["in_memory"]["shape"] == [20_000, 12]
    assert "| S2LSelector.select, Trace in memory, 20,000 x 12 | bare faiss on the array |" in first.stdout
    again = run(*folders, *QUICK)
    assert again.returncode == 0
    assert again.stdout.count("not again") == len(QUICK)
    assert {path.stem: json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")} == written


class Study:
    """Runs whose processes only note what they would have done: "coalitions" fails, "recording" writes nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self.started: list[tuple[str, ...]] = []
        self.results.mkdir()

    def pretend(self, python: str, name: str, options: list[str], log: Path) -> int:
        self.started.append((name, python, *options))
        log.write_text("Traceback\nValueError: no room\n" if name == "coalitions" else "")
        if name not in ("coalitions", "recording"):
            (self.results / f"{name}.json").write_text((RESULTS / f"{name}.json").read_text())
        return int(name == "coalitions")

    def run(self, *only: str, **options: object) -> int:
        known = {"smoke": False, "text": Path("rows.jsonl"), "peers_python": None, "restart": False}
        args = argparse.Namespace(**{**known, "only": list(only), **options})
        return performance.run(args, self.folder / "work", self.results)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    made = Study(tmp_path)
    monkeypatch.setenv(performance.FOLDER, "")
    monkeypatch.setattr(performance, "run_apart", made.pretend)
    monkeypatch.setattr(performance, "missing_package", lambda python, peer: python == sys.executable)
    return made


def test_a_missing_peer_is_told_and_its_result_stays(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    (study.results / "gradients_peers.json").write_text((RESULTS / "gradients_peers.json").read_text())
    assert study.run("import_time", "gradients_peers") == 1
    out, error = capsys.readouterr()
    assert [name for name, *_ in study.started] == ["import_time"]
    assert "gradients_peers: left as it stands" in out
    assert "has no bergson: `pip install bergson==2.5.1`" in error
    assert "--peers-python" in error
    assert "bergson scorer of one query" in out  # of the result that is there
    assert study.run("gradients_peers", peers_python=Path("/elsewhere/python")) == 0
    assert study.started[-1] == ("gradients_peers", "/elsewhere/python", "--text=rows.jsonl")


def test_an_interpreter_without_a_package_is_seen_to_lack_it() -> None:
    assert performance.missing_package(sys.executable, "no_such_package_at_all==1.0")
    assert not performance.missing_package(sys.executable, "numpy")


def test_a_missing_text_is_told(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.run("gradients_in_run", text=None) == 1
    assert "gradients_in_run was not measured: it reads a text: pass --text FILE" in capsys.readouterr().err
    assert study.started == []


def test_what_fails_is_told_and_tried_again_alone(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.run("import_time", "coalitions", "recording") == 1
    error = capsys.readouterr().err
    assert "coalitions failed: exit status 1: ValueError: no room" in error
    assert "recording failed: it wrote no" in error
    assert study.run("import_time", "coalitions") == 1
    assert [name for name, *_ in study.started] == ["import_time", "recording", "coalitions", "coalitions"]
    assert study.run("import_time", restart=True) == 0
    assert study.started[-1][0] == "import_time"


def test_what_another_process_measured_meanwhile_is_not_forgotten(study: Study) -> None:
    path, settings = study.folder / "work" / "state.json", {"results": str(study.results), "smoke": False}
    one, other = performance.State(path, settings), performance.State(path, settings)
    one.finish("growth")
    other.finish("import_time")
    assert sorted(one.done) == sorted(other.done) == ["growth", "import_time"]
    assert study.run("growth", "import_time") == 0
    assert study.started == []


def test_a_run_of_other_settings_is_not_taken_up(study: Study) -> None:
    assert study.run("import_time") == 0
    with pytest.raises(ValueError, match="--restart"):
        study.run("import_time", smoke=True)
    assert study.run("import_time", text=Path("other.jsonl")) == 0


def test_every_benchmark_has_a_table_and_a_small_run_or_a_reason() -> None:
    assert set(performance.NAMES) == set(performance_table.BENCHMARKS)
    assert all(bool(one.smoke) != bool(one.never_small) for one in performance.BENCHMARKS)
    for name in performance.NAMES:
        assert (RESULTS.parent / f"{name}.py").exists()
    assert {path.stem for path in RESULTS.glob("*.json")} == set(performance.NAMES)


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=3).map(sorted))
def test_a_target_is_met_only_by_the_whole_interval(numbers: list[float]) -> None:
    low, middle, high = numbers
    assert verdict(low, middle, high) == "met"
    assert verdict(middle, high, low) == ("not met" if middle > low else "met" if high == low else "open")
    assert verdict(low, high, middle) == ("met" if high == middle else "open")


def target_of(folder: Path, name: str, result: dict, what: str) -> str:
    (folder / f"{name}.json").write_text(json.dumps(result))
    [found] = [line for line in performance_table.table(folder).splitlines() if what in line]
    return found.split(" | ")[-1].removesuffix(" |")


def test_verdicts_follow_the_numbers(tmp_path: Path) -> None:
    result = json.loads((RESULTS / "s2l_scale.json").read_text())
    for interval, said in (([1.0, 1.19], "met"), ([1.1, 1.3], "open"), ([1.21, 1.3], "not met")):
        result["in_memory"]["interval"] = interval
        assert target_of(tmp_path, "s2l_scale", result, "Trace in memory") == f"≤ 1.2: {said}"
    for peak, said in ((2**29, "met (0.50)"), (2**31, "not met (2.00)")):
        result["memory"]["select"]["peak"] = peak
        assert target_of(tmp_path, "s2l_scale", result, "peak resident") == f"≤ 1 GiB: {said}"
    trace = json.loads((RESULTS / "trace_memory.json").read_text())
    for grown, said in ((5e6, "met (5)"), (2e8, "not met (200)")):
        trace["growth_bytes"]["trace"] = grown
        assert target_of(tmp_path, "trace_memory", trace, "writing a Trace") == f"< 100 MB: {said}"
    imports = json.loads((RESULTS / "import_time.json").read_text())
    for below, said in ((True, "met"), (False, "not met")):
        imports["median_below_limit"] = below
        assert target_of(tmp_path, "import_time", imports, "import hf_datasel") == f"median < 0.3 s: {said}"


def test_every_target_is_of_a_ratio_that_is_measured_and_told(tmp_path: Path) -> None:
    for name, ratio in performance_table.RATIO_TARGETS:
        assert "median" in json.loads((RESULTS / f"{name}.json").read_text())[ratio]
    limits = [row.target for row in performance_table.rows(RESULTS) if "≤" in row.target]
    assert len(limits) == len(performance_table.RATIO_TARGETS) + 1  # and one of memory
    games = json.loads((RESULTS / "shapley_games.json").read_text())
    name = "regression, 300 players, noise 0.003"
    for interval, said in (([2.1, 3.0], "met"), ([1.9, 3.0], "open"), ([1.0, 1.9], "not met")):
        games[name]["interval"] = interval
        assert target_of(tmp_path, "shapley_games", games, "noise 0.003: regression") == f"≥ 2: {said}"


def test_every_ratio_of_the_table_is_in_a_result() -> None:
    medians = {
        performance_table.number(entry["median"])
        for path in RESULTS.glob("*.json")
        for entry in entries(json.loads(path.read_text()))
    }
    shown = re.findall(r"\| ([\d.,]+) \[", performance_table.table(RESULTS))
    assert len(shown) > 60
    assert set(shown) <= medians


def entries(found: object) -> list[dict]:
    """Every summary within a result."""
    if isinstance(found, dict):
        inside = [one for value in found.values() for one in entries(value)]
        return [found, *inside] if "median" in found else inside
    return [one for value in found for one in entries(value)] if isinstance(found, list) else []


def test_every_row_that_is_named_is_measured() -> None:
    """Rows that a result lacks are left out of a small run's table; the committed results lack none."""
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    counts = {name: len(list(rows(results[name]))) for name, rows in performance_table.BENCHMARKS.items()}
    cases, models = len(results["growth"]["cases"]), len(results["growth"]["models"])
    assert counts == {
        "recording": 5,
        "gradients_in_run": 9,
        "gradients_memory": 2,
        "trace_memory": 1,
        "probe_sweep": 6,
        "gradients": 8,
        "s2l_scale": 4,
        "growth": cases + 4 + 3 * models,  # four of them beside loops
        "import_time": 1,
        "gradients_peers": 6,
        "coalitions": 6,
        "shapley_games": 3,
        "in_run_agreement": 1,
    }


def test_an_unknown_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "moon.json").write_text("{}")
    with pytest.raises(ValueError, match=r"moon\.json"):
        performance_table.table(tmp_path)
    (tmp_path / "moon.json").unlink()
    assert performance_table.section(tmp_path) == ""


def test_the_section_shows_the_picture_and_why_growth_ends() -> None:
    text = performance_table.section(RESULTS)
    assert "(recipes/benchmarks/results/growth.png)" in text
    cases = json.loads((RESULTS / "growth.json").read_text())["cases"].values()
    assert all(one["ends"] in text for one in cases if one["ends"])
    assert sum(bool(one["ends"]) for one in cases) == 3

"""Tables and pictures repeat the result; what is written is read back, or is not there."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from hf_datasel.compare.comparison import load_comparison, write_comparison
from hf_datasel.compare.tables import as_markdown, cost_tables, overlap_tables, quality_table
from hf_datasel.storage import write_json
from tests.compare.worlds import World, make_world, noisy

ODD = "m <b>|*x*"
EFFECTS = {"s2l": 0.3, "clues": -0.3}


def cells_of(table: str) -> list[list[str]]:
    """Rows of a Markdown table, the header first, as a renderer reads them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(table)
    assert tokens[0].type == "table_open"
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append("".join(child.content for child in token.children or []))
    return rows


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    world = make_world(noisy(EFFECTS, 0.02), num_seeds=5, groups=("north",), metrics=("exact_match", "loss"))
    return world.summarise(examples_per_step=8)


@pytest.mark.parametrize("metric", ["exact_match", "loss"])
@pytest.mark.parametrize("group", ["all", "north"])
def test_quality_is_what_the_result_says(result: dict[str, Any], metric: str, group: str) -> None:
    header, *rows = cells_of(quality_table(result, metric, group))
    assert header == ["method", "10%", "50%", "100%"]
    assert [row[0] for row in rows] == ["random", "s2l", "clues", "full"]
    measured = result["metrics"][metric]["groups"][group]
    shown = {(row[0], share): cell for row in rows for share, cell in zip((0.1, 0.5, 1.0), row[1:], strict=True)}
    for one in measured["means"]:
        mean, half = re.match(r"([\d.]+) ± ([\d.]+)", shown.pop((one["method"], one["budget"]))).groups()
        assert float(mean) == pytest.approx(one["mean"], rel=1e-3)
        assert float(half) == pytest.approx((one["interval"][1] - one["interval"][0]) / 2, rel=0.06)
    assert set(shown.values()) == {"–"}
    assert len(shown) == 5


@pytest.mark.parametrize(("metric", "marks"), [("exact_match", {"s2l": "▲", "clues": "▼"}), ("loss", {"s2l": "▼"})])
def test_marks_stand_beside_what_is_clear(result: dict[str, Any], metric: str, marks: dict[str, str]) -> None:
    rows = {row[0]: row[1:] for row in cells_of(quality_table(result, metric))}
    assert all(marks["s2l"] in cell for cell in rows["s2l"][:2])
    assert all(marks.get("clues", "▲") in cell for cell in rows["clues"][:2])
    assert not any(mark in cell for method in ("random", "full") for cell in rows[method] for mark in "▲▼")


def test_no_mark_where_nothing_is_clear() -> None:
    table = quality_table(make_world(noisy({}, 0.02)).summarise(), "exact_match")
    assert "±" in table
    assert "▲" not in table
    assert "▼" not in table


def test_one_seed_has_no_interval() -> None:
    result = make_world(noisy(EFFECTS, 0.02), num_seeds=1).summarise()
    assert "±" not in quality_table(result, "exact_match")
    assert "One seed: no intervals, and no claims." in as_markdown(result, {})


def test_costs_are_told_in_trainings(result: dict[str, Any]) -> None:
    said, choosing, _, together, whole = cost_tables(result)
    assert "takes 100 s and 400 examples forward and backward" in said
    rows = {row[0]: row[1:] for row in cells_of(choosing)}
    assert rows["clues"] == ["92", "0.92", "1,300 (3.25×)", "500 (1.25×)", "1"]
    assert rows["random"] == ["2", "0.02", "0", "0", "0"]
    assert {row[0]: row[1:] for row in cells_of(together)}["s2l"] == ["1.32", "1.32", "–"]
    assert cells_of(together)[-1] == ["full", "–", "–", "1.02"]
    assert "for 90 s (without sharing it between methods: 120 s)" in whole
    assert "trained 35 models for 3,500 s" in whole


def test_overlap_is_a_table_for_each_budget(result: dict[str, Any]) -> None:
    _, first, table, second, _ = overlap_tables(result)
    assert (first[3:6], first[11:22]) == ("10%", "chance 0.05")
    assert "chance 0.33" in second
    header, *rows = cells_of(table)
    assert header[1:] == [row[0] for row in rows] == ["random", "s2l", "clues"]
    assert [rows[k][k + 1] for k in range(3)] == ["1.00"] * 3
    assert float(rows[0][2]) == pytest.approx(result["overlap"][0]["jaccard"][0][1], abs=0.005)


def test_a_comparison_is_written_and_read_back(result: dict[str, Any], tmp_path: Path) -> None:
    written = write_comparison(result, tmp_path / "compare")
    found = load_comparison(tmp_path / "compare")
    assert found == written
    assert found.result == result
    assert found.verdict == result["verdict"]
    assert found.markdown().startswith("# Which selection is worth its cost\n\nMeasured by exact\\_match")
    for metric in ("exact_match", "loss"):
        assert f"]({metric}_by_budget.png)" in found.markdown()
        picture = tmp_path / "compare" / "report" / f"{metric}_by_budget.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
        with open(picture.with_suffix(".csv"), newline="") as file:
            told = {(row["arm"], float(row["budget"])): float(row["mean"]) for row in csv.DictReader(file)}
        means = result["metrics"][metric]["groups"]["all"]["means"]
        assert told == {(one["method"], one["budget"]): pytest.approx(one["mean"]) for one in means}


def test_a_killed_report_leaves_no_result(
    result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hf_datasel.compare.comparison.as_markdown", killed)
    with pytest.raises(KeyboardInterrupt):
        write_comparison(result, tmp_path)
    with pytest.raises(FileNotFoundError, match="No finished comparison"):
        load_comparison(tmp_path)


def test_a_result_of_another_version_is_refused(result: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {**result, "version": 99})
    with pytest.raises(ValueError, match="version 99"):
        load_comparison(tmp_path)


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    world = make_world(noisy({}, 0.02), ("random", ODD), groups=("a|b\n<i>",), metrics=("my metric|",))
    written = write_comparison(world.summarise(), tmp_path)
    assert ODD in [row[0] for row in cells_of(quality_table(dict(written.result), "my metric|"))]
    assert "<b>" not in written.markdown()
    assert "\n### a&#124;b &lt;i&gt;\n" in written.markdown()
    assert (tmp_path / "report" / "my_metric__by_budget.png").is_file()


def test_another_number_of_rows_than_random_is_told() -> None:
    world = make_world(noisy({}, 0.02))
    for cell in world.cells:
        if (cell["method"], cell["budget"]) == ("clues", 0.5):
            cell["num_kept"] = 12
    selections = {key: world.selections["s2l" if "clues" in key else key[0], *key[1:]] for key in world.selections}
    for seed in range(3):
        kept = selections["clues", 0.5, seed].kept.copy()
        kept[kept.nonzero()[0][12:]] = False
        selections["clues", 0.5, seed] = type(world.selections["s2l", 0.5, 0])(
            candidate_ids=world.selections["s2l", 0.5, 0].candidate_ids, kept=kept
        )
    text = as_markdown(World(world.cells, world.costs, selections).summarise(), {})
    assert "Not as many rows as random: clues at 50% kept 12 of 20." in text
    assert "Not as many rows" not in as_markdown(make_world(noisy({}, 0.02)).summarise(), {})


def test_an_order_of_all_rows_stands_beside_full(tmp_path: Path) -> None:
    world = make_world(noisy({}, 0.02), ("random", "s2l"), on_all=("order",))
    result = world.summarise(yardsticks=("s2l",))
    written = write_comparison(result, tmp_path).markdown()
    assert [row[0] for row in cells_of(quality_table(result, "exact_match"))] == [
        "method",
        "random",
        "s2l",
        "order",
        "full",
    ]
    order, full = cells_of(quality_table(result, "exact_match"))[-2:]
    assert (order[1:3], full[1:3]) == (["–", "–"], ["–", "–"])
    means = {one["method"]: one["mean"] for one in result["metrics"]["exact_match"]["groups"]["all"]["means"]}
    assert float(order[3].split()[0]) == pytest.approx(means["order"], rel=1e-3)
    _, choosing, _, together, _ = cost_tables(result)
    assert cells_of(choosing)[-1][:2] == ["order", "32"]
    assert cells_of(together)[-2] == ["order", "–", "–", "1.32"]
    assert (
        "order chooses an order in place of rows: trained on all 40 of them for as many steps, it came to 30."
        in written
    )
    assert "s2l is a yardstick and no method: it was told of every row whether it is good." in written
    with open(tmp_path / "report" / "exact_match_by_budget.csv", newline="") as file:
        assert [float(row["budget"]) for row in csv.DictReader(file) if row["arm"] == "order"] == [1.0]

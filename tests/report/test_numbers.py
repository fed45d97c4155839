"""What each picture's CSV says, counted again row by row."""

import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from hf_datasel import PerplexitySelector, Selection, Trace, Valuation
from hf_datasel.report import plot_budgets, plot_groups, plot_kept_scores, plot_lengths, plot_map, plot_values
from hf_datasel.report.cut import find_cut
from hf_datasel.report.groups import count_groups
from tests.report.conftest import RESULTS, World, read_csv


def scored(scores: np.ndarray, kept: np.ndarray, **details: object) -> Selection:
    step = {"selector": "mine", "details": details}
    return Selection(
        candidate_ids=np.arange(len(scores)), kept=kept, scores=scores.astype(np.float32), provenance=(step,)
    )


@pytest.mark.parametrize("direction", ["high", "low"])
@pytest.mark.parametrize("num_rows", [5, 400])
def test_every_score_is_counted_on_its_side_of_the_cut(direction: str, num_rows: int, tmp_path: Path) -> None:
    scores = np.random.default_rng(num_rows).standard_cauchy(num_rows).astype(np.float32)
    kept = scores >= np.float32(0.1) if direction == "high" else scores <= np.float32(0.1)
    selection = scored(scores, kept, direction=direction, rule="fixed", threshold=float(np.float32(0.1)))
    plot_kept_scores(selection, tmp_path / "scores.png")
    rows = read_csv(tmp_path / "scores.csv")
    edges = [float(row["from"]) for row in rows] + [float(rows[-1]["to"])]
    assert min(abs(edge - 0.1) for edge in edges) < 1e-6
    for place, row in enumerate(rows):
        low = -math.inf if place == 0 else float(row["from"])
        high = math.inf if place == len(rows) - 1 else float(row["to"])
        inside = [(low <= s < high if direction == "high" else low < s <= high) for s in scores.astype(np.float64)]
        assert int(row["kept"]) == sum(here and k for here, k in zip(inside, kept, strict=True))
        assert int(row["dropped"]) == sum(here and not k for here, k in zip(inside, kept, strict=True))
    assert all(row["kept"] == "0" or row["dropped"] == "0" for row in rows)


def test_a_cut_is_drawn_only_where_there_is_one() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    assert find_cut(scored(scores, scores > 2)).value == 3.0
    assert find_cut(scored(scores, scores < 3, direction="low")).value == 2.0
    assert find_cut(scored(scores, np.array([True, False, True, False]))).value is None
    assert find_cut(scored(scores, np.ones(4, bool))).value is None
    assert find_cut(scored(np.array([1.0, 2.0, 2.0]), np.array([False, True, False]))).value == 2.0
    with pytest.raises(ValueError, match="score of example 1 is nan"):
        find_cut(scored(np.array([1.0, math.nan]), np.array([True, False])))
    with pytest.raises(ValueError, match="no scores"):
        find_cut(Selection(candidate_ids=np.arange(2), kept=np.ones(2, bool)))


def test_the_cut_of_a_selector_is_found(world: World) -> None:
    selection = PerplexitySelector(budget=50).select(world.losses)
    cut = find_cut(selection)
    assert cut.direction == selection.provenance[-1]["details"]["direction"]
    assert cut.value == selection.provenance[-1]["details"]["threshold"]


def test_values_come_with_intervals_of_their_standard_errors(world: World, tmp_path: Path) -> None:
    valuation = world.valuation
    picture = plot_values(valuation, world.shed, tmp_path / "values.png")
    rows = read_csv(picture.data)
    present = sorted(set(valuation.clusters.tolist()), key=lambda cluster: -valuation.values[cluster])
    assert [int(row["cluster"]) for row in rows] == [*present[:12], *present[-12:]]
    assert "12 best" in picture.title
    for row in rows:
        cluster = int(row["cluster"])
        members = [i for i in range(len(valuation.ids)) if valuation.clusters[i] == cluster]
        assert int(row["num_examples"]) == len(members)
        assert int(row["num_kept"]) == sum(bool(world.shed.kept[i]) for i in members)
        assert float(row["value"]) == pytest.approx(valuation.values[cluster])
        if cluster % 3 == 0:
            assert row["low_95"] == row["high_95"] == ""
        else:
            assert float(row["high_95"]) - float(row["low_95"]) == pytest.approx(2 * 1.959964 * 0.2)


def test_rows_that_are_their_own_clusters_are_named(world: World, tmp_path: Path) -> None:
    valuation = Valuation.from_trace(world.influence)
    picture = plot_values(valuation, world.shed, tmp_path / "values.png")
    rows = read_csv(picture.data)
    assert "300 examples" in picture.title
    assert int(rows[0]["example_id"]) == int(valuation.ids[valuation.values.argmax()])
    assert {row["low_95"] for row in rows} == {""}


def test_unknown_values_have_no_bar(tmp_path: Path) -> None:
    unknown = np.full(2, math.nan)
    valuation = Valuation(
        ids=np.arange(4), clusters=np.int32([0, 1, 1, -1]), values=np.array([math.nan, 1.0]), standard_errors=unknown,
        num_evaluations=np.zeros(2, np.int64),
    )  # fmt: skip
    selection = Selection(candidate_ids=np.arange(4), kept=np.array([False, True, True, False]))
    assert [row["cluster"] for row in read_csv(plot_values(valuation, selection, tmp_path / "v.png").data)] == ["1"]
    alone = Selection(candidate_ids=np.array([3]), kept=np.array([True]))
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_values(valuation, alone, tmp_path / "w.png")


def test_means_and_standard_errors_by_budget(tmp_path: Path) -> None:
    picture = plot_budgets(RESULTS, tmp_path / "budgets.png")
    told = {(row["arm"], float(row["budget"])): row for row in read_csv(picture.data)}
    assert list(told) == [("S2L", 0.1), ("S2L", 0.5), ("random", 0.1), ("full", 1.0)]
    assert told["S2L", 0.1]["standard_error"] == ""
    values = [0.5, 0.4, 0.6]
    assert float(told["random", 0.1]["mean"]) == pytest.approx(0.5)
    assert float(told["random", 0.1]["standard_error"]) == pytest.approx(statistics.stdev(values) / math.sqrt(3))
    assert "0.85, of full at 1" in picture.alt


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({}, "no 'metric'"),
        ({**RESULTS, "higher_is_better": "yes"}, "say true or false"),
        ({**RESULTS, "arms": {}}, "no arms"),
        ({**RESULTS, "arms": {"S2L": []}}, "'S2L' of results has no budgets"),
        ({**RESULTS, "arms": {"S2L": [{"budget": 0.1}]}}, "give a budget and its values"),
        ({**RESULTS, "arms": {"S2L": [{"budget": 10, "values": [1]}]}}, "the budget 10: give a share"),
        ({**RESULTS, "arms": {"S2L": [{"budget": 0.1, "values": [math.nan]}]}}, "leave out what was not measured"),
        ({**RESULTS, "arms": {"S2L": [{"budget": 0.1, "values": []}]}}, r"the values \[\]"),
    ],
)
def test_results_of_another_form_are_refused(results: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        plot_budgets(results, tmp_path / "budgets.png")
    assert not list(tmp_path.iterdir())


def test_many_arms_and_budgets_can_be_drawn(tmp_path: Path) -> None:
    points = [{"budget": 0.001 * (k + 1) ** 2, "values": [k / 30, k / 29]} for k in range(30)]
    arms = {f"_method $number {k}_ 数": points for k in range(12)}
    picture = plot_budgets({"metric": "loss $", "higher_is_better": False, "arms": arms}, tmp_path / "b.png")
    assert len(read_csv(picture.data)) == 360


@pytest.mark.parametrize(("longest", "num_rows"), [(30, 200), (9, 1), (100_000, 5000)])
def test_every_length_is_in_one_bin(longest: int, num_rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = np.minimum(longest, rng.lognormal(2, 2, num_rows).astype(np.int64))
    after = before[: num_rows // 2 + 1]
    picture = plot_lengths(before, after, tmp_path / "lengths.png", unit="characters")
    rows = read_csv(picture.data)
    for name, lengths in (("rows_before", before), ("rows_after", after)):
        assert sum(int(row[name]) for row in rows) == len(lengths)
        for place, row in enumerate(rows[1:-1], 1):
            low, high = float(row["from"]), float(row["to"])
            assert int(row[name]) == sum(low <= length < high for length in lengths.tolist()), place
    assert f"the median of all is {float(np.median(before)):,.4g}" in picture.alt
    with pytest.raises(ValueError, match="no lengths"):
        plot_lengths(before[:0], after, tmp_path / "none.png", unit="characters")


def test_groups_are_counted_before_and_after(world: World, tmp_path: Path) -> None:
    groups = count_groups(world.dataset, world.s2l, "source")
    kept = set(world.s2l.ids.tolist())
    for name, before, after in groups:
        members = [row for row in world.dataset if (row["source"] or "(none)") == name]
        assert (before, after) == (len(members), sum(row["example_id"] in kept for row in members))
    assert [group[1] for group in groups] == sorted((group[1] for group in groups), reverse=True)
    rows = read_csv(plot_groups(groups, tmp_path / "groups.png", column="source").data)
    assert len(rows) == 14
    assert rows[-1]["group"] == f"{len(groups) - 13} others"
    assert sum(int(row["rows_before"]) for row in rows) == len(world.dataset)
    assert sum(float(row["share_after"]) for row in rows) == pytest.approx(1, abs=1e-4)


def test_a_map_has_the_rows_themselves(world: World, tmp_path: Path) -> None:
    vectors = world.embeddings.vectors.astype(np.float64)
    kept = world.s2l.kept
    picture = plot_map(
        world.embeddings.ids, kept, world.embeddings.vectors.__getitem__, tmp_path / "map.png", what="x", dimension=5
    )
    rows = read_csv(picture.data)
    assert [int(row["example_id"]) for row in rows] == list(range(len(vectors)))
    assert [row["kept"] == "1" for row in rows] == kept.tolist()
    places = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    covariance = np.cov(vectors.T)
    largest = np.sort(np.linalg.eigvalsh(covariance))[::-1][:2]
    assert places.var(axis=0, ddof=1) == pytest.approx(largest, rel=1e-4)
    first = f"{largest[0] / np.trace(covariance):.0%}"
    assert f"with {first} and " in picture.alt


def test_large_maps_are_sampled_and_rows_with_gaps_left_out(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float32)
    values[::3, 1] = np.nan
    trace, kept = Trace.from_arrays(np.arange(9000), values), np.arange(9000) < 100

    def draw(name: str, seed: int) -> list[dict[str, str]]:
        picture = plot_map(
            trace.ids, kept, trace.take, tmp_path / f"{name}.png", what="losses", dimension=3, seed=seed
        )
        assert "drawn" in picture.alt
        return read_csv(picture.data)

    rows = draw("one", 1)
    assert rows == draw("two", 1) != draw("three", 2)
    assert sum(row["kept"] == "1" for row in rows) == sum(i % 3 != 0 for i in range(100))
    assert len(rows) < 4100
    assert all(int(row["example_id"]) % 3 for row in rows)
    with pytest.raises(ValueError, match="no row of the losses is whole"):
        plot_map(trace.ids, kept, lambda rows: np.full((len(rows), 3), np.nan, np.float32), tmp_path / "n.png",
                 what="losses", dimension=3)  # fmt: skip

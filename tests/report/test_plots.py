"""Pictures say what the data say: the CSV beside each is recomputed here, and bad input is named."""

import csv
import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib import _pylab_helpers

from hf_datasel import S2LSelector, Selection, Strata, Trace
from hf_datasel.report import plot_score_threshold, plot_scores, plot_shares, plot_trajectory_clusters

ARMS = {"S2L": {"copy": (0.5, 0.01), "sort": (0.25, 0.02)}, "random": {"copy": (0.5, 0.0), "sort": (0.0, math.nan)}}


@pytest.fixture(scope="module")
def trace() -> Trace:
    rng = np.random.default_rng(0)
    levels = np.repeat(np.arange(20), 15)[:, None]
    values = np.abs(levels * np.linspace(1, 0.2, 5) + 0.05 * rng.normal(size=(300, 5)))
    return Trace.from_arrays(np.arange(300) * 3, values, steps=[10, 20, 30, 40, 50])


@pytest.fixture(scope="module")
def selection(trace: Trace) -> Selection:
    return S2LSelector(budget=100, num_clusters=20, seed=0).select(trace)


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_cluster_numbers_are_those_of_the_trace(trace: Trace, selection: Selection, tmp_path: Path) -> None:
    strata = Strata(trace.ids, ["low" if example < 450 else "high" for example in trace.ids])
    plot_trajectory_clusters(trace, selection, tmp_path / "clusters.png", strata=strata)
    rows = rows_of(tmp_path / "clusters.csv")
    assert selection.clusters is not None
    clusters = {int(row["cluster"]) for row in rows}
    assert len(clusters) == min(12, len(np.unique(selection.clusters)))
    assert len(rows) == 5 * len(clusters)
    for row in rows:
        members = selection.clusters == int(row["cluster"])
        losses = trace.values[members, trace.steps.tolist().index(int(row["step"]))]
        assert int(row["num_examples"]) == members.sum()
        assert int(row["num_kept"]) == (members & selection.kept).sum()
        assert float(row["mean"]) == pytest.approx(losses.mean(), rel=1e-4)
        assert float(row["p10"]) == pytest.approx(np.percentile(losses, 10), rel=1e-4)
        assert float(row["p90"]) == pytest.approx(np.percentile(losses, 90), rel=1e-4)
        everyone = trace.values[members]
        distances = np.linalg.norm(everyone[:, None] - everyone[None], axis=2).sum(axis=1)
        assert int(row["medoid_id"]) == trace.ids[members][distances.argmin()]
        names = {"low" if example < 450 else "high" for example in trace.ids[members]}
        assert {part.split()[0] for part in row["content"].split(", ")} == names


def test_largest_clusters_are_shown_and_order_is_by_the_final_loss(
    trace: Trace, selection: Selection, tmp_path: Path
) -> None:
    plot_trajectory_clusters(trace, selection, tmp_path / "clusters.png")
    rows = rows_of(tmp_path / "clusters.csv")
    final = [float(row["mean"]) for row in rows if row["step"] == "50"]
    assert final == sorted(final)
    sizes = np.sort(np.unique(np.asarray(selection.clusters), return_counts=True)[1])[::-1]
    shown = sorted((int(row["num_examples"]) for row in rows if row["step"] == "50"), reverse=True)
    assert shown[:6] == sizes[:6].tolist()
    assert {row["content"] for row in rows} == {""}


@pytest.mark.parametrize("num_clusters", [1, 3, 13])
def test_any_number_of_clusters_can_be_drawn(trace: Trace, tmp_path: Path, num_clusters: int) -> None:
    few = S2LSelector(budget=30, num_clusters=num_clusters).select(trace)
    plot_trajectory_clusters(trace, few, tmp_path / "few.png")
    assert len(rows_of(tmp_path / "few.csv")) == 5 * min(12, num_clusters)


def test_equal_input_gives_equal_files_and_leaves_pyplot_alone(
    trace: Trace, selection: Selection, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        plot_trajectory_clusters(trace, selection, tmp_path / name / "clusters.png")
    assert (tmp_path / "one/clusters.png").read_bytes() == (tmp_path / "two/clusters.png").read_bytes()
    assert not _pylab_helpers.Gcf.figs
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["clusters.csv", "clusters.png"]


def test_what_has_no_clusters_or_other_examples_is_refused(trace: Trace, selection: Selection, tmp_path: Path) -> None:
    plain = Selection(candidate_ids=selection.candidate_ids, kept=selection.kept)
    with pytest.raises(ValueError, match="no clusters"):
        plot_trajectory_clusters(trace, plain, tmp_path / "picture.png")
    other = Trace.from_arrays(np.arange(300), np.ones((300, 2)))
    with pytest.raises(ValueError, match=r"Example 300 .* not in the Trace"):
        plot_trajectory_clusters(other, selection, tmp_path / "picture.png")
    with pytest.raises(ValueError, match=r"Example 3 .* no label"):
        plot_trajectory_clusters(trace, selection, tmp_path / "picture.png", strata=Strata([0], ["a"]))
    with pytest.raises(ValueError, match=r"ends in \.png"):
        plot_trajectory_clusters(trace, selection, tmp_path / "picture.jpg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("plot", [plot_scores, plot_shares])
def test_bars_carry_means_and_errors(plot: type, tmp_path: Path) -> None:
    plot(ARMS, tmp_path / "bars.png", title="A title", ylabel="a label")
    rows = rows_of(tmp_path / "bars.csv")
    told = {(row["arm"], row["name"]): (row["mean"], row["standard_error"]) for row in rows}
    assert told == {
        ("S2L", "copy"): ("0.5", "0.01"),
        ("S2L", "sort"): ("0.25", "0.02"),
        ("random", "copy"): ("0.5", "0"),
        ("random", "sort"): ("0", ""),
    }
    assert matplotlib.image.imread(tmp_path / "bars.png").shape[0] > 300


def test_arms_that_cannot_stand_side_by_side_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'random' has the groups"):
        plot_scores({"S2L": ARMS["S2L"], "random": {"copy": (1.0, 0.0)}}, tmp_path / "a.png", title="", ylabel="")
    with pytest.raises(ValueError, match="not 0"):
        plot_scores({}, tmp_path / "a.png", title="", ylabel="")
    with pytest.raises(ValueError, match="not 5"):
        plot_shares(dict.fromkeys("abcde", ARMS["S2L"]), tmp_path / "a.png", title="", ylabel="")


def test_what_cannot_be_written_leaves_no_half_picture(trace: Trace, selection: Selection, tmp_path: Path) -> None:
    """A directory of the same name makes the last rename fail."""
    (tmp_path / "clusters.png").mkdir()
    with pytest.raises(OSError, match=r"clusters\.png"):
        plot_trajectory_clusters(trace, selection, tmp_path / "clusters.png")
    assert [path.name for path in tmp_path.iterdir()] == ["clusters.png"]


class TestScoreThreshold:
    def test_the_numbers_are_densities_over_all_scores(self, tmp_path):
        generator = np.random.default_rng(0)
        scores, anchors = generator.normal(0, 1, 500), generator.normal(1, 1, 60)
        plot_score_threshold(scores, tmp_path / "cut.png", threshold=0.5, anchors=anchors)
        table = np.genfromtxt(tmp_path / "cut.csv", delimiter=",", names=True)
        widths = table["to"] - table["from"]
        assert (table["candidates"] * widths).sum() == pytest.approx(1, rel=1e-4)
        assert (table["anchors"] * widths).sum() == pytest.approx(1, rel=1e-4)
        inside = table["from"] >= 0.5
        assert (table["candidates"] * widths)[inside].sum() == pytest.approx((scores >= 0.5).mean(), abs=0.05)
        assert (tmp_path / "cut.png").stat().st_size > 1000

    @pytest.mark.parametrize("scores", [[1.0, 1.0], [3.0]])
    def test_equal_scores_and_no_threshold_can_be_shown(self, scores, tmp_path):
        plot_score_threshold(scores, tmp_path / "cut.png", direction="low")
        assert (tmp_path / "cut.csv").read_text().startswith("from,to,candidates\n")

    def test_what_cannot_be_shown_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="no scores"):
            plot_score_threshold([], tmp_path / "cut.png")
        with pytest.raises(ValueError, match=r"anchors\[1\] is nan"):
            plot_score_threshold([1.0], tmp_path / "cut.png", anchors=[0.0, np.nan])

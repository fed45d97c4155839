"""Growth: loops and library answer alike, known growth is measured as what it is, what is shown is computed."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel import Embeddings, FacilityLocationSelector, S2LSelector, Trace
from hf_datasel.functional.allocation import sample_clusters
from hf_datasel.functional.cluster_sampling import quality_weighted
from hf_datasel.functional.similarities import Space
from hf_datasel.functional.valuation import OfficialEstimator
from hf_datasel.functional.valuation.games import SaturatingGame
from recipes.benchmarks import growth, growth_figure, growth_loops, growth_rows

RESULT = Path(growth.__file__).parent / "results" / "growth.json"


@given(st.data())
def test_the_loop_over_clusters_keeps_what_the_allocation_keeps(data):
    labels = np.array(data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=60)), np.int32)
    budget, seed = data.draw(st.integers(0, len(labels))), data.draw(st.integers(0, 9))
    kept = sample_clusters(labels, 7, budget, np.random.default_rng(seed), tiny=growth_loops.TINY)
    loop = growth_loops.allocate(labels, budget, 7, np.random.default_rng(seed))
    assert loop.tolist() == np.flatnonzero(kept).tolist()
    assert len(loop) == budget


@pytest.mark.parametrize("seed", [0, 1])
def test_the_loop_of_s2l_keeps_the_rows_that_the_selector_keeps(seed):
    trajectories = np.random.default_rng(seed).random((400, 5), np.float32)
    selector = S2LSelector(budget=0.1, num_clusters=8, variant="official", seed=seed)
    kept = growth_loops.s2l(trajectories, 40, 8, np.random.default_rng(seed))
    assert kept.tolist() == selector.select(Trace.from_arrays(range(400), trajectories)).ids.tolist()


@given(st.integers(2, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_the_loop_over_players_gives_the_official_values(num_players, group_size, num_permutations, seed):
    weights = 0.5 + np.random.default_rng(seed).normal(size=num_players)
    game, size = SaturatingGame(weights, 0.3, 0.38, 2.0), min(group_size, num_players)
    estimator = OfficialEstimator(group_size=size, num_permutations=num_permutations)
    found = growth_loops.shed_values(game, num_players, size, num_permutations, np.random.default_rng(seed))
    largest = np.abs(game(np.tri(num_players, dtype=bool))).max()
    np.testing.assert_allclose(
        found, estimator.estimate(game, num_players, seed=seed).values, atol=1e-13 * largest + 1e-12
    )


@given(st.integers(2, 24), st.integers(0, 99), st.data())
def test_the_loop_over_gains_takes_what_the_lazy_choice_takes(num_rows, seed, data):
    """Rows of sixteen signs have cosines that float32 holds exactly, and many gains that tie."""
    vectors = np.random.default_rng(seed).choice(np.float32([-1, 1]), size=(num_rows, 16))
    budget = data.draw(st.integers(1, num_rows))
    similarities = Space.of(vectors, "cosine").columns(np.arange(num_rows))
    rows, value = growth_loops.facility_location(similarities, budget, np.random.default_rng(seed))
    evidence = Embeddings.from_arrays(range(num_rows), vectors, embedder={"name": "signs"})
    selection = FacilityLocationSelector(budget=budget, seed=seed).select(evidence)
    assert np.sort(rows).tolist() == selection.ids.tolist()
    assert value / num_rows == selection.provenance[-1]["details"]["strata"][0]["coverage"]


def test_the_loop_over_draws_draws_clusters_as_often():
    labels, logits = np.repeat([0, 1, 2], [2, 5, 9]), np.log([4.0, 2.0, 1.0])
    generator, counts = np.random.default_rng(0), np.zeros((2, 1500, 3))
    for run in range(1500):
        loop = growth_loops.shed_draw(labels, logits, 6, generator)
        assert len(set(loop.tolist())) == 6
        race = np.flatnonzero(quality_weighted(labels, logits, 6, generator))
        counts[:, run] = [np.bincount(labels[rows], minlength=3) for rows in (loop, race)]
    means, errors = counts.mean(axis=1), counts.std(axis=1) / math.sqrt(1500)
    assert (np.abs(means[0] - means[1]) < 5 * np.hypot(*errors)).all()
    assert means[0][0] > 6 * 2 / 16 + 0.5  # it is not drawn by size


def counting(power: float) -> tuple[growth.Case, "Clock"]:
    """A case that moves a clock by a power of its size, and the clock."""

    def prepare(size: int, seed: int):
        return lambda: clock.advance(size**power)

    clock = Clock()
    return replace(growth_rows.CASES["random"], prepare=prepare, sizes=(10, 100, 1000), loop=None), clock


class Clock:
    """Time that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_known_growth_is_measured_as_what_it_is(power, monkeypatch):
    case, clock = counting(power)
    monkeypatch.setattr(growth.time, "process_time", clock)
    grows = growth.measure(case, 0)["grows"]
    assert list(grows) == ["100", "1000"]
    assert [one["exponent"] for one in grows.values()] == pytest.approx([power, power], abs=1e-3)
    assert grows["1000"]["median"] == pytest.approx(100**power, rel=1e-3)
    assert grows["1000"]["exponent_interval"] == pytest.approx([power, power], abs=1e-3)


def test_a_loop_twice_as_slow_is_said_to_be(monkeypatch):
    case, clock = counting(1.0)
    twice = replace(case, loop=lambda size, seed: lambda: clock.advance(2 * size), loop_sizes=(10, 100))
    monkeypatch.setattr(growth.time, "process_time", clock)
    assert [one["median"] for one in growth.measure(twice, 0)["loop"].values()] == [0.5, 0.5]


@pytest.mark.parametrize("name", growth_rows.CASES)
def test_every_case_runs_on_few_rows_and_keeps_a_tenth(name):
    case = growth_rows.CASES[name]
    chosen = case.prepare(200, 0)()
    if hasattr(chosen, "candidate_ids"):
        assert len(chosen.candidate_ids) == 200
        cuts = name.startswith("clues")  # at a threshold
        assert 0 < len(chosen) < 200 if cuts else len(chosen) == round(growth_rows.BUDGET * 200)
    if case.loop is not None:
        case.loop(200, 0)()


def test_what_goes_on_must_share_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(growth.common, "RESULTS", tmp_path)
    settings = {"seed": 0}
    assert growth.begun(settings) == {"settings": settings, "cases": {}, "models": {}}
    (tmp_path / "growth.json").write_text(json.dumps({"settings": {"seed": 1}, "cases": {}, "models": {}}))
    with pytest.raises(ValueError, match="measured with other settings"):
        growth.begun(settings)


def test_the_picture_shows_every_case_and_model(tmp_path):
    result = json.loads(RESULT.read_text())
    growth_figure.draw(result, tmp_path / "growth.png")
    shown = (tmp_path / "growth.csv").read_text()
    assert shown == RESULT.with_suffix(".csv").read_text()
    drawn = {name for names in growth_figure.PANELS.values() for name in names}
    assert drawn == set(growth_rows.CASES) - {"shed_values"}  # of players, not rows
    assert shown.count("\n") == 1 + sum(len(result["cases"][name]["sizes"]) for name in drawn) + 3 * len(
        result["models"]
    )


def test_the_committed_result_is_complete_and_says_where_it_is_from():
    result = json.loads(RESULT.read_text())
    assert list(result["cases"]) == list(growth_rows.CASES)
    assert not result["settings"]["smoke"]
    assert {"machine", "versions"} <= result.keys()
    assert max(model["num_parameters"] for model in result["models"].values()) > 19e6
    assert all(model["largest_difference_from_one_by_one"] < 1e-5 for model in result["models"].values())
    for name, case in growth_rows.CASES.items():
        found = result["cases"][name]
        assert tuple(found["sizes"]) == case.sizes
        assert bool(case.ends) == (case.unit == "rows" and case.sizes[-1] < 1_000_000)
        for size, one in found["grows"].items():
            assert one["exponent"] == pytest.approx(
                math.log(one["median"]) / math.log(int(size) / case.sizes[0]), abs=1e-3
            )

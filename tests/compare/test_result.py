"""The result says what the cells say: recomputed here one number at a time, and what is missing is named."""

import json
import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import Selection
from hf_datasel.functional.overlap import jaccard
from hf_datasel.functional.statistics import p_value, t_quantile
from tests.compare.worlds import INFLUENCE, NUM_ROWS, TRACE, World, make_world, noisy

GROUPS = ("north", "south")


def records(result: dict[str, Any], family: str, group: str = "all") -> dict[tuple[str, ...], dict[str, Any]]:
    """By method, other and budget."""
    found = result["metrics"]["exact_match"]["groups"][group][family]
    return {(one["method"], one["other"], one["budget"]): one for one in found}


def clear_ones(p_values: dict[Any, float]) -> set[Any]:
    """Holm, step by step: the smallest against 0.05 / m, the next against 0.05 / (m - 1), until one fails."""
    clear, left = set(), dict(p_values)
    while left:
        smallest = min(left, key=lambda key: math.inf if math.isnan(left[key]) else left[key])
        if not left[smallest] <= 0.05 / len(left):
            break
        clear.add(smallest)
        del left[smallest]
    return clear


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 5), st.sampled_from([0.0, 0.02, 0.2]), st.booleans())
def test_every_number_is_that_of_the_cells(seed: int, num_seeds: int, effect: float, has_order: bool) -> None:
    score = noisy({"s2l": effect, "clues": -effect, "order": effect}, 0.02, seed)
    on_all = ("order",) if has_order else ()
    world = make_world(score, num_seeds=num_seeds, groups=GROUPS, on_all=on_all)
    result = world.summarise()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    scores: dict[tuple[str, str, float], list[float]] = {}
    for cell in world.cells:
        for group, value in cell["metrics"]["exact_match"].items():
            scores.setdefault((group, cell["method"], cell["budget"]), []).append(value)
    told = {
        (group, one["method"], one["budget"]): one
        for group, measured in result["metrics"]["exact_match"]["groups"].items()
        for one in measured["means"]
    }
    assert set(told) == set(scores)
    for key, values in scores.items():
        assert told[key]["mean"] == pytest.approx(statistics.fmean(values))
        assert told[key]["per_seed"] == values
        if num_seeds == 1:
            assert told[key]["interval"] is None
        else:
            half = t_quantile(num_seeds - 1) * statistics.stdev(values) / math.sqrt(num_seeds)
            low, high = told[key]["interval"]
            assert (high - low) / 2 == pytest.approx(half)
    for family, groups in [
        (f"against_{other}", which) for other in ("random", "full") for which in (("all",), GROUPS)
    ]:
        p_values, answers = {}, {}
        for group in groups:
            for (method, other, budget), one in records(result, family, group).items():
                against = scores[group, other, 1.0 if other == "full" else budget]
                values = [a - b for a, b in zip(scores[group, method, budget], against, strict=True)]
                assert one["mean"] == pytest.approx(statistics.fmean(values))
                p_values[group, method, budget], answers[group, method, budget] = p_value(values), one
        num_arms = 2 * 2 if family == "against_random" else 2 * 3 + has_order
        assert len(answers) == len(groups) * num_arms
        assert {key for key, one in answers.items() if one["is_clear"]} == clear_ones(p_values)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_what_is_clear_leaves_out_0_in_both_intervals(seed: int, num_seeds: int) -> None:
    result = make_world(noisy({"s2l": 0.1}, 0.02, seed), num_seeds=num_seeds).summarise()
    for family in ("against_random", "against_full", "pairs"):
        for one in records(result, family).values():
            low, high = one["corrected_interval"]
            assert one["is_clear"] == (low > 0 or high < 0)
            assert low <= one["interval"][0] < one["mean"] < one["interval"][1] <= high
            assert one["corrected_level"] <= 0.05


def test_one_seed_makes_no_claim() -> None:
    result = make_world(noisy({"s2l": 5.0}, 0.01), num_seeds=1).summarise()
    for family in ("against_random", "against_full", "pairs"):
        for one in records(result, family).values():
            assert (one["interval"], one["corrected_interval"], one["seeds_needed"]) == (None, None, None)
            assert one["is_clear"] is False


def test_a_difference_must_be_the_larger_the_more_is_asked() -> None:
    """Three seeds of a clear effect, alone and among ten methods that are as random."""
    score = noisy({"m0": 0.2}, 0.02, 3)
    alone = make_world(score, ("random", "m0"), (0.1,)).summarise()
    many = make_world(noisy({"m0": 0.2}, 0.02, 3), ("random", *(f"m{k}" for k in range(11))), (0.1,)).summarise()
    assert records(alone, "against_random")["m0", "random", 0.1]["is_clear"]
    assert not any(one["is_clear"] for one in records(many, "against_random").values())


def test_pairs_are_all_pairs_at_each_budget() -> None:
    result = make_world(noisy({}, 0.02)).summarise()
    pairs = {(frozenset(key[:2]), key[2]) for key in records(result, "pairs")}
    expected = {frozenset(pair) for pair in [("random", "s2l"), ("random", "clues"), ("s2l", "clues")]}
    assert pairs == {(pair, budget) for pair in expected for budget in (0.1, 0.5)}


def test_overlap_is_that_of_the_sets() -> None:
    world = make_world(noisy({}, 0.02))
    for one in world.summarise()["overlap"]:
        for row, first in enumerate(one["methods"]):
            for column, second in enumerate(one["methods"]):
                shares = []
                for seed in range(3):
                    a, b = (set(world.selections[m, one["budget"], seed].ids.tolist()) for m in (first, second))
                    shares.append(len(a & b) / len(a | b))
                assert one["jaccard"][row][column] == pytest.approx(statistics.fmean(shares))


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_jaccard_is_the_sets(first: set[int], second: set[int]) -> None:
    expected = len(first & second) / len(first | second) if first | second else 1.0
    assert jaccard(np.array(sorted(first), np.int64), np.array(sorted(second), np.int64)) == expected


def test_costs_are_multiples_of_one_training_on_everything() -> None:
    costs = make_world(noisy({}, 0.02)).summarise(examples_per_step=8)["costs"]
    by_method = {one["method"]: one for one in costs["methods"]}
    assert costs["full_training"] == {"seconds": 100.0, "examples": 400}
    assert by_method["random"]["seconds"] == 2.0
    assert (by_method["random"]["forwards"], by_method["random"]["fine_tunes"]) == (0, 0)
    clues = by_method["clues"]
    assert (clues["seconds"], clues["forwards"], clues["backwards"], clues["fine_tunes"]) == (92.0, 1300, 500, 1)
    assert clues["trainings"] == {"seconds": 0.92, "forwards": 1300 / 400, "backwards": 500 / 400}
    together = {(one["method"], one["budget"]): one["trainings"] for one in costs["arms"]}
    assert together["clues", 0.1] == pytest.approx((90 + 2 + 100) / 100)
    assert together["full", 1.0] == pytest.approx((100 + 2) / 100)
    assert costs["comparison"] == {
        "evidence_seconds": 90.0, "evidence_unshared_seconds": 120.0, "select_seconds": 2.0 * 21,
        "train_seconds": 2100.0, "num_trainings": 21,
    }  # fmt: skip


def test_evidence_that_two_links_read_is_paid_once() -> None:
    world = make_world(noisy({}, 0.02), costs={"s2l": [TRACE, TRACE], "clues": [INFLUENCE]})
    by_method = {one["method"]: one for one in world.summarise()["costs"]["methods"]}
    assert by_method["s2l"]["forwards"] == TRACE["forwards"]
    assert by_method["s2l"]["trainings"]["forwards"] is None  # what a step holds was not said


def test_budgets_may_be_numbers_of_rows() -> None:
    result = make_world(noisy({}, 0.02), budgets=(20, 4)).summarise()
    assert (result["budgets"], result["shares"], result["num_rows"]) == ([4, 20], [0.1, 0.5], NUM_ROWS)


def test_order_of_the_cells_does_not_matter() -> None:
    world = make_world(noisy({"s2l": 0.1}, 0.02), groups=GROUPS)
    shuffled = world.cells[:3] + world.cells[:2:-1]
    assert World(shuffled, world.costs, world.selections).summarise() == world.summarise()


def changed(number: int, **entries: Any) -> World:
    world = make_world(noisy({}, 0.02))
    world.cells[number] = {**world.cells[number], **entries}
    return world


def without(entry: str) -> World:
    world = make_world(noisy({}, 0.02))
    del world.cells[2][entry]
    return world


def with_order(**entries: Any) -> World:
    """One whose cells of the first seed say something else."""
    world = make_world(noisy({}, 0.02), on_all=("order",))
    cells = [{**cell, **entries} if (cell["method"], cell["seed"]) == ("order", 0) else cell for cell in world.cells]
    return world._replace(cells=cells)


def cut(method: str) -> World:
    world = make_world(noisy({}, 0.02))
    return World([cell for cell in world.cells if cell["method"] != method], world.costs, world.selections)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (World([], {}, {}), "'random', which the others are held against"),
        (without("steps"), "has no 'steps'"),
        (changed(2, budget=0.1, method="random"), r"\(random, budget 0.1, seed 0\) is there twice"),
        (changed(2, seed=7), r"missing: \(random, budget 0.1, seed 7\), .* and 4 more. Run the comparison again"),
        (cut("random"), "'random', which the others are held against"),
        (cut("full"), "'full', which the others are held against"),
        (changed(6, budget=0.9), "full has the budgets"),
        (with_order(budget=0.5), "full and order has the budgets"),
        (with_order(num_seen=None), "None as its num_seen"),
        (cut("full")._replace(on_all=("clues",)), "'full', which the others are held against"),
        (with_order(seed=9), "These cells are missing: "),
        (make_world(noisy({}, 0.02))._replace(on_all=("order",)), r"missing: \(order, budget 1.0, seed 0\)"),
        (with_order()._replace(costs={}), "No costs are given for 's2l'"),
        (changed(2, train_seconds=None), "None as its train_seconds"),
        (changed(2, metrics={"exact_match": {"all": math.nan}}), "nan as its exact_match of all, which is no finite"),
        (changed(2, metrics={"loss": {"all": 1.0}}), r"\['loss'\], and the first cell has \['exact_match'\]"),
        (
            changed(2, metrics={"exact_match": {"all": 1.0, "north": 2.0}}),
            "all cells and metrics need the same groups",
        ),
        (changed(2, num_kept=5), "keeps 4 rows, and its cell was trained on 5"),
        (make_world(noisy({}, 0.02), costs={"s2l": []}), "No costs are given for 'clues'"),
        (
            make_world(noisy({}, 0.02), costs={"s2l": [], "clues": [{**TRACE, "seconds": math.nan}]}),
            "A cost of 'clues' has seconds = nan",
        ),
    ],
)
def test_what_is_not_whole_is_refused(world: World, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        world.summarise()


def test_an_order_of_other_metrics_is_refused() -> None:
    with pytest.raises(ValueError, match="no order of what the cells have"):
        make_world(noisy({}, 0.02)).summarise(metrics=["loss"])


def test_a_missing_selection_is_named() -> None:
    world = make_world(noisy({}, 0.02))
    selections: dict[Any, Selection] = {key: one for key, one in world.selections.items() if key != ("s2l", 0.5, 1)}
    with pytest.raises(ValueError, match=r"The Selection of s2l, budget 0\.5, seed 1 is missing"):
        World(world.cells, world.costs, selections).summarise()

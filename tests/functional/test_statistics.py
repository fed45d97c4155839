"""Student's t against its integral, Holm against the closed test it stands for, and false claims counted."""

import math
import statistics
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hf_datasel.functional.statistics import (
    PairedDifference,
    holm_levels,
    num_repetitions_needed,
    p_value,
    paired_difference,
    spread,
    t_interval,
    t_quantile,
)

SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9)
LEVELS = st.floats(1e-5, 0.9).filter(lambda level: level != 0.05)


def compare(pairs: list[tuple[float, float]]) -> PairedDifference:
    return paired_difference("S2L", "random", {"S2L": [a for a, _ in pairs], "random": [b for _, b in pairs]})


def two_tails(t: float, degrees: int) -> float:
    """P(|T| > t) by Simpson's rule over the angle of t = sqrt(degrees) tan(angle)."""
    angles = np.linspace(math.atan(t / math.sqrt(degrees)), math.pi / 2, 4001)
    heights = np.cos(angles) ** (degrees - 1)
    weights = np.full(4001, 2.0)
    weights[1::2], weights[[0, -1]] = 4.0, 1.0
    total = float(weights @ heights) * (angles[1] - angles[0]) / 3
    return 2 * total * math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)


def closed_test(p_values: list[float], level: float) -> list[bool]:
    """Obviously correct, but slow: answered where every set of questions that holds it has one below its share."""
    everyone = range(len(p_values))
    sets = [each for size in range(1, len(p_values) + 1) for each in combinations(everyone, size)]
    return [all(min(p_values[j] for j in each) <= level / len(each) for each in sets if k in each) for k in everyone]


@given(SCORES)
def test_exchanging_the_arms_turns_the_difference_around(pairs: list[tuple[float, float]]) -> None:
    there, back = compare(pairs), compare([(b, a) for a, b in pairs])
    assert there.mean == -back.mean
    assert (there.low, there.high) == (-back.high, -back.low) or math.isnan(there.low)
    assert there.is_clear == back.is_clear


@given(SCORES)
def test_an_interval_holds_its_mean(pairs: list[tuple[float, float]]) -> None:
    difference = compare(pairs)
    assume(not math.isnan(difference.low))
    assert difference.low < difference.mean < difference.high


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), LEVELS)
def test_an_interval_leaves_out_0_where_the_p_value_is_below_its_level(values: list[float], level: float) -> None:
    p, (low, high) = p_value(values), t_interval(values, level)
    if math.isnan(p):
        assert math.isnan(low)
        assert math.isnan(high)
        assert statistics.stdev(values) < 1e-11
    elif abs(p - level) > 1e-9:  # both are the same question, answered to the last digits
        assert (low > 0 or high < 0) == (p < level)


@given(st.floats(-1, 1), st.integers(1, 6))
def test_values_without_a_spread_have_neither_interval_nor_p_value(value: float, number: int) -> None:
    values = [value] * number
    assert math.isnan(p_value(values))
    assert all(map(math.isnan, t_interval(values)))
    assert num_repetitions_needed(values) is None


@pytest.mark.parametrize("num_pairs", [2, 5, 12])
def test_false_claims_are_one_in_twenty(num_pairs: int) -> None:
    rng = np.random.default_rng(0)
    num_trials = 4000
    draws = rng.normal(size=(num_trials, num_pairs))
    claims = sum(compare([(float(x), 0.0) for x in row]).is_clear for row in draws)
    tolerance = 4 * math.sqrt(0.05 * 0.95 / num_trials)
    assert abs(claims / num_trials - 0.05) < tolerance


def test_false_claims_are_one_in_twenty_for_a_whole_family() -> None:
    """Eight methods against the same random rows, all of them no better: uncorrected, every third trial claims."""
    rng = np.random.default_rng(0)
    num_trials, num_methods, num_seeds = 1000, 8, 4
    claims = np.zeros((num_trials, 2), bool)
    for k in range(num_trials):
        scores = rng.normal(size=(num_methods, num_seeds)) - rng.normal(size=num_seeds)
        p_values = [p_value(row.tolist()) for row in scores]
        for column, levels in enumerate((holm_levels(p_values), [0.05] * num_methods)):
            claims[k, column] = any(p <= level for p, level in zip(p_values, levels, strict=True))
    corrected, plain = claims.mean(axis=0)
    assert corrected < 0.05 + 4 * math.sqrt(0.05 * 0.95 / num_trials)
    assert plain > 0.15


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=6), st.sampled_from([0.01, 0.05]))
def test_holm_is_the_closed_test(p_values: list[float], level: float) -> None:
    levels = holm_levels(p_values, level)
    assert [p <= at for p, at in zip(p_values, levels, strict=True)] == closed_test(p_values, level)


@given(st.lists(st.one_of(st.floats(0, 0.2), st.just(math.nan)), max_size=6))
def test_a_question_without_an_answer_fails_and_makes_the_others_no_easier(p_values: list[float]) -> None:
    levels = holm_levels(p_values)
    assert levels == holm_levels([1.0 if math.isnan(p) else p for p in p_values])
    assert all(0.05 / len(p_values) <= level <= 0.05 for level in levels)


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (4, 2.776), (10, 2.228), (11, 2.201), (20, 2.086), (120, 1.980)]
)
def test_quantiles_are_the_tabulated_ones(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, abs=6e-4)
    assert t_quantile(degrees, 0.05 + 1e-12) == pytest.approx(t_quantile(degrees), abs=2e-4)  # four places, and a sum


@given(st.integers(1, 40), LEVELS)
def test_quantiles_leave_their_level_to_the_tails(degrees: int, level: float) -> None:
    # Simpson's error is far below what is left of 1 - (1 - level) in double precision
    assert two_tails(t_quantile(degrees, level), degrees) == pytest.approx(level, rel=1e-9)


@pytest.mark.parametrize(("effect", "level"), [(1.0, 0.05), (0.8, 0.01), (2.0, 0.05 / 12)])
def test_as_many_repetitions_as_are_needed_show_a_difference_four_times_in_five(effect: float, level: float) -> None:
    deviates = np.array([-1.0, 1.0, -1.0, 1.0])
    values = (effect * deviates.std(ddof=1) + deviates).tolist()  # as far from 0 as the effect says
    needed = num_repetitions_needed(values, level)
    assert needed is not None
    rng = np.random.default_rng(0)
    trials = effect + rng.normal(size=(4000, needed))
    quantile = t_quantile(needed - 1, level)
    shown = (trials.mean(axis=1) * math.sqrt(needed) > quantile * trials.std(axis=1, ddof=1)).mean()
    # rounding up to whole repetitions, and a shifted t for the non-central one: some points of a hundred
    assert 0.76 < shown < 0.9


def test_a_difference_far_inside_the_noise_is_out_of_reach() -> None:
    assert num_repetitions_needed([1.0, -1.0, 0.001]) is None
    assert num_repetitions_needed([1.0, -1.0]) is None
    assert num_repetitions_needed([5.0, 5.001]) == 2


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        paired_difference("a", "b", {"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="finite"):
        spread([1.0, math.nan])
    with pytest.raises(ValueError, match="finite"):
        spread([])
    with pytest.raises(ValueError, match="degree of freedom"):
        t_quantile(0)
    with pytest.raises(ValueError, match=r"probability in \(0, 1\)"):
        t_quantile(3, 1.0)

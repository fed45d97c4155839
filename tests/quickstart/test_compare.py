"""Means, spreads and verdicts: nothing is claimed inside the noise."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hf_datasel.quickstart.compare import PairedDifference, paired_difference, spread, t_quantile, verdict

SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9)


def compare(pairs: list[tuple[float, float]]) -> PairedDifference:
    return paired_difference("S2L", "random", {"S2L": [a for a, _ in pairs], "random": [b for _, b in pairs]})


@given(SCORES)
def test_a_claim_needs_a_difference_of_two_standard_errors(pairs: list[tuple[float, float]]) -> None:
    differences = [a - b for a, b in pairs]
    sentence = verdict(compare(pairs))
    if "did better" in sentence:
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        assert abs(statistics.fmean(differences)) > 1.96 * error > 0
        winner = "S2L" if statistics.fmean(differences) > 0 else "random"
        assert f"{winner} did better" in sentence
    else:
        assert "cannot be told apart" in sentence or "nothing can be said" in sentence


@given(SCORES)
def test_exchanging_the_arms_turns_the_difference_around(pairs: list[tuple[float, float]]) -> None:
    there, back = compare(pairs), compare([(b, a) for a, b in pairs])
    assert there.mean == -back.mean
    assert (there.low, there.high) == (-back.high, -back.low) or math.isnan(there.low)
    assert there.is_clear == back.is_clear


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 6))
def test_without_a_spread_nothing_is_claimed(first: float, second: float, num_pairs: int) -> None:
    assert "nothing can be said" in verdict(compare([(first, second)] * num_pairs))


@given(SCORES)
def test_an_interval_holds_its_mean(pairs: list[tuple[float, float]]) -> None:
    difference = compare(pairs)
    assume(not math.isnan(difference.low))
    assert difference.low < difference.mean < difference.high


@pytest.mark.parametrize("num_pairs", [2, 5, 12])
def test_false_claims_are_one_in_twenty(num_pairs: int) -> None:
    rng = np.random.default_rng(0)
    num_trials = 4000
    draws = rng.normal(size=(num_trials, num_pairs))
    claims = sum(compare([(float(x), 0.0) for x in row]).is_clear for row in draws)
    tolerance = 4 * math.sqrt(0.05 * 0.95 / num_trials)
    assert abs(claims / num_trials - 0.05) < tolerance


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (4, 2.776), (10, 2.228), (11, 2.201), (20, 2.086), (120, 1.980)]
)
def test_quantiles_are_the_tabulated_ones(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, abs=6e-4)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        paired_difference("a", "b", {"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="finite"):
        spread([1.0, math.nan])
    with pytest.raises(ValueError, match="finite"):
        spread([])
    with pytest.raises(ValueError, match="degree of freedom"):
        t_quantile(0)

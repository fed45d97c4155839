"""Verdicts: nothing is claimed inside the noise."""

import math
import statistics

from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.statistics import PairedDifference, paired_difference
from hf_datasel.quickstart.compare import verdict

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


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 6))
def test_without_a_spread_nothing_is_claimed(first: float, second: float, num_pairs: int) -> None:
    assert "nothing can be said" in verdict(compare([(first, second)] * num_pairs))

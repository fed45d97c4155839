"""Which examples are shown, against sorting everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel import Selection
from hf_datasel.report.examples import BEST, BY_CHANCE, NEAREST, WORST, choose_examples

SCORES = st.lists(st.sampled_from([-2.5, -1.0, 0.0, 0.25, 1.0, 3.0]), min_size=1, max_size=25)


@given(values=SCORES, num=st.integers(0, 9), direction=st.sampled_from(["high", "low"]), seed=st.integers(0, 5))
def test_best_worst_and_nearest_are_shown(values: list[float], num: int, direction: str, seed: int) -> None:
    scores = np.array(values, np.float32)
    kept = scores >= 0.25 if direction == "high" else scores <= 0.25
    details = {"direction": direction, "rule": "fixed", "threshold": 0.25}
    selection = Selection(
        candidate_ids=np.arange(len(scores)) * 2, kept=kept, scores=scores, provenance=({"details": details},)
    )
    both = choose_examples(selection, num, seed=seed)
    for shown, side, reason in zip(both, (kept, ~kept), (BEST, WORST), strict=True):
        there = sorted(scores[side].tolist())
        assert len(shown) == len({one.id for one in shown}) == min(num, len(there))
        assert all(side[one.id // 2] and one.score == scores[one.id // 2] for one in shown)
        extremes = [one.score for one in shown if one.reason == reason]
        assert len(extremes) == min(-(-num // 2), len(there))
        high_first = (direction == "high") == (reason == BEST)
        ordered = there[::-1] if high_first else there
        assert extremes == ordered[: len(extremes)]
        nearest = [abs(one.score - 0.25) for one in shown if one.reason == NEAREST]
        rest = sorted(abs(score - 0.25) for score in ordered[len(extremes) :])
        assert nearest == rest[: len(nearest)]
        assert len(extremes) + len(nearest) == len(shown)


def test_without_scores_or_cut_they_are_drawn() -> None:
    kept = np.arange(100) % 3 == 0
    plain = Selection(candidate_ids=np.arange(100), kept=kept, clusters=np.arange(100, dtype=np.int32))
    first, dropped = choose_examples(plain, 10, seed=1)
    assert choose_examples(plain, 10, seed=1)[0] == first != choose_examples(plain, 10, seed=2)[0]
    assert {one.reason for one in (*first, *dropped)} == {BY_CHANCE}
    assert all(one.cluster == one.id and one.score is None for one in first)
    mixed = Selection(candidate_ids=np.arange(100), kept=kept, scores=np.arange(100, dtype=np.float32))
    best = choose_examples(mixed, 5, seed=0)[0]
    assert [one.id for one in best[:3]] == [99, 96, 93]
    assert [one.reason for one in best] == [BEST] * 3 + [BY_CHANCE] * 2
    assert len({one.id for one in best}) == 5


@pytest.mark.parametrize("num", [-1, 1.5, True, "3"])
def test_no_number_of_rows_is_refused(num: object) -> None:
    selection = Selection(candidate_ids=np.arange(2), kept=np.ones(2, bool))
    with pytest.raises(ValueError, match="num_examples="):
        choose_examples(selection, num)

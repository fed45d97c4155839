"""Stopping early: where the top is known, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.valuation import OfficialEstimator, PaperEstimator, RegressionEstimator, StopWhenStable
from hf_datasel.functional.valuation.stopping import Looks, known_share_of_top, split_into_rounds
from tests.functional.valuation.known import Watched, additive, noisy

CLEAR = np.where(np.arange(40) < 4, 10.0, np.arange(40) / 400)  # the first four are the top tenth
SAMPLED = {
    "official": lambda stop: OfficialEstimator(group_size=4, num_permutations=60, stop_when_stable=stop),
    "paper": lambda stop: PaperEstimator(group_size=4, num_permutations=60, stop_when_stable=stop),
    "antithetic": lambda stop: PaperEstimator(
        group_size=4, num_permutations=60, antithetic=True, stop_when_stable=stop
    ),
    "regression": lambda stop: RegressionEstimator(num_evaluations=540, stop_when_stable=stop),
    "truncated": lambda stop: RegressionEstimator(
        num_evaluations=540, value="banzhaf", max_share=0.2, stop_when_stable=stop
    ),
}


class TestKnownShare:
    def test_against_draws_of_independent_normals(self):
        generator = np.random.default_rng(0)
        values, errors = generator.normal(size=30), generator.uniform(0.1, 1.5, 30)
        top = np.argsort(-values)[:6]
        cut = np.sort(values)[-7:-5].mean()
        draws = values[top] + errors[top] * generator.normal(size=(40_000, 6))
        assert known_share_of_top(values, errors, 0.2) == pytest.approx((draws > cut).mean(), abs=0.005)

    def test_without_errors_all_is_known_but_for_ties(self):
        assert known_share_of_top(np.array([3.0, 2.0, 1.0]), np.zeros(3), 0.3) == 1.0
        assert known_share_of_top(np.array([2.0, 2.0, 1.0]), np.zeros(3), 0.3) == 0.5

    def test_where_nothing_was_learnt_half_is_known(self):
        assert known_share_of_top(np.zeros(50), np.full(50, 2.0), 0.1) == 0.5

    def test_unknown_errors_are_never_enough(self):
        assert np.isnan(known_share_of_top(np.arange(5.0), np.full(5, np.nan), 0.2))
        assert not Looks(StopWhenStable(patience=1)).is_stable(np.arange(5.0), np.full(5, np.nan))

    @given(share=st.floats(0.01, 0.99), num_players=st.integers(1, 20))
    def test_any_share_of_any_number_of_players(self, share, num_players):
        assert 0.5 <= known_share_of_top(np.arange(num_players, dtype=float), np.ones(num_players), share) <= 1


def test_it_takes_so_many_looks_in_a_row():
    clear, unclear = (np.array([5.0, 0.0]), np.ones(2)), (np.array([0.1, 0.0]), np.ones(2))
    looks = Looks(StopWhenStable(top_share=0.5, patience=2))
    assert [looks.is_stable(*look) for look in (clear, unclear, clear, clear)] == [False, False, False, True]


@given(total=st.integers(1, 300), unit=st.integers(0, 70), every=st.integers(1, 100))
def test_rounds_add_up_and_looks_are_no_closer_than_asked(total, unit, every):
    rounds = list(split_into_rounds(total, unit, StopWhenStable(every=every)))
    assert sum(rounds) == total
    assert all(size * max(unit, 1) >= every > (size - 1) * max(unit, 1) for size in rounds[:-1])


@pytest.mark.parametrize("make", SAMPLED.values(), ids=SAMPLED)
class TestEstimators:
    def test_a_clear_top_is_found_before_the_budget_is_used(self, make):
        game = Watched(noisy(additive(CLEAR), 0.5, 0))
        estimate = make(StopWhenStable(probability=0.95)).estimate(game, 40, seed=1)
        assert estimate.details["stopped"] == "stable"
        assert estimate.total_evaluations == len(game.asked) < 540

    def test_noise_uses_up_the_budget(self, make):
        for seed in range(3):
            estimate = make(StopWhenStable()).estimate(noisy(additive(np.zeros(40)), 1.0, seed), 40, seed=seed)
            assert estimate.details["stopped"] == "budget"
            assert estimate.total_evaluations == make(None).estimate(additive(CLEAR), 40, seed=0).total_evaluations

    def test_what_was_asked_is_the_beginning_of_what_would_have_been(self, make):
        stopped, whole = Watched(additive(CLEAR)), Watched(additive(CLEAR))
        estimate = make(StopWhenStable()).estimate(stopped, 40, seed=1)
        make(None).estimate(whole, 40, seed=1)
        assert np.array_equal(stopped.asked, whole.asked[: estimate.total_evaluations])


def test_the_top_that_regression_stops_at_is_right():
    stop = StopWhenStable(probability=0.95)
    for name in ("regression", "truncated"):
        values = SAMPLED[name](stop).estimate(noisy(additive(CLEAR), 0.5, 0), 40, seed=1).values
        assert set(np.argsort(-values)[:4]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_share": 0}, "top_share=0 must be a share between 0 and 1"),
        ({"top_share": 1.0}, "top_share=1.0 must be a share"),
        ({"probability": 0.5}, "probability=0.5 must lie between 0.5, which a ranking by chance reaches, and 1"),
        ({"patience": 0}, "patience=0 must be an int of at least 1"),
        ({"every": 1.5}, "every=1.5 must be an int of at least 1"),
    ],
)
@pytest.mark.parametrize("make", SAMPLED.values(), ids=SAMPLED)
def test_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(StopWhenStable(**options)).estimate(additive(CLEAR), 40, seed=0)

"""What holds of every estimator."""

import json
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.valuation import (
    ESTIMATORS,
    ExactEstimator,
    OfficialEstimator,
    PaperEstimator,
    RegressionEstimator,
)
from tests.functional.valuation.known import Watched, additive, from_table, noisy

N = 9
FEATURES = np.random.default_rng(7).normal(size=(N, 2)).astype(np.float32)
BUDGET = 61
CASES = {
    "exact": ExactEstimator(),
    "official": OfficialEstimator(group_size=2, num_permutations=50, num_evaluations=BUDGET),
    "paper": PaperEstimator(group_size=2, num_permutations=50, num_evaluations=BUDGET),
    "antithetic": PaperEstimator(group_size=2, num_permutations=50, num_evaluations=BUDGET, antithetic=True),
    "shapley": RegressionEstimator(num_evaluations=BUDGET),
    "banzhaf": RegressionEstimator(num_evaluations=BUDGET, value="banzhaf"),
    "fixed ridge": RegressionEstimator(num_evaluations=BUDGET, ridge=0.5),
    "truncated shapley": RegressionEstimator(num_evaluations=BUDGET, max_share=0.5),
    "truncated banzhaf": RegressionEstimator(num_evaluations=BUDGET, value="banzhaf", max_share=0.5),
    "gaussian process": RegressionEstimator(num_evaluations=BUDGET, gaussian_process=True),
    "aligned": RegressionEstimator(num_evaluations=BUDGET, gaussian_process=True, alignment=0.4),
}
SAMPLED = {name: one for name, one in CASES.items() if name != "exact"}
LINEAR = ("exact", "official", "paper", "antithetic", "fixed ridge")
EFFICIENT = ("exact", "paper", "antithetic", "shapley", "fixed ridge", "gaussian process", "aligned")


def table_game(seed=0):
    return from_table(np.random.default_rng(seed).normal(size=2**N))


def run(estimator, game, seed=3, **options):
    return estimator.estimate(game, N, features=FEATURES, seed=seed, **options)


def global_state():
    return vars(np.random)["get_state"]()[1].tolist()


def test_every_estimator_goes_by_its_name():
    assert {name: one.name for name, one in ESTIMATORS.items()} == {name: name for name in ESTIMATORS}
    assert {type(one) for one in CASES.values()} == set(ESTIMATORS.values())


every = pytest.mark.parametrize("estimator", CASES.values(), ids=CASES)
sampled = pytest.mark.parametrize("estimator", SAMPLED.values(), ids=SAMPLED)


@every
class TestEvery:
    def test_an_estimate_is_whole(self, estimator):
        game = Watched(table_game())
        estimate = run(estimator, game)
        for array, kind in (
            (estimate.values, float),
            (estimate.standard_errors, float),
            (estimate.num_evaluations, int),
        ):
            assert array.shape == (N,)
            assert array.dtype == kind
        assert np.isfinite(estimate.values).all()
        assert (estimate.standard_errors >= 0).all()
        assert 0 < estimate.num_evaluations.max() <= estimate.total_evaluations == len(game.asked)
        assert json.loads(json.dumps(estimate.details)) == estimate.details

    def test_the_budget_holds_and_progress_ends_at_it(self, estimator):
        calls = []
        estimate = run(estimator, table_game(), progress=lambda done, planned: calls.append((done, planned)))
        budget = getattr(estimator, "num_evaluations", 2**N)
        assert calls[-1] == (estimate.total_evaluations, estimate.total_evaluations)
        assert [done for done, _ in calls] == sorted({done for done, _ in calls})
        assert {planned for _, planned in calls} == {estimate.total_evaluations}
        assert budget / 2 < estimate.total_evaluations <= budget

    def test_the_seed_alone_decides_and_global_generators_stand_still(self, estimator):
        before = global_state()
        one, two = run(estimator, table_game()), run(estimator, table_game())
        assert np.array_equal(one.values, two.values)
        assert np.array_equal(one.standard_errors, two.standard_errors)
        assert global_state() == before
        assert np.array_equal(one.values, run(estimator, table_game(), seed=4).values) == (estimator.name == "exact")

    def test_batches_do_not_matter(self, estimator):
        games = [Watched(table_game()) for _ in range(3)]
        found = [
            run(replace(estimator, batch_size=size), game) for size, game in zip((1, 7, 1000), games, strict=True)
        ]
        assert max(len(batch) for batch in games[1].batches) == 7
        for game, estimate in zip(games, found, strict=True):
            assert np.array_equal(game.asked, games[0].asked)
            assert np.array_equal(estimate.values, found[0].values)

    def test_a_killed_run_goes_on_from_a_ledger(self, estimator):
        ledger, trained = {}, []

        def utility(coalitions, limit=10**9):
            for row in coalitions:
                if row.tobytes() not in ledger:
                    if len(trained) >= limit:
                        raise KeyboardInterrupt
                    trained.append(row)
                    ledger[row.tobytes()] = float(table_game()(row[None])[0])
            return np.array([ledger[row.tobytes()] for row in coalitions])

        with pytest.raises(KeyboardInterrupt):
            run(estimator, lambda coalitions: utility(coalitions, limit=20))
        estimate = run(estimator, utility)
        whole = Watched(table_game())
        assert np.array_equal(estimate.values, run(estimator, whole).values)
        assert len(trained) == len({row.tobytes() for row in whole.asked})

    @pytest.mark.parametrize("answer", [np.nan, np.inf, -np.inf])
    def test_an_answer_that_is_no_number_is_refused_by_its_coalition(self, estimator, answer):
        watched = Watched(table_game())
        run(estimator, watched)
        spoilt = watched.asked[7]
        index = int(np.argmax((watched.asked == spoilt).all(axis=1)))

        def game(coalitions):
            return np.where((coalitions == spoilt).all(axis=1), answer, table_game()(coalitions))

        members = ", ".join(map(str, np.flatnonzero(spoilt)))
        expected = rf"v of coalition {index}, {spoilt.sum()} of 9 players \({members}\), is {answer}, and no value"
        with pytest.raises(ValueError, match=expected) as refused:
            run(estimator, game)
        assert "Mend the utility" in str(refused.value)

    def test_an_answer_of_another_shape_is_refused(self, estimator):
        with pytest.raises(TypeError, match=r"The game gave an array of shape \(\) for \d+ coalitions"):
            run(estimator, lambda coalitions: 1.0)

    def test_no_players_are_refused(self, estimator):
        with pytest.raises(ValueError, match="num_players=0 must be an int of at least 1"):
            estimator.estimate(table_game(), 0, features=FEATURES[:0], seed=0)

    def test_hyperparameters_are_frozen(self, estimator):
        with pytest.raises(FrozenInstanceError):
            setattr(estimator, fields(estimator)[0].name, 1)

    def test_other_units_give_the_same_values_in_them(self, estimator):
        shift = 0.0 if estimator.name == "official" else 5.0  # its v(empty) = 0 has no unit
        one = run(estimator, table_game())
        two = run(estimator, lambda coalitions: 1000 * table_game()(coalitions) + shift)
        np.testing.assert_allclose(two.values, 1000 * one.values, atol=1e-7)
        np.testing.assert_allclose(two.standard_errors, 1000 * one.standard_errors, atol=1e-7)


@sampled
def test_a_larger_budget_begins_with_what_a_smaller_one_asks(estimator):
    small, large = Watched(table_game()), Watched(table_game())
    run(estimator, small)
    run(replace(estimator, num_evaluations=3 * BUDGET), large)
    assert len(large.asked) > 2 * len(small.asked)
    assert np.array_equal(large.asked[: len(small.asked)], small.asked)


@pytest.mark.parametrize("name", LINEAR)
def test_values_are_linear_in_the_game(name):
    one, two = table_game(1), table_game(2)
    both = run(CASES[name], lambda coalitions: 2 * one(coalitions) - 3 * two(coalitions)).values
    separate = [run(CASES[name], game).values for game in (one, two)]
    np.testing.assert_allclose(both, 2 * separate[0] - 3 * separate[1], atol=1e-9)


@pytest.mark.parametrize("name", EFFICIENT)
def test_shapley_values_share_out_what_all_achieve(name):
    full, empty = table_game()(np.array([[True] * N, [False] * N]))
    assert run(CASES[name], table_game()).values.sum() == pytest.approx(full - empty, abs=1e-9)


@pytest.mark.parametrize(
    "name", [name for name in CASES if "official" not in name and name not in ("paper", "antithetic")]
)
def test_who_adds_nothing_is_worth_nothing_and_equals_are_worth_the_same(name):
    if name == "fixed ridge":
        estimator = replace(CASES[name], ridge=1e-9)
    else:
        estimator = CASES[name]
    values = run(estimator, additive([0.0, 2.0, 2.0, -1.0, 0.0, 3.0, 1.0, 1.0, 5.0])).values
    np.testing.assert_allclose(values, [0, 2, 2, -1, 0, 3, 1, 1, 5], atol=1e-6)


@settings(max_examples=25)
@given(num_players=st.integers(1, 40), budget=st.integers(1, 90), seed=st.integers(0, 9), share=st.floats(0.1, 0.9))
def test_whatever_the_numbers_the_budget_holds_or_is_refused(num_players, budget, seed, share):
    largest = max(1, int(share * num_players))
    for estimator in (
        PaperEstimator(group_size=largest, num_permutations=1000, num_evaluations=budget),
        OfficialEstimator(group_size=largest, num_permutations=1000, num_evaluations=budget),
        RegressionEstimator(num_evaluations=budget),
        RegressionEstimator(num_evaluations=budget, value="banzhaf"),
        RegressionEstimator(num_evaluations=budget, max_share=share),
        RegressionEstimator(num_evaluations=budget, value="banzhaf", max_share=share),
    ):
        game = Watched(noisy(additive(np.ones(num_players)), 1.0, seed))
        estimate, refusal = attempt(estimator, game, num_players, seed)
        if estimate is None:
            assert "is too small" in refusal or "leaves coalitions of none" in refusal
            assert game.batches == []
        else:
            assert estimate.total_evaluations == len(game.asked) <= budget
            assert np.isfinite(estimate.values).all()


def attempt(estimator, game, num_players, seed):
    try:
        return estimator.estimate(game, num_players, seed=seed), ""
    except ValueError as error:
        return None, str(error)

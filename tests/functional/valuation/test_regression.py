"""Regression gives the values it names: exactly from all coalitions, nearly from some, with errors that are true."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.valuation import ExactEstimator, RegressionEstimator
from hf_datasel.functional.valuation.coalitions import size_law
from hf_datasel.functional.valuation.exact import all_coalitions
from hf_datasel.functional.valuation.forms import Pairs, Singles
from hf_datasel.functional.valuation.games import SaturatingGame
from tests.functional.valuation.known import (
    Watched,
    additive,
    banzhaf_by_subsets,
    from_table,
    noisy,
    shapley_by_permutations,
    truncated_shapley,
)

FORMS = {
    "shapley": {"value": "shapley"},
    "banzhaf": {"value": "banzhaf"},
    "shapley, truncated": {"value": "shapley", "max_share": 0.3},
    "banzhaf, truncated": {"value": "banzhaf", "max_share": 0.3},
}
tables = st.integers(3, 5).flatmap(
    lambda n: st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=2**n, max_size=2**n)
)


def from_all_coalitions(game, num_players, value, largest):
    """The estimate if every coalition that the law allows is there, as often as the law says."""
    form = (Pairs if largest == num_players else Singles)(num_players, value, largest)
    law = size_law(num_players, value, largest)
    coalitions = all_coalitions(num_players)
    coalitions = coalitions[np.isin(coalitions.sum(axis=1), law.sizes)]
    each = law.probabilities * law.weights / [math.comb(num_players, size) for size in law.sizes]
    weights = each[np.searchsorted(law.sizes, coalitions.sum(axis=1))]
    answers = game(coalitions) if largest < num_players else (game(coalitions) - game(~coalitions)) / 2
    estimator = RegressionEstimator(num_evaluations=1, value=value, ridge=1e-11)
    return estimator._fit(form, coalitions, answers, weights / weights.mean(), game(form.ends), None)[0]


class TestAllCoalitions:
    @given(table=tables)
    @settings(max_examples=25)
    def test_give_shapleys_and_banzhafs_values(self, table):
        game, n = from_table(table), len(table).bit_length() - 1
        np.testing.assert_allclose(
            from_all_coalitions(game, n, "shapley", n), shapley_by_permutations(game, n), atol=1e-7
        )
        np.testing.assert_allclose(from_all_coalitions(game, n, "banzhaf", n), banzhaf_by_subsets(game, n), atol=1e-7)

    @given(table=tables, data=st.data())
    @settings(max_examples=25)
    def test_that_are_not_too_large_give_the_values_of_the_truncated_game(self, table, data):
        game, n = from_table(table), len(table).bit_length() - 1
        largest = data.draw(st.integers(1, n - 1))
        found = from_all_coalitions(game, n, "shapley", largest)
        np.testing.assert_allclose(found, truncated_shapley(game, n, largest), atol=1e-6)

    @given(table=tables, data=st.data())
    @settings(max_examples=25)
    def test_that_are_not_too_large_give_the_best_additive_fit(self, table, data):
        game, n = from_table(table), len(table).bit_length() - 1
        largest = data.draw(st.integers(2, n - 1))
        found = from_all_coalitions(game, n, "banzhaf", largest)
        coalitions = all_coalitions(n)
        coalitions = coalitions[(coalitions.sum(axis=1) <= largest) & coalitions.any(axis=1)]
        design = np.concatenate([np.ones((len(coalitions), 1)), coalitions], axis=1)
        slopes = np.linalg.lstsq(design, game(coalitions), rcond=None)[0][1:]
        np.testing.assert_allclose(found - found.mean(), slopes - slopes.mean(), atol=1e-7)
        answers, sizes = game(coalitions), coalitions.sum(axis=1)
        assert found.mean() == pytest.approx(
            (answers.mean() - game(np.zeros((1, n), bool))[0]) / sizes.mean(), abs=1e-7
        )

    @pytest.mark.parametrize("value", ["shapley", "banzhaf"])
    def test_are_asked_where_the_budget_reaches_them(self, value):
        game = from_table(np.random.default_rng(0).normal(size=2**6))
        estimate = RegressionEstimator(num_evaluations=64, value=value).estimate(game, 6, seed=0)
        assert np.array_equal(estimate.values, ExactEstimator(value=value).estimate(game, 6, seed=0).values)
        assert estimate.total_evaluations == 64


class TestSomeCoalitions:
    @pytest.mark.parametrize("value", ["shapley", "banzhaf"])
    def test_more_of_them_lead_to_the_value_and_not_to_the_other(self, value):
        weights = np.random.default_rng(0).gamma(1.0, size=24)
        game = SaturatingGame(weights, 0.0, 1.0, 8.0)
        other = game.exact_values("banzhaf" if value == "shapley" else "shapley")
        truth, errors = game.exact_values(value), []
        for budget in (200, 3200):
            found = [
                RegressionEstimator(num_evaluations=budget, value=value).estimate(game, 24, seed=seed).values
                for seed in range(3)
            ]
            errors.append(np.sqrt(np.square(found - truth).mean()))
        assert errors[1] < errors[0] / 2.5  # 16 times the coalitions, a quarter of the error but for shrinking
        assert errors[1] < 0.2 * np.sqrt(np.square(np.mean(found, axis=0) - other).mean())

    @pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
    @pytest.mark.parametrize("num_players", [17, 40])
    def test_of_an_additive_game_as_many_as_players_are_enough(self, options, num_players):
        weights = np.random.default_rng(1).normal(size=num_players)
        estimate = RegressionEstimator(num_evaluations=120, **options).estimate(additive(weights), num_players, seed=0)
        np.testing.assert_allclose(estimate.values, weights, atol=1e-6)
        assert estimate.standard_errors.max() < 1e-5

    @pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
    @pytest.mark.parametrize(("num_players", "noise"), [(60, 0.3), (60, 4.0), (200, 3.0)])
    def test_standard_errors_cover_the_truth(self, options, num_players, noise):
        covered, ratios = [], []
        for seed in range(10):
            weights = np.random.default_rng(seed).normal(size=num_players)
            game = noisy(additive(weights), noise, seed)
            estimate = RegressionEstimator(num_evaluations=200, **options).estimate(game, num_players, seed=seed)
            errors = estimate.values - weights
            covered.append(np.mean(np.abs(errors) < 1.96 * estimate.standard_errors))
            ratios.append(np.square(errors).mean() / np.square(estimate.standard_errors).mean())
        assert 0.91 < np.mean(covered) < 0.985  # 10 sets of at least 60 errors that hang together
        assert 0.7 < np.mean(ratios) < 1.3

    def test_the_noise_of_an_evaluation_is_measured(self):
        for options in FORMS.values():
            game = noisy(additive(np.ones(20)), 0.5, 0)
            details = RegressionEstimator(num_evaluations=400, **options).estimate(game, 20, seed=0).details
            assert details["noise"] == pytest.approx(0.5, rel=0.25)  # 170 or more rows left: a standard error of 5%

    def test_smooth_values_are_found_from_features(self):
        features = np.random.default_rng(0).normal(size=(150, 2)).astype(np.float32)
        weights = np.sin(features[:, 0]) + features[:, 1]
        agreement = {}
        for name, options in {
            "ridge": {},
            "smooth": {"gaussian_process": True},
            "aligned": {"gaussian_process": True, "alignment": 0.5},
        }.items():
            found = [
                RegressionEstimator(num_evaluations=80, **options)
                .estimate(noisy(additive(weights), 30.0, seed), 150, features=features, seed=seed)
                .values
                for seed in range(5)
            ]
            agreement[name] = np.mean([np.corrcoef(one, weights)[0, 1] for one in found])
        assert agreement["aligned"] > agreement["smooth"] + 0.15 > agreement["ridge"] + 0.3


class TestWhatIsAsked:
    def test_both_ends_and_then_pairs_of_complements(self):
        game = Watched(additive(np.ones(30)))
        RegressionEstimator(num_evaluations=61).estimate(game, 30, seed=0)
        assert game.asked[:2].tolist() == [[True] * 30, [False] * 30]
        assert np.array_equal(game.asked[2::2], ~game.asked[3::2])
        assert len(game.asked) == 60  # an odd one has no complement

    @pytest.mark.parametrize("value", ["shapley", "banzhaf"])
    def test_no_coalition_above_the_limit(self, value):
        game = Watched(additive(np.ones(100)))
        estimator = RegressionEstimator(num_evaluations=200, value=value, max_share=0.29)
        assert estimator.estimate(game, 100, seed=0).details["largest"] == 29
        sizes = game.asked.sum(axis=1)
        assert sizes[0] == 0
        assert sizes.max() == 29
        assert sizes[1:].min() >= 1
        assert (np.mean(sizes[1:] >= 26) > 0.9) == (value == "banzhaf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_evaluations": 13}, "num_evaluations=13 is too small for a regression: take at least 14, and rather"),
        ({"num_evaluations": 7, "value": "banzhaf"}, "take at least 8"),
        ({"num_evaluations": 8, "max_share": 0.5}, "take at least 9"),
        ({"num_evaluations": 5, "value": "banzhaf", "max_share": 0.5}, "take at least 6"),
        ({"num_evaluations": 100, "value": "owen"}, "value='owen' must be one of"),
        ({"num_evaluations": 100, "max_share": 1.0}, "max_share=1.0 must be a share between 0 and 1, or None"),
        ({"num_evaluations": 100, "max_share": 0.01}, "max_share=0.01 of 20 players leaves coalitions of none"),
        ({"num_evaluations": 100, "ridge": 0.0}, "ridge=0.0 must be a positive number, or None"),
        (
            {"num_evaluations": 100, "ridge": 1.0, "gaussian_process": True},
            "ridge is of the regression without features",
        ),
        ({"num_evaluations": 100, "alignment": 1.0}, "alignment=1.0 must be a share, at least 0 and below 1"),
        ({"num_evaluations": 100, "gaussian_process": True}, "need the players' features: pass features"),
        ({"num_evaluations": 100, "alignment": 0.5}, "need the players' features: pass features"),
        ({"num_evaluations": True}, "num_evaluations=True must be an int of at least 1"),
    ],
)
def test_refused(options, message):
    game = Watched(additive(np.ones(20)))
    with pytest.raises(ValueError, match=message):
        RegressionEstimator(**options).estimate(game, 20, seed=0)
    assert game.batches == []


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((19, 2), np.float32), r"the shape \(19, 2\): they need one row for each of 20 players"),
        (np.ones(20, np.float32), r"the shape \(20,\): they need one row"),
        (np.array([[1.0]] * 7 + [[np.nan]] + [[2.0]] * 12), "The features of player 7 are not finite"),
    ],
)
def test_features_that_do_not_fit_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        RegressionEstimator(num_evaluations=50, gaussian_process=True).estimate(
            additive(np.ones(20)), 20, features=features, seed=0
        )


def test_the_least_budget_is_that_of_all_coalitions_where_these_are_few():
    with pytest.raises(ValueError, match="take at least 8, and rather as many as there are players, 3"):
        RegressionEstimator(num_evaluations=7).estimate(additive([1, 2, 3]), 3, seed=0)

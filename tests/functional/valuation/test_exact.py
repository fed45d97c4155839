"""Exact values against closed forms and against the definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.valuation import ExactEstimator
from hf_datasel.functional.valuation.exact import MOST_PLAYERS
from hf_datasel.functional.valuation.games import SaturatingGame
from tests.functional.valuation.known import (
    Watched,
    additive,
    airport,
    banzhaf_by_subsets,
    from_table,
    glove,
    majority,
    shapley_by_permutations,
    unanimity,
)

tables = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=2**n, max_size=2**n)
)


def exact(game, num_players, value="shapley"):
    return ExactEstimator(value=value).estimate(game, num_players, seed=0).values


class TestClosedForms:
    @pytest.mark.parametrize("value", ["shapley", "banzhaf"])
    def test_of_an_additive_game_the_weights(self, value):
        weights = [3.0, -1.0, 0.0, 2.5]
        np.testing.assert_allclose(exact(additive(weights), 4, value), weights, atol=1e-14)

    def test_of_unanimity_an_equal_share_for_the_carrier_and_nothing_for_others(self):
        shapley, banzhaf = (exact(unanimity([1, 3, 4]), 6, value) for value in ("shapley", "banzhaf"))
        carrier = np.isin(np.arange(6), [1, 3, 4])
        np.testing.assert_allclose(shapley, carrier / 3, atol=1e-15)
        np.testing.assert_allclose(banzhaf, carrier / 4, atol=1e-15)

    def test_of_the_airport_each_stretch_is_shared_by_who_needs_it(self):
        costs = np.array([1.0, 2.0, 2.0, 5.0, 9.0])
        stretches = np.diff(costs, prepend=0)
        expected = np.cumsum(stretches / np.arange(5, 0, -1))
        np.testing.assert_allclose(exact(airport(costs), 5), expected, atol=1e-14)

    def test_of_gloves_the_scarce_one_gets_most(self):
        np.testing.assert_allclose(exact(glove(1), 3), [2 / 3, 1 / 6, 1 / 6], atol=1e-15)

    def test_of_a_majority_all_get_the_same(self):
        np.testing.assert_allclose(exact(majority(4), 7), np.full(7, 1 / 7), atol=1e-15)
        np.testing.assert_allclose(exact(majority(4), 7, "banzhaf"), np.full(7, math.comb(6, 3) / 64), atol=1e-15)

    @given(
        weights=st.lists(st.floats(-1, 3), min_size=2, max_size=7).filter(lambda w: abs(sum(w)) > 0.5),
        rate=st.floats(0.1, 4),
    )
    @settings(max_examples=30)
    def test_of_a_saturating_game_the_integral(self, weights, rate):
        game = SaturatingGame(weights, 0.3, 0.38, rate)
        size = float(np.abs(game(np.array([[w < 0 for w in weights], [w > 0 for w in weights]]))).max())
        for value in ("shapley", "banzhaf"):
            np.testing.assert_allclose(
                game.exact_values(value), exact(game, len(weights), value), atol=1e-13 * max(size, 1)
            )

    def test_of_a_saturating_game_of_thousands_the_values_add_up(self):
        game = SaturatingGame(np.random.default_rng(0).normal(0.5, 1, 3000), 0.3, 0.38, 2.0)
        assert game.exact_values("shapley").sum() == pytest.approx(0.08, abs=1e-13)


class TestDefinitions:
    @given(table=tables)
    @settings(max_examples=25)
    def test_every_game_has_the_values_of_the_slow_oracles(self, table):
        game, n = from_table(table), len(table).bit_length() - 1
        np.testing.assert_allclose(exact(game, n), shapley_by_permutations(game, n), atol=1e-12)
        np.testing.assert_allclose(exact(game, n, "banzhaf"), banzhaf_by_subsets(game, n), atol=1e-12)

    @given(table=tables, seed=st.integers(0, 99))
    def test_shapleys_axioms(self, table, seed):
        game, n = from_table(table), len(table).bit_length() - 1
        values = exact(game, n)
        assert values.sum() == pytest.approx(table[-1] - table[0], abs=1e-12)  # efficiency
        order = np.random.default_rng(seed).permutation(n)
        renamed = exact(lambda coalitions: game(coalitions[:, np.argsort(order)]), n)
        np.testing.assert_allclose(renamed, values[order], atol=1e-12)  # symmetry, for any renaming
        other = from_table(np.random.default_rng(seed).normal(size=2**n))
        both = exact(lambda coalitions: 2 * game(coalitions) - other(coalitions), n)
        np.testing.assert_allclose(both, 2 * values - exact(other, n), atol=1e-12)  # linearity

    @given(table=tables, worth=st.floats(-5, 5))
    def test_who_always_adds_the_same_is_worth_that(self, table, worth):
        game, n = from_table(table), len(table).bit_length() - 1
        for value in ("shapley", "banzhaf"):
            joined = exact(lambda coalitions: game(coalitions[:, :n]) + worth * coalitions[:, n], n + 1, value)
            assert joined[n] == pytest.approx(worth, abs=1e-12)
            np.testing.assert_allclose(joined[:n], exact(game, n, value), atol=1e-12)


def test_every_coalition_is_asked_once_and_nothing_is_left_to_chance():
    game = Watched(majority(2))
    estimate = ExactEstimator(batch_size=7).estimate(game, 5, seed=0)
    assert len({row.tobytes() for row in game.asked}) == len(game.asked) == estimate.total_evaluations == 32
    assert [len(batch) for batch in game.batches] == [7, 7, 7, 7, 4]
    assert estimate.num_evaluations.tolist() == [32] * 5
    assert not estimate.standard_errors.any()


def test_too_many_players_are_refused_before_anything_is_asked():
    game = Watched(majority(2))
    with pytest.raises(ValueError, match=f"at most {MOST_PLAYERS} players, not 17: use RegressionEstimator"):
        ExactEstimator().estimate(game, 17, seed=0)
    assert game.batches == []


def test_an_unknown_value_is_refused():
    with pytest.raises(ValueError, match="value='core' must be one of"):
        ExactEstimator(value="core").estimate(majority(1), 2, seed=0)

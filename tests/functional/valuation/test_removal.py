"""SHED's removal of groups, as published and as released."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.valuation import ExactEstimator, OfficialEstimator, PaperEstimator
from tests.functional.valuation.known import Watched, additive, airport, from_table, glove

shapes = st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


def random_game(num_players, seed):
    return from_table(np.random.default_rng(seed).normal(size=2**num_players))


def removed_groups(walk, num_players):
    """Groups in the order in which they left, from the coalitions of one permutation."""
    left = np.concatenate([np.ones((1, num_players), bool), walk, np.zeros((1, num_players), bool)])
    return [np.flatnonzero(before & ~after).tolist() for before, after in itertools.pairwise(left)]


def walks(asked, num_ends, num_groups):
    """The coalitions of each permutation, without the ends."""
    inner = asked[num_ends:]
    return inner.reshape(-1, num_groups - 1, asked.shape[1]) if num_groups > 1 else []


class TestOfficial:
    def released_code(self, groups_of_each, game, num_players, group_size, base=0):
        """What `calculate_s.py` does, line by line: accuracies of a file, instances in the order of their removal."""
        num_groups = num_players // group_size
        merged = []
        for groups in groups_of_each:
            present, accuracies = np.ones((1, num_players), bool), []
            for group in groups:  # the model is trained, then a group is taken out
                accuracies.append(float(game(present)[0]))
                present[0, group] = False
            scores = []
            for i in range(1, num_groups):
                scores.append(accuracies[i - 1] - accuracies[i])
            scores.append(accuracies[num_groups - 1] - base)
            instances = [{"instruction": f"player {player}"} for group in groups for player in group]
            for i in range(num_groups):
                for j in range(group_size):
                    instances[i * group_size + j]["score"] = scores[i]
                    merged.append(instances[i * group_size + j])
        sums = {}
        for instance in merged:
            key, score = instance["instruction"], instance["score"]
            if key and score:
                if key in sums:
                    sums[key] += score
                else:
                    sums[key] = score
        return np.array([sums[f"player {player}"] for player in range(num_players)])

    @given(num_groups=st.integers(2, 5), group_size=st.integers(1, 3), k=st.integers(1, 4), seed=st.integers(0, 99))
    @settings(max_examples=40)
    def test_parity_with_the_released_arithmetic(self, num_groups, group_size, k, seed):
        n = num_groups * group_size
        game = Watched(random_game(n, seed))
        estimator = OfficialEstimator(group_size=group_size, num_permutations=k)
        values = estimator.estimate(game, n, seed=seed).values
        groups = [removed_groups(walk, n) for walk in walks(game.asked, 1, num_groups)]
        assert len(groups) == k
        assert all(len(group) == group_size for order in groups for group in order)
        expected = self.released_code(groups, random_game(n, seed), n, group_size)
        np.testing.assert_allclose(values, expected, atol=1e-12)

    def test_whoever_left_last_leads_the_ranking(self):
        """v(empty) = 0 credits the last group with what the untrained model can do."""
        game = Watched(lambda coalitions: 0.3 + 0.001 * coalitions.sum(axis=1))
        values = OfficialEstimator(group_size=5, num_permutations=2).estimate(game, 50, seed=1).values
        last = np.unique([removed_groups(walk, 50)[-1] for walk in walks(game.asked, 1, 10)])
        assert set(np.argsort(-values)[: len(last)]) == set(last)
        assert values[last].min() > 0.3

    def test_the_constant_can_be_set(self):
        values = OfficialEstimator(group_size=2, num_permutations=3, empty_value=7.0).estimate(
            lambda coalitions: 7.0 + coalitions.sum(axis=1), 6, seed=0
        )
        np.testing.assert_allclose(values.values, np.full(6, 3 * 2.0))

    def test_standard_errors_are_of_the_sum(self):
        estimators = (
            OfficialEstimator(group_size=1, num_permutations=6),
            PaperEstimator(group_size=1, num_permutations=6),
        )
        official, paper = (one.estimate(airport(range(8)), 8, seed=3) for one in estimators)
        np.testing.assert_allclose(official.values, 6 * paper.values, atol=1e-12)
        np.testing.assert_allclose(official.standard_errors, 6 * paper.standard_errors, atol=1e-12)


class TestPaper:
    @given(shape=shapes, k=st.integers(1, 3), antithetic=st.booleans(), seed=st.integers(0, 99))
    @settings(max_examples=60)
    def test_each_member_is_credited_with_its_share_of_what_its_group_loses(self, shape, k, antithetic, seed):
        n, group_size = shape
        num_groups = -(-n // group_size)
        game = Watched(random_game(n, seed))
        k *= 1 + antithetic
        estimator = PaperEstimator(group_size=group_size, num_permutations=k, antithetic=antithetic)
        estimate = estimator.estimate(game, n, seed=seed)
        again = random_game(n, seed)
        credits = []
        for walk in walks(game.asked, 2, num_groups):
            groups = removed_groups(walk, n)
            sizes = [len(group) for group in groups]
            assert sorted(sizes, reverse=True) == [group_size] * (n // group_size) + [n % group_size] * (
                n % group_size > 0
            )
            credit, present = np.empty(n), np.ones((1, n), bool)
            for group in groups:
                before = again(present)[0]
                present[0, group] = False
                credit[group] = (before - again(present)[0]) / len(group)
            credits.append(credit)
        if num_groups > 1:
            assert len(credits) == k
            units = np.reshape(credits, (-1, 1 + antithetic, n)).mean(axis=1)
            np.testing.assert_allclose(estimate.values, units.mean(axis=0), atol=1e-12)
            if len(units) > 1:
                errors = units.std(axis=0, ddof=1) / np.sqrt(len(units))
                np.testing.assert_allclose(estimate.standard_errors, errors, atol=1e-12)
            else:
                assert np.isnan(estimate.standard_errors).all()
        full, empty = again(np.array([[True] * n, [False] * n]))
        assert estimate.values.sum() == pytest.approx(full - empty, abs=1e-11)

    def test_antithetic_walks_ask_for_complements(self):
        game = Watched(additive(range(7)))
        PaperEstimator(group_size=2, num_permutations=4, antithetic=True).estimate(game, 7, seed=0)
        for forth, back in walks(game.asked, 2, 4).reshape(2, 2, 3, 7):
            assert np.array_equal(forth, ~back[::-1])

    @pytest.mark.parametrize("antithetic", [False, True])
    @pytest.mark.parametrize("game", [glove(2), airport([1, 2, 2, 5]), random_game(4, 5)])
    def test_groups_of_one_estimate_shapleys_value(self, game, antithetic):
        estimator = PaperEstimator(group_size=1, num_permutations=2000, antithetic=antithetic)
        estimate = estimator.estimate(game, 4, seed=0)
        error = np.abs(estimate.values - ExactEstimator().estimate(game, 4, seed=0).values)
        assert (error <= 4.5 * estimate.standard_errors + 1e-12).all()

    def test_larger_groups_mix_each_value_with_the_others(self):
        weights, g = np.array([5.0, 1.0, 0.0, -2.0, 3.0, 0.5]), 3
        estimate = PaperEstimator(group_size=g, num_permutations=3000).estimate(additive(weights), 6, seed=1)
        others = (weights.sum() - weights) / 5
        expected = weights / g + (1 - 1 / g) * others
        assert (np.abs(estimate.values - expected) <= 4.5 * estimate.standard_errors).all()

    def test_reverse_walks_cancel_what_depends_on_the_place(self):
        """Of a game of pairs, a player's gains at the two places add up to the same whatever the order."""
        pairs = np.random.default_rng(0).normal(size=(6, 6))
        estimator = PaperEstimator(group_size=1, num_permutations=2, antithetic=True)
        found = estimator.estimate(lambda s: np.einsum("mi,ij,mj->m", s * 1.0, pairs, s * 1.0), 6, seed=0)
        expected = np.diag(pairs) + (pairs + pairs.T - 2 * np.diag(np.diag(pairs))).sum(axis=1) / 2
        np.testing.assert_allclose(found.values, expected, atol=1e-12)


class TestBudget:
    @pytest.mark.parametrize(("estimator", "least"), [(OfficialEstimator, 10), (PaperEstimator, 11)])
    def test_only_whole_permutations_are_walked(self, estimator, least):
        for budget, permutations in ((least, 1), (least + 8, 1), (least + 9, 2), (10_000, 4)):
            game = Watched(additive(range(20)))
            one = estimator(group_size=2, num_permutations=4, num_evaluations=budget)
            estimate = one.estimate(game, 20, seed=0)
            assert estimate.details["num_permutations"] == permutations
            assert len(game.asked) == estimate.total_evaluations == least + 9 * (permutations - 1) <= budget
            assert estimate.num_evaluations.tolist() == [2 * permutations] * 20

    @pytest.mark.parametrize(("estimator", "least"), [(OfficialEstimator, 10), (PaperEstimator, 11)])
    def test_a_budget_below_one_permutation_is_refused(self, estimator, least):
        with pytest.raises(ValueError, match=f"is too small: removing 10 groups takes {least} evaluations. Raise it"):
            estimator(group_size=2, num_evaluations=least - 1).estimate(additive(range(20)), 20, seed=0)

    def test_antithetic_permutations_are_walked_both_ways_or_not_at_all(self):
        estimator = PaperEstimator(group_size=2, num_permutations=6, num_evaluations=2 + 18 + 17, antithetic=True)
        assert estimator.estimate(additive(range(20)), 20, seed=0).total_evaluations == 20

    def test_one_group_of_all_needs_only_the_ends(self):
        estimate = PaperEstimator(group_size=4, num_permutations=3).estimate(additive([1, 2, 3, 6]), 4, seed=0)
        assert estimate.total_evaluations == 2
        np.testing.assert_allclose(estimate.values, np.full(4, 3.0))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (PaperEstimator(group_size=60), "group_size=60 exceeds the 20 players: take groups of at most 20"),
        (OfficialEstimator(group_size=21), "group_size=21 exceeds the 20 players"),
        (PaperEstimator(group_size=0), "group_size=0 must be an int of at least 1"),
        (PaperEstimator(group_size=2, num_permutations=0), "num_permutations=0 must be an int of at least 1"),
        (PaperEstimator(group_size=2, num_permutations=3, antithetic=True), "num_permutations=3 must be even"),
        (OfficialEstimator(group_size=2, num_evaluations=1.5), "num_evaluations=1.5 must be an int"),
        (OfficialEstimator(group_size=2, empty_value=np.nan), "empty_value=nan must be a finite number"),
        (PaperEstimator(group_size=2, batch_size=0), "batch_size=0 must be an int of at least 1"),
    ],
)
def test_refused(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.estimate(additive(range(20)), 20, seed=0)

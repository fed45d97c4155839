"""Sizes follow their law, coalitions are uniform one by one and spread together."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.valuation.coalitions import size_law, spread_coalitions

limits = st.integers(2, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


def draw(sizes, num_players, seed=0, **options):
    generator = np.random.default_rng(seed)
    return np.array(list(spread_coalitions(np.array(sizes), num_players, generator, **options)))


class TestSizeLaw:
    @given(limit=limits)
    def test_for_shapley_every_size_counts_alike_and_the_largest_as_far_as_it_is_not_everybody(self, limit):
        n, largest = limit
        law = size_law(n, "shapley", largest)
        assert law.sizes.tolist() == list(range(1, min(largest, n - 1) + 1))
        counted = law.probabilities * law.weights * law.sizes * (n - law.sizes)
        expected = np.where(law.sizes == largest, 1 - largest / n, 1.0)
        np.testing.assert_allclose(counted / counted.sum(), expected / expected.sum(), rtol=1e-12)
        assert law.probabilities.sum() == pytest.approx(1, abs=1e-12)
        assert law.probabilities @ law.weights == pytest.approx(1, abs=1e-12)

    @given(limit=limits)
    def test_for_banzhaf_coalitions_are_uniform(self, limit):
        n, largest = limit
        law = size_law(n, "banzhaf", largest)
        assert law.sizes.tolist() == list(range(0 if largest == n else 1, largest + 1))
        ways = np.array([math.comb(n, size) for size in law.sizes], float)
        np.testing.assert_allclose(law.probabilities, ways / ways.sum(), rtol=1e-11)
        np.testing.assert_allclose(law.weights, 1, rtol=1e-12)

    @pytest.mark.parametrize(("num_players", "gain"), [(300, 1.42), (3000, 1.80)])
    def test_equal_noise_weighs_less_than_under_kernel_shap(self, num_players, gain):
        def variance(probabilities, weights):
            spread = sizes * (num_players - sizes)
            return (probabilities * weights**2 * spread).sum() / (probabilities * weights * spread).sum() ** 2

        law = size_law(num_players, "shapley", num_players)
        sizes = law.sizes.astype(float)
        kernel = 1 / (sizes * (num_players - sizes))
        kernel_shap = variance(kernel / kernel.sum(), np.ones(len(sizes)))
        assert kernel_shap / variance(law.probabilities, law.weights) == pytest.approx(gain, abs=0.005)

    @given(limit=limits, value=st.sampled_from(["shapley", "banzhaf"]), seed=st.integers(0, 9))
    def test_sizes_are_drawn_more_evenly_than_by_chance_and_a_longer_draw_begins_the_same(self, limit, value, seed):
        law = size_law(*limit[:1], value, limit[1])
        sizes, weights = law.draw(600, np.random.default_rng(seed))
        counts = (sizes[:, None] == law.sizes).sum(axis=0)
        # multiples of the golden ratio: any interval holds its share but for a few, O(log m); chance would miss by 12
        assert np.abs(counts - 600 * law.probabilities).max() < 6
        assert np.array_equal(weights, law.weights[np.searchsorted(law.sizes, sizes)])
        assert np.array_equal(law.draw(100, np.random.default_rng(seed))[0], sizes[:100])


class TestSpread:
    @given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=30), seed=st.integers(0, 99))
    def test_sizes_are_kept_and_a_longer_list_begins_the_same(self, sizes, seed):
        coalitions = draw(sizes, 9, seed)
        assert coalitions.sum(axis=1).tolist() == sizes
        assert np.array_equal(draw(sizes[: len(sizes) // 2 + 1], 9, seed), coalitions[: len(sizes) // 2 + 1])

    def test_each_alone_is_uniform_among_those_of_its_size(self):
        num_draws, kinds = 2000, list(itertools.combinations(range(5), 2))
        drawn = [[tuple(np.flatnonzero(row)) for row in draw([2] * 5, 5, seed)] for seed in range(num_draws)]
        expected = num_draws / len(kinds)
        for found in zip(*drawn, strict=True):
            squares = sum((found.count(kind) - expected) ** 2 for kind in kinds) / expected
            assert squares < 33.7  # chi square with 9 degrees of freedom exceeds it once in 10,000

    @pytest.mark.parametrize("size", [10, 50])
    def test_they_overlap_less_than_by_chance(self, size):
        n = 100
        centred = draw([size] * 90, n) - size / n
        overlaps = (centred @ centred.T)[np.triu_indices(90, 1)]
        by_chance = (size * (n - size) / n) ** 2 / (n - 1)  # variance of the overlap of independent coalitions
        assert np.square(overlaps).mean() < 0.75 * by_chance

    def test_it_starts_over_when_nothing_new_is_left(self):
        assert draw([3] * 50, 6).sum(axis=1).tolist() == [3] * 50
        assert draw([1] * 5, 2).sum(axis=1).tolist() == [1] * 5
        assert draw([1, 0], 1).sum(axis=1).tolist() == [1, 0]

    def test_aligned_coalitions_hold_like_players_together(self):
        features = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)

        def distance_within(alignment):
            coalitions = draw([40] * 30, 200, features=features, alignment=alignment)
            return np.mean([features[members].var(axis=0).sum() for members in coalitions])

        apart, half, near = map(distance_within, (0.0, 0.5, 0.9))
        assert near < half < apart
        assert apart == pytest.approx(features.var(axis=0).sum(), rel=0.1)

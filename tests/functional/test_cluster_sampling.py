"""QOCS and QWCS against the draws written out one by one."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.cluster_sampling import (
    quality_ordered,
    quality_weighted,
    softmax_logits,
    uniform_of_best,
)

NUM_TRIALS = 4000


def chances(sizes, logits, budget):
    """Probability of every count of rows taken from each cluster, one draw after another; exact."""
    weights = np.exp(np.array(logits) - max(logits))

    @functools.cache
    def after(left, draws):
        if draws == 0:
            return {tuple(size - rest for size, rest in zip(sizes, left, strict=True)): 1.0}
        total = sum(weight for weight, rest in zip(weights, left, strict=True) if rest)
        ends = {}
        for cluster, rest in enumerate(left):
            if rest:
                drawn = (*left[:cluster], rest - 1, *left[cluster + 1 :])
                for end, chance in after(drawn, draws - 1).items():
                    ends[end] = ends.get(end, 0.0) + chance * weights[cluster] / total
        return ends

    return after(tuple(sizes), budget)


def one_by_one(labels, logits, budget, generator):
    """QWCS as it is defined."""
    kept = np.zeros(len(labels), bool)
    for _ in range(budget):
        weights = np.array([np.exp(logit) * (~kept[labels == c]).any() for c, logit in enumerate(logits)])
        cluster = generator.choice(len(logits), p=weights / weights.sum())
        kept[generator.choice(np.flatnonzero((labels == cluster) & ~kept))] = True
    return kept


def require_near(frequency, chance, num_trials):
    """Within five standard deviations of a count of so many trials."""
    assert abs(frequency - chance) <= 5 * math.sqrt(max(chance * (1 - chance), 1 / num_trials) / num_trials)


@pytest.mark.parametrize(
    ("sizes", "logits", "budget"),
    [
        ([1, 2, 3], [0.0, 1.0, -0.5], 3),
        ([1, 1, 1, 1, 1], [0.0, 0.7, 1.4, -1.0, 0.2], 2),  # every row a cluster: Plackett-Luce
        ([4, 1], [0.0, 3.0], 2),  # the heavy one is used up at once
        ([2, 3, 2], [0.0, 0.0, 0.0], 5),
        ([6], [2.0], 4),
    ],
)
@pytest.mark.parametrize(("sample", "num_trials"), [(quality_weighted, NUM_TRIALS), (one_by_one, 400)])
def test_weighted_counts_and_rows_have_the_chances_of_drawing_one_after_another(
    sizes, logits, budget, sample, num_trials
):
    labels = np.random.default_rng(9).permutation(np.repeat(np.arange(len(sizes)), sizes))
    exact = chances(sizes, logits, budget)
    assert math.isclose(sum(exact.values()), 1.0, rel_tol=1e-12)
    generator = np.random.default_rng(1)
    counts, of_rows = {}, np.zeros(len(labels))
    for _ in range(num_trials):
        kept = sample(labels, np.array(logits), budget, generator)
        count = tuple(np.bincount(labels[kept], minlength=len(sizes)).tolist())
        counts[count] = counts.get(count, 0) + 1
        of_rows += kept
    assert counts.keys() <= exact.keys()
    for count, chance in exact.items():
        require_near(counts.get(count, 0) / num_trials, chance, num_trials)
    for row, cluster in enumerate(labels):
        included = sum(chance * count[cluster] for count, chance in exact.items()) / sizes[cluster]
        require_near(of_rows[row] / num_trials, included, num_trials)


@st.composite
def clustered(draw):
    num_clusters = draw(st.integers(1, 8))
    labels = np.array(draw(st.lists(st.integers(0, num_clusters - 1), min_size=1, max_size=60)))
    values = np.array(draw(st.lists(st.floats(-1e3, 1e3), min_size=num_clusters, max_size=num_clusters)))
    return labels, values, draw(st.integers(0, len(labels)))


@given(case=clustered(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=150)
def test_ordered_takes_whole_clusters_from_the_best_down_and_a_part_of_the_last(case, seed):
    labels, values, budget = case
    kept = quality_ordered(labels, values, budget, np.random.default_rng(seed))
    assert kept.sum() == budget
    present = np.unique(labels)
    shares = {c: kept[labels == c].mean() for c in present.tolist()}
    parts = [c for c, share in shares.items() if 0 < share < 1]
    assert len(parts) <= 1
    for taken in [c for c, share in shares.items() if share > 0]:
        assert all(values[left] <= values[taken] for left, share in shares.items() if share < 1)


@given(case=clustered(), sharpness=st.sampled_from([0.0, 1e-3, 1.0, 1e4, 1e12]), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=150)
def test_weighted_draws_exactly_the_budget_whatever_the_weights(case, sharpness, seed):
    labels, values, budget = case
    logits = softmax_logits(values, sharpness, standardise=False)
    kept = quality_weighted(labels, logits, budget, np.random.default_rng(seed))
    assert kept.dtype == bool
    assert kept.sum() == budget
    assert np.array_equal(kept, quality_weighted(labels, logits, budget, np.random.default_rng(seed)))


@given(case=clustered(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_the_sharper_the_weights_the_nearer_weighted_comes_to_ordered(case, seed):
    labels, values, budget = case
    distinct = np.argsort(np.argsort(values)).astype(np.float64)
    counts = [
        np.bincount(labels[kept], minlength=len(values)).tolist()
        for kept in (
            quality_weighted(labels, 1e6 * distinct, budget, np.random.default_rng(seed)),
            quality_ordered(labels, distinct, budget, np.random.default_rng(seed)),
        )
    ]
    assert counts[0] == counts[1]


def test_the_last_cluster_of_ordered_is_drawn_from_uniformly():
    labels, taken, generator = np.array([0, 1, 0, 1, 1, 1]), np.zeros(6), np.random.default_rng(0)
    for _ in range(NUM_TRIALS):
        taken += quality_ordered(labels, np.array([2.0, 1.0]), 3, generator)
    assert taken[labels == 0].tolist() == [NUM_TRIALS] * 2
    for count in taken[labels == 1]:
        require_near(count / NUM_TRIALS, 1 / 4, NUM_TRIALS)


def test_clusters_that_tie_come_in_an_order_of_the_seed():
    labels, values, firsts = np.arange(4), np.zeros(4), np.zeros(4)
    for seed in range(NUM_TRIALS):
        firsts += quality_ordered(labels, values, 1, np.random.default_rng(seed))
    for count in firsts:
        require_near(count / NUM_TRIALS, 1 / 4, NUM_TRIALS)


@pytest.mark.parametrize("sample", [quality_ordered, quality_weighted])
@pytest.mark.parametrize("budget", [-1, 5])
def test_a_budget_out_of_range_is_refused(sample, budget):
    with pytest.raises(ValueError, match=f"budget={budget} is out of range: there are 4 rows"):
        sample(np.zeros(4, int), np.zeros(1), budget, np.random.default_rng(0))


def test_the_zscore_is_over_clusters_and_knows_no_scale():
    values = np.array([3.0, 1.0, 2.0, 6.0])
    expected = 2 * (values - 3.0) / math.sqrt(3.5)
    np.testing.assert_allclose(softmax_logits(values, 2.0, standardise=True), expected, rtol=1e-14)
    np.testing.assert_allclose(softmax_logits(1e-9 * values + 5, 2.0, standardise=True), expected, rtol=1e-6)
    assert softmax_logits(values, 2.0, standardise=False).tolist() == [6.0, 2.0, 4.0, 12.0]


@pytest.mark.parametrize("value", [0.0, 0.1, -1e300, 5e-324])
def test_values_that_are_all_equal_weigh_the_same(value):
    assert softmax_logits(np.full(3, value), 7.0, standardise=True).tolist() == [0.0] * 3


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any),
    share=st.floats(0.01, 1.0),
    seed=st.integers(0, 99),
    data=st.data(),
)
@settings(deadline=None)
def test_a_uniform_draw_is_of_the_best_rows_alone(sizes, share, seed, data):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    values = np.array(data.draw(st.permutations(range(len(sizes)))), float)
    budget = data.draw(st.integers(0, len(labels)))
    kept = uniform_of_best(labels, values, share, budget, np.random.default_rng(seed))
    assert kept.sum() == budget
    if not budget:
        return
    # Whatever is kept, fewer than the best part's rows may lie in clusters that are better than its own.
    num_best = max(budget, round(share * len(labels)))
    worst = values[labels[kept]].min()
    assert (values[labels] > worst).sum() < num_best


def test_of_the_best_rows_every_one_is_as_likely():
    labels, values = np.arange(6), np.array([5.0, -1.0, 4.0, 3.0, -2.0, 2.0])
    counts = sum(
        uniform_of_best(labels, values, 4 / 6, 2, np.random.default_rng(seed)).astype(int)
        for seed in range(NUM_TRIALS)
    )
    assert counts[[1, 4]].tolist() == [0, 0]
    for row in (0, 2, 3, 5):
        require_near(counts[row] / NUM_TRIALS, 0.5, NUM_TRIALS)

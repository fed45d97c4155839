"""Algorithm 1's allocation: its facts as properties, beside an oracle that is the pseudocode word for word."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.allocation import allocate, draw, group_members, sample_clusters

sizes_and_budget = st.tuples(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 400))
labellings = st.integers(1, 9).flatmap(
    lambda num_clusters: st.tuples(
        st.lists(st.integers(0, num_clusters - 1), min_size=1, max_size=80), st.just(num_clusters)
    )
)


def allocate_slowly(sizes, budget):
    """Algorithm 1 word for word, over a sorted list of the groups that are not empty."""
    walk = sorted((size, group) for group, size in enumerate(sizes) if size)
    taken = {}
    for k, (size, group) in enumerate(walk, start=1):
        quota = int((budget - sum(taken.values())) / (len(walk) - k + 1))
        taken[group] = size if size <= quota else quota
    return [taken.get(group, 0) for group in range(len(sizes))]


@given(sizes_and_budget)
def test_same_quotas_as_the_paper_walked_slowly(case):
    sizes, budget = case
    assert allocate(np.array(sizes), budget).tolist() == allocate_slowly(sizes, budget)


@given(sizes_and_budget)
def test_quotas_add_up_to_the_budget_or_to_everything(case):
    sizes, budget = case
    quotas = allocate(np.array(sizes), budget)
    assert quotas.sum() == min(budget, sum(sizes))
    assert (quotas >= 0).all()
    assert (quotas <= sizes).all()


@given(sizes_and_budget)
def test_capped_groups_differ_by_at_most_one_and_whole_ones_are_no_larger_than_that(case):
    sizes, budget = np.array(case[0]), case[1]
    quotas = allocate(sizes, budget)
    capped, whole = quotas[quotas < sizes], quotas[(quotas == sizes) & (sizes > 0)]
    if capped.size:
        assert capped.max() - capped.min() <= 1
        if whole.size:
            assert whole.max() <= capped.min() + 1


@given(sizes_and_budget, st.randoms(use_true_random=False))
def test_what_a_size_gets_does_not_depend_on_where_it_stands(case, random):
    sizes, budget = case
    shuffled = random.sample(sizes, len(sizes))
    given_by_size = sorted(zip(sizes, allocate(np.array(sizes), budget).tolist(), strict=True))
    assert given_by_size == sorted(zip(shuffled, allocate(np.array(shuffled), budget).tolist(), strict=True))


def test_the_example_worked_out_by_hand():
    assert allocate(np.array([300, 2000, 5000, 8000]), 3001).tolist() == [300, 900, 900, 901]


@pytest.mark.parametrize(("budget", "expected"), [(0, [0, 0]), (10, [3, 7]), (11, [3, 7])])
def test_nothing_for_no_budget_and_everything_for_a_large_one(budget, expected):
    assert allocate(np.array([3, 7]), budget).tolist() == expected


@given(labellings)
def test_members_are_those_a_loop_finds(case):
    labels, num_groups = case
    members = group_members(np.array(labels, np.int32), num_groups)
    assert [group.tolist() for group in members] == [
        [row for row, label in enumerate(labels) if label == group] for group in range(num_groups)
    ]


def test_members_of_more_groups_than_16_bits_can_number():
    labels = np.arange(70_000, dtype=np.int32)[::-1].copy()
    assert [int(group[0]) for group in group_members(labels, 70_000)] == list(range(69_999, -1, -1))


@given(labellings, st.integers(0, 100), st.integers(0, 3), st.integers(0, 2**31))
@settings(deadline=None)
def test_a_sample_takes_from_every_cluster_what_was_allocated(case, budget, tiny, seed):
    labels, num_clusters = np.array(case[0], np.int32), case[1]
    kept = sample_clusters(labels, num_clusters, budget, np.random.default_rng(seed), tiny=tiny)
    sizes = np.bincount(labels, minlength=num_clusters)
    taken = np.bincount(labels[kept], minlength=num_clusters)
    quotas = np.array(allocate_slowly([size if size > tiny else 0 for size in sizes.tolist()], budget))
    large = sizes > tiny
    assert kept.sum() == min(budget, len(labels))
    assert taken[large].tolist() == quotas[large].tolist()
    assert taken[~large].sum() == min(budget - quotas.sum(), sizes[~large].sum())


def test_tiny_clusters_wait_until_the_others_are_used_up():
    labels = np.repeat(np.arange(4, dtype=np.int32), [1, 2, 3, 10])
    tiny_kept = [
        int(sample_clusters(labels, 4, budget, np.random.default_rng(0), tiny=2)[:3].sum()) for budget in (13, 14, 16)
    ]
    assert tiny_kept == [0, 1, 3]


def test_one_cluster_is_uniform_sampling():
    counts = np.zeros(20)
    for seed in range(2000):
        counts += sample_clusters(np.zeros(20, np.int32), 1, 5, np.random.default_rng(seed))
    # each count is binomial with mean 500 and standard deviation 19.4
    assert np.abs(counts - 500).max() < 5 * 19.4


def test_the_same_generator_state_draws_the_same():
    labels = np.arange(200, dtype=np.int32) % 7
    first, second = (sample_clusters(labels, 7, 50, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, sample_clusters(labels, 7, 50, np.random.default_rng(4)))


@pytest.mark.parametrize("quota", [0, 4])
def test_taking_none_or_all_costs_no_random_number(quota):
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    assert draw(np.arange(4), quota, generator).tolist() == list(range(quota))
    assert generator.bit_generator.state == before

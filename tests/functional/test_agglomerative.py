"""Ward's linkage by nearest-neighbour chains is the greedy search over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional import agglomerative
from hf_datasel.functional.agglomerative import ward


def greedy(vectors, num_clusters):
    """Obviously correct, but slow: join the two clusters whose union costs least, measured anew each time."""
    groups = [[row] for row in range(len(vectors))]
    wide = vectors.astype(np.float64)

    def within(group):
        return np.square(wide[group] - wide[group].mean(axis=0)).sum()

    while len(groups) > num_clusters:
        pairs = [(i, j) for i in range(len(groups)) for j in range(i)]
        costs = [within(groups[i] + groups[j]) - within(groups[i]) - within(groups[j]) for i, j in pairs]
        i, j = pairs[int(np.argmin(costs))]
        groups[j] = groups[j] + groups.pop(i)
    return {frozenset(group) for group in groups}


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


@given(num_rows=st.integers(1, 14), dimension=st.integers(1, 5), data=st.data(), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=60)
def test_the_clusters_are_those_of_the_greedy_search(num_rows, dimension, data, seed):
    num_clusters = data.draw(st.integers(1, num_rows))
    vectors = np.random.default_rng(seed).normal(3.0, size=(num_rows, dimension)).astype(np.float32)
    labels = ward(vectors, num_clusters)
    assert labels.dtype == np.int32
    assert partition(labels) == greedy(vectors, num_clusters)


@given(
    rows=st.lists(st.tuples(*[st.integers(0, 2)] * 2), min_size=1, max_size=60),
    data=st.data(),
    scale=st.sampled_from([1.0, 0.1, 1e-6, 1e6]),
)
@settings(deadline=None, max_examples=60)
def test_where_many_pairs_tie_there_are_still_as_many_clusters_as_were_asked_for(rows, data, scale):
    num_clusters = data.draw(st.integers(1, len(rows)))
    labels = ward(np.float32(rows) * np.float32(scale), num_clusters)
    first_rows = [int(np.argmax(labels == label)) for label in range(num_clusters)]
    assert sorted(set(labels.tolist())) == list(range(num_clusters))
    assert first_rows == sorted(first_rows)


@given(copies=st.lists(st.integers(1, 6), min_size=1, max_size=8), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_equal_rows_come_together_first(copies, seed):
    distinct = np.random.default_rng(seed).normal(size=(len(copies), 7)).astype(np.float32)
    which = np.repeat(np.arange(len(copies)), copies)
    assert ward(distinct[which], len(copies)).tolist() == which.tolist()


@pytest.mark.parametrize("num_clusters", [0, 5, -1])
def test_a_number_of_clusters_out_of_range_is_refused(num_clusters):
    with pytest.raises(ValueError, match=f"between 1 and the 4 rows, not {num_clusters}"):
        ward(np.zeros((4, 2), np.float32), num_clusters)


def test_more_rows_than_pairs_fit_into_memory_are_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(agglomerative, "MOST_ROWS", 3)
    assert ward(np.float32([[0], [1], [5]]), 2).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="at most 3 rows, not 4: use method='kmeans'"):
        ward(np.zeros((4, 2), np.float32), 2)

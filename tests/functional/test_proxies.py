"""Centroids are means, and a proxy is a member that no other member beats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional import proxies
from hf_datasel.functional.proxies import find_proxies

EPSILON = np.finfo(np.float32).eps


def reader(rows):
    return lambda index: rows[index]


@given(
    num_clusters=st.integers(1, 9),
    num_rows=st.integers(9, 80),
    dimension=st.integers(1, 6),
    block=st.sampled_from([1, 7, 40, 1 << 20]),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=60)
def test_they_are_those_of_a_loop_over_the_clusters(num_clusters, num_rows, dimension, block, seed):
    generator = np.random.default_rng(seed)
    rows = generator.normal(5.0, size=(num_rows, dimension)).astype(np.float32)
    labels = generator.permutation(np.arange(num_rows) % num_clusters).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proxies, "_BLOCK", block)
        centroids, found = find_proxies(reader(rows), labels, num_clusters)
    assert (centroids.dtype, found.dtype) == (np.float32, np.int64)
    for cluster in range(num_clusters):
        members = np.flatnonzero(labels == cluster)
        mean = rows[members].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(centroids[cluster], mean, rtol=EPSILON)  # rounded to float32 once
        distances = {row: np.square(rows[row] - mean).sum() for row in members.tolist()}
        assert distances[int(found[cluster])] <= min(distances.values()) * (1 + 1e-12) + 1e-24


def test_of_members_that_tie_the_first_is_the_proxy():
    rows = np.float32([[9], [1], [3], [1], [3]])
    assert find_proxies(reader(rows), np.int32([1, 0, 0, 0, 0]), 2)[1].tolist() == [1, 0]


def test_a_cluster_takes_no_proxy_from_another_though_it_lies_nearer():
    rows = np.float32([[-10], [10], [0.5], [0]])
    centroids, found = find_proxies(reader(rows), np.int32([0, 0, 1, 1]), 2)
    assert centroids.ravel().tolist() == [0.0, 0.25]
    assert found.tolist() == [0, 2]


def test_a_cluster_without_a_member_is_refused():
    with pytest.raises(ValueError, match="Cluster 1 has no member"):
        find_proxies(reader(np.zeros((2, 3), np.float32)), np.int32([0, 2]), 3)

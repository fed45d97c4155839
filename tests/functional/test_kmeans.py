"""Blocked k-means is faiss's own, bit for bit."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.kmeans import MAX_POINTS_PER_CENTROID, UnusableValueError, block_size, cluster_rows


def bare_faiss(rows, num_clusters, seed, num_iterations=20):
    kmeans = faiss.Kmeans(rows.shape[1], num_clusters, niter=num_iterations, seed=seed, min_points_per_centroid=1)
    kmeans.train(rows)
    return kmeans.centroids, kmeans.index.search(rows, 1)[1].ravel()


def trajectories(num_rows, num_columns, seed=0):
    return np.random.default_rng(seed).gamma(2.0, size=(num_rows, num_columns)).astype(np.float32)


def rows_of(table):
    return lambda index: np.ascontiguousarray(table[index])


@given(num_rows=st.integers(1, 700), num_columns=st.integers(1, 20), data=st.data(), seed=st.integers(0, 2**31 - 2))
@settings(deadline=None, max_examples=40)
def test_small_sets_get_the_centroids_and_labels_of_bare_faiss(num_rows, num_columns, data, seed):
    num_clusters = data.draw(st.integers(1, min(num_rows, 20)))  # below and above 256 points a centroid
    table = trajectories(num_rows, num_columns, seed=num_rows)
    centroids, labels = bare_faiss(table, num_clusters, seed)
    clustering = cluster_rows(rows_of(table), num_rows, num_clusters=num_clusters, seed=seed)
    assert np.array_equal(clustering.centroids, centroids)
    assert np.array_equal(clustering.labels, labels)


@pytest.mark.parametrize("num_blocks", [1, 1.5, 2])
@pytest.mark.parametrize("more", [-1, 0, 7])
@pytest.mark.parametrize("num_columns", [3, 12, 40])
def test_assignment_in_blocks_gives_the_same_labels(num_blocks, more, num_columns):
    num_rows = int(num_blocks * block_size(num_columns)) + more
    table = trajectories(num_rows, num_columns)
    table += 1000  # far from 0, where any other rounding changes labels
    centroids, labels = bare_faiss(table, 10, seed=7)
    clustering = cluster_rows(rows_of(table), num_rows, num_clusters=10, seed=7)
    assert np.array_equal(clustering.centroids, centroids)
    assert np.array_equal(clustering.labels, labels)


def test_only_the_sample_is_read_for_training_and_every_row_once_for_assignment():
    size = block_size(4)
    table, read = trajectories(3 * size + 5, 4), []

    def reading(index):
        read.append(len(table[index]))
        return np.ascontiguousarray(table[index])

    cluster_rows(reading, len(table), num_clusters=8, seed=0)
    assert read == [8 * MAX_POINTS_PER_CENTROID, size, size, size + 5]


def test_ten_distinct_trajectories_make_exactly_ten_clusters():
    table = np.repeat(trajectories(10, 5), 100, axis=0)
    labels = cluster_rows(rows_of(table), 1000, num_clusters=100, seed=1).labels
    assert len(np.unique(labels)) == 10
    assert all(len(set(labels[start : start + 100].tolist())) == 1 for start in range(0, 1000, 100))


def test_as_many_clusters_as_rows():
    table = trajectories(30, 3)
    labels = cluster_rows(rows_of(table), 30, num_clusters=30, seed=0).labels
    assert sorted(labels.tolist()) == list(range(30))


def test_faiss_prints_no_warning_about_few_points(capfd):
    cluster_rows(rows_of(trajectories(50, 3)), 50, num_clusters=20, seed=0)
    assert capfd.readouterr() == ("", "")


def test_the_number_of_iterations_counts():
    table = trajectories(3000, 6)
    for num_iterations in (1, 5):
        expected = bare_faiss(table, 9, 3, num_iterations)[0]
        got = cluster_rows(rows_of(table), 3000, num_clusters=9, seed=3, num_iterations=num_iterations).centroids
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("where", ["in the sample", "outside of it"])
def test_a_row_that_cannot_be_clustered_is_named(value, where):
    num_rows, num_clusters, seed = 1000, 2, 5
    permutation = np.empty(num_rows, np.int32)
    faiss.rand_perm(faiss.swig_ptr(permutation), num_rows, seed)
    row = int(permutation[0] if where == "in the sample" else permutation[-1])
    table = trajectories(num_rows, 3)
    table[row, 1] = value
    with pytest.raises(UnusableValueError, match=f"Row {row}, column 1 is not finite, or too large"):
        cluster_rows(rows_of(table), num_rows, num_clusters=num_clusters, seed=seed)


@pytest.mark.parametrize("num_clusters", [0, 11])
def test_more_clusters_than_rows_or_none_are_refused(num_clusters):
    with pytest.raises(ValueError, match="num_clusters must be between 1 and the 10 rows"):
        cluster_rows(rows_of(trajectories(10, 2)), 10, num_clusters=num_clusters, seed=0)


def test_a_seed_from_the_clock_is_refused():
    with pytest.raises(ValueError, match="seed=-1 must not be negative"):
        cluster_rows(rows_of(trajectories(10, 2)), 10, num_clusters=2, seed=-1)

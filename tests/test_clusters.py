"""Clusters of embedded examples: labels, and proxies that are members."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.clusters import METHODS, Clusters, cluster_examples
from hf_datasel.embeddings import Embeddings
from hf_datasel.functional.kmeans import cluster_rows


def embeddings(vectors, ids=None):
    vectors = np.asarray(vectors, np.float32)
    ids = np.arange(len(vectors)) * 5 + 2 if ids is None else ids
    return Embeddings.from_arrays(ids, vectors, embedder={"name": "bag", "hash": "0f"})


def require_proper(made, of):
    """Every label is used, and each proxy is a member of its cluster that no other is nearer than."""
    assert np.array_equal(made.ids, of.ids)
    assert sorted(set(made.labels.tolist())) == list(range(made.num_clusters))
    assert len(set(made.proxies.tolist())) == made.num_clusters
    positions = np.searchsorted(made.ids, made.proxies)
    assert made.labels[positions].tolist() == list(range(made.num_clusters))
    wide = of.vectors.astype(np.float64)
    for cluster, position in enumerate(positions):
        members = wide[made.labels == cluster]
        distances = np.square(members - members.mean(axis=0)).sum(axis=1)
        at_proxy = np.square(wide[position] - members.mean(axis=0)).sum()
        assert at_proxy <= distances.min() * (1 + 1e-12) + 1e-20


@pytest.mark.parametrize("method", METHODS)
@given(num_examples=st.integers(1, 60), data=st.data(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_there_are_as_many_clusters_as_asked_for_each_with_its_nearest_member(method, num_examples, data, seed):
    num_clusters = data.draw(st.integers(1, num_examples))
    of = embeddings(np.random.default_rng(seed).normal(size=(num_examples, 4)))
    made = cluster_examples(of, num_clusters=num_clusters, method=method, seed=seed)
    require_proper(made, of)
    assert made.num_clusters == num_clusters


@pytest.mark.parametrize("method", METHODS)
@given(which=st.lists(st.integers(0, 3), min_size=2, max_size=40), data=st.data())
@settings(deadline=None, max_examples=25)
def test_equal_vectors_never_share_a_proxy(method, which, data):
    of = embeddings(np.eye(4, 3)[which])
    num_clusters = data.draw(st.integers(1, len(which)))
    made = cluster_examples(of, num_clusters=num_clusters, method=method)
    require_proper(made, of)
    if method == "agglomerative":
        assert made.num_clusters == num_clusters
    else:  # what k-means leaves empty is dropped
        assert min(num_clusters, len(set(which))) >= made.num_clusters >= 1


def test_ten_equal_rows_are_one_cluster_of_kmeans():
    made = cluster_examples(embeddings(np.ones((10, 3))), num_clusters=4)
    assert (made.num_clusters, made.proxies.tolist()) == (1, [2])
    assert made.info["num_clusters"] == 4


def test_kmeans_is_that_of_faiss_with_the_seed():
    of = embeddings(np.random.default_rng(1).normal(size=(300, 6)))
    made = cluster_examples(of, num_clusters=7, seed=5)
    plain = cluster_rows(lambda index: of.vectors[index], 300, num_clusters=7, seed=5)
    assert np.array_equal(made.labels, plain.labels)
    assert not np.array_equal(made.labels, cluster_examples(of, num_clusters=7, seed=6).labels)
    assert made.info == {
        "embedder": {"name": "bag", "hash": "0f"},
        "method": "kmeans",
        "num_clusters": 7,
        "seed": 5,
        "num_iterations": 20,
    }


def test_well_parted_groups_are_found_by_either_method():
    centres = np.float32([[0, 0], [50, 0], [0, 50]])
    which = np.random.default_rng(2).integers(0, 3, 60)
    of = embeddings(centres[which] + np.random.default_rng(3).normal(size=(60, 2)))
    for method in METHODS:
        made = cluster_examples(of, num_clusters=3, method=method)
        assert len({(a, b) for a, b in zip(which.tolist(), made.labels.tolist(), strict=True)}) == 3


def test_labels_that_are_known_are_counted_anew():
    of = embeddings([[0.0], [1.0], [1.2], [9.0]])
    made = Clusters.from_labels(of, np.uint8([7, 7, 7, 3]), {"method": "source"})
    assert made.labels.tolist() == [1, 1, 1, 0]
    assert made.labels.dtype == np.int32
    assert made.proxies.tolist() == [17, 7]
    assert made.info["method"] == "source"


@pytest.mark.parametrize(
    "labels", [[0, 1], [0, 1, 2, -1], [0.0, 1.0, 2.0, 3.0], ["a", "b", "c", "d"], [[0], [1], [2], [3]]]
)
def test_labels_that_are_no_labels_are_refused(labels):
    with pytest.raises(ValueError, match="needs 4 integers of at least 0, one for each example"):
        Clusters.from_labels(embeddings(np.zeros((4, 1))), labels)


@pytest.mark.parametrize("method", METHODS)
def test_more_clusters_than_examples_are_refused(method):
    with pytest.raises(ValueError, match="num_clusters=4 exceeds the 3 examples"):
        cluster_examples(embeddings(np.eye(3)), num_clusters=4, method=method)


@pytest.mark.parametrize("num_clusters", [0, -2, 2.0, True, "3"])
def test_what_is_no_number_of_clusters_is_refused(num_clusters):
    with pytest.raises(ValueError, match=r"num_clusters=.* must be an int of at least 1"):
        cluster_examples(embeddings(np.eye(3)), num_clusters=num_clusters)


def test_a_bad_method_is_refused():
    with pytest.raises(ValueError, match="method='dbscan' of cluster_examples must be one of"):
        cluster_examples(embeddings(np.eye(3)), num_clusters=1, method="dbscan")


def test_a_vector_too_large_to_be_squared_is_named():
    vectors = np.eye(6, 2)
    vectors[3, 1] = 1e30
    with pytest.raises(ValueError, match=r"The vector of example 17 holds 1.*e\+30 \(dimension 1\), too large"):
        cluster_examples(embeddings(vectors), num_clusters=2)

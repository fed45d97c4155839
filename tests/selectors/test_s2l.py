"""S2LSelector against Algorithm 1 and the published procedure, both walked slowly over bare faiss."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.transforms import transform_trajectories
from hf_datasel.selection import Selection
from hf_datasel.selectors import S2LSelector, Strata
from hf_datasel.trace import Trace


def losses(num_examples, num_checkpoints=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.gamma(2.0, size=(12, num_checkpoints))
    skewed = np.minimum(rng.geometric(0.3, size=num_examples), 12) - 1
    return np.float32(centres[skewed] + rng.normal(scale=0.05, size=(num_examples, num_checkpoints)) ** 2)


def bare_labels(table, num_clusters, seed):
    kmeans = faiss.Kmeans(table.shape[1], num_clusters, niter=20, seed=seed, min_points_per_centroid=1)
    kmeans.train(table)
    return kmeans.index.search(table, 1)[1].ravel()


def walk(groups, budget):
    """Quota of each group, by Algorithm 1."""
    quotas, spent = {}, 0
    ordered = sorted(groups, key=lambda name: (groups[name], name))
    for k, name in enumerate(ordered):
        quotas[name] = min(groups[name], (budget - spent) // (len(ordered) - k))
        spent += quotas[name]
    return quotas


@given(num_examples=st.integers(20, 400), share=st.floats(0.02, 1.0), num_clusters=st.integers(1, 20))
@settings(deadline=None, max_examples=25)
def test_the_paper_takes_from_every_cluster_what_algorithm_1_allots(num_examples, share, num_clusters):
    table = losses(num_examples)
    selection = S2LSelector(budget=share, num_clusters=num_clusters, seed=11).select(
        Trace.from_arrays(range(num_examples), table)
    )
    labels = bare_labels(table, num_clusters, seed=11)
    assert np.array_equal(selection.clusters, labels)
    sizes = {label: int((labels == label).sum()) for label in set(labels.tolist())}
    taken = {label: int(selection.kept[labels == label].sum()) for label in sizes}
    assert taken == walk(sizes, len(selection))


@given(budget=st.integers(1, 300), seed=st.integers(0, 100))
@settings(deadline=None, max_examples=25)
def test_the_official_variant_takes_what_the_published_procedure_takes(budget, seed):
    table = losses(300)
    labels_of = np.array(["web"] * 170 + ["book"] * 100 + ["rare"] * 30)
    selection = S2LSelector(budget=budget, num_clusters=25, variant="official", seed=seed).select(
        Trace.from_arrays(range(300), table), strata=Strata(range(300), labels_of.tolist())
    )
    quotas = walk({"web": 170, "book": 100, "rare": 30}, budget)
    for source, quota in quotas.items():
        where = labels_of == source
        kept = selection.kept[where]
        assert kept.sum() == quota
        if quota in (0, where.sum()):
            assert (selection.clusters[where] == -1).all()
            continue
        labels = bare_labels(table[where], 25, seed=1234)
        sizes = {label: int((labels == label).sum()) for label in set(labels.tolist())}
        large = walk({label: size for label, size in sizes.items() if size > 2}, quota)
        assert {label: int(kept[labels == label].sum()) for label in large} == large


def test_the_official_variant_clusters_the_same_way_whatever_the_seed():
    trace = Trace.from_arrays(range(500), losses(500))
    one, two = (
        S2LSelector(budget=50, num_clusters=20, variant="official", seed=seed).select(trace) for seed in (1, 2)
    )
    assert np.array_equal(one.clusters, two.clusters)
    assert not np.array_equal(one.kept, two.kept)


def test_clusters_of_different_strata_have_different_numbers():
    trace = Trace.from_arrays(range(200), losses(200))
    strata = Strata(range(200), ["a"] * 90 + ["b"] * 110)
    selection = S2LSelector(budget=40, num_clusters=8).select(trace, strata=strata)
    assert set(selection.clusters[:90].tolist()) <= set(range(8))
    assert set(selection.clusters[90:].tolist()) <= set(range(8, 16))
    details = selection.provenance[0]["details"]["strata"]
    assert [(one["stratum"], one["num_kept"], one["num_clusters"]) for one in details] == [("a", 20, 8), ("b", 20, 8)]


def test_strata_of_equal_size_are_walked_by_label():
    trace = Trace.from_arrays(range(9), losses(9))
    strata = Strata(range(9), ["c", "b", "a"] * 3)
    step = S2LSelector(budget=8, num_clusters=1).select(trace, strata=strata).provenance[0]
    assert [(one["stratum"], one["num_kept"]) for one in step["details"]["strata"]] == [("a", 2), ("b", 3), ("c", 3)]


@pytest.mark.parametrize("transform", ["log", "zscore"])
def test_transforms_come_before_clustering(transform):
    table = losses(400)
    trace = Trace.from_arrays(range(400), table)
    selection = S2LSelector(budget=30, num_clusters=10, transform=transform, seed=4).select(trace)
    expected = bare_labels(transform_trajectories(table, transform), 10, seed=4)
    assert np.array_equal(selection.clusters, expected)
    assert not np.array_equal(
        selection.clusters, S2LSelector(budget=30, num_clusters=10, seed=4).select(trace).clusters
    )


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_more_clusters_than_examples_are_lowered_with_a_warning(variant):
    trace = Trace.from_arrays(range(7), losses(7))
    with pytest.warns(UserWarning, match="num_clusters=100 exceeds the number of examples: lowered to 7"):
        selection = S2LSelector(budget=3, variant=variant).select(trace)
    step = selection.provenance[0]
    assert step["details"]["strata"][0]["num_clusters"] == 7
    assert step["warnings"] == ["num_clusters=100 exceeds the number of examples: lowered to 7."]
    with pytest.warns(UserWarning, match="lowered to 3 in 'b', 4 in 'a'"):
        S2LSelector(budget=4, variant=variant).select(trace, strata=Strata(range(7), list("aabbaba")))


def test_ten_distinct_trajectories_fill_ten_clusters_evenly():
    table = np.repeat(losses(400)[:: 400 // 10][:10] + np.arange(10, dtype=np.float32)[:, None], 100, axis=0)
    selection = S2LSelector(budget=50, num_clusters=100).select(Trace.from_arrays(range(1000), table))
    assert len(np.unique(selection.clusters)) == 10
    assert selection.kept.reshape(10, 100).sum(axis=1).tolist() == [5] * 10


def test_rows_between_are_read_when_candidates_are_a_part():
    table = losses(300)
    within = Selection(candidate_ids=np.arange(300), kept=np.arange(300) % 3 == 1)
    selection = S2LSelector(budget=20, num_clusters=9, seed=2).select(
        Trace.from_arrays(range(300), table), within=within
    )
    assert np.array_equal(selection.clusters, bare_labels(np.ascontiguousarray(table[1::3]), 9, seed=2))


@pytest.mark.parametrize(
    "options",
    [{"num_clusters": 0}, {"num_clusters": 2.5}, {"num_iterations": 0}, {"variant": "paper2"}, {"transform": "sqrt"}],
)
def test_a_bad_hyperparameter_is_named(options):
    name = next(iter(options))
    with pytest.raises(ValueError, match=f"{name}=.* of S2LSelector must be"):
        S2LSelector(budget=1, **options).select(Trace.from_arrays([1], [[1.0]]))


@pytest.mark.parametrize(("transform", "value"), [("log", -0.5), ("log", -0.0001), ("none", 1e30)])
def test_a_value_that_cannot_be_clustered_is_named_by_id_and_step(transform, value):
    table = losses(50).astype(np.float64)
    table[20, 3] = value
    trace = Trace.from_arrays(np.arange(50) + 100, table, steps=range(10, 70, 10))
    with pytest.raises(ValueError, match=r"cannot use the value .* of example 120 at step 40"):
        S2LSelector(budget=5, num_clusters=5, transform=transform).select(trace)


def test_a_loss_of_zero_has_a_logarithm():
    table = losses(50)
    table[7] = 0
    selection = S2LSelector(budget=5, num_clusters=5, transform="log").select(Trace.from_arrays(range(50), table))
    assert (selection.clusters == selection.clusters[7]).sum() == 1


@pytest.mark.parametrize("num_examples", [1, 2])
def test_the_smallest_sets_are_selected_from(num_examples):
    trace = Trace.from_arrays(range(num_examples), losses(num_examples))
    selection = S2LSelector(budget=num_examples, num_clusters=1, variant="official").select(trace)
    assert len(selection) == num_examples


def test_an_incomplete_or_in_run_trace_says_so_in_the_provenance(tmp_path):
    trace = Trace.create(tmp_path / "trace", range(30), mode="in_run")
    trace.write_column(losses(30)[:, 0], step=4)
    evidence = S2LSelector(budget=3, num_clusters=3).select(trace).provenance[0]["evidence"]
    assert (evidence["mode"], evidence["complete"], evidence["steps"]) == ("in_run", False, [4])

"""Valuations: on the disk, what they refuse, and those that come from a recorded run."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import trace_values
from hf_datasel.clusters import Clusters
from hf_datasel.embeddings import Embeddings
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.trace import Trace
from hf_datasel.valuation import Valuation

FINGERPRINT = DatasetFingerprint("0f", 9, ("text",))
OTHER = DatasetFingerprint("1e", 9, ("text",))
PARTS = {
    "ids": np.array([2, 3, 5, 8]),
    "clusters": np.int32([1, 0, -1, 1]),
    "values": np.array([0.5, -2.0]),
    "standard_errors": np.array([0.1, np.nan]),
    "num_evaluations": np.array([7, 9]),
}
INFO = {"estimator": "exact", "num_evaluations": 16, "details": {"history": [1, 2]}}


def valuation(**options):
    return Valuation(**{**PARTS, "info": INFO, **options})


def influence(values, ids=None, rates=None, **options):
    values = np.asarray(values, np.float32)
    ids = np.arange(len(values)) if ids is None else ids
    rates = np.linspace(1.0, 0.5, values.shape[1]) if rates is None else rates
    return Trace.from_arrays(ids, values, metric="influence", learning_rates=rates, **options)


def clusters_of(ids, labels, fingerprint=None):
    vectors = np.arange(len(ids), dtype=np.float32).reshape(-1, 1)
    of = Embeddings.from_arrays(ids, vectors, embedder={"name": "bag", "hash": "0f"}, fingerprint=fingerprint)
    return Clusters.from_labels(of, labels)


@pytest.mark.parametrize("proxies", [None, np.array([3, 8])])
@pytest.mark.parametrize("fingerprint", [None, FINGERPRINT])
def test_it_survives_the_disk(tmp_path, proxies, fingerprint):
    made = valuation(proxies=proxies, fingerprint=fingerprint)
    made.save(tmp_path / "v")
    loaded = Valuation.load(tmp_path / "v")
    for name in (*PARTS, "proxies"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(made, name))
        assert getattr(loaded, name) is None or getattr(loaded, name).dtype == getattr(made, name).dtype
    assert (loaded.info, loaded.fingerprint) == (INFO, fingerprint)
    assert repr(loaded) == "Valuation(4 examples in 2 clusters, by exact)"


def test_damage_is_noticed_and_only_a_valuation_is_replaced(tmp_path):
    valuation().save(tmp_path / "v")
    with pytest.raises(FileExistsError, match="already holds a Valuation"):
        valuation().save(tmp_path / "v")
    Embeddings.from_arrays([1], [[1.0]], embedder={}).save(tmp_path / "e")
    with pytest.raises(FileExistsError, match=r"holds a 'hf_datasel.embeddings', no Valuation"):
        valuation().save(tmp_path / "e", overwrite=True)
    content = bytearray((tmp_path / "v" / "values.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "v" / "values.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"values.npy is damaged: it is not what was written. Make the Valuation"):
        Valuation.load(tmp_path / "v")
    valuation(values=np.array([1.0, 2.0])).save(tmp_path / "v", overwrite=True)
    assert Valuation.load(tmp_path / "v").values.tolist() == [1.0, 2.0]
    with pytest.raises(FileNotFoundError, match="No Valuation at"):
        Valuation.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": np.array([1.0, 2.0, 3.0])}, r"standard_errors must be float64\[3\], not float64\[2\]"),
        ({"clusters": np.array([1, 0, -1, 1])}, r"clusters must be int32\[4\], not int64\[4\]"),
        ({"num_evaluations": np.array([1.0, 2.0])}, r"num_evaluations must be int64\[2\], not float64\[2\]"),
        ({"clusters": np.int32([1, 0, 2, 1])}, "clusters must be from -1 to 1"),
        ({"clusters": np.int32([1, 0, -2, 1])}, "clusters must be from -1 to 1"),
        ({"ids": np.array([3, 2, 5, 8])}, "ids must ascend"),
        ({"ids": np.array([3, 3, 5, 8])}, "same example id 3"),
        ({"values": np.array([0.5, np.inf])}, "The value of Cluster 1 is inf"),
        ({"values": np.array([-1e300, 0.0])}, r"The value of Cluster 0 is -1e\+300"),
        ({"proxies": np.array([2, 8])}, "Example 2 is the proxy of cluster 0, but not in it"),
        ({"proxies": np.array([3, 9])}, "Example 9 is the proxy of cluster 1, but not in it"),
        ({"ids": np.zeros(0, np.int64), "clusters": np.zeros(0, np.int32)}, "needs at least one example"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        valuation(**options)


def test_what_json_cannot_hold_is_refused_before_it_is_to_be_saved():
    with pytest.raises(TypeError, match="not JSON serializable"):
        valuation(info={"estimator": np.zeros(2)})


def test_the_provenance_is_told_all_but_the_details():
    assert valuation().describe() == {"estimator": "exact", "num_evaluations": 16, "num_clusters": 2}


def test_an_unknown_value_is_refused_where_it_matters():
    made = valuation(values=np.array([np.nan, 1.0]), proxies=np.array([3, 8]))
    made.require_measured(np.array([0, 3]))
    with pytest.raises(
        ValueError, match=r"Cluster 0 \(proxy 3\), which example 3 is in, has no value \(one of 1 such"
    ):
        made.require_measured()
    with pytest.raises(ValueError, match="example 3 is in"):
        made.require_measured(np.array([0, 1]))


@given(
    num_rows=st.integers(1, 50),
    num_columns=st.integers(1, 4),
    block=st.sampled_from([1, 7, 1 << 16]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=50)
def test_a_row_is_worth_the_sum_of_learning_rates_times_products(num_rows, num_columns, block, seed):
    generator = np.random.default_rng(seed)
    products = generator.normal(size=(num_rows, num_columns)).astype(np.float32)
    rates = generator.uniform(0.1, 1.0, size=num_columns)
    ids = generator.permutation(200)[:num_rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_values, "_BLOCK", block)
        made = Valuation.from_trace(influence(products, ids, rates, fingerprint=FINGERPRINT))
    order = np.argsort(ids)
    expected = products[order].astype(np.float64) @ rates
    np.testing.assert_allclose(made.values[made.clusters], expected, rtol=1e-12, atol=1e-14)
    assert made.ids.tolist() == ids[order].tolist()
    assert sorted(made.clusters.tolist()) == list(range(num_rows))
    assert np.isnan(made.standard_errors).all()
    assert made.num_evaluations.tolist() == [num_columns] * num_rows
    assert made.info["num_evaluations"] == num_rows * num_columns
    assert made.fingerprint == FINGERPRINT


@given(num_rows=st.integers(1, 40), num_clusters=st.integers(1, 6), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_a_cluster_is_worth_the_mean_of_its_rows(num_rows, num_clusters, seed):
    generator = np.random.default_rng(seed)
    trace = influence(generator.normal(size=(num_rows, 2)))
    labels = generator.integers(0, num_clusters, num_rows)
    clusters = clusters_of(trace.ids, labels)
    rows, made = Valuation.from_trace(trace), Valuation.from_trace(trace, clusters)
    assert made.clusters.tolist() == clusters.labels.tolist()
    for cluster in range(made.num_clusters):
        members = rows.values[made.clusters == cluster]
        np.testing.assert_allclose(made.values[cluster], members.mean(), rtol=1e-10, atol=1e-14)
        error = members.std(ddof=1) / np.sqrt(len(members)) if len(members) > 1 else np.nan
        np.testing.assert_allclose(made.standard_errors[cluster], error, rtol=1e-8, atol=1e-14)
        assert made.num_evaluations[cluster] == 2 * len(members)
    assert (made.info["embedder"], made.info["clustering"]) == ({"name": "bag", "hash": "0f"}, {"method": "labels"})


def recorded(folder, values, masked, mode="in_run"):
    trace = Trace.create(folder, np.arange(len(values)), metric="influence", mode=mode, info={"precondition": "adam"})
    trace.mark_unmeasurable(masked, "every label is masked")
    for t in range(np.shape(values)[1]):
        trace.write_column(np.float32(values)[:, t], step=t, learning_rate=0.5)
    trace.finish()
    return trace


def test_rows_that_cannot_be_measured_are_in_no_cluster(tmp_path):
    trace = recorded(tmp_path / "t", [[1.0], [np.nan], [3.0], [np.nan], [7.0]], [1, 3])
    made = Valuation.from_trace(trace)
    assert made.selectable.tolist() == [0, 2, 4]
    assert made.clusters.tolist() == [0, -1, 1, -1, 2]
    assert made.values.tolist() == [0.5, 1.5, 3.5]
    assert made.describe() == {
        "estimator": "in_run",
        "score": "dot",
        "weighting": "learning_rate",
        "num_evaluations": 3,
        "num_clusters": 3,
        "metric": "influence",
        "mode": "in_run",
        "steps": [0],
        "complete": True,
        "unmeasurable": {"every label is masked": 2},
        "precondition": "adam",
    }
    grouped = Valuation.from_trace(trace, clusters_of(range(5), [0, 1, 2, 1, 2]))
    assert grouped.clusters.tolist() == [0, -1, 1, -1, 1]  # nothing of cluster 1 was measured, so there is none
    assert grouped.values.tolist() == [0.5, 2.5]


def test_a_row_that_was_not_measured_is_refused_by_name():
    with pytest.raises(ValueError, match="influence of example 14 was not measured at step 2"):
        Valuation.from_trace(influence([[1.0, 1.0], [1.0, np.nan]], [11, 14]))


def test_a_trace_of_checkpoints_is_not_called_in_run(tmp_path):
    assert Valuation.from_trace(recorded(tmp_path / "t", [[1.0]], [], "probe")).info["estimator"] == "tracin"


def test_the_columns_may_count_alike():
    trace = influence([[1.0, 2.0]], rates=[np.nan, np.nan])
    assert Valuation.from_trace(trace, weighting="uniform").values.tolist() == [3.0]
    with pytest.raises(ValueError, match="learning rate of checkpoint 0 is nan"):
        Valuation.from_trace(trace)


@given(num_rows=st.integers(1, 30), num_columns=st.integers(1, 3), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_by_cosine_a_row_is_worth_the_weighted_sum_of_its_cosines(num_rows, num_columns, seed):
    generator = np.random.default_rng(seed)
    products, cosines = generator.uniform(-1, 1, size=(2, num_rows, num_columns)).astype(np.float32)
    rates = generator.uniform(0.1, 1.0, size=num_columns)
    trace = influence(products, rates=rates)
    beside = trace.create_companion("cosine", metric="cosine", num_checkpoints=num_columns)
    for t in range(num_columns):
        beside.write_column(cosines[:, t], step=int(trace.steps[t]))
    made = Valuation.from_trace(trace, score="cosine")
    np.testing.assert_allclose(made.values, cosines.astype(np.float64) @ rates, rtol=1e-12, atol=1e-14)
    assert made.info["score"] == "cosine"
    alike = Valuation.from_trace(trace, score="cosine", weighting="uniform")
    np.testing.assert_allclose(alike.values, cosines.astype(np.float64).sum(axis=1), rtol=1e-12, atol=1e-14)


def test_cosines_that_were_not_recorded_are_refused():
    trace = influence([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match=r"needs the cosines .* record with GradientTraceCallback\(..., norms=True\)"):
        Valuation.from_trace(trace, score="cosine")
    with pytest.raises(ValueError, match=r"score='angle' of Valuation.from_trace must be one of 'dot', 'cosine'"):
        Valuation.from_trace(trace, score="angle")
    beside = trace.create_companion("cosine", metric="cosine", num_checkpoints=2)
    beside.write_column([0.5, np.nan], step=int(trace.steps[0]))
    with pytest.raises(ValueError, match="resume the run that records them"):
        Valuation.from_trace(trace, score="cosine")
    beside.write_column([0.5, 0.5], step=int(trace.steps[1]))
    with pytest.raises(ValueError, match="example 1 was not measured"):
        Valuation.from_trace(trace, score="cosine")


def test_another_metric_is_refused():
    with pytest.raises(
        ValueError, match="metric 'influence', recorded by GradientTraceCallback, not from one of 'loss'"
    ):
        Valuation.from_trace(Trace.from_arrays([1], [[1.0]]))


def test_clusters_of_other_examples_are_refused():
    trace = influence([[1.0], [2.0], [3.0]], fingerprint=FINGERPRINT)
    with pytest.raises(ValueError, match="Example 2 has no cluster"):
        Valuation.from_trace(trace, clusters_of([0, 1], [0, 0]))
    with pytest.raises(ValueError, match=r"Example 7 is not in the Trace \(one of 2 such"):
        Valuation.from_trace(trace, clusters_of([0, 1, 2, 7, 9], [0] * 5))
    with pytest.raises(ValueError, match="clusters= belongs to another dataset"):
        Valuation.from_trace(trace, clusters_of([0, 1, 2], [0] * 3, OTHER))
    without = influence([[1.0], [2.0], [3.0]])
    assert Valuation.from_trace(without, clusters_of([0, 1, 2], [0] * 3, OTHER)).fingerprint == OTHER


def test_it_is_immutable_and_its_info_is_as_json_gives_it_back():
    made = valuation(info={"pair": (1, 2)})
    assert made.info == json.loads('{"pair": [1, 2]}')
    with pytest.raises(ValueError, match="read-only"):
        made.values[0] = 1
    assert replace(made, values=np.array([3.0, 4.0])).values.tolist() == [3.0, 4.0]

"""SHEDSelector: QOCS and QWCS over a Valuation."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.cluster_sampling import quality_ordered, quality_weighted, softmax_logits
from hf_datasel.selection import Selection
from hf_datasel.selectors import SHEDSelector, Strata
from hf_datasel.trace import Trace
from hf_datasel.valuation import Valuation

EMBEDDER = {"name": "bag", "hash": "0f3a"}
INFO = {"estimator": "regression", "num_evaluations": 40, "embedder": EMBEDDER, "utility": "u1", "details": {"x": 1}}


def valued(clusters, values, **options):
    clusters, values = np.asarray(clusters, np.int32), np.asarray(values, np.float64)
    return Valuation(
        ids=np.arange(len(clusters)) * 2 + 1,
        clusters=clusters,
        values=values,
        standard_errors=np.full(len(values), 0.1),
        num_evaluations=np.full(len(values), 5),
        **{"info": INFO, **options},
    )


LABELS = np.random.default_rng(3).integers(0, 6, 90)
VALUES = np.array([0.4, -0.1, 0.9, 0.0, 0.3, 0.2])


def test_qocs_takes_the_best_clusters_whole_and_a_part_of_the_next():
    selection = SHEDSelector(budget=5, sampling="qocs", seed=1).select(
        valued([0, 1, 2, 0, 1, 2, 0, 1, 2], [0.1, 0.9, 0.5])
    )
    assert np.isin([3, 9, 15], selection.ids).all()  # cluster 1
    assert selection.kept[selection.clusters == 2].sum() == 2
    assert selection.kept[selection.clusters == 0].sum() == 0


@pytest.mark.parametrize("sampling", ["qocs", "qwcs"])
def test_it_is_the_function_over_all_rows(sampling):
    chosen = SHEDSelector(budget=31, sampling=sampling, sharpness=2.0, seed=8).select(valued(LABELS, VALUES))
    generator = np.random.default_rng(8)
    if sampling == "qocs":
        expected = quality_ordered(LABELS, VALUES, 31, generator)
    else:
        expected = quality_weighted(LABELS, softmax_logits(VALUES, 2.0, standardise=True), 31, generator)
    assert np.array_equal(chosen.kept, expected)
    assert np.array_equal(chosen.clusters, LABELS)
    assert np.array_equal(chosen.scores, VALUES.astype(np.float32)[LABELS])


@given(
    num_rows=st.integers(1, 80),
    share=st.floats(0.001, 1.0),
    sampling=st.sampled_from(["qocs", "qwcs"]),
    weighting=st.sampled_from(["softmax", "raw"]),
    sharpness=st.sampled_from([0, 1.0, 1e5]),
    unscored=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=100)
def test_the_budget_is_met_from_rows_that_are_scored(num_rows, share, sampling, weighting, sharpness, unscored, seed):
    generator = np.random.default_rng(seed)
    clusters = np.where(generator.random(num_rows) < unscored, -1, generator.integers(0, 5, num_rows))
    clusters[0] = 2
    evidence = valued(clusters, generator.normal(size=5))
    selector = SHEDSelector(budget=share, sampling=sampling, weighting=weighting, sharpness=sharpness, seed=seed)
    selection = selector.select(evidence)
    assert selection.candidate_ids.tolist() == evidence.ids[clusters >= 0].tolist()
    assert len(selection) == selector.resolve_budget(int((clusters >= 0).sum()))


def test_only_rows_of_clusters_that_are_scored_can_be_asked_for():
    evidence = valued([0, -1, 0, -1, 1], [1.0, 2.0])
    assert SHEDSelector(budget=3, sampling="qocs").select(evidence).ids.tolist() == [1, 5, 9]
    with pytest.raises(ValueError, match="budget=4 examples is out of range: there are 3 candidates"):
        SHEDSelector(budget=4).select(evidence)


def test_a_cluster_without_a_value_is_named_unless_it_is_left_out():
    evidence = valued([0, 1, 0, 1], [0.5, np.nan], proxies=np.array([5, 3]))
    with pytest.raises(ValueError, match=r"Cluster 1 \(proxy 3\), which example 3 is in, has no value"):
        SHEDSelector(budget=1).select(evidence)
    rest = Selection(candidate_ids=evidence.ids, kept=np.array([True, False, True, False]))
    for sampling in ("qocs", "qwcs"):
        assert SHEDSelector(budget=2, sampling=sampling).select(evidence, within=rest).ids.tolist() == [1, 5]


def test_zscores_are_over_the_clusters_of_the_candidates():
    """A cluster that is not among them, however far off its value, changes no weight."""
    labels, values = np.repeat([0, 1, 2], 30), np.array([1.0, 2.0, 1e6])
    within = Selection(candidate_ids=np.arange(90) * 2 + 1, kept=labels < 2)
    selector = SHEDSelector(budget=20, sampling="qwcs", sharpness=1.5, seed=4)
    parted = selector.select(valued(labels, values), within=within)
    assert np.array_equal(parted.kept, selector.select(valued(labels[:60], values[:2])).kept)


def test_raw_weights_of_nearly_equal_values_are_all_but_uniform_and_zscores_are_not():
    labels, values = np.repeat([0, 1], 500), np.array([1e-4, 3e-4])
    counts = {
        weighting: SHEDSelector(budget=200, sampling="qwcs", weighting=weighting, sharpness=2.0).select(
            valued(labels, values)
        )
        for weighting in ("raw", "softmax")
    }
    better = {weighting: int(selection.kept[500:].sum()) for weighting, selection in counts.items()}
    assert abs(better["raw"] - 100) <= 5 * np.sqrt(200 / 4)
    assert better["softmax"] > 180  # z-scores of -1 and 1 weigh 1 : e^4


def test_a_uniform_draw_keeps_to_the_best_clusters():
    evidence = valued(LABELS, VALUES)
    kept = SHEDSelector(budget=20, sampling="uniform", best_share=0.5).select(evidence)
    best = np.sort(VALUES[LABELS])[-round(0.5 * len(LABELS))]
    assert VALUES[LABELS[kept.kept]].min() >= best
    taken = SHEDSelector(budget=20, sampling="qocs").select(evidence)
    assert len(np.unique(LABELS[kept.kept])) > len(np.unique(LABELS[taken.kept]))
    with pytest.raises(ValueError, match=r"best_share=0 of SHEDSelector must be a share in \(0, 1\]"):
        SHEDSelector(budget=20, sampling="uniform", best_share=0).select(evidence)


def test_every_stratum_is_drawn_from_by_the_same_values():
    names = np.array(["a", "b"])[np.arange(90) % 2]
    evidence = valued(LABELS, VALUES)
    selection = SHEDSelector(budget=20, sampling="qocs").select(evidence, strata=Strata(evidence.ids, names.tolist()))
    assert selection.provenance[0]["details"]["strata"] == {"a": 10, "b": 10}
    for name in "ab":
        kept, of = selection.kept[names == name], VALUES[LABELS[names == name]]
        assert kept.sum() == 10
        assert of[kept].min() >= np.sort(of)[-10]


def test_rows_of_a_recorded_run_are_ranked_one_by_one():
    products = np.random.default_rng(5).normal(size=(50, 3))
    trace = Trace.from_arrays(range(50), products, metric="influence", learning_rates=[0.3, 0.2, 0.1])
    worth = np.float32(products) @ np.array([0.3, 0.2, 0.1])
    selection = SHEDSelector(budget=12, sampling="qocs").select(Valuation.from_trace(trace))
    assert set(selection.ids.tolist()) == set(np.argsort(worth)[-12:].tolist())
    with pytest.raises(
        TypeError, match=r"SHEDSelector chooses by evidence of the kind Valuation, as in .*not by Trace"
    ):
        SHEDSelector(budget=12).select(trace)


def test_the_provenance_names_who_valued_and_who_embedded():
    step = SHEDSelector(budget=4).select(valued(LABELS, VALUES)).provenance[0]
    evidence = step["evidence"]
    assert (evidence["estimator"], evidence["num_evaluations"], evidence["utility"]) == ("regression", 40, "u1")
    assert evidence["embedder"] == EMBEDDER
    assert evidence["num_clusters"] == 6
    assert "details" not in evidence
    assert step["config"] == {
        "budget": 4,
        "sampling": "qwcs",
        "weighting": "softmax",
        "sharpness": 1.0,
        "best_share": 0.5,
        "seed": 42,
    }
    assert step["details"] == {"num_clusters": 6, "num_clusters_kept": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "best"}, "sampling='best' of SHEDSelector must be one of"),
        ({"weighting": "zscore"}, "weighting='zscore' of SHEDSelector must be one of"),
        ({"sharpness": -1.0}, r"sharpness=-1.0 of SHEDSelector must be a number of at least 0"),
        ({"sharpness": np.nan}, "sharpness=nan of SHEDSelector"),
        ({"sharpness": True}, "sharpness=True of SHEDSelector"),
        ({"sharpness": "1"}, "sharpness='1' of SHEDSelector"),
    ],
)
def test_a_bad_hyperparameter_is_named(options, message):
    selector = SHEDSelector(budget=1, **options)
    for refuse in (lambda: selector.select(valued([0], [1.0])), lambda: selector.check(5)):
        with pytest.raises(ValueError, match=message):
            refuse()


@pytest.mark.parametrize("sampling", ["qocs", "qwcs"])
def test_clusters_without_rows_play_no_part(sampling):
    selector = SHEDSelector(budget=10, sampling=sampling)
    evidence = valued(LABELS, VALUES)
    padded = dataclasses.replace(
        evidence,
        values=np.append(VALUES, 50.0),
        standard_errors=np.full(7, np.nan),
        num_evaluations=np.zeros(7, np.int64),
    )
    assert np.array_equal(selector.select(evidence).kept, selector.select(padded).kept)

"""DatasetQuantizationSelector: equal shares of bins, over all rows or stratum by stratum."""

import numpy as np
import pytest

from hf_datasel import DatasetQuantizationSelector, Embeddings, Selection, Strata
from tests.functional.test_graph_cut import bins_of

NUM_EXAMPLES = 47
IDS = np.arange(NUM_EXAMPLES) * 3 + 2
# whole numbers, whose products are exact
VECTORS = np.random.default_rng(1).integers(-3, 4, size=(NUM_EXAMPLES, 4)).astype(np.float32)


def embedded(vectors=VECTORS, ids=IDS):
    return Embeddings.from_arrays(ids, vectors, embedder={"name": "made up"})


def test_clusters_are_the_bins_of_the_paper_and_each_gives_its_share():
    selection = DatasetQuantizationSelector(budget=18, num_bins=5).select(embedded())
    assert selection.clusters.tolist() == bins_of(VECTORS, 5)[0].tolist()
    counts = np.bincount(selection.clusters[selection.kept], minlength=5)
    assert sorted(counts.tolist()) == [3, 3, 4, 4, 4]
    assert not selection.kept[selection.clusters < 0].any()
    assert selection.scores is None
    assert selection.provenance[0]["details"]["strata"] == [
        {"stratum": None, "num_candidates": 47, "num_kept": 18, "num_bins": 5}
    ]


def test_what_fits_into_no_bin_comes_in_when_the_bins_are_used_up():
    selection = DatasetQuantizationSelector(budget=46, num_bins=5).select(embedded())
    over = selection.clusters < 0
    assert (over.sum(), selection.kept[over].sum(), selection.kept[~over].all()) == (2, 1, True)


def test_a_budget_of_everything_needs_no_bins():
    selection = DatasetQuantizationSelector(budget=1.0).select(embedded())
    assert selection.kept.all()
    assert set(selection.clusters.tolist()) == {-1}


def test_strata_are_binned_apart():
    labels = np.array(["a"] * 20 + ["b"] * 24 + ["c"] * 3)
    strata = Strata(IDS, labels.tolist())
    selection = DatasetQuantizationSelector(budget=23, num_bins=4).select(embedded(), strata=strata)
    expected = np.full(NUM_EXAMPLES, -1)
    expected[:20], expected[20:44] = bins_of(VECTORS[:20], 4)[0], bins_of(VECTORS[20:44], 4)[0] + 4
    assert selection.clusters.tolist() == expected.tolist()
    kept = {name: int(selection.kept[labels == name].sum()) for name in "abc"}
    assert kept == {"a": 10, "b": 10, "c": 3}
    used = selection.provenance[0]["details"]["strata"]
    assert [(one["stratum"], one["num_bins"]) for one in used] == [("a", 4), ("b", 4), ("c", 0)]


def test_within_bins_the_rows_of_the_first_selection_only():
    rows = np.arange(NUM_EXAMPLES) % 3 > 0
    first = Selection(candidate_ids=IDS, kept=rows)
    selection = DatasetQuantizationSelector(budget=8, num_bins=3).select(embedded(), within=first)
    assert selection.clusters.tolist() == bins_of(VECTORS[rows], 3)[0].tolist()
    labels = ["a", "b"] * 24
    strata = Strata(IDS, labels[:NUM_EXAMPLES])
    selection = DatasetQuantizationSelector(budget=8, num_bins=3).select(embedded(), within=first, strata=strata)
    of_a = rows & (np.arange(NUM_EXAMPLES) % 2 == 0)
    assert selection.clusters[of_a[rows]].tolist() == bins_of(VECTORS[of_a], 3)[0].tolist()


def test_more_bins_than_rows_are_lowered():
    selection = DatasetQuantizationSelector(budget=3, num_bins=100).select(embedded(VECTORS[:6], IDS[:6]))
    assert len(selection) == 3
    assert sorted(selection.clusters.tolist()) == [0, 1, 2, 3, 4, 5]


def test_in_chunks_bins_are_as_large_and_the_seed_makes_the_parts():
    answers = [
        DatasetQuantizationSelector(budget=20, num_bins=3, chunk_size=12, seed=seed).select(embedded())
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(answers[0].clusters, answers[1].clusters)
    assert not np.array_equal(answers[0].clusters, answers[2].clusters)
    assert np.bincount(answers[0].clusters + 1).tolist() == [2, 15, 15, 15]  # three parts of 12 rows, one of 11
    whole = DatasetQuantizationSelector(budget=20, num_bins=3, chunk_size=NUM_EXAMPLES).select(embedded())
    assert whole.clusters.tolist() == bins_of(VECTORS, 3)[0].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_bins": 0}, r"num_bins=0 of DatasetQuantizationSelector must be an int of at least 1"),
        ({"num_bins": 2.0}, r"num_bins=2.0 of"),
        ({"chunk_size": 19}, r"chunk_size=19 of DatasetQuantizationSelector must be an int of at least 20"),
        ({"chunk_size": True}, r"chunk_size=True of"),
    ],
)
def test_an_option_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        DatasetQuantizationSelector(budget=5, **options).check(NUM_EXAMPLES)


def test_a_vector_beyond_float32_is_named_by_its_example_id():
    vectors = VECTORS.copy()
    vectors[20, 2] = 1e19
    strata = Strata(IDS, ["a", "b"] * 23 + ["a"])
    for groups in (None, strata):
        with pytest.raises(ValueError, match=rf"cannot use the vector of example {IDS[20]}: its 1e\+19"):
            DatasetQuantizationSelector(budget=5, num_bins=2).select(embedded(vectors), strata=groups)
    others = Selection(candidate_ids=IDS, kept=np.arange(NUM_EXAMPLES) != 20)
    assert len(DatasetQuantizationSelector(budget=5).select(embedded(vectors), within=others)) == 5

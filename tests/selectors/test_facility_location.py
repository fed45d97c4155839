"""FacilityLocationSelector: rows that cover the others, whole or stratum by stratum, all or neighbours."""

import numpy as np
import pytest

from hf_datasel import Embeddings, FacilityLocationSelector, Selection, Strata
from hf_datasel.functional.facility_location import lazy_greedy
from hf_datasel.functional.similarities import BlockedSimilarities, NeighbourSimilarities, Space
from hf_datasel.selectors import facility_location

NUM_EXAMPLES = 60
IDS = np.arange(NUM_EXAMPLES) * 3 + 2
VECTORS = np.random.default_rng(1).normal(size=(NUM_EXAMPLES, 6)).astype(np.float32)


def embedded(vectors=VECTORS, ids=IDS):
    return Embeddings.from_arrays(ids, vectors, embedder={"name": "made up"})


@pytest.mark.parametrize("similarity", ["cosine", "rbf"])
@pytest.mark.parametrize("num_neighbours", [None, 7, 1000])
def test_it_keeps_what_greedy_takes(similarity, num_neighbours):
    selector = FacilityLocationSelector(budget=9, similarity=similarity, num_neighbours=num_neighbours, seed=3)
    selection = selector.select(embedded())
    space = Space.of(VECTORS, similarity)
    found = (
        BlockedSimilarities(space) if num_neighbours is None else NeighbourSimilarities.nearest(space, num_neighbours)
    )
    cover = lazy_greedy(found, 9, np.random.default_rng(3))
    assert selection.ids.tolist() == sorted(IDS[cover.rows].tolist())
    assert np.array_equal(selection.scores, cover.gains)
    assert selection.provenance[0]["details"]["strata"] == [
        {
            "stratum": None,
            "num_candidates": NUM_EXAMPLES,
            "num_kept": 9,
            "num_neighbours": None if num_neighbours is None else min(num_neighbours, NUM_EXAMPLES),
            "num_evaluations": cover.num_evaluations,
            "coverage": cover.value / NUM_EXAMPLES,
        }
    ]


def test_coverage_is_the_mean_similarity_to_the_nearest_that_is_kept():
    selection = FacilityLocationSelector(budget=5).select(embedded())
    unit = VECTORS.astype(np.float64) / np.linalg.norm(VECTORS.astype(np.float64), axis=1, keepdims=True)
    nearest = ((1 + unit @ unit[selection.kept].T) / 2).max(axis=1)
    coverage = selection.provenance[0]["details"]["strata"][0]["coverage"]
    # cosines of six products, and five gains rounded to float32
    assert coverage == pytest.approx(nearest.mean(), rel=32 * float(np.finfo(np.float32).eps))
    generator = np.random.default_rng(0)
    draws = [generator.choice(NUM_EXAMPLES, 5, replace=False) for _ in range(200)]
    by_chance = [((1 + unit @ unit[rows].T) / 2).max(axis=1).mean() for rows in draws]
    assert coverage > np.quantile(by_chance, 0.95)


def test_one_of_each_kind_is_enough_and_their_numbers_decide_who_comes_first():
    vectors = np.repeat(np.eye(4, dtype=np.float32), [25, 20, 10, 5], axis=0)
    labels = np.repeat(np.arange(4), [25, 20, 10, 5])
    for budget in (1, 2, 3, 4):
        kept = FacilityLocationSelector(budget=budget).select(embedded(vectors)).kept
        assert labels[kept].tolist() == list(range(budget))


def test_strata_cover_themselves():
    labels = np.array(["a"] * 20 + ["b"] * 36 + ["c"] * 4)
    selection = FacilityLocationSelector(budget=20, seed=5).select(embedded(), strata=Strata(IDS, labels.tolist()))
    generator = np.random.default_rng(5)
    for name, quota in (("a", 8), ("b", 8), ("c", 4)):
        rows = np.flatnonzero(labels == name)
        cover = lazy_greedy(BlockedSimilarities.cosine(VECTORS[rows]), quota, generator)
        assert np.flatnonzero(selection.kept & (labels == name)).tolist() == sorted(rows[cover.rows].tolist())
        assert np.array_equal(selection.scores[rows], cover.gains)
    used = selection.provenance[0]["details"]["strata"]
    assert [(one["stratum"], one["num_kept"]) for one in used] == [("a", 8), ("b", 8), ("c", 4)]
    assert used[2]["coverage"] == pytest.approx(1, abs=1e-6)


def test_within_covers_the_rows_of_the_first_selection_only():
    rows = np.arange(NUM_EXAMPLES) % 3 > 0
    first = Selection(candidate_ids=IDS, kept=rows)
    selection = FacilityLocationSelector(budget=8).select(embedded(), within=first)
    alone = FacilityLocationSelector(budget=8).select(embedded(VECTORS[rows], IDS[rows]))
    assert selection.ids.tolist() == alone.ids.tolist()
    assert np.array_equal(selection.scores, alone.scores)


def test_beyond_the_limit_neighbours_are_enough(monkeypatch):
    monkeypatch.setattr(facility_location, "EXACT_UP_TO", 59)
    monkeypatch.setattr(facility_location, "NUM_NEIGHBOURS", 6)
    selection = FacilityLocationSelector(budget=9).select(embedded())
    assert selection.provenance[0]["details"]["strata"][0]["num_neighbours"] == 6
    asked = FacilityLocationSelector(budget=9, num_neighbours=6).select(embedded())
    assert selection.ids.tolist() == asked.ids.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": "dot"}, r"similarity='dot' of FacilityLocationSelector must be one of \('cosine', 'rbf'\)"),
        ({"num_neighbours": 0}, r"num_neighbours=0 of FacilityLocationSelector must be an int of at least 1"),
        ({"num_neighbours": 2.0}, r"num_neighbours=2.0 of"),
        ({"gamma": 1.0}, r"gamma=1.0 of FacilityLocationSelector .* similarity='rbf' alone \(here 'cosine'\)"),
        ({"gamma": 0, "similarity": "rbf"}, r"gamma=0 of FacilityLocationSelector must be a positive number"),
        ({"gamma": np.inf, "similarity": "rbf"}, r"gamma=inf of"),
        ({"gamma": True, "similarity": "rbf"}, r"gamma=True of"),
    ],
)
def test_an_option_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        FacilityLocationSelector(budget=5, **options).check(NUM_EXAMPLES)


def test_a_vector_beyond_float32_is_named_by_its_example_id():
    vectors = VECTORS.copy()
    vectors[20, 2] = 1e25
    selector = FacilityLocationSelector(budget=5, similarity="rbf", gamma=1.0)
    for groups in (None, Strata(IDS, ["a", "b"] * 30)):
        with pytest.raises(ValueError, match=rf"gamma=1.0\) cannot use the vector of example {IDS[20]}: gamma"):
            selector.select(embedded(vectors), strata=groups)
    others = Selection(candidate_ids=IDS, kept=np.arange(NUM_EXAMPLES) != 20)
    assert len(selector.select(embedded(vectors), within=others)) == 5

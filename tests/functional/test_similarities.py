"""Similarities of columns and of neighbours against the formulas written out; memory; what cannot be compared."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional import similarities
from hf_datasel.functional.facility_location import lazy_greedy
from hf_datasel.functional.kmeans import UnusableValueError
from hf_datasel.functional.similarities import BlockedSimilarities, NeighbourSimilarities, Space

EPS = float(np.finfo(np.float32).eps)


def vectors_of(seed, num_rows=17, dimension=5, scale=1.0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(num_rows, dimension)) * scale + generator.normal()).astype(np.float32)


def similarity(x, y, kind, gamma):
    """One pair, as the formula has it."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if kind == "rbf":
        return np.exp(-gamma * np.square(x - y).sum())
    lengths = np.linalg.norm(x) * np.linalg.norm(y)
    return (1 + (x @ y / lengths if lengths else 0)) / 2


def mean_squared_distance(vectors):
    vectors = vectors.astype(np.float64)
    return np.mean([[np.square(x - y).sum() for x in vectors] for y in vectors])


@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["cosine", "rbf"]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    gamma=st.sampled_from([None, 0.5]),
)
def test_columns_and_pairs_are_the_formula(seed, kind, scale, gamma):
    vectors = vectors_of(seed, scale=scale)
    vectors[3] = 0
    wanted = 1 / mean_squared_distance(vectors) if gamma is None else gamma / scale**2
    space = Space.of(vectors, kind, None if gamma is None else wanted)
    table = np.array([[similarity(x, y, kind, wanted) for x in vectors] for y in vectors])
    # an inner product of five numbers, and three squared lengths, which are at most some 17 / 2 for rbf
    tolerance = 16 * EPS * max(1.0, float(space.squared.max()))
    candidates = np.array([0, 3, 16])
    np.testing.assert_allclose(space.columns(candidates), table[candidates], rtol=0, atol=tolerance)
    neighbours = np.random.default_rng(seed).integers(0, 17, size=(4, 6))
    pairs = space.pairs(neighbours, slice(2, 6))
    np.testing.assert_allclose(pairs, np.take_along_axis(table[2:6], neighbours, 1), rtol=0, atol=tolerance)
    assert pairs.min() >= 0


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["cosine", "rbf"]), num_neighbours=st.integers(1, 20))
def test_each_row_has_its_nearest_and_itself(seed, kind, num_neighbours):
    vectors = vectors_of(seed)
    space = Space.of(vectors, kind)
    table = space.columns(np.arange(17)).astype(np.float64)
    num_neighbours = min(num_neighbours, 17)
    covered = np.zeros(17, np.float32)
    near = NeighbourSimilarities.nearest(space, num_neighbours)
    # the k largest similarities of each row; who they are does not matter where two are as similar
    wanted = np.sort(table, axis=1)[:, ::-1][:, :num_neighbours]
    sparse = np.zeros((17, 17), np.float32)
    for row in range(17):
        covered[:] = 0
        near.cover(row, covered)
        sparse[:, row] = covered
    np.testing.assert_allclose(
        np.sort(sparse, axis=1)[:, ::-1][:, :num_neighbours],
        wanted,
        rtol=0,
        atol=64 * EPS * float(space.squared.max()),
    )
    assert (np.diag(sparse) > 0).all()
    assert (np.count_nonzero(sparse, axis=1) <= num_neighbours).all()
    covered = np.random.default_rng(seed).uniform(0, 1, 17).astype(np.float32)
    gains = near.gains(np.arange(17), covered)
    assert gains == pytest.approx(np.maximum(sparse - covered[:, None], 0).sum(axis=0), abs=17 * 2 * EPS)


def test_more_twins_than_neighbours_still_have_themselves():
    near = NeighbourSimilarities.nearest(Space.of(np.ones((9, 3), np.float32), "cosine"), 2)
    for row in range(9):
        covered = np.zeros(9, np.float32)
        near.cover(row, covered)
        assert covered[row] == pytest.approx(1, abs=4 * EPS)


def test_beyond_some_rows_neighbours_are_searched_in_cells(monkeypatch):
    vectors = vectors_of(0, num_rows=400, dimension=6)
    space = Space.of(vectors, "cosine")
    flat = NeighbourSimilarities.nearest(space, 8)
    exact = lazy_greedy(flat, 40, np.random.default_rng(0))
    monkeypatch.setattr(similarities, "FLAT_UP_TO", 10)
    monkeypatch.setattr(similarities, "PROBES", 80)  # all cells: the same neighbours
    heard = []
    cells = NeighbourSimilarities.nearest(space, 8, heard.append)
    assert sum(heard) == 400
    assert lazy_greedy(cells, 40, np.random.default_rng(0)).rows.tolist() == exact.rows.tolist()
    monkeypatch.setattr(similarities, "PROBES", 1)  # a single cell, which may have too few rows
    few = lazy_greedy(NeighbourSimilarities.nearest(space, 8), 40, np.random.default_rng(0))
    assert len(set(few.rows.tolist())) == 40
    assert few.value < exact.value


@pytest.mark.parametrize("num_neighbours", [None, 8])
def test_nobody_holds_all_similarities(monkeypatch, num_neighbours):
    num_rows = 3000
    vectors = vectors_of(0, num_rows=num_rows, dimension=8)
    monkeypatch.setattr(similarities, "_BLOCK", 1 << 16)
    tracemalloc.start()
    space = Space.of(vectors, "rbf")
    found = BlockedSimilarities(space) if num_neighbours is None else NeighbourSimilarities.nearest(space, 8)
    lazy_greedy(found, 30, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # some blocks; rows thrice; 36 bytes a neighbour; some 250 bytes a row for the heap: the table has 36 MB
    assert peak < 6 * 4 * (1 << 16) + num_rows * (3 * 4 * 8 + 36 * 8 + 400) < 4 * num_rows**2 / 8


def test_a_distance_beyond_float32_is_named():
    vectors = vectors_of(0)
    vectors[11, 2] = 1e25
    Space.of(vectors, "cosine")
    Space.of(vectors, "rbf")  # gamma is small where distances are large
    with pytest.raises(UnusableValueError) as raised:
        Space.of(vectors, "rbf", gamma=1.0)
    assert (raised.value.row, raised.value.column) == (11, 2)


def test_rows_that_are_all_one_are_alike():
    space = Space.of(np.full((5, 2), 3, np.float32), "rbf")
    assert space.columns(np.arange(5)).tolist() == np.ones((5, 5)).tolist()

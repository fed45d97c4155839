"""Lazy greedy against greedy that computes every gain, and against the best set there is."""

import itertools
import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hf_datasel.functional.facility_location import largest_gains, lazy_greedy
from hf_datasel.functional.similarities import BlockedSimilarities, NeighbourSimilarities, Space

MATRICES = st.integers(1, 12).flatmap(
    lambda size: hnp.arrays(np.float32, (size, size), elements=st.integers(0, 5), fill=st.nothing())
)


def value(matrix, rows):
    """F of a set of rows."""
    return matrix[:, list(rows)].max(axis=1).sum() if len(rows) else 0.0


def greedy(matrix, budget, seed):
    """Obviously correct, but slow: all gains anew for every row. Also the least lead of a choice."""
    ties = np.random.default_rng(seed).permutation(len(matrix))
    taken, gains, lead = [], [], np.inf
    for _ in range(budget):
        left = [row for row in range(len(matrix)) if row not in taken]
        gain = {row: value(matrix, [*taken, row]) - value(matrix, taken) for row in left}
        best = max(left, key=lambda row: (gain[row], -ties[row]))
        lead = min(lead, *(gain[best] - gain[row] for row in left if row != best), np.inf)
        taken.append(best)
        gains.append(gain[best])
    return taken, gains, lead


def of_matrix(matrix):
    """Any similarities: every row has all rows for neighbours."""
    return NeighbourSimilarities(np.tile(np.arange(len(matrix), dtype=np.int32), (len(matrix), 1)), matrix)


@given(matrix=MATRICES, data=st.data(), seed=st.integers(0, 99))
def test_it_takes_what_greedy_takes_ties_included(matrix, data, seed):
    budget = data.draw(st.integers(0, len(matrix)))
    heard = []
    cover = lazy_greedy(of_matrix(matrix), budget, np.random.default_rng(seed), heard.append)
    taken, gains, _ = greedy(matrix.astype(np.float64), budget, seed)  # whole numbers, so both are exact
    assert cover.rows.tolist() == taken
    assert cover.gains[cover.rows].tolist() == gains
    assert cover.value == value(matrix, taken)
    assert sum(heard) == budget
    left = np.setdiff1d(np.arange(len(matrix)), taken)
    assert all(cover.gains[row] >= value(matrix, [*taken, row]) - value(matrix, taken) for row in left)
    kept = largest_gains(cover.gains, budget, np.random.default_rng(seed))
    assert np.flatnonzero(kept).tolist() == sorted(taken)


@given(matrix=MATRICES.filter(lambda matrix: len(matrix) <= 9), data=st.data())
def test_it_reaches_the_share_of_the_best_that_is_proved(matrix, data):
    budget = data.draw(st.integers(1, len(matrix)))
    best = max(value(matrix, rows) for rows in itertools.combinations(range(len(matrix)), budget))
    cover = lazy_greedy(of_matrix(matrix), budget, np.random.default_rng(0))
    assert cover.value >= (1 - 1 / math.e) * best


@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["cosine", "rbf"]),
    num_rows=st.integers(2, 30),
    budget=st.integers(1, 8),
)
def test_of_any_vectors_too_where_rounding_decides_nothing(seed, kind, num_rows, budget):
    vectors = np.random.default_rng(seed).normal(size=(num_rows, 4)).astype(np.float32)
    budget = min(budget, num_rows)
    space = Space.of(vectors, kind)
    matrix = space.columns(np.arange(num_rows)).T.astype(np.float64)
    taken, _, lead = greedy(matrix, budget, seed)
    # a similarity of at most 1 is off by a few roundings of products of four numbers, however it is computed; a gain
    # is a sum of num_rows of them
    assume(lead > 2 * num_rows * 32 * np.finfo(np.float32).eps)
    assert lazy_greedy(BlockedSimilarities(space), budget, np.random.default_rng(seed)).rows.tolist() == taken
    near = NeighbourSimilarities.nearest(space, num_rows)
    assert lazy_greedy(near, budget, np.random.default_rng(seed)).rows.tolist() == taken


def test_most_gains_are_never_computed_again():
    vectors = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    cover = lazy_greedy(BlockedSimilarities.cosine(vectors), 300, np.random.default_rng(0))
    assert cover.num_evaluations < 600 * 300 / 10


def test_gains_never_grow_and_the_choice_for_less_comes_first():
    # twins tie in what they add, and rounding could tell them apart
    vectors = np.repeat(np.random.default_rng(1).normal(size=(40, 16)).astype(np.float32), 3, axis=0)
    similarities = BlockedSimilarities.cosine(vectors)
    cover = lazy_greedy(similarities, 120, np.random.default_rng(7))
    in_order = cover.gains[cover.rows]
    assert (in_order[1:] <= in_order[:-1]).all()
    for budget in (1, 13, 40, 41, 77):
        less = lazy_greedy(similarities, budget, np.random.default_rng(7))
        assert less.rows.tolist() == cover.rows[:budget].tolist()
        kept = largest_gains(less.gains, budget, np.random.default_rng(7))
        assert np.flatnonzero(kept).tolist() == sorted(less.rows.tolist())


def test_ties_are_drawn_evenly():
    counts = np.zeros(4)
    for seed in range(2000):
        counts[lazy_greedy(of_matrix(np.eye(4, dtype=np.float32)), 2, np.random.default_rng(seed)).rows] += 1
    # each count is binomial with mean 1000 and standard deviation 22
    assert np.abs(counts - 1000).max() < 5 * 23

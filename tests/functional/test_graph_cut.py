"""Bins by GraphCut gains against the N x N loop, and the draw from them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hf_datasel.functional import graph_cut
from hf_datasel.functional.graph_cut import draw_from_bins, fill_bins
from hf_datasel.functional.kmeans import UnusableValueError

WHOLE = hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 5)), elements=st.integers(-3, 3))


def bins_of(vectors, num_bins):
    """Obviously correct, but slow: all similarities, all gains anew for every row. Also the least lead of a choice."""
    similarity = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    labels, lead = np.full(len(vectors), -1), np.inf
    for number in range(num_bins):
        remaining = np.flatnonzero(labels < 0)
        chosen = []
        for _ in range(len(vectors) // num_bins):
            left = [row for row in remaining if row not in chosen]
            gains = [similarity[remaining, row].sum() - 2 * similarity[chosen, row].sum() for row in left]
            chosen.append(left[int(np.argmax(gains))])
            lead = min(lead, *np.max(gains) - np.delete(gains, np.argmax(gains)), np.inf)
        labels[chosen] = number
    return labels, lead


@given(vectors=WHOLE, data=st.data(), fewest=st.sampled_from([1, 2, 5, 100]))
def test_bins_are_those_of_the_loop_over_all_similarities(vectors, data, fewest):
    num_bins = data.draw(st.integers(1, len(vectors)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_cut, "FEWEST_LEADING", fewest)
        labels = fill_bins(vectors, num_bins)
    # whole numbers this small are exact in float32, so ties fall alike too
    assert labels.tolist() == bins_of(vectors, num_bins)[0].tolist()


@given(seed=st.integers(0, 2**32), num_bins=st.integers(1, 8), offset=st.sampled_from([0.0, 1.0]))
def test_of_any_numbers_too_where_rounding_decides_nothing(seed, num_bins, offset):
    vectors = (np.random.default_rng(seed).normal(size=(24, 4)) + offset).astype(np.float32)
    labels, lead = bins_of(vectors, num_bins)
    longest = np.square(vectors).sum(axis=1).max()
    # each of 24 rows taken adds 2 (d + N) roundings of products no longer than that, on both sides of a comparison
    assume(lead > 2 * 24 * 2 * (4 + 24) * np.finfo(np.float32).eps * longest)
    assert fill_bins(vectors, num_bins).tolist() == labels.tolist()


def test_most_rows_are_taken_without_looking_at_all_the_others():
    vectors = np.random.default_rng(0).normal(size=(2000, 32)).astype(np.float32) + 0.1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    together = []
    fill_bins(vectors, 10, advance=together.append)
    assert sum(together) == 2000
    assert len(together) < 2000 / 4


def test_rows_of_zeros_and_equal_rows_fill_bins_in_their_order():
    assert fill_bins(np.zeros((50, 3), np.float32), 3).tolist() == [0] * 16 + [1] * 16 + [2] * 16 + [-1] * 2
    assert fill_bins(np.ones((4, 1), np.float32), 4).tolist() == [0, 1, 2, 3]


def test_rows_that_change_no_gain_do_not_hide_that_the_leading_ones_are_used_up(monkeypatch):
    monkeypatch.setattr(graph_cut, "FEWEST_LEADING", 1)
    vectors = np.float32([80, 0, 0, 5, 6, 7, 8, 9, 10]).reshape(-1, 1)
    labels = fill_bins(vectors, 2)
    assert labels.tolist() == bins_of(vectors, 2)[0].tolist()
    assert np.flatnonzero(labels == 0).tolist() == [0, 1, 2, 3]


@given(num_rows=st.integers(20, 60), chunk_size=st.integers(6, 70), seed=st.integers(0, 99))
def test_in_chunks_every_part_is_binned_by_itself(num_rows, chunk_size, seed):
    vectors = np.random.default_rng(seed).integers(-9, 10, size=(num_rows, 3)).astype(np.float32)
    labels = fill_bins(vectors, 3, chunk_size=chunk_size, generator=np.random.default_rng(seed))
    num_parts = -(-num_rows // chunk_size)
    order = np.random.default_rng(seed).permutation(num_rows) if num_parts > 1 else np.arange(num_rows)
    for part in np.array_split(order, num_parts):
        assert len(part) <= chunk_size
        assert labels[np.sort(part)].tolist() == bins_of(vectors[np.sort(part)], 3)[0].tolist()


def test_what_is_out_of_range_is_refused():
    vectors = np.ones((5, 2), np.float32)
    for num_bins in (0, 6):
        with pytest.raises(ValueError, match=f"num_bins must be between 1 and the 5 rows, not {num_bins}"):
            fill_bins(vectors, num_bins)
    with pytest.raises(ValueError, match="chunk_size=3 must be at least twice the 2 bins"):
        fill_bins(vectors, 2, chunk_size=3)
    vectors[3, 1] = 1e19
    with pytest.raises(UnusableValueError, match="Row 3, column 1"):
        fill_bins(vectors, 2)


@given(data=st.data(), num_bins=st.integers(1, 7), size=st.integers(1, 6), num_over=st.integers(0, 6))
def test_every_bin_gives_its_share_and_what_is_left_over_comes_last(data, num_bins, size, num_over):
    labels = np.repeat(np.arange(-1, num_bins), [num_over, *[size] * num_bins]).astype(np.int32)
    budget = data.draw(st.integers(0, len(labels)))
    kept = draw_from_bins(labels, num_bins, budget, np.random.default_rng(data.draw(st.integers(0, 9))))
    assert kept.sum() == budget
    counts = np.bincount(labels[kept] + 1, minlength=num_bins + 1)
    assert counts[1:].max() - counts[1:].min() <= 1
    assert counts[0] == max(0, budget - num_bins * size)


def test_no_bin_and_no_row_in_it_is_preferred():
    labels = np.repeat(np.arange(5), 4).astype(np.int32)
    counts = sum(draw_from_bins(labels, 5, 3, np.random.default_rng(seed)).astype(int) for seed in range(2000))
    # each count is binomial with mean 300 and standard deviation 16
    assert np.abs(counts - 300).max() < 5 * 16

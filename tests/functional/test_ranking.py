"""The best by score, or the middle: exactly so many, ties by a seeded draw."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.allocation import allocate
from hf_datasel.functional.ranking import keep_best, keep_best_of_each, keep_middle, keep_middle_of_each

many_ties = st.lists(st.integers(-3, 3), min_size=1, max_size=30)


@given(scores=many_ties, data=st.data(), seed=st.integers(0, 99))
def test_no_row_left_out_is_better_than_one_kept(scores, data, seed):
    goodness = np.array(scores, np.float32)
    budget = data.draw(st.integers(0, len(scores)))
    kept = keep_best(goodness, budget, np.random.default_rng(seed))
    assert sorted(goodness[kept], reverse=True) == sorted(goodness, reverse=True)[:budget]
    assert np.array_equal(kept, keep_best(goodness, budget, np.random.default_rng(seed)))


@given(scores=st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=30, unique=True), data=st.data())
def test_without_ties_the_generator_is_not_touched(scores, data):
    budget = data.draw(st.integers(0, len(scores)))
    generator = np.random.default_rng(5)
    before = generator.bit_generator.state
    kept = keep_best(np.array(scores, np.float32) + np.float32(0), budget, generator)
    best = sorted(range(len(scores)), key=lambda row: scores[row], reverse=True)[:budget]
    assert np.flatnonzero(kept).tolist() == sorted(best)
    assert generator.bit_generator.state == before


def test_ties_are_drawn_evenly():
    counts = np.zeros(5)
    for seed in range(2000):
        counts += keep_best(np.float32([1, 1, 1, 1, 9]), 3, np.random.default_rng(seed))
    assert counts[4] == 2000
    np.testing.assert_allclose(counts[:4] / 2000, 0.5, atol=0.05)


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=40),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_each_stratum_gives_its_best(rows, data, seed):
    goodness, codes = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    codes = codes.astype(np.int32)
    budget = data.draw(st.integers(0, len(rows)))
    kept = keep_best_of_each(goodness, codes, 4, budget, np.random.default_rng(seed))
    assert np.count_nonzero(kept) == budget
    for code, quota in enumerate(allocate(np.bincount(codes, minlength=4), budget)):
        members = codes == code
        assert sorted(goodness[kept & members], reverse=True) == sorted(goodness[members], reverse=True)[:quota]


@given(values=many_ties, data=st.data(), seed=st.integers(0, 99))
def test_the_middle_is_what_has_as_many_below_as_above(values, data, seed):
    values = np.array(values, np.float32)
    budget = data.draw(st.integers(0, len(values)))
    kept = keep_middle(values, budget, np.random.default_rng(seed))
    below = (len(values) - budget) // 2
    assert sorted(values[kept]) == sorted(values)[below : below + budget]


def test_equal_values_are_ranked_evenly():
    counts = sum(keep_middle(np.float32([5, 5, 5, 5, 0]), 2, np.random.default_rng(seed)) for seed in range(2000))
    assert counts[4] == 0  # ranks 1 and 2 of 0 .. 4 are two of the four that tie
    np.testing.assert_allclose(counts[:4] / 2000, 0.5, atol=0.06)  # five standard deviations


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=40),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_each_stratum_gives_its_middle(rows, data, seed):
    values, codes = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    codes = codes.astype(np.int32)
    budget = data.draw(st.integers(0, len(rows)))
    kept = keep_middle_of_each(values, codes, 4, budget, np.random.default_rng(seed))
    for code, quota in enumerate(allocate(np.bincount(codes, minlength=4), budget)):
        members = codes == code
        below = (np.count_nonzero(members) - quota) // 2
        assert sorted(values[kept & members]) == sorted(values[members])[below : below + quota]

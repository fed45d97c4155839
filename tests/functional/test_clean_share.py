"""The clean share of a pool: an upper bound, close where clean rows score apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional import clean_share
from hf_datasel.functional.clean_share import estimate_clean_share, expected_recall, pool_at_or_above

values = st.lists(st.floats(-3, 3, width=16), min_size=1, max_size=30)


@given(anchors=values, pool=values, block=st.integers(1, 7))
def test_counts_are_those_of_a_loop_whatever_the_blocks(anchors, pool, block):
    anchors = np.sort(np.array(anchors))
    expected = [len(pool), *(sum(score >= anchor for score in pool) for anchor in anchors)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clean_share, "BLOCK", block)
        assert pool_at_or_above(anchors, np.array(pool)).tolist() == expected


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_the_clean_mass_above_the_anchors_is_as_expected(draw):
    generator = np.random.default_rng(0)
    clean = np.sort(getattr(generator, draw)(size=100_000))
    anchors = np.sort(getattr(generator, draw)(size=(3000, 6)), axis=1)
    above = 1 - np.searchsorted(clean, anchors).mean(axis=0) / len(clean)
    np.testing.assert_allclose(above, expected_recall(6)[1:], atol=0.01)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("num_anchors", [10, 50, 500])
def test_it_is_an_upper_bound(share, num_anchors):
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(60):
        is_clean = generator.random(3000) < share
        pool = np.where(is_clean, generator.normal(2, 1, 3000), generator.normal(0, 1, 3000))
        anchors = np.sort(generator.normal(2, 1, num_anchors))
        held += estimate_clean_share(pool_at_or_above(anchors, pool), num_anchors) >= is_clean.mean() * 0.98
    assert held / 60 >= 0.9


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_many_anchors_and_scores_far_apart_find_it(share):
    generator = np.random.default_rng(8)
    is_clean = generator.random(20_000) < share
    pool = np.where(is_clean, generator.normal(8, 1, 20_000), generator.normal(0, 1, 20_000))
    anchors = np.sort(generator.normal(8, 1, 5000))
    assert estimate_clean_share(pool_at_or_above(anchors, pool), 5000) == pytest.approx(share, abs=0.06)


def test_a_pool_far_below_every_anchor_has_next_to_no_clean_share():
    above = pool_at_or_above(np.linspace(5, 6, 100), np.zeros(10_000))
    assert 0 < estimate_clean_share(above, 100) < 0.01

"""Thresholds from anchors: what they promise is what simulated rows see."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.thresholds import (
    FEW,
    RULES,
    beta_quantile,
    conformal_threshold,
    f1_threshold,
    find_threshold,
    mean_threshold,
    quantile_threshold,
)

scores = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40)
shares = st.floats(0.01, 0.99)


def beta_below(x, a, b):
    """Obviously correct, but slow: chance of at least a successes in a + b - 1 trials."""
    trials = a + b - 1
    return math.fsum(math.comb(trials, j) * x**j * (1 - x) ** (trials - j) for j in range(a, trials + 1))


def f1(kept, is_clean):
    return 2 * np.count_nonzero(kept & is_clean) / (np.count_nonzero(kept) + np.count_nonzero(is_clean))


def best_f1(pool, is_clean):
    return max(f1(pool >= cut, is_clean) for cut in np.quantile(pool, np.linspace(0, 0.995, 400)))


class TestBetaQuantile:
    @given(level=st.floats(1e-4, 1 - 1e-4), a=st.integers(1, 40), b=st.integers(1, 40))
    @settings(max_examples=60)
    def test_so_much_lies_below_it(self, level, a, b):
        assert beta_below(beta_quantile(level, a, b), a, b) == pytest.approx(level, abs=1e-9)

    @given(level=st.floats(1e-3, 1 - 1e-3), a=st.integers(1, 2000))
    @settings(max_examples=30)
    def test_closed_forms(self, level, a):
        assert beta_quantile(level, a, 1) == pytest.approx(level ** (1 / a), abs=1e-9)
        assert beta_quantile(level, 1, a) == pytest.approx(1 - (1 - level) ** (1 / a), abs=1e-9)


class TestMeanAndQuantile:
    @given(anchors=scores, alpha=shares)
    def test_they_are_what_they_are_called(self, anchors, alpha):
        assert mean_threshold(anchors).value == pytest.approx(math.fsum(anchors) / len(anchors), abs=1e-6)
        ordered, place = sorted(anchors), alpha * (len(anchors) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        expected = low + (high - low) * (place - math.floor(place))
        assert quantile_threshold(anchors, alpha).value == pytest.approx(expected, rel=1e-6, abs=1e-6)

    def test_the_mean_loses_half_of_what_is_clean_and_the_quantile_a_tenth(self):
        generator = np.random.default_rng(0)
        anchors, clean = generator.normal(size=2000), generator.normal(size=100_000)
        assert np.mean(clean >= mean_threshold(anchors).value) == pytest.approx(0.5, abs=0.03)
        assert np.mean(clean >= quantile_threshold(anchors, 0.1).value) == pytest.approx(0.9, abs=0.03)


class TestConformal:
    @given(anchors=scores, alpha=shares)
    def test_it_is_the_kth_smallest_anchor(self, anchors, alpha):
        threshold = conformal_threshold(anchors, alpha)
        k = math.floor(alpha * (len(anchors) + 1) + 1e-9)
        assert threshold.value == (sorted(anchors)[k - 1] if k else -math.inf)
        assert threshold.num_anchors == len(anchors)
        assert 0 <= threshold.clean_kept[0] <= threshold.clean_kept[1] <= 1

    @pytest.mark.parametrize(("num_anchors", "alpha"), [(99, 0.29), (9, 0.1), (19, 0.05), (99, 0.07)])
    def test_a_product_just_short_of_a_whole_number_counts_as_it(self, num_anchors, alpha):
        assert conformal_threshold(range(num_anchors), alpha).value == round(alpha * (num_anchors + 1)) - 1

    @pytest.mark.parametrize("draw", ["normal", "lognormal", "standard_cauchy"])
    @pytest.mark.parametrize(("num_anchors", "alpha"), [(50, 0.1), (200, 0.05), (20, 0.3)])
    def test_the_share_kept_is_as_promised_whatever_the_distribution(self, draw, num_anchors, alpha):
        generator = np.random.default_rng(3)
        sample = getattr(generator, draw)
        clean = np.sort(sample(size=200_000))
        thresholds = [conformal_threshold(sample(size=num_anchors), alpha) for _ in range(1500)]
        kept = 1 - np.searchsorted(clean, [threshold.value for threshold in thresholds]) / len(clean)
        k = math.floor(alpha * (num_anchors + 1))
        assert kept.mean() == pytest.approx(1 - k / (num_anchors + 1), abs=0.01)
        assert kept.mean() > 1 - alpha - 0.005
        low, high = thresholds[0].clean_kept
        assert np.mean((kept >= low) & (kept <= high)) == pytest.approx(0.95, abs=0.02)

    def test_too_few_anchors_keep_everything_and_say_how_many_are_needed(self):
        threshold = conformal_threshold([1.0] * 8, 0.1)
        assert threshold.value == -math.inf
        assert "8 anchors are too few" in threshold.notices[0]
        assert "at least 9 anchors" in threshold.notices[0]
        assert conformal_threshold(range(9), 0.1).value == 0

    def test_a_wide_interval_is_said(self):
        (notice,) = conformal_threshold(range(10), 0.1).notices
        assert "With 10 anchors the share of clean rows kept lies between 0.69 and 1.00" in notice
        assert "about 35" in notice
        assert conformal_threshold(range(50), 0.1).notices == ()

    @given(value=st.floats(-9, 9, width=32), num_anchors=st.integers(1, 60), alpha=shares)
    def test_constant_scores_lose_nothing(self, value, num_anchors, alpha):
        for rule in RULES:
            found = find_threshold(rule, [value] * num_anchors, np.full(7, value, np.float32), alpha)
            assert np.float32(value) >= np.float32(found.value)


class TestF1:
    @pytest.mark.parametrize("noise", [0.2, 0.5, 0.8])
    @pytest.mark.parametrize("apart", [2.0, 3.0])
    @pytest.mark.parametrize(("num_anchors", "share_of_best"), [(50, 0.93), (200, 0.96)])
    def test_it_comes_near_the_best_cut_that_knows_the_labels(self, noise, apart, num_anchors, share_of_best):
        generator = np.random.default_rng(11)
        reached = []
        for _ in range(25):
            is_clean = generator.random(4000) >= noise
            pool = np.where(is_clean, generator.normal(apart, 1, 4000), generator.normal(0, 1, 4000))
            threshold = f1_threshold(generator.normal(apart, 1, num_anchors), pool)
            reached.append(f1(pool >= threshold.value, is_clean) / best_f1(pool, is_clean))
        assert np.mean(reached) > share_of_best

    def test_it_beats_the_papers_mean(self):
        generator = np.random.default_rng(2)
        is_clean = generator.random(5000) >= 0.5
        pool = np.where(is_clean, generator.gamma(4, 1, 5000), generator.gamma(1, 1, 5000))
        anchors = generator.gamma(4, 1, 50)
        assert f1(pool >= f1_threshold(anchors, pool).value, is_clean) > 0.03 + f1(
            pool >= mean_threshold(anchors).value, is_clean
        )

    @pytest.mark.parametrize(("num_anchors", "least"), [(50, 0.95), (400, 0.98)])
    def test_a_clean_pool_is_kept_nearly_whole(self, num_anchors, least):
        generator = np.random.default_rng(5)
        kept, shares = [], []
        for _ in range(40):
            pool = generator.normal(size=3000)
            threshold = f1_threshold(generator.normal(size=num_anchors), pool)
            kept.append(np.mean(pool >= threshold.value))
            shares.append(threshold.clean_share)
        assert np.mean(kept) > least
        assert np.mean(shares) > 0.97

    def test_few_anchors_are_said(self):
        assert (
            f"10 anchors are few to estimate an F1 from: take at least {FEW}"
            in (f1_threshold(np.arange(10.0), np.arange(20.0)).notices[0])
        )
        assert f1_threshold(np.arange(50.0), np.arange(20.0)).notices == ()

    @given(anchors=scores, pool=scores)
    def test_no_scores_break_it_and_it_cuts_at_an_anchor(self, anchors, pool):
        threshold = f1_threshold(anchors, np.array(pool))
        assert threshold.value in {*anchors, -math.inf}
        assert 0 < threshold.clean_share <= 1


class TestBadInput:
    @pytest.mark.parametrize("rule", RULES)
    def test_no_anchors_and_scores_that_are_not_finite_are_refused(self, rule):
        pool = np.ones(3)
        with pytest.raises(ValueError, match="at least one anchor"):
            find_threshold(rule, [], pool, 0.1)
        with pytest.raises(ValueError, match="score of anchor 1 is nan"):
            find_threshold(rule, [1.0, math.nan], pool, 0.1)
        with pytest.raises(ValueError, match="score of anchor 0 is inf"):
            find_threshold(rule, [math.inf], pool, 0.1)

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 2, math.nan])
    @pytest.mark.parametrize("rule", ["quantile", "conformal"])
    def test_alpha_is_a_share(self, rule, alpha):
        with pytest.raises(ValueError, match="alpha="):
            find_threshold(rule, [1.0], np.ones(3), alpha)

    def test_an_unknown_rule_is_named(self):
        with pytest.raises(ValueError, match="not 'median'"):
            find_threshold("median", [1.0], np.ones(3), 0.1)

    def test_a_pool_that_is_empty_or_not_finite_is_refused(self):
        with pytest.raises(ValueError, match="no rows"):
            f1_threshold([1.0], np.ones(0))
        with pytest.raises(ValueError, match="score of row 2 is nan"):
            f1_threshold([1.0], np.array([1.0, 2.0, math.nan]))

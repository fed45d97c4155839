"""Smooth values are found from fewer rows, and features that say nothing do no harm."""

import numpy as np
import pytest

from hf_datasel.functional.valuation import gaussian_process
from hf_datasel.functional.valuation.evidence import remove_trend
from hf_datasel.functional.valuation.gaussian_process import gaussian_process_posterior, ridge_posterior


def data(num_rows, num_players, noise, seed, smooth=True):
    """Rows of an additive game whose values are, or are not, smooth in the features; features, values."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(num_players, 3))
    waves = np.cos(features @ generator.normal(size=(3, 60)) * 0.6 + generator.uniform(0, 6.3, 60))
    values = waves @ generator.normal(size=60) if smooth else generator.normal(size=num_players)
    values = (values - values.mean()) / values.std()
    memberships = (generator.random((num_rows, num_players)) < 0.5).astype(float)
    memberships -= memberships.mean(axis=1, keepdims=True)
    answers = memberships @ values + noise * generator.normal(size=num_rows)
    rows = remove_trend(answers, memberships, np.ones((num_rows, 1)), np.ones(num_rows))
    return rows, features.astype(np.float32), values


def distance(found, values):
    return np.sqrt(np.square(found.mean - values).mean())


def test_the_kernel_is_the_formula(monkeypatch):
    monkeypatch.setattr(gaussian_process, "BLOCK", 7)
    rows, features, _ = data(12, 20, 1.0, 0)
    weighted = remove_trend(rows.answers, rows.memberships, np.ones((11, 1)), np.linspace(0.5, 2, 11))
    x = features.astype(float)
    centring = np.eye(20) - 1 / 20
    for scale, found in zip((1.7, 0.4), gaussian_process._smooth(rows, weighted, x, [1.7, 0.4]), strict=True):
        kernel = np.array([[np.exp(-np.square(a - b).sum() / (2 * scale**2)) for b in x] for a in x])
        np.testing.assert_allclose(found.gram, rows.memberships @ kernel @ rows.memberships.T, atol=1e-10)
        np.testing.assert_allclose(found.spread, centring @ kernel @ weighted.memberships.T, atol=1e-10)
        np.testing.assert_allclose(found.prior, np.diag(centring @ kernel @ centring), atol=1e-12)


def test_smooth_values_are_found_far_better():
    for seed in range(3):
        rows, features, values = data(60, 200, 3.0, seed)
        smoothed = gaussian_process_posterior(rows, rows, features)
        assert distance(smoothed.posterior, values) < 0.7 * distance(ridge_posterior(rows, rows), values)
        assert smoothed.smooth_share > 0
        assert smoothed.length_scale > 0


def test_features_that_say_nothing_cost_little():
    ratios = []
    for seed in range(6):
        rows, features, values = data(150, 100, 2.0, seed, smooth=False)
        smoothed = gaussian_process_posterior(rows, rows, features).posterior
        ratios.append(distance(smoothed, values) / distance(ridge_posterior(rows, rows), values))
    assert np.mean(ratios) < 1.05


@pytest.mark.parametrize(("num_rows", "noise"), [(40, 1.0), (40, 6.0), (300, 3.0)])
def test_standard_errors_cover_smooth_values(num_rows, noise):
    covered = []
    for seed in range(8):
        rows, features, values = data(num_rows, 120, noise, 100 + seed)
        found = gaussian_process_posterior(rows, rows, features).posterior
        covered.append(np.mean(np.abs(found.mean - values) < 1.96 * np.sqrt(found.variance)))
    assert 0.88 < np.mean(covered) < 0.995  # 8 correlated sets of 120 errors


def test_features_that_are_all_alike_are_refused():
    rows, _, _ = data(20, 10, 1.0, 0)
    with pytest.raises(ValueError, match="At least half of the pairs of players have the same features"):
        gaussian_process_posterior(rows, rows, np.ones((10, 3), np.float32))

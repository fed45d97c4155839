"""The dual regression against dense algebra on the full problem: obviously correct, but slow."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_datasel.functional.valuation.evidence import (
    LOGITS,
    average,
    estimate_players,
    learn_ridge,
    normalise,
    remove_trend,
)
from hf_datasel.functional.valuation.gaussian_process import ridge_posterior

shapes = st.tuples(st.integers(6, 30), st.integers(2, 30))  # rows, players: more of one or of the other


def problem(num_rows, num_players, seed, num_trends=2):
    generator = np.random.default_rng(seed)
    memberships = (generator.random((num_rows, num_players)) < 0.4).astype(float)
    memberships -= memberships.mean(axis=1, keepdims=True)
    trend = generator.normal(size=(num_rows, num_trends))
    answers = trend @ [3.0, -2.0] + memberships @ generator.normal(size=num_players) + generator.normal(size=num_rows)
    root = generator.normal(size=(num_players, num_players))
    kernel = root @ root.T / num_players + 0.1 * np.eye(num_players)
    centring = np.eye(num_players) - 1 / num_players
    return answers, memberships, trend, centring @ kernel @ centring


def dense(answers, memberships, trend, kernel, ridge):
    """Generalised least squares for the trend, then the conditional distribution of the players; tau^2 = 1."""
    covariance = memberships @ kernel @ memberships.T + ridge * np.eye(len(answers))
    inverse = np.linalg.inv(covariance)
    projected = inverse - inverse @ trend @ np.linalg.inv(trend.T @ inverse @ trend) @ trend.T @ inverse
    across = kernel @ memberships.T
    mean = across @ projected @ answers
    variance = np.diag(kernel - across @ projected @ across.T)
    power = answers @ projected @ answers
    num_left = len(answers) - trend.shape[1]
    log_evidence = -(
        np.linalg.slogdet(covariance)[1]
        + np.linalg.slogdet(trend.T @ inverse @ trend)[1]
        + num_left * np.log(power)
    ) / 2  # fmt: skip
    return mean, variance * power / (num_left - 2), log_evidence


def from_rows(answers, memberships, trend, kernel, ridge, weights=None):
    plain = remove_trend(answers, memberships, trend, np.ones(len(answers)))
    rows = plain if weights is None else remove_trend(answers, memberships, trend, weights)
    belief = learn_ridge(plain, plain.memberships @ kernel @ plain.memberships.T, ridge)
    return estimate_players(rows, kernel @ rows.memberships.T, np.diag(kernel), belief), belief


@given(shape=shapes, seed=st.integers(0, 999), ridge=st.floats(0.01, 100))
@settings(max_examples=30)
def test_mean_and_variance_at_a_ridge(shape, seed, ridge):
    answers, memberships, trend, kernel = problem(*shape, seed)
    mean, variance, _ = dense(answers, memberships, trend, kernel, ridge)
    found, _ = from_rows(answers, memberships, trend, kernel, ridge)
    np.testing.assert_allclose(found.mean, mean, atol=1e-9 * np.abs(answers).max())
    np.testing.assert_allclose(found.variance, variance, atol=1e-9 * np.square(answers).max())


@given(num_players=st.integers(2, 10), more=st.integers(6, 20), seed=st.integers(0, 999))
@settings(max_examples=25)
def test_the_ridge_is_averaged_over_by_its_restricted_likelihood(num_players, more, seed):
    answers, memberships, trend, kernel = problem(num_players + more, num_players, seed)
    found, belief = from_rows(answers, memberships, trend, kernel, None)
    rows = remove_trend(answers, memberships, trend, np.ones(len(answers)))
    scale = np.trace(rows.memberships @ kernel @ rows.memberships.T) / (len(answers) - 2)
    assume(scale > 0)  # two players may always come together
    shares = 1 / (1 + np.exp(-LOGITS[LOGITS < 16]))  # without noise the dense covariance is singular
    results = [dense(answers, memberships, trend, kernel, scale * (1 - share) / share) for share in shares]
    weights, _ = normalise(np.array([log for _, _, log in results]) + np.log(shares * (1 - shares)))
    assume(weights[-1] < 1e-6)
    mean = sum(weight * one[0] for weight, one in zip(weights, results, strict=True))
    variance = sum(weight * (one[1] + (one[0] - mean) ** 2) for weight, one in zip(weights, results, strict=True))
    # at most 160 ridges believed in less than 1e-4 are left out
    np.testing.assert_allclose(found.mean, mean, atol=0.016 * np.abs(answers).max())
    np.testing.assert_allclose(found.variance, variance, atol=0.05 * variance.max())
    assert belief.shares @ belief.probabilities == pytest.approx(weights @ shares, abs=0.016)


@given(shape=shapes, seed=st.integers(0, 999), ridge=st.floats(0.1, 10))
@settings(max_examples=25)
def test_weighted_rows_give_the_weighted_estimate(shape, seed, ridge):
    """Rows times the root of their weight are rows of another problem, with the same ridge."""
    answers, memberships, trend, kernel = problem(*shape, seed)
    weights = np.random.default_rng(seed).uniform(0.2, 5, len(answers))
    root = np.sqrt(weights)[:, None]
    mean, _, _ = dense(root[:, 0] * answers, root * memberships, root * trend, kernel, ridge)
    found, _ = from_rows(answers, memberships, trend, kernel, ridge, weights)
    np.testing.assert_allclose(found.mean, mean, atol=1e-9 * np.abs(answers).max())


def test_the_variance_of_a_weighted_estimate_is_that_under_equal_noise():
    """Simulated: players and noise are drawn as the model says, the estimate is weighted."""
    generator = np.random.default_rng(0)
    num_rows, num_players, ridge = 120, 40, 3.0
    memberships = (generator.random((num_rows, num_players)) < 0.4).astype(float)
    memberships -= memberships.mean(axis=1, keepdims=True)
    trend, weights = np.ones((num_rows, 1)), generator.uniform(0.1, 8, num_rows)
    kernel = np.eye(num_players) - 1 / num_players
    errors, variances = [], []
    for _ in range(150):
        beta = kernel @ generator.normal(size=num_players)
        answers = memberships @ beta + np.sqrt(ridge) * generator.normal(size=num_rows)
        found, _ = from_rows(answers, memberships, trend, kernel, ridge, weights)
        errors.append(np.square(found.mean - beta).mean())
        variances.append(found.variance.mean())
    ratio = np.mean(errors) / np.mean(variances)
    assert ratio == pytest.approx(1, abs=0.05)  # 6,000 errors, and noise taken as uncorrelated along eigenvectors


@given(shape=shapes, seed=st.integers(0, 99))
@settings(max_examples=25)
def test_renaming_the_players_renames_the_answer(shape, seed):
    answers, memberships, trend, _ = problem(*shape, seed)
    order = np.random.default_rng(seed).permutation(shape[1])
    one, two = (
        ridge_posterior(rows, rows, 1.0)
        for rows in (
            remove_trend(answers, z, trend, np.ones(len(answers))) for z in (memberships, memberships[:, order])
        )
    )
    np.testing.assert_allclose(two.mean, one.mean[order], atol=1e-9 * np.abs(answers).max())
    np.testing.assert_allclose(two.variance, one.variance[order], atol=1e-9 * np.square(answers).max())


@given(shape=shapes, seed=st.integers(0, 99))
@settings(max_examples=25)
def test_the_trend_does_not_matter(shape, seed):
    answers, memberships, trend, _ = problem(*shape, seed)
    moved = answers + trend @ [100.0, -50.0]
    doubled = np.concatenate([trend, trend[:, :1]], axis=1)  # functions that depend on one another
    one, two = (
        ridge_posterior(rows, rows)
        for rows in (remove_trend(y, memberships, x, np.ones(len(y))) for y, x in ((answers, trend), (moved, doubled)))
    )
    np.testing.assert_allclose(two.mean, one.mean, atol=1e-7 * np.abs(answers).max())


def test_where_there_is_nothing_to_see_nothing_is_claimed():
    """Noise alone: the values stay near 0 and within their errors, which a ridge at its maximum would hold to be 0."""
    generator = np.random.default_rng(1)
    memberships = (generator.random((80, 30)) < 0.5).astype(float)
    memberships -= memberships.mean(axis=1, keepdims=True)
    found = [
        ridge_posterior(rows, rows)
        for rows in (
            remove_trend(generator.normal(size=80), memberships, np.ones((80, 1)), np.ones(80)) for _ in range(20)
        )
    ]
    assert all((np.abs(one.mean) < 3 * np.sqrt(one.variance)).all() for one in found)
    assert np.mean([one.share for one in found]) < 0.35
    assert min(one.variance.min() for one in found) > 0


def test_a_constant_answer_has_no_differences():
    memberships = np.eye(6) - 1 / 6
    rows = remove_trend(np.full(6, 2.0), memberships, np.ones((6, 1)), np.ones(6))
    found = ridge_posterior(rows, rows)
    np.testing.assert_allclose(found.mean, np.zeros(6), atol=1e-12)
    assert np.isfinite(found.variance).all()


def test_rows_that_tell_no_players_apart_leave_them_as_they_were():
    rows = remove_trend(np.arange(8.0), np.zeros((8, 3)), np.ones((8, 1)), np.ones(8))
    found = ridge_posterior(rows, rows)
    assert found.mean.tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(found.variance).all()
    assert (found.variance > 0).all()


def test_a_mixture_has_the_moments_of_its_parts():
    answers, memberships, trend, kernel = problem(20, 8, 3)
    parts = [from_rows(answers, memberships, trend, kernel, ridge)[0] for ridge in (0.1, 10.0)]
    mixed = average(parts, np.array([0.25, 0.75]))
    draws = np.concatenate(
        [
            one.mean + np.sqrt(one.variance) * np.random.default_rng(0).normal(size=(count, 8))
            for one, count in zip(parts, (25_000, 75_000), strict=True)
        ]
    )
    np.testing.assert_allclose(mixed.mean, draws.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(mixed.variance, draws.var(axis=0), rtol=0.03)


@given(logs=st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9))
def test_normalising_neither_over_nor_underflows(logs):
    probabilities, total = normalise(np.array(logs))
    assert probabilities.sum() == pytest.approx(1, abs=1e-9)
    assert max(logs) <= total <= max(logs) + np.log(len(logs)) + 1e-9


def test_a_trend_that_takes_all_rows_is_refused():
    with pytest.raises(ValueError, match="All 2 rows go into a trend of 2 functions"):
        remove_trend(np.ones(2), np.zeros((2, 3)), np.eye(2), np.ones(2))

"""Bayesian linear regression on the players, in the dual, with the ridge integrated out.

    y_r = trend(s_r) + z_r . beta + e_r,   beta ~ N(0, tau^2 C K C),   e_r ~ N(0, sigma^2),

where z_r is the membership of coalition r less its mean, so that beta is known up to a constant and C takes its mean
away, K is the identity (ridge regression) or a kernel over players' features, and the trend, a few functions of the
size alone, is projected out (restricted likelihood; Patterson and Thompson, 1971). With A the rows that remain, g_k
the eigenvalues of A K A^T and b_k the answers along its eigenvectors, all is closed form in the ridge
lambda = sigma^2 / tau^2, at O(m^3) whatever n is:

    log p(y | lambda) = -1/2 sum_k log(g_k + lambda) - N/2 log Q,   Q = sum_k b_k^2 / (g_k + lambda),

tau^2 being integrated out with the prior 1 / tau^2, which leaves its mean at Q / (N - 2). lambda is not set to the
maximum, which lies at infinity with a standard error of 0 wherever the noise covers the signal: it is averaged over,
with the share of variance that the players explain a priori uniform between 0 and 1.

Where rows are weighted, because of what is to be estimated and not of their noise, lambda is learnt from the rows as
they are and the estimate made from the weighted ones, with the variance that equal noise gives it.

Legend: m rows, n players, N = m less the trend's functions, r <= min(N, n) directions with a signal, J ridges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_datasel.functional.valuation.estimate import Matrix, Vector

LOGITS = np.arange(-9.0, 30.01, 0.25)  # of the share of variance that the players explain
NEGLIGIBLE = 1e-4  # a ridge believed in less is left out
TINY = float(np.finfo(np.float64).tiny)
SMALLEST = 1e-10  # singular values below this share of the largest are rounding


@dataclass(frozen=True, eq=False)
class Rows:
    """What the trend leaves of the data, turned so that only the first r directions hold a signal.

    Args:
        memberships: A, float64 [r, n].
        answers: b, float64 [r].
        levels: covariance of equal noise, of variance 1 a row, along the directions, float64 [r, r].
        num_noise: N - r, directions in which there is noise alone.
        noise_power: sum of squares of the answers there.
    """

    memberships: Matrix
    answers: Vector
    levels: Matrix
    num_noise: int
    noise_power: float


@dataclass(frozen=True, eq=False)
class Belief:
    """Ridges, float64 [J], with how far each is believed in, tau^2 and the share of variance explained under it."""

    ridges: Vector
    probabilities: Vector
    scales: Vector
    shares: Vector
    log_evidence: float


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of beta: `mean` and `variance` float64 [n], `noise` sigma^2, `share` of the variance explained."""

    mean: Vector
    variance: Vector
    noise: float
    share: float


def remove_trend(answers: Vector, memberships: Matrix, trend: Matrix, weights: Vector) -> Rows:
    """Project the trend out of the weighted rows.

    Args:
        answers: y, float64 [m].
        memberships: z, float64 [m, n], each row adding up to 0.
        trend: float64 [m, p], the trend's functions; dependent ones count once.
        weights: float64 [m], positive.

    Raises:
        ValueError: not one row is left once the trend is known.
    """
    root = np.sqrt(weights)[:, None]
    y, z, x = root[:, 0] * answers, root * memberships, root * trend
    left, lengths, _ = np.linalg.svd(x / np.maximum(np.linalg.norm(x, axis=0), TINY), full_matrices=False)
    known = left[:, lengths > SMALLEST * lengths.max(initial=0)]
    num_left = len(y) - known.shape[1]
    if num_left < 1:
        raise ValueError(f"All {len(y)} rows go into a trend of {known.shape[1]} functions: none is left for players.")
    if num_left <= z.shape[1]:
        basis = np.linalg.qr(known, mode="complete")[0][:, known.shape[1] :]
        noise_power = 0.0
    else:
        y, z = y - known @ (known.T @ y), z - known @ (known.T @ z)
        basis, lengths, _ = np.linalg.svd(z, full_matrices=False)
        basis = basis[:, lengths > SMALLEST * lengths.max(initial=0)]
        noise_power = float(np.square(y - basis @ (basis.T @ y)).sum())
    levels = basis.T @ (np.square(root) * basis)
    return Rows(basis.T @ z, basis.T @ y, levels, num_left - basis.shape[1], noise_power)


def learn_ridge(rows: Rows, gram: Matrix, ridge: float | None = None) -> Belief:
    """Which ridges the rows allow under a kernel.

    Args:
        rows: of equal weight.
        gram: A K A^T, float64 [r, r].
        ridge: lambda, positive, if it is given and not learnt.
    """
    eigenvalues, vectors = np.linalg.eigh(gram)
    eigenvalues, answers = np.maximum(eigenvalues, 0.0), vectors.T @ rows.answers
    num_rows = len(answers) + rows.num_noise
    scale = float(eigenvalues.sum()) / num_rows or 1.0  # 0 where no row tells players apart
    logits = LOGITS if ridge is None else np.array([math.log(scale / ridge)])
    ridges = scale * np.exp(-logits)
    totals = eigenvalues[:, None] + ridges
    powers = np.maximum((np.square(answers)[:, None] / totals).sum(axis=0) + rows.noise_power / ridges, TINY)
    logs = -(np.log(totals).sum(axis=0) + rows.num_noise * np.log(ridges) + num_rows * np.log(powers)) / 2
    logs -= np.logaddexp(0, logits) + np.logaddexp(0, -logits)  # the share's uniform prior, as a density of the logit
    probabilities, log_evidence = normalise(logs)
    kept = probabilities > NEGLIGIBLE
    return Belief(
        ridges[kept],
        probabilities[kept] / probabilities[kept].sum(),
        powers[kept] / max(num_rows - 2, 1),
        1 / (1 + np.exp(-logits[kept])),
        log_evidence,
    )


def estimate_players(rows: Rows, spread: Matrix, prior: Vector, belief: Belief) -> Posterior:
    """What the rows say of beta under a kernel and what is believed of its ridge.

    Args:
        rows: as they are to be weighted.
        spread: C K A^T, float64 [n, r].
        prior: diagonal of C K C, float64 [n].
        belief: from the same rows, of equal weight.
    """
    eigenvalues, vectors = np.linalg.eigh(rows.memberships @ spread)
    shrunk = 1 / (np.maximum(eigenvalues, 0.0)[:, None] + belief.ridges)  # [r, J]
    levels = np.einsum("rk,rk->k", vectors, rows.levels @ vectors)
    spread = spread @ vectors
    means = spread @ ((vectors.T @ rows.answers)[:, None] * shrunk)
    narrowed = shrunk - belief.ridges * (levels[:, None] - 1) * np.square(shrunk)
    variances = belief.scales * np.maximum(prior[:, None] - np.square(spread) @ narrowed, 0.0)
    mean = means @ belief.probabilities
    variance = (variances + np.square(means - mean[:, None])) @ belief.probabilities
    noise = float(belief.probabilities @ (belief.scales * belief.ridges))
    return Posterior(mean, variance, noise, float(belief.probabilities @ belief.shares))


def average(posteriors: Sequence[Posterior], probabilities: Vector) -> Posterior:
    """The mixture of posteriors."""
    means, variances = (np.stack([getattr(one, name) for one in posteriors]) for name in ("mean", "variance"))
    mean = probabilities @ means
    variance = probabilities @ (variances + np.square(means - mean))
    noise, share = (float(probabilities @ [getattr(one, name) for one in posteriors]) for name in ("noise", "share"))
    return Posterior(mean, variance, noise, share)


def normalise(logs: Vector) -> tuple[Vector, float]:
    """exp(logs) divided by its sum, and the logarithm of that sum.

    Example:
        >>> probabilities, total = normalise(np.log([1.0, 3.0]))
        >>> probabilities.round(4).tolist(), round(total, 4)
        ([0.25, 0.75], 1.3863)
    """
    highest = float(logs.max())
    total = highest + math.log(float(np.exp(logs - highest).sum()))
    return np.exp(logs - total), total

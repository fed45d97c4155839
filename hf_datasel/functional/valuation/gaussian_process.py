"""Kernels over players from their features: near players are expected to have near values.

    K(i, j) = alpha exp(-|x_i - x_j|^2 / (2 l^2)) + (1 - alpha) [i = j]

A share alpha of a value's variance is smooth in the features x, the rest belongs to the player alone. The length scale
l, in multiples of the median distance between players, and alpha run over a small grid; alpha = 0 is ridge regression.
Each point's restricted likelihood (`evidence.py`) weighs it in the average, so that features which say nothing of the
values cost little.

Legend: n players, r rows once the trend is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.valuation.estimate import Matrix, Vector
from hf_datasel.functional.valuation.evidence import (
    Posterior,
    Rows,
    average,
    estimate_players,
    learn_ridge,
    normalise,
)

LENGTH_SCALES = (0.5, 1.0, 2.0)  # of the median distance
SMOOTH_SHARES = (0.5, 0.8, 0.95)
BLOCK = 1024  # players whose distances to all others are held at once
NEGLIGIBLE = 1e-3  # a point of the grid believed in less is left out
SAMPLE = 1000  # players that the median distance is taken of


@dataclass(frozen=True, eq=False)
class Kernel:
    """What the rows see of K.

    Args:
        gram: A K A^T over rows of equal weight, float64 [r, r].
        spread: C K A^T over the weighted rows, float64 [n, r].
        prior: diagonal of C K C, float64 [n].
    """

    gram: Matrix
    spread: Matrix
    prior: Vector

    def mix(self, other: Kernel, share: float) -> Kernel:
        """So much of this kernel, the rest of the other."""
        pairs = ((self.gram, other.gram), (self.spread, other.spread), (self.prior, other.prior))
        return Kernel(*(share * one + (1 - share) * two for one, two in pairs))


@dataclass(frozen=True, eq=False)
class Smoothed:
    """A Gaussian process' average posterior with the `length_scale` (absolute) and `smooth_share` most believed in."""

    posterior: Posterior
    length_scale: float
    smooth_share: float


def ridge_posterior(plain: Rows, weighted: Rows, ridge: float | None = None) -> Posterior:
    """The posterior at alpha = 0.

    Args:
        plain: rows of equal weight, from which the ridge is learnt.
        weighted: the same rows weighted, from which values are estimated.
        ridge: positive; None averages over it.
    """
    kernel = _independent(plain, weighted)
    return estimate_players(weighted, kernel.spread, kernel.prior, learn_ridge(plain, kernel.gram, ridge))


def gaussian_process_posterior(plain: Rows, weighted: Rows, features: NDArray[np.floating]) -> Smoothed:
    """The average over the grid.

    Args:
        plain, weighted: see `ridge_posterior`.
        features: floats [n, d], finite, not all alike.

    Raises:
        ValueError: the features are alike.
    """
    x = np.asarray(features, np.float64)
    alone, median = _independent(plain, weighted), _median_distance(x)
    candidates = [(alone, 0.0, 0.0)]
    scales = [median * scale for scale in LENGTH_SCALES]
    for kernel, scale in zip(_smooth(plain, weighted, x, scales), scales, strict=True):
        candidates += [(kernel, scale, share) for share in SMOOTH_SHARES]
    beliefs = [learn_ridge(plain, share * one.gram + (1 - share) * alone.gram) for one, _, share in candidates]
    probabilities, _ = normalise(np.array([belief.log_evidence for belief in beliefs]))
    kept = np.flatnonzero(probabilities > NEGLIGIBLE).tolist()
    posteriors = []
    for index in kept:
        kernel, _, share = candidates[index]
        mixed = kernel.mix(alone, share)
        posteriors.append(estimate_players(weighted, mixed.spread, mixed.prior, beliefs[index]))
    averaged = average(posteriors, probabilities[kept] / probabilities[kept].sum())
    return Smoothed(averaged, *candidates[int(np.argmax(probabilities))][1:])


def _independent(plain: Rows, weighted: Rows) -> Kernel:
    a, n = plain.memberships, plain.memberships.shape[1]
    return Kernel(a @ a.T, weighted.memberships.T, np.full(n, 1 - 1 / n))


def _smooth(plain: Rows, weighted: Rows, x: Matrix, length_scales: list[float]) -> list[Kernel]:
    """The kernel at alpha = 1 for each length scale, a block of players at a time."""
    n, num_plain, num_weighted = len(x), len(plain.memberships), len(weighted.memberships)
    both = plain.memberships if weighted is plain else np.concatenate([plain.memberships, weighted.memberships])
    spreads, row_means = np.empty((len(length_scales), n, len(both))), np.empty((len(length_scales), n))
    for start in range(0, n, BLOCK):
        block = slice(start, min(start + BLOCK, n))
        distances = _squared_distances(x[block], x)
        for number, length_scale in enumerate(length_scales):
            kernel = np.exp(distances * (-0.5 / length_scale**2))
            spreads[number, block], row_means[number, block] = kernel @ both.T, kernel.mean(axis=1)
    spreads -= spreads.mean(axis=1, keepdims=True)
    return [
        Kernel(plain.memberships @ spread[:, :num_plain], spread[:, -num_weighted:], 1 - 2 * means + means.mean())
        for spread, means in zip(spreads, row_means, strict=True)
    ]


def _squared_distances(some: Matrix, x: Matrix) -> Matrix:
    products = some @ x.T
    lengths = np.square(x).sum(axis=1)
    return np.maximum(np.square(some).sum(axis=1)[:, None] + lengths - 2 * products, 0.0)


def _median_distance(x: Matrix) -> float:
    """Median distance between distinct players, of an even sample of them."""
    sample = x[np.unique(np.linspace(0, len(x) - 1, min(len(x), SAMPLE)).astype(np.int64))]
    squared = _squared_distances(sample, sample)[np.triu_indices(len(sample), 1)]
    median = float(np.sqrt(np.median(squared))) if len(squared) else 0.0
    if not median > 0:
        raise ValueError(
            "At least half of the pairs of players have the same features, so no scale can be read from them: pass "
            "the players' embeddings, or gaussian_process=False."
        )
    return median

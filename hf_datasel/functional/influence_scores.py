"""From trajectories of inner products to one score an example.

CLUES (Zhao et al., NeurIPS 2024, arXiv 2507.03004) traces an example over training, as TracIn does,

    S(z) = sum_t eta_t <g_t(z), v_t>,

with eta_t the learning rate at checkpoint t, g_t(z) the example's gradient and v_t the trusted direction; high is
good. What is recorded is s_t = <g_t(z), v_t>, or its cosine, so a score is a weighted sum over the columns of a
Trace. Beside the published form there are three options, none of them in the paper: equal weights, columns divided
by their standard deviation (else the early checkpoints, whose gradients are large, decide), and a correction for
length.

Every sum is taken column by column in float64, so that a row has the same score in whatever block it is read.

Legend: n rows, T checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

LOWER = 0.16  # a normal distribution has this share below one standard deviation under its median
WEIGHTINGS = ("learning_rate", "uniform")


def checkpoint_weights(learning_rates: NDArray[np.float64], weighting: str) -> NDArray[np.float64]:
    """Weight of each checkpoint, float64 [T]: eta_t for "learning_rate", 1 for "uniform".

    Raises:
        ValueError: an unknown weighting, a learning rate that is unknown (NaN) or negative, or none above 0.

    Example:
        >>> checkpoint_weights(np.array([2e-4, 1e-4]), "uniform").tolist()
        [1.0, 1.0]
    """
    rates = np.asarray(learning_rates, np.float64)
    if weighting == "uniform":
        return np.ones_like(rates)
    if weighting != "learning_rate":
        raise ValueError(f"weighting must be one of {WEIGHTINGS}, not {weighting!r}.")
    usable = np.isfinite(rates) & (rates >= 0)
    if not usable.all():
        t = int(np.argmin(usable))
        raise ValueError(f"The learning rate of checkpoint {t} is {rates[t]}: pass weighting='uniform'.")
    if not rates.any():
        raise ValueError("Every checkpoint has a learning rate of 0, so every score would be: weighting='uniform'.")
    return rates.copy()


def weighted_sum(trajectories: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """S = sum_t weights_t s_t.

    Args:
        trajectories: float32 [n, T].
        weights: float64 [T].

    Returns:
        float64 [n].

    Example:
        >>> weighted_sum(np.array([[1.0, 3.0], [0.0, -2.0]], np.float32), np.array([0.5, 0.25])).tolist()
        [1.25, -0.5]
    """
    total = np.zeros(len(trajectories), np.float64)
    for t, weight in enumerate(weights):
        total += weight * trajectories[:, t].astype(np.float64)
    return total


def length_normalised(scores: NDArray[np.float64], num_labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores of mean-token gradients, times sqrt(n), with n the number of label tokens.

    An example's gradient is the mean of its n tokens' gradients. What the tokens have in common does not depend on n,
    but what is peculiar to each averages out as 1/sqrt(n): so a short answer's score is spread 1/sqrt(n) times wider
    and one cut short can score high by luck. Times sqrt(n) every score has the same spread, and is, up to a constant,
    the statistic that tests whether the tokens agree with the direction at all. (Times n, the score of the summed
    gradient, long answers would win by their length.)

    Args:
        scores: float64 [n].
        num_labels: float32 [n], at least 1 each.

    Raises:
        ValueError: an example without a label token; names the row.

    Example:
        >>> length_normalised(np.array([0.5, 0.5]), np.array([4.0, 100.0], np.float32)).tolist()
        [1.0, 5.0]
    """
    few = ~(num_labels >= 1)
    if few.any():
        raise ValueError(f"Row {int(few.argmax())} has {num_labels[few.argmax()]} label tokens; at least 1 is needed.")
    return scores * np.sqrt(num_labels.astype(np.float64))


def moments(blocks: Iterable[NDArray[np.floating]]) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Mean and standard deviation (population) of each column, and the number of rows, from blocks of rows [m, T].

    Blocks are merged as in Chan, Golub and LeVeque (1983), and all is taken from the first row on, so that nothing is
    lost where the mean is far from 0 and equal values have a deviation of exactly 0.

    Example:
        >>> mean, deviation, count = moments([np.array([[1.0], [2.0]]), np.array([[6.0]])])
        >>> mean.tolist(), round(float(deviation[0]) ** 2, 12), count
        ([3.0], 4.666666666667, 3)
    """
    count, first, mean, squares = 0, np.zeros(0), np.zeros(0), np.zeros(0)
    for block in blocks:
        if not len(block):
            continue
        wide = block.astype(np.float64)
        if not count:
            first = wide[0]
            mean, squares = np.zeros_like(first), np.zeros_like(first)
        wide = wide - first
        block_mean = wide.mean(axis=0)
        total = count + len(wide)
        difference = block_mean - mean
        squares = squares + np.square(wide - block_mean).sum(axis=0)
        squares = squares + np.square(difference) * (count * len(wide) / total)
        mean = mean + difference * (len(wide) / total)
        count = total
    return first + mean, np.sqrt(squares / max(count, 1)), count


def standardise(scores: NDArray[np.float64], mean: float, deviation: float) -> NDArray[np.float64]:
    """(scores - mean) / deviation, float64 [n]; raises ValueError for a deviation of 0, which has no scale."""
    if not deviation > 0:
        raise ValueError("The scores to standardise by are all equal, so they have no scale.")
    return (scores - mean) / deviation


def lower_half(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Median, and the distance from it down to the 16% quantile: one standard deviation of a normal distribution.

    Example:
        >>> median, distance = lower_half(np.array([0.0, 1.0, 2.0, 3.0, 100.0]))
        >>> median, round(distance, 2)
        (2.0, 1.36)
    """
    low, middle = np.quantile(scores, [LOWER, 0.5])
    return float(middle), float(middle - low)


def ecdf(sample: NDArray[np.floating], at: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share of the sample below each value, ties counted half: (#less + #equal / 2) / m, float64 in [0, 1].

    At the sample itself that is (average rank - 1/2) / m.

    Example:
        >>> ecdf(np.array([1.0, 2.0, 2.0, 4.0]), np.array([0.0, 2.0, 9.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    ordered = np.sort(sample)
    below, upto = (np.searchsorted(ordered, at, side=side) for side in ("left", "right"))
    return (below + upto) / (2.0 * len(ordered))

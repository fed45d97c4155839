"""How much of a pool is clean, from the scores of the pool and of clean anchors.

The pool is a mixture, F = pi F_clean + (1 - pi) F_noise, of which F and, through the anchors, F_clean are seen: a
positive-unlabelled problem. At every cut t

    P(pool >= t) >= pi P(clean >= t),   so   pi <= min_t P(pool >= t) / P(clean >= t),

with equality where no noise scores that high (Blanchard, Lee and Scott, "Semi-Supervised Novelty Detection", JMLR
2010). With finite samples the smallest of many noisy ratios lies far too low. So each ratio is first raised by three
standard errors: the numerator's Poisson error, and, for the denominator, the spread of the logarithm of
Beta(n + 1 - k, k), the clean mass above the k-th smallest of n anchors. Cuts above which hardly an anchor lies are so
ruled out by themselves, and the estimate is an upper bound (it held in more than 9 of 10 simulated pools), at or near
1 for a clean pool.

Legend: n anchors, M rows in the pool.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
NUM_ERRORS = 3.0


def pool_at_or_above(anchors: NDArray[np.float64], pool: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many of the pool score at least as high as each anchor.

    Args:
        anchors: float64 [n], ascending.
        pool: floats [M], finite; read in blocks.

    Returns:
        int64 [n + 1]: M, then for each anchor the number at or above it.

    Raises:
        ValueError: the pool is empty, or a score in it is not finite; names the row.

    Example:
        >>> pool_at_or_above(np.array([1.0, 2.0]), np.array([0.5, 1.0, 1.5, 3.0])).tolist()
        [4, 3, 1]
    """
    if not len(pool):
        raise ValueError("A pool of no rows has no clean share.")
    counts = np.zeros(len(anchors) + 1, np.int64)
    for start in range(0, len(pool), BLOCK):
        block = pool[start : start + BLOCK]
        finite = np.isfinite(block)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(f"The score of row {start + row} is {block[row]}: every row needs a finite score.")
        counts += np.bincount(np.searchsorted(anchors, block, side="right"), minlength=len(counts))
    return np.cumsum(counts[::-1])[::-1]


def expected_recall(num_anchors: int) -> NDArray[np.float64]:
    """Clean mass expected at or above minus infinity and above each anchor, ascending: (n + 1 - k) / (n + 1).

    Example:
        >>> expected_recall(3).tolist()
        [1.0, 0.75, 0.5, 0.25]
    """
    return np.arange(num_anchors + 1, 0, -1) / (num_anchors + 1)


def estimate_clean_share(above: NDArray[np.int64], num_anchors: int) -> float:
    """An upper bound of pi, in (0, 1], from what `pool_at_or_above` counted, int64 [n + 1].

    Example:
        >>> generator = np.random.default_rng(1)
        >>> pool = np.concatenate([generator.normal(4, 1, 3000), generator.normal(0, 1, 7000)])
        >>> anchors = np.sort(generator.normal(4, 1, 500))
        >>> round(estimate_clean_share(pool_at_or_above(anchors, pool), 500), 1)
        0.3
    """
    recall = expected_recall(num_anchors)
    a, b = recall * (num_anchors + 1), np.arange(num_anchors + 1)
    recall_low = recall * np.exp(-NUM_ERRORS * np.sqrt(b / (a * (num_anchors + 1))))
    kept_high = (above + NUM_ERRORS * np.sqrt(above + 1.0)) / above[0]
    return float(min(1.0, (kept_high / recall_low).min()))

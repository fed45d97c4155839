"""Bins of a histogram that a few extreme values do not stretch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FEWEST_BINS, MOST_BINS = 12, 40
OUTSIDE = 0.005  # share of each tail that goes into the outermost bins


def bin_edges(values: NDArray[np.float64], at: float | None = None, *, whole: bool = False) -> NDArray[np.float64]:
    """Edges of equal bins, from 12 to about 40 by the number of values; what lies beyond is for the outermost.

    Args:
        values: finite numbers, at least one.
        at: a number that is to be an edge.
        whole: the values are whole numbers, and so are the bins' widths.

    Example:
        >>> bin_edges(np.array([1.0, 3.0, 2.0]), whole=True).tolist()
        [0.5, 1.5, 2.5, 3.5]
    """
    num_bins = min(MOST_BINS, max(FEWEST_BINS, math.ceil(2 * len(values) ** (1 / 3))))
    low, high = np.quantile(values, [OUTSIDE, 1 - OUTSIDE], method="nearest").tolist()
    if whole:
        width = max(1, math.ceil((high - low + 1) / num_bins))
        return low - 0.5 + width * np.arange(math.ceil((high - low + 1) / width) + 1)
    if at is not None:
        low, high = min(low, at), max(high, at)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    if at is None:
        return np.linspace(low, high, num_bins + 1)
    width = (high - low) / num_bins
    first, last = math.floor((low - at) / width), math.ceil((high - at) / width)
    return at + width * np.arange(first, max(last, first + 1) + 1)


def counts(values: NDArray[np.float64], edges: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many values each bin has; a bin holds its lower edge, the last both."""
    return np.histogram(values.clip(edges[0], edges[-1]), edges)[0].astype(np.int64)

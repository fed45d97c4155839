"""Dataset Quantization: bins filled greedily by GraphCut gains, an equal share drawn from each.

Zhou, Wang, Gu, Peng, Lian, Zhang, You, Feng, "Dataset Quantization", ICCV 2023, arXiv 2308.10524. Bin after bin, of
floor(N / k) rows each, takes from the rows R that are in no bin before it, one after another, the row of largest

    gain(x) = sum_{v in R} <v, x> - 2 sum_{s in S} <s, x>,    S what the bin holds so far,

so that a bin is typical of what is left and yet spread out. <v, x> is the inner product of embeddings. As sums come
before products, gain = E sum(E) at first, and after a row e was taken gain - 2 E e: O(N d) a row, where the released
code holds N x N similarities.

Most of these products are spared too, with the same choice: the gain of any row can have risen by no more than
2 |x| |D| since the gains of all rows were known, D the sum of what was taken since. As long as the best of a few
leading rows is above all that the others can have reached, only the leading rows' gains are kept up.

Legend: N rows, d dimensions, k bins, B budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.allocation import draw, sample_clusters
from hf_datasel.functional.kmeans import UnusableValueError

FEWEST_LEADING = 16
_BLOCK = 1 << 22  # numbers in float64 at once


def fill_bins(
    vectors: NDArray[np.float32],
    num_bins: int,
    *,
    chunk_size: int | None = None,
    generator: np.random.Generator | None = None,
    advance: Callable[[int], Any] = int,
) -> NDArray[np.int32]:
    """The bin of each row.

    Args:
        vectors: float32 [N, d], finite.
        num_bins: k, 1 .. N.
        chunk_size: fill bins in random parts of at most so many rows (at least 2 k), each on its own, and put the
            first bins of all parts together, their second, and so on; None for one part.
        generator: of the parts.
        advance: hears how many rows were put into bins.

    Returns:
        int32 [N], 0 .. k - 1 in the order of filling; -1 for the fewer than k rows of a part that are left over.
        Gains are float64 of products in float32; of rows that tie the first is taken.

    Raises:
        ValueError: k or `chunk_size` is out of range. UnusableValueError: a vector so long that sums of products
            overflow float32.

    Example:
        >>> fill_bins(np.float32([[1, 0], [1, 0], [0, 1], [0, 1]]), 2).tolist()
        [0, 1, 0, 1]
    """
    num_rows = len(vectors)
    if not 1 <= num_bins <= num_rows:
        raise ValueError(f"num_bins must be between 1 and the {num_rows} rows, not {num_bins}.")
    if chunk_size is not None and chunk_size < 2 * num_bins:
        raise ValueError(f"chunk_size={chunk_size} must be at least twice the {num_bins} bins.")
    labels = np.full(num_rows, -1, np.int32)
    parts = [np.arange(num_rows)]
    if chunk_size is not None and chunk_size < num_rows:
        assert generator is not None
        parts = np.array_split(generator.permutation(num_rows), -(-num_rows // chunk_size))
    for part in parts:
        remaining = np.sort(part)
        size = len(part) // num_bins
        for number in range(num_bins):
            taken = _fill(vectors[remaining], size, remaining, advance)
            labels[remaining[taken]] = number
            remaining = np.delete(remaining, taken)
    return labels


def _fill(
    rows: NDArray[np.float32], size: int, numbers: NDArray[np.int64], advance: Callable[[int], Any]
) -> NDArray[np.int64]:
    """Positions of the `size` rows that a bin takes of those remaining."""
    num_rows = len(rows)
    if size == num_rows:
        advance(size)
        return np.arange(num_rows)
    gains, longest = _first_gains(rows, numbers)
    taken: list[int] = []
    num_leading = max(FEWEST_LEADING, num_rows // 64)
    while len(taken) < size:
        num_leading = min(num_leading, num_rows - len(taken))
        leading = gains >= np.partition(gains, num_rows - num_leading)[num_rows - num_leading]
        behind = gains[~leading].max(initial=-np.inf)
        positions, leaders, their_gains = np.flatnonzero(leading), rows[leading], gains[leading]
        since, first = np.zeros(rows.shape[1], np.float32), len(taken)
        while len(taken) < size:
            best = int(their_gains.argmax())
            if len(taken) > first and their_gains[best] <= behind + 2 * longest * np.linalg.norm(since):
                break
            taken.append(int(positions[best]))
            since += leaders[best]
            their_gains -= 2.0 * (leaders @ leaders[best])
            their_gains[best] = -np.inf
        gains -= 2.0 * (rows @ since)
        gains[taken[first:]] = -np.inf
        advance(len(taken) - first)
        cheap = (len(taken) - first) * len(positions) < num_rows  # the leading rows cost less than all rows did
        num_leading = num_leading * 2 if cheap else max(FEWEST_LEADING, num_leading // 2)
    return np.array(taken, np.int64)


def _first_gains(rows: NDArray[np.float32], numbers: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Gains of all rows for an empty bin, float64 [n], and the length of the longest row, rounded up."""
    total = rows.sum(axis=0, dtype=np.float64)
    gains, squared = np.empty((2, len(rows)))
    for start in range(0, len(rows), max(1, _BLOCK // rows.shape[1])):
        where = slice(start, start + max(1, _BLOCK // rows.shape[1]))
        block = rows[where].astype(np.float64)
        gains[where], squared[where] = block @ total, (block * block).sum(axis=1)
    row = int(squared.argmax())
    if squared[row] * len(rows) > np.finfo(np.float32).max / 8:
        raise UnusableValueError(int(numbers[row]), int(np.abs(rows[row]).argmax()))
    return gains, float(np.sqrt(squared[row]) * (1 + 1e-6))  # what float32 loses of a length is less than that


def draw_from_bins(
    labels: NDArray[np.int32], num_bins: int, budget: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """As many rows from every bin, uniformly; which bins give one more is drawn too.

    Args:
        labels: int32 [N], as `fill_bins` gives them.
        num_bins: k.
        budget: B, 0 .. N.
        generator: of the draws.

    Returns:
        bool [N], True for B rows; those in no bin come in when the bins are used up.
    """
    order = generator.permutation(num_bins).astype(np.int32)
    in_bins = labels >= 0
    kept = np.zeros(len(labels), bool)
    kept[in_bins] = sample_clusters(order[labels[in_bins]], num_bins, budget, generator)
    kept[draw(np.flatnonzero(~in_bins), budget - int(kept.sum()), generator)] = True
    return kept

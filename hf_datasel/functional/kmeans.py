"""Euclidean k-means over rows that need not fit into memory.

The same numbers as `faiss.Kmeans(T, K, niter=..., seed=...).train(rows)` followed by `index.search(rows, 1)`, bit
for bit. faiss trains on at most 256 points a centroid, drawn with its own `rand_perm(N, seed)`; only those
rows are read for training, and all rows are assigned block by block.

Legend: N rows, T columns, K clusters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_POINTS_PER_CENTROID = 256
FAISS_BATCH = 4096

ReadRows = Callable[[slice | NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Clustering:
    """`labels` int32 [N], the nearest centroid of each row; `centroids` float32 [K, T]."""

    labels: NDArray[np.int32]
    centroids: NDArray[np.float32]


class UnusableValueError(ValueError):
    """A value that k-means cannot use, at `row` and `column` of the rows to cluster."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__(f"Row {row}, column {column} is not finite, or too large for a squared distance in float32.")
        self.row, self.column = row, column


def cluster_rows(
    read: ReadRows,
    num_rows: int,
    *,
    num_clusters: int,
    seed: int,
    num_iterations: int = 20,
) -> Clustering:
    """k-means as faiss does it, reading rows as they are needed.

    Args:
        read: gives the rows at a slice, or at ascending int64 positions, float32 [m, T].
        num_rows: N.
        num_clusters: K, 1 .. N. Fewer distinct rows than K leave clusters empty.
        seed: non-negative; faiss takes a negative seed from the clock.
        num_iterations: Lloyd iterations; the paper uses 20.

    Raises:
        ValueError: K or the seed is out of range.
        UnusableValueError: a value is not finite, or so large that squared distances overflow float32.
    """
    import faiss

    if not 1 <= num_clusters <= num_rows:
        raise ValueError(f"num_clusters must be between 1 and the {num_rows} rows, not {num_clusters}.")
    if seed < 0:
        raise ValueError(f"seed={seed} must not be negative.")
    sample = _training_rows(read, num_rows, num_clusters, seed)
    kmeans = faiss.Kmeans(
        sample.shape[1],
        num_clusters,
        niter=num_iterations,
        nredo=1,
        seed=seed,
        max_points_per_centroid=MAX_POINTS_PER_CENTROID,
        min_points_per_centroid=1,  # faiss prints a warning below 39, but few points are the caller's choice
    )
    kmeans.train(sample)
    labels = np.empty(num_rows, np.int32)
    for block in _blocks(num_rows, block_size(sample.shape[1])):
        rows = read(block)
        _require_usable(rows, range(block.start, block.stop))
        labels[block] = kmeans.index.search(rows, 1)[1].ravel()
    return Clustering(labels, np.array(kmeans.centroids))


def _training_rows(read: ReadRows, num_rows: int, num_clusters: int, seed: int) -> NDArray[np.float32]:
    """The rows that faiss would train on, in the order in which it would take them."""
    import faiss

    num_sampled = num_clusters * MAX_POINTS_PER_CENTROID
    if num_rows <= num_sampled:
        sample = read(slice(0, num_rows))
        chosen = np.arange(num_rows)
    else:
        permutation = np.empty(num_rows, np.int32)
        swig: Any = faiss  # its annotations leave out what SWIG generates
        swig.rand_perm(swig.swig_ptr(permutation), num_rows, seed)
        chosen = permutation[:num_sampled].astype(np.int64)
        ascending = np.argsort(chosen)
        sorted_rows = read(chosen[ascending])
        sample = np.empty_like(sorted_rows)
        sample[ascending] = sorted_rows
    _require_usable(sample, chosen)
    return sample


def block_size(num_columns: int) -> int:
    """Rows to assign at once: whole batches of faiss, with at least 2**20 numbers in them.

    faiss searches 4096 rows at a time. Where there are fewer than 128,000 numbers it searches in another way, which
    rounds otherwise; half a block is not so few yet.
    """
    return FAISS_BATCH * math.ceil((1 << 20) / (FAISS_BATCH * num_columns))


def _blocks(num_rows: int, size: int) -> list[slice]:
    """Consecutive slices; a last piece of less than half a block joins the one before it."""
    starts = list(range(0, num_rows, size))
    if len(starts) > 1 and num_rows - starts[-1] < size // 2:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], num_rows], strict=True)]


def _require_usable(rows: NDArray[np.float32], numbers: range | NDArray[np.int64]) -> None:
    """faiss finds no nearest centroid at an infinite distance, and then writes outside its memory."""
    largest = math.sqrt(np.finfo(np.float32).max / (8 * rows.shape[1]))
    if not (rows.min() > -largest and rows.max() < largest):  # also where one of them is NaN
        row, column = np.argwhere(~(np.abs(rows) < largest))[0]
        raise UnusableValueError(int(numbers[row]), int(column))

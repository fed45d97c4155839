"""Euclidean k-means over rows that need not fit into memory.

The same numbers as `faiss.Kmeans(T, K, niter=..., seed=...).train(rows)` followed by `index.search(rows, 1)`, bit
for bit. faiss trains on at most 256 points a centroid, drawn with its own `rand_perm(N, seed)`; only those
rows are read for training, and all rows are assigned block by block.

Legend: N rows, T columns, K clusters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_POINTS_PER_CENTROID = 256
# faiss may compare queries in batches of 4096, by a matrix product whose rounding depends on the batch
FAISS_BATCH = 4096
BLOCK_ROWS = 64 * FAISS_BATCH

ReadRows = Callable[[slice | NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Clustering:
    """`labels` int32 [N], the nearest centroid of each row; `centroids` float32 [K, T]."""

    labels: NDArray[np.int32]
    centroids: NDArray[np.float32]


def cluster_rows(
    read: ReadRows,
    num_rows: int,
    *,
    num_clusters: int,
    seed: int,
    num_iterations: int = 20,
    block_rows: int = BLOCK_ROWS,
) -> Clustering:
    """k-means as faiss does it, reading rows as they are needed.

    Args:
        read: gives the rows at a slice, or at ascending int64 positions, float32 [m, T]; finite.
        num_rows: N.
        num_clusters: K, 1 .. N. Fewer distinct rows than K leave clusters empty.
        seed: non-negative; faiss takes a negative seed from the clock.
        num_iterations: Lloyd iterations; the paper uses 20.
        block_rows: rows held at once, a multiple of 4096.

    Raises:
        ValueError: K or the seed is out of range, or a row is not finite or so large that its squared distance
            overflows (names the row).
    """
    import faiss

    if not 1 <= num_clusters <= num_rows:
        raise ValueError(f"num_clusters must be between 1 and the {num_rows} rows, not {num_clusters}.")
    if seed < 0 or block_rows % FAISS_BATCH or block_rows <= 0:
        raise ValueError(f"seed={seed} must not be negative, block_rows={block_rows} a multiple of {FAISS_BATCH}.")
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
    for block in _blocks(num_rows, block_rows):
        nearest = kmeans.index.search(read(block), 1)[1].ravel()
        if nearest.min() < 0:
            raise ValueError(_too_large(block.start + int(nearest.argmin())))
        labels[block] = nearest
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
    finite = np.isfinite(sample).all(axis=1)
    if not finite.all():
        raise ValueError(_too_large(int(chosen[finite.argmin()])))
    return sample


def _blocks(num_rows: int, block_rows: int) -> list[slice]:
    """Consecutive slices; a last piece smaller than a batch of faiss joins the one before it."""
    starts = list(range(0, num_rows, block_rows))
    if len(starts) > 1 and num_rows - starts[-1] < FAISS_BATCH:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], num_rows], strict=True)]


def _too_large(row: int) -> str:
    return f"Row {row} is not finite, or too large for a squared distance in float32: it cannot be clustered."

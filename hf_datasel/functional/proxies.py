"""Centroids of given clusters, and the proxy of each: the member that lies nearest to its centroid.

The search is among a cluster's own members, so that every cluster has a proxy of its own, also where rows are equal.

Legend: N rows, d dimensions, C clusters.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.kmeans import ReadRows

_BLOCK = 1 << 20  # numbers read together


def find_proxies(
    read: ReadRows, labels: NDArray[np.int32], num_clusters: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Centroids and proxies, reading all rows twice and keeping none.

    Args:
        read: gives the rows at a slice, float32 [m, d].
        labels: int32 [N], each of 0 .. C - 1; none of them may be missing.
        num_clusters: C.

    Returns:
        The means of the clusters' members, float32 [C, d], and int64 [C], the position of the member nearest to each
        in Euclidean distance, the first of those that tie.

    Raises:
        ValueError: a cluster has no member.

    Example:
        >>> rows = np.array([[0.0], [1.0], [5.0], [8.0]], np.float32)
        >>> centroids, proxies = find_proxies(lambda index: rows[index], np.array([0, 1, 0, 0], np.int32), 2)
        >>> [round(float(value), 3) for value in centroids.ravel()], proxies.tolist()
        ([4.333, 1.0], [2, 1])
    """
    sizes = np.bincount(labels, minlength=num_clusters)
    if not sizes.all():
        raise ValueError(f"Cluster {int(np.argmin(sizes))} has no member, so it has no proxy.")
    dimension = read(slice(0, 1)).shape[1]
    centroids = np.zeros((num_clusters, dimension))
    for block in _blocks(len(labels), dimension):
        order, starts, present = _grouped(labels[block])
        centroids[present] += np.add.reduceat(read(block).astype(np.float64)[order], starts, axis=0)
    centroids /= sizes[:, None]
    nearest, proxies = np.full(num_clusters, np.inf), np.zeros(num_clusters, np.int64)
    for block in _blocks(len(labels), dimension):
        offsets = read(block) - centroids[labels[block]]
        distances = np.einsum("nd,nd->n", offsets, offsets)
        order, starts, present = _grouped(labels[block], distances)
        best = order[starts]
        closer = distances[best] < nearest[present]
        nearest[present[closer]] = distances[best[closer]]
        proxies[present[closer]] = block.start + best[closer]
    return centroids.astype(np.float32), proxies


def _blocks(num_rows: int, dimension: int) -> Iterator[slice]:
    size = max(1, _BLOCK // dimension)
    for start in range(0, num_rows, size):
        yield slice(start, min(start + size, num_rows))


def _grouped(
    labels: NDArray[np.int32], keys: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """An order that puts equal labels together, by `keys` inside, where each group begins in it, and its label."""
    order = np.argsort(labels, kind="stable") if keys is None else np.lexsort((keys, labels))
    present, starts = np.unique(labels[order], return_index=True)
    return order, starts, present

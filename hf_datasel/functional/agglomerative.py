"""Agglomerative clustering with Ward's linkage.

Every row begins as a cluster; the two whose union adds least to the sum of squares within clusters,

    D(a, b) = |a| |b| / (|a| + |b|) ||c_a - c_b||^2        (Ward, 1963; c the centroids),

are merged until C are left. Not by searching all pairs each time: a chain of nearest neighbours ends in two that are
each other's nearest, and with a reducible linkage, which Ward's is, those may be merged at once (Murtagh, 1983). The
merges form a tree; its C - 1 dearest are left out. D of a union follows from D before it (Lance and Williams, 1967),

    D(a+b, k) = [(|a| + |k|) D(a, k) + (|b| + |k|) D(b, k) - |k| D(a, b)] / (|a| + |b| + |k|),

so time and memory grow as N^2. Nothing is random; ties go to the first row.

Legend: N rows, d dimensions, C clusters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 15_000  # N x N float64 distances: 1.8 GB


def ward(vectors: NDArray[np.float32], num_clusters: int) -> NDArray[np.int32]:
    """Cluster rows by Ward's linkage.

    Args:
        vectors: float32 [N, d], finite.
        num_clusters: C, 1 .. N.

    Returns:
        int32 [N], each of 0 .. C - 1, numbered in the order of their first rows.

    Raises:
        ValueError: C is out of range, or there are more than 15,000 rows.

    Example:
        >>> ward(np.array([[0.0], [9.0], [0.5], [9.5], [4.0]], np.float32), 3).tolist()
        [0, 1, 0, 1, 2]
    """
    num_rows = len(vectors)
    if not 1 <= num_clusters <= num_rows:
        raise ValueError(f"num_clusters must be between 1 and the {num_rows} rows, not {num_clusters}.")
    if num_rows > MOST_ROWS:
        raise ValueError(
            f"Agglomerative clustering keeps all pairs of rows in memory, so it takes at most {MOST_ROWS:,} rows, not "
            f"{num_rows:,}: use method='kmeans'."
        )
    merges, costs = _merges(_pairwise_costs(vectors))
    cheapest = np.argsort(costs, kind="stable")[: num_rows - num_clusters]
    return _components(num_rows, merges[cheapest])


def _pairwise_costs(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """D of every pair of rows, ||x_i - x_j||^2 / 2, and infinity of a row with itself."""
    rows = vectors.astype(np.float64)
    rows -= rows.mean(axis=0)  # what all have in common would cost digits
    squares = np.einsum("nd,nd->n", rows, rows)
    costs = rows @ rows.T
    costs *= -2.0
    costs += squares[:, None]
    costs += squares
    costs *= 0.5
    np.maximum(costs, 0.0, out=costs)
    np.fill_diagonal(costs, np.inf)
    return costs


def _merges(costs: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """All N - 1 merges, int64 [N - 1, 2] as a row of either cluster, and what they cost; `costs` is used up."""
    num_rows = len(costs)
    sizes = np.ones(num_rows)
    merges, paid = np.empty((num_rows - 1, 2), np.int64), np.empty(num_rows - 1)
    chain: list[int] = []
    for done in range(num_rows - 1):
        while chain and not sizes[chain[-1]]:  # where rounding made the chain meet itself
            chain.pop()
        chain = chain or [int(np.argmax(sizes > 0))]
        while True:
            tip = chain[-1]
            nearest = int(np.argmin(costs[tip]))
            if len(chain) > 1 and costs[tip, chain[-2]] <= costs[tip, nearest]:
                break
            chain.append(nearest)
        first, second = sorted((chain.pop(), chain.pop()))
        merges[done], paid[done] = (first, second), costs[first, second]
        _merge(costs, sizes, first, second)
    return merges, paid


def _merge(costs: NDArray[np.float64], sizes: NDArray[np.float64], first: int, second: int) -> None:
    """Let `first` stand for the union, by Lance and Williams, and `second` for nothing."""
    one, two = sizes[first], sizes[second]
    union = ((one + sizes) * costs[first] + (two + sizes) * costs[second] - sizes * costs[first, second]) / (
        one + two + sizes
    )
    sizes[first], sizes[second] = one + two, 0.0
    costs[first] = costs[:, first] = union  # infinite where it was, at rows that stand for nothing and at itself
    costs[second] = costs[:, second] = np.inf


def _components(num_rows: int, merges: NDArray[np.int64]) -> NDArray[np.int32]:
    """Label of each row when these pairs are joined, numbered in the order of first rows."""
    parent = list(range(num_rows))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for first, second in merges.tolist():
        low, high = sorted((root(first), root(second)))
        parent[high] = low  # so that a root is the first row of its cluster
    roots = np.array([root(row) for row in range(num_rows)], np.int64)
    return np.unique(roots, return_inverse=True)[1].astype(np.int32)

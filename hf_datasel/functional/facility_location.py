"""Facility location: rows such that every row is like one of them.

F(S) = sum_i max_{j in S} s(i, j) with s >= 0 is monotone and submodular. Taking B times the row of largest gain

    gain(j) = F(S + j) - F(S) = sum_i max(0, s(i, j) - max_{k in S} s(i, k))

therefore reaches at least (1 - 1/e) of the best F of any B rows (Nemhauser, Wolsey, Fisher 1978). A gain never grows,
so one that was computed for a smaller S is an upper bound: rows wait in a heap by their bounds, and only those at the
top are computed anew, until one that is up to date leads (Minoux 1978). The choice is that of computing all gains
every time.

Similarities are asked for a few columns at a time (`functional/similarities.py`); nobody holds N x N of them.

Legend: N rows, B budget.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Similarities(Protocol):
    """Similarities s(i, j) >= 0 of N rows."""

    @property
    def num_rows(self) -> int:
        """N."""

    @property
    def largest_batch(self) -> int:
        """Candidates whose gains may be asked for together."""

    def gains(self, candidates: NDArray[np.int64], covered: NDArray[np.float32]) -> NDArray[np.float64]:
        """sum_i max(0, s(i, j) - covered_i) for each candidate j, float64 [m]; `covered` float32 [N]."""

    def cover(self, row: int, covered: NDArray[np.float32]) -> None:
        """Raise every covered_i to s(i, row), in place."""


@dataclass(frozen=True, eq=False)
class Cover:
    """What a greedy choice found.

    Args:
        rows: int64 [B], in the order in which they were taken: the first b are the choice for a budget of b.
        gains: float32 [N], by how much a row raised F when it was taken; of the others, what they would add at most.
        num_evaluations: gains that were computed.
    """

    rows: NDArray[np.int64]
    gains: NDArray[np.float32]
    num_evaluations: int

    @property
    def value(self) -> float:
        """F of the rows."""
        return float(self.gains[self.rows].sum(dtype=np.float64))


def lazy_greedy(
    similarities: Similarities, budget: int, generator: np.random.Generator, advance: Callable[[int], Any] = int
) -> Cover:
    """Take rows of largest gain, one after another; gains are compared in float32.

    Args:
        similarities: of N rows.
        budget: B, 0 .. N.
        generator: draws the order in which rows of equal gain are taken.
        advance: hears how many rows were taken.

    Example:
        >>> from hf_datasel.functional.similarities import BlockedSimilarities
        >>> two_kinds = np.float32([[1, 0], [1, 0], [1, 0], [-1, 0]])
        >>> cover = lazy_greedy(BlockedSimilarities.cosine(two_kinds), 2, np.random.default_rng(0))
        >>> int(cover.rows[0]) < 3, int(cover.rows[1]), cover.gains[cover.rows].tolist()
        (True, 3, [3.0, 1.0])
    """
    num_rows = similarities.num_rows
    covered = np.zeros(num_rows, np.float32)
    bounds = _all_gains(similarities, covered)
    ties = generator.permutation(num_rows).tolist()
    heap = list(zip((-bounds).tolist(), ties, range(num_rows), strict=True))
    heapq.heapify(heap)
    computed_at = [0] * num_rows
    taken: list[int] = []
    num_evaluations = num_rows
    for step in range(budget):
        batch = 1
        while computed_at[heap[0][2]] < step:
            stale: list[int] = []
            while heap and len(stale) < batch and computed_at[heap[0][2]] < step:
                stale.append(heapq.heappop(heap)[2])
            # rounding may raise what cannot have grown
            bounds[stale] = np.minimum(bounds[stale], similarities.gains(np.array(stale), covered))
            for row, gain in zip(stale, bounds[stale].tolist(), strict=True):
                computed_at[row] = step
                heapq.heappush(heap, (-gain, ties[row], row))
            num_evaluations += len(stale)
            batch = min(2 * batch, similarities.largest_batch)
        taken.append(heapq.heappop(heap)[2])
        similarities.cover(taken[-1], covered)
        advance(1)
    return Cover(np.array(taken, np.int64), bounds, num_evaluations)


def largest_gains(gains: NDArray[np.float32], budget: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """The rows that `lazy_greedy` took, by its gains: none of the others can add more than any of them did.

    Args:
        gains: float32 [N], of a `Cover`.
        budget: B.
        generator: in the state in which `lazy_greedy` was given it.

    Returns:
        bool [N].
    """
    ties = generator.permutation(len(gains))
    kept = np.zeros(len(gains), bool)
    kept[np.lexsort((ties, -gains))[:budget]] = True
    return kept


def _all_gains(similarities: Similarities, covered: NDArray[np.float32]) -> NDArray[np.float32]:
    size, rows = similarities.largest_batch, np.arange(similarities.num_rows)
    blocks = (rows[start : start + size] for start in range(0, len(rows), size))
    return np.concatenate([similarities.gains(block, covered) for block in blocks]).astype(np.float32)

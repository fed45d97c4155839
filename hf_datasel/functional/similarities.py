"""Non-negative similarities of rows, computed a few columns at a time or kept for nearest neighbours only.

    cosine    s(i, j) = (1 + cos(x_i, x_j)) / 2             a row of zeros has the cosine 0 with every row
    rbf       s(i, j) = exp(-gamma |x_i - x_j|^2)           gamma: 1 / the mean squared distance where none is given

Legend: N rows, d dimensions, k neighbours, m candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.kmeans import UnusableValueError

Kind = Literal["cosine", "rbf"]
KINDS: tuple[Kind, ...] = ("cosine", "rbf")
FLAT_UP_TO = 20_000  # rows whose neighbours are found by looking at all of them
PROBES = 16  # of 4 sqrt(N) cells that are looked at beyond
_BLOCK = 1 << 22  # numbers at once


@dataclass(frozen=True, eq=False)
class Space:
    """Rows in which similarities are simple: of unit length for cosines, scaled by sqrt(gamma) for `rbf`.

    Args:
        rows: float32 [N, d].
        kind: of similarity.
        squared: float32 [N], squared lengths of the rows.
    """

    rows: NDArray[np.float32]
    kind: Kind
    squared: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: NDArray[np.float32], kind: Kind, gamma: float | None = None) -> Space:
        """Put vectors into it, in O(N d).

        Raises:
            UnusableValueError: gamma times a squared distance overflows float32; names the farthest row.
        """
        rows = np.empty(vectors.shape, np.float32)
        middle = vectors.mean(axis=0, dtype=np.float64)  # distances do not feel it, and lengths become small
        blocks = [slice(start, start + _rows_of(vectors)) for start in range(0, len(vectors), _rows_of(vectors))]
        if kind == "rbf" and gamma is None:
            spread = sum(float(np.square(vectors[block] - middle).sum()) for block in blocks) / len(vectors)
            gamma = 1 / (2 * spread) if spread > 0 else 1.0
        for block in blocks:
            if kind == "cosine":
                exact = vectors[block].astype(np.float64)
                lengths = np.linalg.norm(exact, axis=1, keepdims=True)
                rows[block] = np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0)
            else:
                assert gamma is not None
                with np.errstate(over="ignore"):  # reported below
                    rows[block] = (vectors[block] - middle) * np.sqrt(gamma)
        with np.errstate(over="ignore", invalid="ignore"):
            squared = np.einsum("nd,nd->n", rows, rows)
        unusable = np.flatnonzero(~(squared < np.finfo(np.float32).max / 8))
        if unusable.size:
            away = np.abs(vectors[unusable] - middle)
            farthest = int(away.max(axis=1).argmax())
            raise UnusableValueError(int(unusable[farthest]), int(away[farthest].argmax()))
        return cls(rows, kind, squared)

    def columns(self, candidates: NDArray[np.int64]) -> NDArray[np.float32]:
        """s(j, i) of m candidates j with all rows i, float32 [m, N]."""
        products = self.rows[candidates] @ self.rows.T
        return self._similarity(products, self.squared[candidates, None], self.squared)

    def pairs(self, neighbours: NDArray[np.int64], block: slice) -> NDArray[np.float32]:
        """s(i, j) of the rows i of a block with k neighbours j each, float32 [m, k]."""
        products = np.einsum("md,mkd->mk", self.rows[block], self.rows[neighbours])
        return self._similarity(products, self.squared[block, None], self.squared[neighbours])

    def _similarity(
        self, products: NDArray[np.float32], mine: NDArray[np.float32], theirs: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Of inner products, which are overwritten, and squared lengths."""
        if self.kind == "cosine":
            products += 1
            products *= np.float32(0.5)
            return products.clip(0, out=products)  # a cosine may round to below -1
        products *= 2
        products -= mine
        products -= theirs
        np.minimum(products, 0, out=products)
        return np.exp(products, out=products)


@dataclass(frozen=True, eq=False)
class BlockedSimilarities:
    """All N x N similarities, of which at most some four million are there at a time."""

    space: Space

    @classmethod
    def cosine(cls, vectors: NDArray[np.float32]) -> BlockedSimilarities:
        """Of the vectors' cosines."""
        return cls(Space.of(vectors, "cosine"))

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.space.rows)

    @property
    def largest_batch(self) -> int:
        """Candidates whose columns make a block."""
        return max(1, _BLOCK // self.num_rows)

    def gains(self, candidates: NDArray[np.int64], covered: NDArray[np.float32]) -> NDArray[np.float64]:
        """As `Similarities.gains`."""
        columns = self.space.columns(candidates)
        columns -= covered
        np.maximum(columns, 0, out=columns)
        return columns.sum(axis=1, dtype=np.float64)

    def cover(self, row: int, covered: NDArray[np.float32]) -> None:
        """As `Similarities.cover`."""
        np.maximum(covered, self.space.columns(np.array([row]))[0], out=covered)


class NeighbourSimilarities:
    """Similarities of each row i with k rows j; with all others it has none, 0.

    Args:
        neighbours: int32 [N, k], distinct in each row; -1 for none.
        values: float32 [N, k], s(i, neighbours[i]) >= 0.
    """

    largest_batch = 256

    def __init__(self, neighbours: NDArray[np.int32], values: NDArray[np.float32]) -> None:
        self.num_rows, num_neighbours = neighbours.shape
        order = np.argsort(neighbours, axis=None, kind="stable")
        order = order[np.count_nonzero(neighbours < 0) :]
        self._rows = (order // num_neighbours).astype(np.int32)
        self._values = values.ravel()[order]
        columns = neighbours.ravel()[order]
        self._ends = np.searchsorted(columns, np.arange(self.num_rows), side="right").tolist()

    @classmethod
    def nearest(cls, space: Space, num_neighbours: int, advance: Callable[[int], Any] = int) -> NeighbourSimilarities:
        """Of each row with itself and its nearest rows, k in all; approximate where there are many rows.

        Args:
            space: of N rows.
            num_neighbours: k, at least 1.
            advance: hears how many rows' neighbours were found.
        """
        num_rows, num_neighbours = len(space.rows), min(num_neighbours, len(space.rows))
        neighbours = np.empty((num_rows, num_neighbours), np.int32)
        values = np.empty((num_rows, num_neighbours), np.float32)
        index = _index(space.rows)
        size = max(1, _BLOCK // (space.rows.shape[1] * num_neighbours))
        for start in range(0, num_rows, size):
            block = slice(start, min(start + size, num_rows))
            found = index.search(space.rows[block], num_neighbours)[1]
            own = np.arange(block.start, block.stop)
            without = (found != own[:, None]).all(axis=1)  # a row may have more twins than neighbours
            found[without, -1] = own[without]
            neighbours[block], values[block] = found, space.pairs(found, block)
            advance(len(own))
        return cls(neighbours, values)

    def gains(self, candidates: NDArray[np.int64], covered: NDArray[np.float32]) -> NDArray[np.float64]:
        """As `Similarities.gains`."""
        sums = np.empty(len(candidates), np.float64)
        for number, candidate in enumerate(candidates.tolist()):
            where = self._column(candidate)
            above = self._values[where] - covered[self._rows[where]]
            sums[number] = np.maximum(above, 0).sum(dtype=np.float64)
        return sums

    def cover(self, row: int, covered: NDArray[np.float32]) -> None:
        """As `Similarities.cover`."""
        where = self._column(row)
        rows = self._rows[where]
        covered[rows] = np.maximum(covered[rows], self._values[where])

    def _column(self, candidate: int) -> slice:
        return slice(self._ends[candidate - 1] if candidate else 0, self._ends[candidate])


def _index(rows: NDArray[np.float32]) -> Any:
    import faiss

    num_rows, dimension = rows.shape
    if num_rows <= FLAT_UP_TO:
        index: Any = faiss.IndexFlatL2(dimension)
    else:
        index = faiss.index_factory(dimension, f"IVF{int(4 * num_rows**0.5)},Flat")
        index.nprobe = PROBES
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 64  # else it takes all, or complains
        index.train(rows)
    index.add(rows)
    return index


def _rows_of(vectors: NDArray[np.float32]) -> int:
    return max(1, _BLOCK // vectors.shape[1])

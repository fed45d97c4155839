"""Facility location: keep examples such that every example is like one that is kept.

Bhatt, Chen, Das, Zhang, Truong, Mussmann, Zhu, Bilmes, Du, Jamieson, Ash, Nowak, "An Experimental Design Framework for
Label-Efficient Supervised Finetuning of Large Language Models", ACL 2024, arXiv 2401.06692; a baseline of S2L (Yang et
al., NeurIPS 2024, arXiv 2403.07384). With h_i the embedding of example i, its last hidden state in S2L's comparison,

    maximise F(S) = sum_i max_{j in S} s(h_i, h_j) over |S| = B,    greedily,

which reaches (1 - 1/e) of the best at least. That needs s >= 0: (1 + cosine) / 2, or exp(-gamma distance^2). The
greedy choice is lazy, with the same result (`functional/facility_location.py`). A score is by how much an example
raised F when it was taken, or could still raise it at most; high is good, given those that were taken before.

Cost. Exact, up to 10,000 examples of a stratum: similarities are computed whenever they are asked for, at most 16 MiB
of them at a time, in all 4 to 7 times N^2 of d multiplications (measured at 1% to 40% of 10,000 rows). Beyond, an
example is compared with its nearest neighbours only, and has the similarity 0 with others: faiss finds them, above
20,000 examples not quite all, some 36 bytes each while they are sorted, and the choice takes seconds. For a tenth of
10,000 rows and more this lost less than 0.001 of F / N; where N / B is larger than the number of neighbours, rows are
left that nothing kept stands for. The provenance holds F / N as "coverage".

Where we differ: cosines are shifted, any embedder will do, ties are broken by the seed, and with strata each covers
itself, with its share of the budget.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_datasel.embeddings import Embeddings
from hf_datasel.functional.allocation import allocate, group_members
from hf_datasel.functional.facility_location import Similarities, largest_gains, lazy_greedy
from hf_datasel.functional.kmeans import UnusableValueError
from hf_datasel.functional.similarities import KINDS, BlockedSimilarities, Kind, NeighbourSimilarities, Space
from hf_datasel.selectors.base import Choice, Selector, is_number
from hf_datasel.selectors.pool import Evidence, Pool
from hf_datasel.selectors.published import Published

EXACT_UP_TO = 10_000
NUM_NEIGHBOURS = 64


@dataclass(frozen=True, kw_only=True)
class FacilityLocationSelector(Selector):
    """Keep the examples of `Embeddings` that stand best for all the others.

    Args:
        budget: see `Selector`.
        similarity: "cosine", shifted to 0 .. 1, or "rbf".
        gamma: of "rbf"; None for 1 / the mean squared distance between two examples of the stratum.
        num_neighbours: compare each example with so many nearest ones, itself included; None compares all with all,
            exactly, up to 10,000 examples of a stratum, and beyond takes 64.
        seed: of the order of equal gains.

    Example:
        >>> from hf_datasel import Embeddings
        >>> vectors = np.repeat(np.eye(3, dtype=np.float32), [60, 30, 10], axis=0)
        >>> embeddings = Embeddings.from_arrays(range(100), vectors, embedder={"name": "mine"})
        >>> kept = FacilityLocationSelector(budget=3).select(embeddings).ids
        >>> bool(kept[0] < 60 <= kept[1] < 90 <= kept[2])
        True
    """

    budget: int | float
    similarity: Kind = "cosine"
    gamma: float | None = None
    num_neighbours: int | None = None

    name: ClassVar[str] = "facility_location"
    reads: ClassVar[type[Evidence]] = Embeddings
    metrics: ClassVar[tuple[str, ...]] = ("embeddings",)
    is_random: ClassVar[bool] = False

    def _check(self) -> None:
        super()._check()
        self._require_one_of("similarity", self.similarity, KINDS)
        if self.num_neighbours is not None:
            self._require_int("num_neighbours", self.num_neighbours, 1)
        if self.gamma is not None and (self.similarity != "rbf" or not is_number(self.gamma) or self.gamma <= 0):
            raise ValueError(
                f"gamma={self.gamma!r} of FacilityLocationSelector must be a positive number, and is of "
                f"similarity='rbf' alone (here {self.similarity!r})."
            )

    def _choose(self, pool: Pool, budget: int) -> Choice:
        from tqdm.auto import tqdm

        generator = np.random.default_rng(self.seed)
        scores = np.empty(len(pool.ids), np.float32)
        used: list[dict[str, Any]] = []
        names: tuple[str | None, ...] = pool.stratum_names or (None,)
        strata = _walk(Published.of_pool(pool), budget)
        searched = sum(len(group) for group, _ in strata if self._num_neighbours(len(group)) is not None)
        hidden = not sys.stderr.isatty()
        with tqdm(total=searched + budget, desc="Facility location", unit="row", leave=False, disable=hidden) as bar:
            for name, (group, quota) in zip(names, strata, strict=True):
                num_neighbours = self._num_neighbours(len(group))
                similarities = self._similarities(pool, group, num_neighbours, bar.update)
                cover = lazy_greedy(similarities, quota, generator, bar.update)
                scores[group] = cover.gains
                used.append(
                    {
                        "stratum": name,
                        "num_candidates": len(group),
                        "num_kept": quota,
                        "num_neighbours": num_neighbours,
                        "num_evaluations": cover.num_evaluations,
                        "coverage": cover.value / len(group),
                    }
                )
        kept = self._choose_again(Published.of_pool(pool, scores=scores), budget)
        return Choice(kept, scores=scores, details={"strata": used})

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        scores = published.require("scores", type(self).__name__)
        generator = np.random.default_rng(self.seed)
        kept = np.zeros(len(scores), bool)
        for group, quota in _walk(published, budget):
            kept[group] = largest_gains(scores[group], quota, generator)
        return kept

    def _num_neighbours(self, num_rows: int) -> int | None:
        if self.num_neighbours is not None:
            return min(int(self.num_neighbours), num_rows)
        return None if num_rows <= EXACT_UP_TO else NUM_NEIGHBOURS

    def _similarities(
        self, pool: Pool, group: NDArray[np.int64], num_neighbours: int | None, advance: Callable[[int], Any]
    ) -> Similarities:
        """Of the candidates at the positions `group`."""
        embeddings: Embeddings = pool.source
        rows = group if pool.positions is None else pool.positions[group]
        vectors = embeddings.vectors if len(rows) == len(embeddings) else embeddings.vectors[rows]
        try:
            space = Space.of(vectors, self.similarity, self.gamma)
        except UnusableValueError as error:
            raise ValueError(
                f"FacilityLocationSelector(gamma={self.gamma}) cannot use the vector of example "
                f"{pool.ids[group[error.row]]}: gamma times its squared distance from the others is too large for "
                "float32. Lower gamma, or leave the example out with within=."
            ) from error
        if num_neighbours is None:
            return BlockedSimilarities(space)
        return NeighbourSimilarities.nearest(space, num_neighbours, advance)


def _walk(candidates: Published, budget: int) -> list[tuple[NDArray[np.int64], int]]:
    """Positions of each stratum's candidates, and how many of them are kept."""
    members = group_members(*candidates.strata())
    quotas = allocate(np.array([len(group) for group in members], np.int64), budget)
    return list(zip(members, quotas.tolist(), strict=True))

"""S2L: keep examples whose losses, recorded while a small model trained, move in different ways.

Yang, Mishra, Chiang, Mirzasoleiman, "SmallToLarge (S2L): Scalable Data Selection for Fine-tuning Large Language
Models by Summarizing Training Trajectories of Small Models", NeurIPS 2024, arXiv 2403.07384. Algorithm 1, from loss
trajectories on:

    cluster the N x T trajectories by Euclidean k-means (K = 100, 20 iterations) into C_1 .. C_K, ascending in size
    for k = 1 .. K:
        R_k = floor((B - |S|) / (K - k + 1))
        S = S + C_k                                          if |C_k| <= R_k
        S = S + R_k of C_k, uniformly without replacement    otherwise

`variant="official"` adds what the authors' published code does beyond that: clusters of at most 2 examples stand
aside until the others are used up, and faiss has its default seed, 1234, whatever `seed` is. It stratifies by
source, so pass `strata`; in the paper's variant they are an option outside the paper, by the same rule: walk the
strata in ascending size (ties by label), give each floor(what is left / strata left), take one that fits whole, and
cluster inside the others.

Where we differ from both: rows are put in the order of their ids first, so that the answer does not depend on how
they arrived; every draw is seeded; K is lowered, with a warning, where there are fewer than K examples; an
unmeasured loss is refused, where the official code reads it as 0; and there are transforms of the trajectories, off
by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.allocation import allocate, group_members, sample_clusters
from hf_datasel.functional.kmeans import UnusableValueError, cluster_rows
from hf_datasel.functional.transforms import TRANSFORMS, transform_trajectories
from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.pool import Pool
from hf_datasel.selectors.published import Published

OFFICIAL_FAISS_SEED = 1234
OFFICIAL_TINY = 2


@dataclass(frozen=True, kw_only=True)
class S2LSelector(Selector):
    """Keep a subset spread evenly over clusters of loss trajectories.

    Args:
        budget: see `Selector`.
        num_clusters: K, for each stratum where there are strata; the paper uses 100.
        variant: "paper" (Algorithm 1) or "official" (the published code).
        transform: of each trajectory before clustering: "none" (as published), "log" or "zscore".
        seed: of the draws, and of k-means in the paper's variant.
        num_iterations: of k-means; the paper uses 20.

    The Selection has no scores; `clusters` numbers the clusters over all strata, -1 in a stratum that was not
    clustered because all or none of it was taken.

    Example:
        >>> from hf_datasel import Trace
        >>> losses = np.repeat([[3.0, 1.0], [3.0, 2.5]], [90, 10], axis=0)
        >>> selection = S2LSelector(budget=20, num_clusters=2).select(Trace.from_arrays(range(100), losses))
        >>> int((selection.ids >= 90).sum())
        10
    """

    budget: int | float
    num_clusters: int = 100
    variant: Literal["paper", "official"] = "paper"
    transform: Literal["none", "log", "zscore"] = "none"
    num_iterations: int = 20

    name: ClassVar[str] = "s2l"

    def _check(self) -> None:
        super()._check()
        self._require_int("num_clusters", self.num_clusters, 1)
        self._require_int("num_iterations", self.num_iterations, 1)
        self._require_one_of("variant", self.variant, ("paper", "official"))
        self._require_one_of("transform", self.transform, TRANSFORMS)

    def _choose(self, pool: Pool, budget: int) -> Choice:
        clusters = np.full(len(pool.ids), -1, np.int32)
        used: list[dict[str, Any]] = []
        for stratum, first_cluster, num_clusters in self._walk(Published.of_pool(pool), budget):
            if num_clusters:
                clusters[stratum.members] = self._cluster(pool, stratum, num_clusters) + first_cluster
            used.append(stratum.note(num_clusters))
        kept = self._choose_again(Published.of_pool(pool, clusters=clusters), budget)
        details = {"strata": used, "faiss": _faiss_version()}
        return Choice(kept, clusters=clusters, details=details, notices=self._notices(used))

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        generator = np.random.default_rng(self.seed)
        tiny = OFFICIAL_TINY if self.variant == "official" else 0
        kept = np.zeros(len(published.ids), bool)
        for stratum, first_cluster, num_clusters in self._walk(published, budget):
            if num_clusters:
                labels = published.clusters_from(stratum.members, first_cluster, num_clusters, "S2LSelector")
                kept[stratum.members] = sample_clusters(labels, num_clusters, stratum.quota, generator, tiny=tiny)
            else:
                kept[stratum.members] = stratum.fits
        return kept

    def _walk(self, candidates: Published, budget: int) -> Iterator[tuple[_Stratum, int, int]]:
        """The strata with the first of their clusters and how many they have: none where all or nothing is taken."""
        first_cluster = 0
        for stratum in _strata(candidates, budget):
            num_clusters = min(self.num_clusters, stratum.size) if stratum.quota and not stratum.fits else 0
            yield stratum, first_cluster, num_clusters
            first_cluster += num_clusters

    def _cluster(self, pool: Pool, stratum: _Stratum, num_clusters: int) -> NDArray[np.int32]:
        """Cluster of each member of the stratum, int32 [size]."""

        def values(index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
            return pool.read(index if isinstance(stratum.members, slice) else stratum.members[index])

        def read(index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
            return transform_trajectories(values(index), self.transform)

        seed = OFFICIAL_FAISS_SEED if self.variant == "official" else int(self.seed)
        try:
            return cluster_rows(
                read, stratum.size, num_clusters=num_clusters, seed=seed, num_iterations=self.num_iterations
            ).labels
        except UnusableValueError as error:
            value = values(slice(error.row, error.row + 1))[0, error.column]
            raise ValueError(
                f"S2LSelector(transform={self.transform!r}) cannot use the value {value} of example "
                f"{pool.ids[stratum.members][error.row]} at step {pool.evidence['steps'][error.column]}: it is no "
                "loss, or too large to be compared with others. Mend the example, or leave it out with within=."
            ) from error

    def _notices(self, used: list[dict[str, Any]]) -> tuple[str, ...]:
        lowered = [stratum for stratum in used if 0 < stratum["num_clusters"] < self.num_clusters]
        if not lowered:
            return ()
        where = [f"{one['num_clusters']}" + (f" in {one['stratum']!r}" if one["stratum"] else "") for one in lowered]
        return (f"num_clusters={self.num_clusters} exceeds the number of examples: lowered to {', '.join(where)}.",)


@dataclass(frozen=True, eq=False)
class _Stratum:
    """Candidates that are clustered together: `members` are positions in the pool, or a slice for all of it."""

    name: str | None
    members: slice | NDArray[np.int64]
    size: int
    quota: int

    @property
    def fits(self) -> bool:
        """Whether it is taken whole and so needs no clusters; without strata the clusters are wanted all the same."""
        return self.name is not None and self.quota == self.size

    def note(self, num_clusters: int) -> dict[str, Any]:
        """What the provenance says of it."""
        return {
            "stratum": self.name,
            "num_candidates": self.size,
            "num_kept": self.quota,
            "num_clusters": num_clusters,
        }


def _strata(candidates: Published, budget: int) -> list[_Stratum]:
    """The strata in ascending size, ties by label, each with its quota; one nameless stratum where there are none."""
    if candidates.codes is None:
        return [_Stratum(None, slice(None), len(candidates.ids), budget)]
    names = candidates.stratum_names
    members = group_members(candidates.codes, len(names))
    sizes = np.array([len(group) for group in members], np.int64)
    quotas = allocate(sizes, budget)
    ascending = np.argsort(sizes, kind="stable").tolist()
    return [_Stratum(names[code], members[code], len(members[code]), int(quotas[code])) for code in ascending]


def _faiss_version() -> str:
    import faiss

    return str(faiss.__version__)

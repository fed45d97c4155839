"""SHED: keep rows of the clusters whose proxies are worth most to train on.

He et al., "SHED: Shapley-Based Automated Dataset Refinement for Instruction Fine-Tuning", NeurIPS 2024,
arXiv 2405.00705, in three steps:

    1. embed the N examples, cluster them into C clusters; the example nearest to a centroid is the cluster's proxy;
    2. S_c = the Shapley value of proxy c in the game v(D) = quality of the model fine-tuned on the proxies D, by k
       permutations, in each of which groups G of n proxies are removed one after another:
           S_c = 1/k sum over permutations of (v(D) - v(D \\ G)) / n    for c in G, the group it went with;
    3. draw B of all N examples by their clusters' values: QOCS takes the best clusters until B is full, QWCS draws
       clusters with Pr(c) = exp(f S_c) / sum exp(f S_c'), and in them examples uniformly, without replacement.

Steps 1 and 2 are `value_clusters`, which leaves a `Valuation`; step 3 is here (`functional/cluster_sampling.py`).
`Valuation.from_trace` makes one without proxies, from the gradients of one training run, if wanted for every row.

The released code, which differs from the paper, and what is done here instead:
- It gives each member of G the whole of v(D) - v(D \\ G), sums over permutations, and takes v of nothing as 0, so that
  the group removed last seems worth some 60 times more than others. The estimator "official" does so, no other.
- It looks for the proxy of a cluster among all examples, so that two clusters can share one: here among its members.
- It keys values by the text, merging duplicates, and drops values of 0 as missing: here ids, and NaN is refused.
- Its QOCS gives one fewer than asked; its QWCS has no f, draws from exhausted clusters in vain and never ends where B
  exceeds the pool. Here exactly B rows, a draw among the clusters that still have some, and a refusal.
- No draw of it is seeded; here all are.

Where we differ from the paper: by its scale the values of thousands of proxies are so near to each other that f = 1
draws clusters all but uniformly, so that by default f multiplies z-scores over the clusters; `weighting="raw"` is the
paper's. `sampling="uniform"` takes values for no more than cleaning: rows with the largest ones are alike, and where
rows are damaged in `recipes/benchmarks/shed` a uniform draw from the better half by in-run cosines is below training
on everything where damage is scattered, and level with it where whole topics are bad. With strata the budget is shared
out as S2L shares its own, and each stratum is drawn from by the same values. Values are rounded to float32 before
anything is drawn by them, as a Selection holds them and the draw can be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.allocation import allocate, group_members
from hf_datasel.functional.cluster_sampling import (
    quality_ordered,
    quality_weighted,
    softmax_logits,
    uniform_of_best,
)
from hf_datasel.selectors.base import Choice, Selector, is_number
from hf_datasel.selectors.pool import Evidence, Pool
from hf_datasel.selectors.published import Published
from hf_datasel.valuation import Valuation

SAMPLINGS = ("qocs", "qwcs", "uniform")
WEIGHTINGS = ("softmax", "raw")


@dataclass(frozen=True, kw_only=True)
class SHEDSelector(Selector):
    """Keep a budget of rows by the value of their clusters.

    Args:
        budget: see `Selector`; the candidates are the rows of the Valuation that are in a cluster.
        sampling: "qwcs", clusters drawn by a softmax of their values; "qocs", the best clusters whole, which
            did worst of all by values of clusters in our study; or "uniform" (ours), rows drawn uniformly from the
            best clusters.
        weighting: of "qwcs": "softmax" over z-scores of the values, or "raw", over the values as they are.
        sharpness: f of "qwcs", how strongly values count; 0 draws clusters uniformly.
        best_share: of "uniform", the share of the rows that are drawn from, in (0, 1].
        seed: of the draws and of clusters that tie.

    The Selection's scores are the values of the rows' clusters, its clusters the Valuation's.

    Example:
        >>> from hf_datasel import Trace
        >>> from hf_datasel.valuation import Valuation
        >>> products = [[0.5], [-1.0], [2.0], [0.0]]
        >>> trace = Trace.from_arrays(range(4), products, metric="influence", learning_rates=[0.1])
        >>> SHEDSelector(budget=2, sampling="qocs").select(Valuation.from_trace(trace)).ids.tolist()
        [0, 2]
    """

    budget: int | float
    sampling: Literal["qocs", "qwcs", "uniform"] = "qwcs"
    weighting: Literal["softmax", "raw"] = "softmax"
    sharpness: float = 1.0
    best_share: float = 0.5

    name: ClassVar[str] = "shed"
    reads: ClassVar[type[Evidence]] = Valuation
    metrics: ClassVar[tuple[str, ...]] = ("valuation",)

    def _check(self) -> None:
        super()._check()
        self._require_one_of("sampling", self.sampling, SAMPLINGS)
        self._require_one_of("weighting", self.weighting, WEIGHTINGS)
        if not is_number(self.sharpness) or self.sharpness < 0:
            raise ValueError(f"sharpness={self.sharpness!r} of SHEDSelector must be a number of at least 0.")
        if not is_number(self.best_share) or not 0 < self.best_share <= 1:
            raise ValueError(f"best_share={self.best_share!r} of SHEDSelector must be a share in (0, 1].")

    def _choose(self, pool: Pool, budget: int) -> Choice:
        valuation: Valuation = pool.source
        clusters = valuation.clusters if pool.positions is None else valuation.clusters[pool.positions]
        scores = valuation.values.astype(np.float32)[clusters]
        kept = self._choose_again(Published.of_pool(pool, scores=scores, clusters=clusters), budget)
        counts = pool.count_by_stratum(kept)
        details: dict[str, Any] = {
            "num_clusters": len(np.unique(clusters)),
            "num_clusters_kept": len(np.unique(clusters[kept])),
            **({"strata": counts} if counts else {}),
        }
        return Choice(kept, scores=scores, clusters=clusters, details=details)

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        scores, clusters = (published.require(column, "SHEDSelector") for column in ("scores", "clusters"))
        _, first, labels = np.unique(clusters, return_index=True, return_inverse=True)
        values = scores[first]
        unlike = scores != values[labels]
        if unlike.any():
            row = int(np.argmax(unlike))
            raise ValueError(
                f"SHEDSelector scores all rows of a cluster alike, but example {published.ids[row]} of cluster "
                f"{clusters[row]} has {scores[row]:g}, and example {published.ids[first[labels[row]]]} has "
                f"{values[labels[row]]:g}."
            )
        codes, num_strata = published.strata()
        members = group_members(codes, num_strata)
        shares = allocate(np.array([len(group) for group in members], np.int64), budget).tolist()
        generator = np.random.default_rng(self.seed)
        kept = np.zeros(len(labels), bool)
        for group, quota in zip(members, shares, strict=True):
            kept[group] = self._sample(labels[group], values.astype(np.float64), quota, generator)
        return kept

    def _sample(
        self, labels: NDArray[np.integer], values: NDArray[np.float64], budget: int, generator: np.random.Generator
    ) -> NDArray[np.bool_]:
        if self.sampling == "qocs":
            return quality_ordered(labels, values, budget, generator)
        if self.sampling == "uniform":
            return uniform_of_best(labels, values, self.best_share, budget, generator)
        logits = softmax_logits(values, self.sharpness, standardise=self.weighting == "softmax")
        return quality_weighted(labels, logits, budget, generator)

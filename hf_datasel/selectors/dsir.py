"""DSIR: draw the examples whose n-grams are those of a target, in proportion to their importance weights.

Xie, Santurkar, Ma, Liang, "Data Selection for Language Models via Importance Resampling", NeurIPS 2023, arXiv
2302.03169. `record_dsir` writes log w of every example, how much likelier its hashed n-grams are in the target than in
the dataset; high is good. The released code's draw is

    keep the B examples of largest  log w + g,    g ~ Gumbel(0, 1), independent,

which is B draws one after another without replacement, each in proportion to w. log w is a sum over n-grams, so it
grows with the length of a text: of long texts the noise hardly changes the order. A Trace holds float32, which rounds
a log weight of 10,000 by at most 0.0005. O(M) time.

Where we differ: the noise is seeded, a budget of all candidates works, and strata draw each their own share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.importance_resampling import perturbed
from hf_datasel.functional.ranking import keep_best_of_each
from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.pool import Pool
from hf_datasel.selectors.published import Published
from hf_datasel.selectors.recorded import Recorded

METRIC = "dsir"


@dataclass(frozen=True, kw_only=True)
class DSIRSelector(Selector):
    """Resample examples towards a target by the log importance weights that `record_dsir` wrote.

    Args:
        budget: see `Selector`.
        noise: "gumbel" (draw in proportion to the weights) or "none" (keep the largest, ties broken by the seed).
        seed: of the noise.

    The Selection's scores are the log weights, without noise.

    Example:
        >>> from hf_datasel import Trace
        >>> weights = Trace.from_arrays(ids=[0, 1, 2], values=[[-3.0], [8.0], [1.0]], metric="dsir")
        >>> DSIRSelector(budget=2, noise="none").select(weights).ids.tolist()
        [1, 2]
    """

    budget: int | float
    noise: Literal["gumbel", "none"] = "gumbel"

    name: ClassVar[str] = "dsir"
    metrics: ClassVar[tuple[str, ...]] = (METRIC,)

    def _check(self) -> None:
        super()._check()
        self._require_one_of("noise", self.noise, ("gumbel", "none"))

    def _choose(self, pool: Pool, budget: int) -> Choice:
        if pool.trace.metric != METRIC:
            raise ValueError(
                f"DSIRSelector reads a Trace of the metric {METRIC!r}, recorded by record_dsir, not one of "
                f"{pool.trace.metric!r}."
            )
        log_weights = Recorded.candidates(pool).last()
        kept = self._choose_again(Published.of_pool(pool, scores=log_weights), budget)
        counts = pool.count_by_stratum(kept)
        return Choice(kept, scores=log_weights, details={"strata": counts} if counts else {})

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        log_weights = published.require("scores", "DSIRSelector")
        generator = np.random.default_rng(self.seed)
        keys = perturbed(log_weights, generator) if self.noise == "gumbel" else log_weights
        return keep_best_of_each(keys, *published.strata(), budget, generator)

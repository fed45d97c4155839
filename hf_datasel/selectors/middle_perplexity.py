"""Middle perplexity: keep what is neither too easy nor too hard.

Marion, Üstün, Pozzobon, Wang, Fadaee, Hooker, "When Less is More: Investigating Data Pruning for Pretraining LLMs at
Scale", 2023, arXiv 2309.04564; for fine-tuning a baseline of S2L (Yang et al., NeurIPS 2024, arXiv 2403.07384):

    sort by PPL_i = exp(l_i), l_i the mean NLL of the answer's tokens; keep the B ranks centred on the median.

Neither high nor low is good. Where M - B is odd two windows are as central, and the lower one is kept; equal
perplexities are ranked in an order drawn from the seed. With strata each has a median of its own.

The reference model is early ("first") or fully tuned ("last"); comparisons run both. Cost: one Trace of losses (a
training of the reference, and a sweep a checkpoint), then O(M log M).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.ranking import keep_middle_of_each
from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.perplexity import perplexities
from hf_datasel.selectors.pool import Pool
from hf_datasel.selectors.published import Published
from hf_datasel.selectors.recorded import CHECKPOINTS, Checkpoint, Recorded


@dataclass(frozen=True, kw_only=True)
class MiddlePerplexitySelector(Selector):
    """Keep the examples around the median of the perplexities at one checkpoint of a Trace of losses.

    The Trace may also be an influence Trace, whose companion "loss" is then read. The scores are perplexities in
    float32, as which they are ranked, at most the largest float32.

    Args:
        budget: see `Selector`.
        at: which checkpoint of the Trace is the reference model: "last" or "first".
        seed: of the order of equal perplexities.

    Example:
        >>> from hf_datasel import Trace
        >>> losses = Trace.from_arrays(ids=range(5), values=[[0.1], [2.0], [1.0], [9.0], [1.5]])
        >>> MiddlePerplexitySelector(budget=3).select(losses).ids.tolist()
        [1, 2, 4]
    """

    budget: int | float
    at: Checkpoint = "last"

    name: ClassVar[str] = "middle_perplexity"
    metrics: ClassVar[tuple[str, ...]] = ("loss", "influence")
    is_random: ClassVar[bool] = False

    def _check(self) -> None:
        super()._check()
        self._require_one_of("at", self.at, CHECKPOINTS)

    def _choose(self, pool: Pool, budget: int) -> Choice:
        if pool.trace.metric not in self.metrics:
            raise ValueError(
                "MiddlePerplexitySelector reads a Trace of the metric 'loss' or 'influence', recorded by "
                f"LossTrajectoryCallback or GradientTraceCallback, not one of {pool.trace.metric!r}."
            )
        losses = Recorded.candidates(pool).losses(type(self).__name__).at(self.at)
        scores = perplexities(losses).astype(np.float32)
        kept = self._choose_again(Published.of_pool(pool, scores=scores), budget)
        ends = {"lowest": float(scores[kept].min()), "highest": float(scores[kept].max())}
        counts = pool.count_by_stratum(kept)
        return Choice(kept, scores=scores, details={**ends, **({"strata": counts} if counts else {})})

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        scores = published.require("scores", type(self).__name__)
        return keep_middle_of_each(scores, *published.strata(), budget, np.random.default_rng(self.seed))

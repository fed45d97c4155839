"""Random: uniform without replacement, the baseline that every method has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_datasel.functional.allocation import sample_clusters
from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class RandomSelector(Selector):
    """Keep a uniform random subset; with strata, uniform inside each, shared out as S2L shares its budget.

    Example:
        >>> from hf_datasel import Trace
        >>> trace = Trace.from_arrays(ids=range(100), values=np.ones((100, 2)))
        >>> len(RandomSelector(budget=0.11, seed=0).select(trace))
        11
    """

    budget: int | float

    name: ClassVar[str] = "random"
    reads_values: ClassVar[bool] = False

    def _choose(self, pool: Pool, budget: int) -> Choice:
        codes = np.zeros(len(pool.ids), np.int32) if pool.codes is None else pool.codes
        generator = np.random.default_rng(self.seed)
        kept = sample_clusters(codes, max(1, len(pool.stratum_names)), budget, generator)
        counts = {name: int(kept[codes == code].sum()) for code, name in enumerate(pool.stratum_names)}
        return Choice(kept, details={"strata": counts} if counts else {})

"""Random: uniform without replacement, the baseline that every method has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.allocation import sample_clusters
from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.pool import Pool
from hf_datasel.selectors.published import Published


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
        kept = self._choose_again(Published.of_pool(pool), budget)
        counts = pool.count_by_stratum(kept)
        return Choice(kept, details={"strata": counts} if counts else {})

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        codes, num_strata = published.strata()
        return sample_clusters(codes, num_strata, budget, np.random.default_rng(self.seed))

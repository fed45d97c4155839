"""Full: everything that can be chosen, the yardstick that a selection is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.pool import Pool
from hf_datasel.selectors.published import Published


@dataclass(frozen=True, kw_only=True)
class FullSelector(Selector):
    """Keep every candidate; the seed is not used.

    Args:
        budget: None or 1.0; anything else is refused.

    Example:
        >>> from hf_datasel import Trace
        >>> len(FullSelector().select(Trace.from_arrays(ids=range(100), values=np.ones((100, 2)))))
        100
    """

    budget: float | None = None

    name: ClassVar[str] = "full"
    reads_values: ClassVar[bool] = False
    is_random: ClassVar[bool] = False

    def resolve_budget(self, num_candidates: int) -> int:
        """All candidates; raises ValueError for a budget other than None or 1.0."""
        if self.budget is not None and not (isinstance(self.budget, (float, np.floating)) and self.budget == 1):
            raise ValueError(
                f"budget={self.budget!r} is none for FullSelector, which keeps everything: leave it out, or choose "
                "another selector."
            )
        return num_candidates

    def _choose(self, pool: Pool, budget: int) -> Choice:
        return Choice(self._choose_again(Published.of_pool(pool), budget))

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        return np.ones(budget, bool)

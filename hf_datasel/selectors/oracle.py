"""Oracle: keep the clean rows only, where an experiment corrupted the others itself and knows which.

No method but a yardstick: CLUES (arXiv 2507.03004) states its results as a share of what the oracle reaches. The Trace
holds 1 for a clean row and 0 for a corrupted one; high is good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.score import RowScoreSelector

METRIC = "clean"


@dataclass(frozen=True, kw_only=True)
class OracleSelector(RowScoreSelector):
    """Keep every row marked 1 in the last column of a Trace of the metric "clean", or `budget` of them at random.

    Args:
        budget: how many of the clean rows; without it all of them.
        threshold: 1, if at all.
        seed: of the draw.
        column, good: not of `select`, but of what makes its Trace (`compare_selections`, `SelectingSFTTrainer`): the
            column of the rows that says which are clean, and the value that clean ones have in it.

    Example:
        >>> from hf_datasel import Trace
        >>> known = Trace.from_arrays(ids=[0, 1, 2], values=[[1], [0], [1]], metric="clean")
        >>> OracleSelector().select(known).ids.tolist()
        [0, 2]
    """

    column: str | None = None
    good: bool | int | str = True

    name: ClassVar[str] = "oracle"
    is_random: ClassVar[bool] = True
    direction: ClassVar[Literal["high", "low"]] = "high"
    metrics: ClassVar[tuple[str, ...]] = (METRIC,)
    recorded_by: ClassVar[str] = (
        "record_truth(dataset, column), or Trace.from_arrays(ids, clean[:, None], metric='clean')"
    )
    default_threshold: ClassVar[float | str | None] = 1.0

    def _eligible(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        return scores == 1

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        clean = rows.last().astype(np.float64)
        other = ~np.isin(clean, (0.0, 1.0))
        if other.any():
            row = int(other.argmax())
            raise ValueError(f"OracleSelector: example {rows.ids[row]} has {clean[row]:g} for 1 (clean) or 0 (not).")
        return clean

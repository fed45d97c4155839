"""Longest responses: keep the examples whose answers are longest.

Zhao, Andriushchenko, Croce, Flammarion, "Long Is More for Alignment: A Simple but Tough-to-Beat Baseline for
Instruction Fine-Tuning", ICML 2024, arXiv 2402.04833, who keep the 1,000 longest answers of instruction sets:

    keep the B examples of largest  n_i,  the length of the answer in tokens, or in characters;

high is good, and a method that costs a training should beat it. It cannot tell a thorough answer from one that
rambles, and where some tasks have short answers by nature it prefers the others: look at `strata`.

`record_lengths` measures; no model is needed. Cost: one pass over the texts, then O(M).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.score import RowScoreSelector

METRIC = "length"


@dataclass(frozen=True, kw_only=True)
class LongestSelector(RowScoreSelector):
    """Keep the examples of longest answer, read from a Trace of the metric "length".

    Args:
        budget, threshold, alpha, seed: see `ScoreSelector`; a threshold is in what was recorded, characters or tokens.

    Example:
        >>> from hf_datasel import Trace
        >>> lengths = Trace.from_arrays(ids=[0, 1, 2], values=[[12], [340], [56]], metric="length")
        >>> LongestSelector(budget=2).select(lengths).ids.tolist()
        [1, 2]
    """

    name: ClassVar[str] = "longest"
    direction: ClassVar[Literal["high", "low"]] = "high"
    metrics: ClassVar[tuple[str, ...]] = (METRIC,)
    recorded_by: ClassVar[str] = "record_lengths"

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        return rows.last().astype(np.float64)

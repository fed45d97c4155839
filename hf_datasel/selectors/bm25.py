"""BM25: keep the examples that a search for the validation rows finds first.

Robertson, Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", Foundations and Trends in Information
Retrieval 3(4), 2009. `record_bm25` gives every example its score as a document for each validation row as a query, and
takes the mean over these rows, or the largest; the formula stands in `functional/bm25.py`:

    keep the B examples of largest score;    high is good.

Words alone, no model: on several boards it beats gradients, and a method that reads a validation set should beat it.

Cost: a pass over the texts (1.5 s for 27,000 rows of 110 words, on one core), then O(M).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.score import RowScoreSelector

METRIC = "bm25"


@dataclass(frozen=True, kw_only=True)
class BM25Selector(RowScoreSelector):
    """Keep the examples of highest BM25 score, read from a Trace of the metric "bm25".

    Args:
        budget, threshold, alpha, seed: see `ScoreSelector`.

    Example:
        >>> from hf_datasel import Trace
        >>> scores = Trace.from_arrays(ids=[0, 1, 2], values=[[0.4], [7.1], [2.2]], metric="bm25")
        >>> BM25Selector(budget=1).select(scores).ids.tolist()
        [1]
    """

    name: ClassVar[str] = "bm25"
    direction: ClassVar[Literal["high", "low"]] = "high"
    metrics: ClassVar[tuple[str, ...]] = (METRIC,)
    recorded_by: ClassVar[str] = "record_bm25"

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        return rows.last().astype(np.float64)

"""Perplexity: keep the examples that the trained model finds likely.

PPL(z) = exp(mean NLL of the response's tokens given the prompt); low is good. A baseline of CLUES (Zhao et al.,
NeurIPS 2024, arXiv 2507.03004) and of much else, and a strong one: always report it beside the others. It notices
answers that do not belong to their prompt and hardly those that are cut short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.score import RowScoreSelector

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class PerplexitySelector(RowScoreSelector):
    """Keep the examples of lowest perplexity at the last checkpoint of a Trace of losses.

    The Trace may also be an influence Trace, whose companion "loss" is then read. The scores are perplexities, at most
    the largest float32.

    Args:
        budget, threshold, alpha, seed: see `ScoreSelector`.

    Example:
        >>> from hf_datasel import Trace
        >>> losses = Trace.from_arrays(ids=[0, 1, 2], values=[[3.0, 0.5], [3.0, 2.5], [2.0, 1.5]])
        >>> PerplexitySelector(threshold=5.0).select(losses).ids.tolist()
        [0, 2]
    """

    name: ClassVar[str] = "perplexity"
    direction: ClassVar[Literal["high", "low"]] = "low"
    metrics: ClassVar[tuple[str, ...]] = ("loss", "influence")
    recorded_by: ClassVar[str] = "LossTrajectoryCallback or GradientTraceCallback"

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        return perplexities(rows.losses(type(self).__name__).last())


def perplexities(losses: NDArray[np.float32]) -> NDArray[np.float64]:
    """exp of mean losses, at most the largest float32, float64 [n]."""
    return np.exp(np.minimum(losses.astype(np.float64), np.log(LARGEST)))

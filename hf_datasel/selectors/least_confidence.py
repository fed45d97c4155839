"""Least confidence: keep the answers that the model is least sure of.

A baseline of S2L (Yang et al., NeurIPS 2024, arXiv 2403.07384), the oldest rule of active learning (Lewis, Gale, "A
Sequential Algorithm for Training Text Classifiers", SIGIR 1994). For an answer of many tokens the confidence is taken
as the geometric mean of the tokens' probabilities, exp(-l_i), so that the rule is

    keep the B examples of largest  l_i,  the mean NLL of the answer's tokens given the prompt;

high is good. It also prefers answers that are wrong or do not belong to their prompt: clean first.

The reference model is early ("first", where training has hardly begun) or fully tuned ("last"); the two disagree, so
comparisons run both. Cost: one Trace of losses (a training of the reference, and a sweep a checkpoint), then O(M).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.recorded import CHECKPOINTS, Checkpoint, Recorded
from hf_datasel.selectors.score import RowScoreSelector


@dataclass(frozen=True, kw_only=True)
class LeastConfidenceSelector(RowScoreSelector):
    """Keep the examples of highest loss at one checkpoint of a Trace of losses.

    The Trace may also be an influence Trace, whose companion "loss" is then read. The scores are the losses, in nats a
    token.

    Args:
        budget, threshold, alpha, seed: see `ScoreSelector`.
        at: which checkpoint of the Trace is the reference model: "last" or "first".

    Example:
        >>> from hf_datasel import Trace
        >>> losses = Trace.from_arrays(ids=[0, 1, 2], values=[[3.0, 0.5], [1.0, 2.5], [2.0, 1.5]])
        >>> [LeastConfidenceSelector(budget=1, at=at).select(losses).ids.tolist() for at in ("first", "last")]
        [[0], [1]]
    """

    at: Checkpoint = "last"

    name: ClassVar[str] = "least_confidence"
    direction: ClassVar[Literal["high", "low"]] = "high"
    metrics: ClassVar[tuple[str, ...]] = ("loss", "influence")
    recorded_by: ClassVar[str] = "LossTrajectoryCallback or GradientTraceCallback"

    def _check(self) -> None:
        super()._check()
        self._require_one_of("at", self.at, CHECKPOINTS)

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        return rows.losses(type(self).__name__).at(self.at).astype(np.float64)

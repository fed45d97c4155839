"""High learnability: keep the examples whose loss fine-tuning lowers most.

Zhou, Liu, Ma, Yuan, Liu, You, Yang, "LoBaSS: Gauging Learnability in Supervised Fine-tuning Data", 2023, arXiv
2310.13008; a baseline of S2L (Yang et al., NeurIPS 2024, arXiv 2403.07384). With l_i the mean NLL of the answer's
tokens,

    learnability_i = l_i(pretrained) - l_i(fine-tuned),    by option divided by l_i(pretrained);

high is good: hard before, easy after. What is learned by heart, a wrong answer too, also has a high one.

The first checkpoint of the Trace stands for the pretrained model, the last one for the fine-tuned: record with
LossTrajectoryCallback(..., checkpoint_fractions=[0, 1]), where 0 is before training. A later first checkpoint measures
what was learned since then only; the provenance says at which steps ("pretrained_step", "fine_tuned_step"). Cost: a
training of the reference and two sweeps, then O(M).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.score import RowScoreSelector


@dataclass(frozen=True, kw_only=True)
class HighLearnabilitySelector(RowScoreSelector):
    """Keep the examples whose loss fell most from the first to the last checkpoint of a Trace of losses.

    The Trace may also be an influence Trace, whose companion "loss" is then read. The scores are in nats a token, or
    shares of the first loss where `relative`.

    Args:
        budget, threshold, alpha, seed: see `ScoreSelector`; `threshold=0.0` keeps what was learned at all.
        relative: divide by the first loss, which must then be positive.

    `select` raises ValueError for a Trace of a single checkpoint.

    Example:
        >>> from hf_datasel import Trace
        >>> losses = Trace.from_arrays(ids=[0, 1, 2], values=[[4.0, 2.0], [1.0, 0.1], [2.0, 2.5]])
        >>> [HighLearnabilitySelector(budget=1, relative=how).select(losses).ids.tolist() for how in (False, True)]
        [[0], [1]]
    """

    relative: bool = False

    name: ClassVar[str] = "high_learnability"
    direction: ClassVar[Literal["high", "low"]] = "high"
    metrics: ClassVar[tuple[str, ...]] = ("loss", "influence")
    recorded_by: ClassVar[str] = "LossTrajectoryCallback or GradientTraceCallback"

    def _check(self) -> None:
        super()._check()
        self._require_bool("relative", self.relative)

    def _score(
        self, candidates: Recorded, anchors: Recorded | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, dict[str, Any]]:
        values, anchor_values, details = super()._score(candidates, anchors)
        first, *_, last = candidates.trace.steps.tolist()
        return values, anchor_values, {**details, "pretrained_step": first, "fine_tuned_step": last}

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        losses = rows.losses(type(self).__name__)
        if losses.trace.num_checkpoints < 2:
            raise ValueError(
                f"HighLearnabilitySelector compares losses before and after fine-tuning, but {rows.what} has the "
                f"single checkpoint of step {losses.trace.steps[0]}: record at least two, as with "
                "LossTrajectoryCallback(..., checkpoint_fractions=[0, 1])."
            )
        before, after = losses.first().astype(np.float64), losses.last().astype(np.float64)
        if not self.relative:
            return before - after
        if not (before > 0).all():
            row = int(np.argmin(before > 0))
            raise ValueError(
                f"HighLearnabilitySelector(relative=True) divides by the first loss, which is {before[row]:g} for "
                f"example {rows.ids[row]} of {rows.what}: pass relative=False, or leave the example out with within=."
            )
        return (before - after) / before

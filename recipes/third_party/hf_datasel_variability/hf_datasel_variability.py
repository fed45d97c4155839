"""Variability: keep the examples that a model is least settled about while it trains.

Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics", EMNLP 2020,
arXiv 2009.10795. Over T checkpoints the variability of an example is the standard deviation of the probability that
the model gives to its label; the ambiguous examples, of high variability, are those worth keeping. The paper is about
classification: here the probability is exp(-loss), the geometric mean over the tokens of a response.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors import Recorded, RowScoreSelector


@dataclass(frozen=True, kw_only=True)
class VariabilitySelector(RowScoreSelector):
    """Keep the examples of highest variability over the checkpoints of a Trace of losses.

    Args:
        budget, threshold, alpha, seed: see `hf_datasel.selectors.ScoreSelector`.
        skip: leave out so many of the first checkpoints, at which everything changes.
    """

    skip: int = 0

    name: ClassVar[str] = "variability"
    direction: ClassVar[Literal["high", "low"]] = "high"
    metrics: ClassVar[tuple[str, ...]] = ("loss",)
    recorded_by: ClassVar[str] = "LossTrajectoryCallback"

    def _check(self) -> None:
        super()._check()
        self._require_int("skip", self.skip, 0)

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        num_checkpoints = rows.trace.num_checkpoints - self.skip
        if num_checkpoints < 2:
            raise ValueError(
                f"skip={self.skip} of VariabilitySelector leaves {max(num_checkpoints, 0)} of "
                f"{rows.trace.num_checkpoints} checkpoints, too few to vary over: lower it, or record more."
            )
        scores = np.empty(len(rows))
        for where, losses in rows.blocks():
            scores[where] = np.exp(-losses[:, self.skip :].astype(np.float64)).std(axis=1)
        return scores

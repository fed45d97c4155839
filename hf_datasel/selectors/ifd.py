"""IFD: keep the answers that their instruction helps least to predict.

Li, Zhang, Li, Chen, Chen, Cheng, Wang, Zhou, Xiao, "From Quantity to Quality: Boosting LLM Performance with
Self-Guided Data Selection for Instruction Tuning" (Cherry LLM), NAACL 2024, arXiv 2308.12032. The
instruction-following difficulty

    IFD(q, a) = NLL(a | q) / NLL(a),     both the mean over the answer's tokens,

is high for an answer that is still hard once the instruction is known; high is good. Above 1 the instruction makes the
answer less likely, as where the two do not belong together: the paper's code drops those first (`cherry=True`). CLUES,
which takes IFD as a baseline, does not, and then mismatched answers rank highest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.score import RowScoreSelector


@dataclass(frozen=True, kw_only=True)
class IFDSelector(RowScoreSelector):
    """Keep the examples of highest IFD, read from the last checkpoint of a Trace of the metric "ifd".

    Args:
        budget, threshold, alpha, seed: see `ScoreSelector`; a budget's share is of all candidates, those dropped too.
        cherry: never keep an IFD above 1, as Cherry LLM's code does.

    Example:
        >>> from hf_datasel import Trace
        >>> ifd = Trace.from_arrays(ids=[0, 1, 2], values=[[1.2], [0.9], [0.3]], metric="ifd")
        >>> IFDSelector(budget=1).select(ifd).ids.tolist(), IFDSelector(budget=1, cherry=True).select(ifd).ids.tolist()
        ([0], [1])
    """

    cherry: bool = False

    name: ClassVar[str] = "ifd"
    direction: ClassVar[Literal["high", "low"]] = "high"
    metrics: ClassVar[tuple[str, ...]] = ("ifd",)
    recorded_by: ClassVar[str] = "record_ifd"

    def _check(self) -> None:
        super()._check()
        self._require_bool("cherry", self.cherry)

    def _eligible(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        return scores <= 1 if self.cherry else super()._eligible(scores)

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        return rows.last().astype(np.float64)

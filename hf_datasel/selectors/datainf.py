"""DataInf: keep the examples that, by a closed form of the influence function, lower the validation loss.

Kwon, Wu, Wu, Zou, "DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and Diffusion Models", ICLR 2024,
arXiv 2310.00902. For each layer, with v the mean validation gradient, g_i the gradients of n training examples and
lambda = 0.1 mean(g^2),

    h = 1 / (n lambda) sum_i [v - (v . g_i) / (lambda + |g_i|^2) g_i],      I_k = - h . g_k    summed over layers.

I_k is how the validation loss moves as example k gains weight: low (negative) is helpful. The influences are recorded
in training; here they are only ranked or cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.score import RowScoreSelector


@dataclass(frozen=True, kw_only=True)
class DataInfSelector(RowScoreSelector):
    """Keep the examples of lowest influence I_k, read from the last checkpoint of a Trace of the metric "datainf".

    Args:
        budget, threshold, alpha, seed: see `ScoreSelector`; `threshold=0.0` keeps what helps at all.

    Example:
        >>> from hf_datasel import Trace
        >>> influence = Trace.from_arrays(ids=[0, 1, 2], values=[[0.5], [-2.0], [-0.1]], metric="datainf")
        >>> DataInfSelector(threshold=0.0).select(influence).ids.tolist()
        [1, 2]
    """

    name: ClassVar[str] = "datainf"
    direction: ClassVar[Literal["high", "low"]] = "low"
    metrics: ClassVar[tuple[str, ...]] = ("datainf",)
    recorded_by: ClassVar[str] = "record_datainf"

    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        return rows.last().astype(np.float64)

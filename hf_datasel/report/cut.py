"""Where a Selection cut its candidates' scores: which scores are good, and the last that was kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selection import Selection


@dataclass(frozen=True, eq=False)
class Cut:
    """How the scores of a Selection divide it.

    Args:
        direction: "high" or "low", which scores are good.
        value: kept are the scores from here on, as far as they may be kept; None where kept and dropped scores
            overlap (strata, draws) or nothing was dropped.
        goodness: float64 [M], the scores with the sign that makes high good.
    """

    direction: str
    value: float | None
    goodness: NDArray[np.float64]

    @property
    def side(self) -> str:
        """Where from the cut the kept ones lie, in words."""
        return "or more" if self.direction == "high" else "or less"


def find_cut(selection: Selection) -> Cut:
    """Read the cut off the last step of the provenance and the scores.

    Raises:
        ValueError: the Selection has no scores, or one that is not finite (its example id is named).

    Example:
        >>> scores = np.float32([0.5, 3.0, 1.0])
        >>> find_cut(Selection(candidate_ids=np.arange(3), kept=scores > 0.75, scores=scores)).value
        1.0
    """
    if selection.scores is None:
        raise ValueError("This Selection has no scores: its method gives none.")
    scores = np.asarray(selection.scores, np.float64)
    finite = np.isfinite(scores)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(
            f"The score of example {selection.candidate_ids[row]} is {scores[row]}: only finite scores can be shown. "
            "Select again."
        )
    details: dict[str, Any] = selection.provenance[-1].get("details", {}) if selection.provenance else {}
    direction = "low" if details.get("direction") == "low" else "high"
    sign = -1.0 if direction == "low" else 1.0
    goodness = sign * scores
    threshold = details.get("threshold")
    if details.get("rule", "budget") != "budget" and isinstance(threshold, float) and math.isfinite(threshold):
        return Cut(direction, threshold, goodness)
    worst_kept = goodness[selection.kept].min(initial=np.inf)
    best_dropped = goodness[~selection.kept].max(initial=-np.inf)
    clean = np.isfinite(best_dropped) and best_dropped <= worst_kept < np.inf
    return Cut(direction, float(sign * worst_kept) if clean else None, goodness)

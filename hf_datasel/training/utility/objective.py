"""From the metric of each group of dev rows to the utility: their mean, the worst of them, or a weighted mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Objective = Literal["mean", "worst_group"] | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of dev rows and what their metrics are made into.

    Args:
        labels: of each dev row; None for a single group.
        column: where they come from, for messages.
        objective: "mean" of the groups' metrics, each counting alike however many rows it has; "worst_group", the
            smallest of them; or a weight for each group, for the mean weighted by it.

    Raises:
        ValueError: an objective that is not known or needs groups, a group without a weight, a weight without a
            group, or weights that are negative or all 0.

    Example:
        >>> groups = Groups(["en", "zh", "en"], "language", {"en": 1.0, "zh": 3.0})
        >>> [rows.tolist() for rows in groups.rows(3)], groups.combine([0.5, 0.1])
        ([[0, 2], [1]], 0.2)
    """

    labels: list[str] | None
    column: str | None
    objective: Objective

    def __post_init__(self) -> None:
        objective = self.objective
        if isinstance(objective, Mapping):
            self._check_weights(objective)
        elif objective not in ("mean", "worst_group"):
            raise ValueError(f"objective={objective!r} must be 'mean', 'worst_group', or a weight for each group.")
        if objective != "mean" and self.labels is None:
            raise ValueError(f"objective={objective!r} needs groups: name a column of validation_dataset in groups=.")

    @property
    def names(self) -> list[str]:
        """Of the groups, sorted."""
        return sorted(set(self.labels or []))

    def rows(self, num_rows: int) -> list[NDArray[np.int64]]:
        """The dev rows of each group, or of the single one."""
        if self.labels is None:
            return [np.arange(num_rows)]
        labels = np.array(self.labels)
        return [np.flatnonzero(labels == name) for name in self.names]

    def combine(self, metrics: list[float]) -> float:
        """The utility: from the metric of each group, in the order of :attr:`names`."""
        if self.objective == "worst_group":
            return min(metrics)
        weights = [1.0] * len(metrics)
        if isinstance(self.objective, Mapping):
            weights = [float(self.objective[name]) for name in self.names]
        return math.fsum(w * m for w, m in zip(weights, metrics, strict=True)) / math.fsum(weights)

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        objective = dict(self.objective) if isinstance(self.objective, Mapping) else self.objective
        return {"groups": self.column, "objective": objective}

    def _check_weights(self, weights: Mapping[str, float]) -> None:
        odd = sorted(weights.keys() ^ set(self.names))
        if odd and self.labels is not None:
            problem = (
                "has no weight" if odd[0] in self.names else f"is not in column {self.column!r} of validation_dataset"
            )
            raise ValueError(f"objective: group {odd[0]!r} {problem}; the groups are {self.names}.")
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
            raise ValueError(f"objective={dict(weights)}: weights must be numbers from 0 on, not all of them 0.")

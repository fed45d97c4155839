"""When the top of a ranking is known well enough to stop asking.

Let T be the k players with the highest estimates x_i, k = ceil(share * n), c the middle between the k-th and the next
estimate, and s_i the standard errors. Were the errors normal, player i of T would truly lie above the cut with
probability Phi((x_i - c) / s_i). The ranking is stable at a look if the mean of that over T, the share of the top
expected to belong there, reaches `probability`, and sampling stops after `patience` such looks in a row. Estimates
that no evaluation has moved yet have the mean 1/2 and are never stable, however little they change. Errors taken from
a few permutations wander; patience is for that.

Legend: n players.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hf_datasel.functional.valuation.estimate import Vector, require_int


@dataclass(frozen=True, kw_only=True)
class StopWhenStable:
    """Stop once the top share of the ranking is known.

    Args:
        top_share: of the players, in (0, 1): what a selection would keep.
        probability: share of the top that has to belong there, as expected from the standard errors, in (0.5, 1).
        patience: looks in a row at which it has to be so.
        every: evaluations between looks; a look waits for the end of a permutation.
    """

    top_share: float = 0.1
    probability: float = 0.9
    patience: int = 3
    every: int = 50

    def check(self) -> None:
        """Raise ValueError for an option that is out of range."""
        if not 0 < self.top_share < 1:
            raise ValueError(f"top_share={self.top_share!r} must be a share between 0 and 1.")
        if not 0.5 < self.probability < 1:
            raise ValueError(
                f"probability={self.probability!r} must lie between 0.5, which a ranking by chance reaches, and 1."
            )
        require_int("patience", self.patience, 1)
        require_int("every", self.every, 1)


class Looks:
    """Counts looks at a growing estimate; without a rule it is never stable."""

    def __init__(self, rule: StopWhenStable | None) -> None:
        self._rule, self._in_a_row = rule, 0

    def is_stable(self, values: Vector, standard_errors: Vector) -> bool:
        """Whether to stop after this look."""
        if self._rule is None:
            return False
        settled = known_share_of_top(values, standard_errors, self._rule.top_share) >= self._rule.probability
        self._in_a_row = self._in_a_row + 1 if settled else 0
        return self._in_a_row >= self._rule.patience


def split_into_rounds(total: int, unit: int, rule: StopWhenStable | None) -> Iterator[int]:
    """Sizes of the rounds between looks: everything at once without a rule, else multiples of a unit of evaluations.

    Args:
        total: units in all.
        unit: evaluations in one.
        rule: of stopping.

    Example:
        >>> list(split_into_rounds(10, 20, StopWhenStable(every=50))), list(split_into_rounds(10, 20, None))
        ([3, 3, 3, 1], [10])
    """
    size = total if rule is None else math.ceil(rule.every / max(unit, 1))
    for start in range(0, total, size):
        yield min(size, total - start)


def known_share_of_top(values: Vector, standard_errors: Vector, top_share: float) -> float:
    """Share of the top expected to belong there; NaN where a standard error of it is unknown.

    Args:
        values: float64 [n].
        standard_errors: float64 [n].
        top_share: in (0, 1).

    Example:
        >>> round(known_share_of_top(np.array([3.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0]), 0.3), 4)
        0.8413
    """
    n = len(values)
    num_top = min(math.ceil(top_share * n), n - 1)
    if num_top < 1:
        return 1.0
    ranked = np.argsort(-values, kind="stable")
    cut = (values[ranked[num_top - 1]] + values[ranked[num_top]]) / 2
    top = ranked[:num_top]
    total = 0.0
    for distance, error in zip((values[top] - cut).tolist(), standard_errors[top].tolist(), strict=True):
        if error == 0:
            total += 1.0 if distance > 0 else 0.5
        else:
            total += (1 + math.erf(distance / (error * math.sqrt(2)))) / 2
    return total / num_top

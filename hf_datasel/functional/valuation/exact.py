"""Shapley and Banzhaf values of small games, from v of every coalition.

    Shapley:  phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))       (Shapley, 1953)
    Banzhaf:  beta_i = 2^-(n - 1) sum over S without i of (v(S + i) - v(S))                    (Banzhaf, 1965)

Legend: n players.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.valuation.estimate import (
    VALUES,
    Coalitions,
    Estimate,
    Game,
    Progress,
    Questions,
    Value,
    Vector,
    require_int,
    require_one_of,
)

MOST_PLAYERS = 16


def all_coalitions(num_players: int) -> Coalitions:
    """Every coalition, bool [2^n, n]: row r holds player i if bit i of r is set.

    Example:
        >>> all_coalitions(2).astype(int).tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    rows = np.arange(1 << num_players)
    return (rows[:, None] >> np.arange(num_players) & 1).astype(bool)


def exact_values(answers: Vector, value: Value) -> Vector:
    """Values of n players from v of all coalitions, float64 [2^n] in the order of `all_coalitions`.

    Example:
        >>> exact_values(np.array([0.0, 0.0, 0.0, 6.0]), "shapley").tolist()
        [3.0, 3.0]
    """
    n = len(answers).bit_length() - 1
    rows = np.arange(len(answers))
    sizes = all_coalitions(n).sum(axis=1)
    if value == "shapley":
        weights = np.array([1 / (n * math.comb(n - 1, size)) for size in range(n)])
    else:
        weights = np.full(n, 0.5 ** (n - 1))
    values = np.empty(n)
    for i in range(n):
        without = rows[rows >> i & 1 == 0]
        values[i] = weights[sizes[without]] @ (answers[without | 1 << i] - answers[without])
    return values


@dataclass(frozen=True, kw_only=True)
class ExactEstimator:
    """Ask for all 2^n coalitions, of at most 16 players.

    The standard errors are 0: no coalition is left to chance. Noise of the evaluations themselves is not seen.

    Args:
        value: "shapley" or "banzhaf".
        batch_size: coalitions in one call of the game; the answer does not depend on it.

    Example:
        >>> majority = lambda coalitions: (coalitions.sum(axis=1) >= 2).astype(float)
        >>> ExactEstimator().estimate(majority, 3, seed=0).values.round(4).tolist()
        [0.3333, 0.3333, 0.3333]
    """

    value: Value = "shapley"
    batch_size: int = 64

    name: ClassVar[str] = "exact"

    def estimate(
        self,
        game: Game,
        num_players: int,
        *,
        features: NDArray[np.float32] | None = None,
        seed: int,
        progress: Progress | None = None,
    ) -> Estimate:
        """See `Estimator.estimate`; neither features nor the seed matter."""
        require_one_of("value", self.value, VALUES)
        require_int("num_players", num_players, 1)
        if num_players > MOST_PLAYERS:
            raise ValueError(
                f"ExactEstimator asks for all 2^n coalitions and takes at most {MOST_PLAYERS} players, not "
                f"{num_players}: use RegressionEstimator, or fewer clusters."
            )
        total = 1 << num_players
        questions = Questions(game, num_players, planned=total, batch_size=self.batch_size, progress=progress)
        values = exact_values(questions.ask(all_coalitions(num_players)), self.value)
        everything = np.full(num_players, total, np.int64)
        return Estimate(values, np.zeros(num_players), everything, total, {"value": self.value})

"""A cooperative game, what an estimator says of its players, and how it asks.

Players are clusters' proxies; a coalition is a subset S of them; v(S) is the utility of the model trained on S.

Legend: n players, m coalitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Coalitions = NDArray[np.bool_]
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Game = Callable[[Coalitions], Vector]  # bool [m, n] -> float64 [m]
Progress = Callable[[int, int], None]  # evaluations done, evaluations planned
Value = Literal["shapley", "banzhaf"]
VALUES = ("shapley", "banzhaf")

NAMED_PLAYERS = 8  # of a coalition, in an error


@dataclass(frozen=True, eq=False)
class Estimate:
    """Values of n players and how well they are known.

    Args:
        values: float64 [n], finite, in units of v.
        standard_errors: float64 [n], of one standard deviation, in units of v; NaN where unknown.
        num_evaluations: int64 [n], evaluations that bear on the player.
        total_evaluations: coalitions asked for.
        details: what the estimator found out beside, as JSON can hold it.
    """

    values: Vector
    standard_errors: Vector
    num_evaluations: NDArray[np.int64]
    total_evaluations: int
    details: dict[str, Any] = field(default_factory=dict)


class Estimator(Protocol):
    """Frozen hyperparameters that turn a game into an `Estimate`."""

    name: ClassVar[str]

    def estimate(
        self,
        game: Game,
        num_players: int,
        *,
        features: NDArray[np.float32] | None = None,
        seed: int,
        progress: Progress | None = None,
    ) -> Estimate:
        """Ask for coalitions that depend on the seed and on earlier answers alone, and value the players.

        Args:
            game: v, of several coalitions at once.
            num_players: n.
            features: float32 [n, d], read by the estimators that say so.
            seed: non-negative.
            progress: called with the evaluations done and planned, after each batch.

        Raises:
            ValueError: a hyperparameter or n out of range, or an answer of the game that is not finite.
        """


class Questions:
    """Asks a game in batches, refuses answers that are no numbers, and counts.

    Args:
        game: v.
        num_players: n.
        planned: evaluations at most; more are a mistake of the estimator's, not the user's.
        batch_size: coalitions in one call.
        progress: see `Estimator.estimate`.
    """

    def __init__(
        self, game: Game, num_players: int, *, planned: int, batch_size: int, progress: Progress | None
    ) -> None:
        require_int("num_players", num_players, 1)
        require_int("batch_size", batch_size, 1)
        self._game, self._num_players, self._batch_size, self._progress = game, num_players, batch_size, progress
        self.planned, self.asked = planned, 0

    def ask(self, coalitions: Coalitions) -> Vector:
        """v of each coalition, float64 [m].

        Raises:
            ValueError: an answer is NaN or infinite; names the coalition.
            TypeError: the game did not give one number a coalition.
        """
        if self.asked + len(coalitions) > self.planned:
            raise RuntimeError(f"{self.asked + len(coalitions)} evaluations exceed the {self.planned} planned.")
        answers = np.empty(len(coalitions))
        for start in range(0, len(coalitions), self._batch_size):
            batch = coalitions[start : start + self._batch_size]
            found = np.asarray(self._game(batch), np.float64)
            if found.shape != (len(batch),):
                raise TypeError(
                    f"The game gave an array of shape {found.shape} for {len(batch)} coalitions: it has to give one "
                    "number for each row, float64 [m] for bool [m, n]."
                )
            if not np.isfinite(found).all():
                row = int(np.argmin(np.isfinite(found)))
                raise ValueError(self._not_finite(batch[row], self.asked + row, float(found[row])))
            answers[start : start + len(batch)] = found
            self.asked += len(batch)
            if self._progress is not None:
                self._progress(self.asked, self.planned)
        return answers

    def _not_finite(self, coalition: NDArray[np.bool_], index: int, answer: float) -> str:
        members = np.flatnonzero(coalition)
        named = ", ".join(map(str, members[:NAMED_PLAYERS])) + (", ..." if len(members) > NAMED_PLAYERS else "")
        who = f"{len(members)} of {self._num_players} players" + (f" ({named})" if len(members) else "")
        return (
            f"v of coalition {index}, {who}, is {answer}, and no value can be drawn from that. Mend the utility (a "
            "training that fails or diverges has to raise, a metric has to be defined on the dev set) or leave these "
            "players out, then run again with the same seed: the same coalitions are asked for, and those that a "
            "ledger knows are not trained again."
        )


def is_number(value: Any) -> bool:
    """Whether it is a finite number, of Python's or numpy's kinds, and no bool."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def require_int(option: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise ValueError unless it is an int within these bounds."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{option}={value!r} must be an int {span}.")


def require_one_of(option: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless it is one of the choices."""
    if value not in choices:
        raise ValueError(f"{option}={value!r} must be one of {choices}.")

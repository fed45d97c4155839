"""What one row of a regression is: half the difference of two complements, or a single coalition of limited size.

Legend: n players, m rows, M the largest size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_datasel.functional.valuation.coalitions import size_law
from hf_datasel.functional.valuation.estimate import Coalitions, Matrix, Questions, Value, Vector

SPARE_ROWS = 3  # beyond the trend's functions: noise and the spread of the players are to be told apart


@dataclass(frozen=True)
class Form(ABC):
    """How coalitions are asked for, which trend in their size is removed, and at what level the values lie.

    Args:
        num_players: n.
        value: "shapley" or "banzhaf".
        largest: M, n where there is no limit.
    """

    num_players: int
    value: Value
    largest: int

    per_row: ClassVar[int]  # evaluations

    @property
    @abstractmethod
    def ends(self) -> Coalitions:
        """Coalitions asked for once, before all others, bool [0 .. 2, n]."""

    @abstractmethod
    def ask(self, questions: Questions, coalitions: Coalitions) -> Vector:
        """Answers of rows, float64 [m]."""

    @abstractmethod
    def trend(self, sizes: Vector) -> Matrix:
        """The trend's functions at the rows' sizes, float64 [m, p]."""

    @abstractmethod
    def _level(self, coefficients: Vector, covariance: Matrix, ends: Vector, noise: float) -> tuple[float, float]:
        """The values' mean and its variance, from the trend's coefficients [p] and their covariance."""

    def level(self, left: Vector, trend: Matrix, weights: Vector, ends: Vector, noise: float) -> tuple[float, float]:
        """The values' mean and its variance.

        Args:
            left: answers less what the players explain, float64 [m].
            trend: float64 [m, p].
            weights: of the rows, float64 [m].
            ends: v of `ends`.
            noise: variance of a row.
        """
        root = np.sqrt(weights)
        inverse = np.linalg.pinv(root[:, None] * trend, rcond=1e-10)
        return self._level(inverse @ (root * left), noise * (inverse * weights) @ inverse.T, ends, noise)

    @property
    def least_rows(self) -> int:
        """Rows below which there is nothing to fit."""
        return self.trend(np.array([self.num_players / 2])).shape[1] + SPARE_ROWS


class Pairs(Form):
    """Complements: the row is (v(S) - v(N \\ S)) / 2, its trend is odd around n / 2."""

    per_row: ClassVar[int] = 2

    @property
    def ends(self) -> Coalitions:
        if self.value == "banzhaf":
            return np.empty((0, self.num_players), bool)
        return np.stack([np.ones(self.num_players, bool), np.zeros(self.num_players, bool)])

    def ask(self, questions: Questions, coalitions: Coalitions) -> Vector:
        answers = questions.ask(np.stack([coalitions, ~coalitions], axis=1).reshape(-1, self.num_players))
        return (answers[::2] - answers[1::2]) / 2

    def trend(self, sizes: Vector) -> Matrix:
        if self.value == "banzhaf":
            return sizes[:, None] - self.num_players / 2
        share = sizes / self.num_players
        return np.array([2 * share - 1, (2 * share - 1) ** 3, np.log(share / (1 - share))]).T

    def _level(self, coefficients: Vector, covariance: Matrix, ends: Vector, noise: float) -> tuple[float, float]:
        if self.value == "banzhaf":
            return float(coefficients[0]), float(covariance[0, 0])
        n = self.num_players
        return float(ends[0] - ends[1]) / n, 4 * noise / n**2  # a row is half a difference, this is a whole one


class Singles(Form):
    """Coalitions of at most M players; the trend's first function alone is not 0 at the reference size."""

    per_row: ClassVar[int] = 1

    @property
    def ends(self) -> Coalitions:
        return np.zeros((1, self.num_players), bool)

    def ask(self, questions: Questions, coalitions: Coalitions) -> Vector:
        return questions.ask(coalitions)

    def trend(self, sizes: Vector) -> Matrix:
        ratio = sizes / self._reference
        powers = [(ratio - 1) ** power for power in range(2 if self.value == "banzhaf" else 4)]
        logarithms = [] if self.value == "banzhaf" else [np.log(ratio)]
        return np.array([*powers, *logarithms]).T

    def _level(self, coefficients: Vector, covariance: Matrix, ends: Vector, noise: float) -> tuple[float, float]:
        variance = float(covariance[0, 0]) + noise
        return float(coefficients[0] - ends[0]) / self._reference, variance / self._reference**2

    @property
    def _reference(self) -> float:
        """The size that the level is measured at: M, or the mean of uniform coalitions, hardly less if M < n / 2."""
        if self.value == "shapley":
            return float(self.largest)
        law = size_law(self.num_players, self.value, self.largest)
        return float(law.probabilities @ law.sizes)

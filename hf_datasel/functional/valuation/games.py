"""A game whose values are known in closed form however many players it has: what estimators are measured against.

With weights w_i, W(S) their sum over S as a share of all, and

    v(S) = low + (high - low) (1 - exp(-r W(S))) / (1 - exp(-r)),

utility rises from `low` to `high` and saturates, as that of fine-tuning on more data does; a negative weight is a
cluster that does harm. With a_i = exp(-r w_i / W), Owen's multilinear extension (1972) gives both values: if every
other player takes part with probability t, independently, i adds

    f_i(t) = (high - low) / (1 - exp(-r)) (1 - a_i) prod over j != i of (1 - t + t a_j),

and Shapley's value is the integral of f_i over t from 0 to 1, Banzhaf's is f_i(1/2). The integrand is a polynomial of
degree n - 1, which Gauss and Legendre integrate exactly with n / 2 nodes; 128 are enough for any n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hf_datasel.functional.valuation.estimate import Coalitions, Value, Vector

MOST_NODES = 128


@dataclass(frozen=True, eq=False)
class SaturatingGame:
    """See the module.

    Args:
        weights: numbers [n], whose sum is not 0.
        low: v(empty).
        high: v(N).
        rate: r > 0, how soon it saturates.

    Example:
        >>> game = SaturatingGame([3.0, 1.0, -1.0], low=0.3, high=0.38, rate=2.0)
        >>> game(np.array([[False, False, False], [True, True, True]])).round(4).tolist()
        [0.3, 0.38]
        >>> round(float(game.exact_values("shapley").sum()), 4)
        0.08
    """

    weights: ArrayLike
    low: float
    high: float
    rate: float

    def __call__(self, coalitions: Coalitions) -> Vector:
        """v of m coalitions, bool [m, n] -> float64 [m]."""
        return self.low - self._scale * np.expm1(-(coalitions @ self._exponents))

    def exact_values(self, value: Value) -> Vector:
        """Shapley or Banzhaf values, float64 [n]."""
        exponents = self._exponents
        alone = -self._scale * np.expm1(-exponents)
        if value == "banzhaf":
            nodes, weights = np.array([0.5]), np.array([1.0])
        else:
            nodes, weights = np.polynomial.legendre.leggauss(min(math.ceil(len(exponents) / 2), MOST_NODES))
            nodes, weights = (nodes + 1) / 2, weights / 2
        logs = np.log1p(nodes[:, None] * np.expm1(-exponents))
        return alone * (weights @ np.exp(logs.sum(axis=1, keepdims=True) - logs))

    @property
    def _exponents(self) -> Vector:
        weights = np.asarray(self.weights, np.float64)
        return self.rate * weights / weights.sum()

    @property
    def _scale(self) -> float:
        return (self.high - self.low) / -math.expm1(-self.rate)

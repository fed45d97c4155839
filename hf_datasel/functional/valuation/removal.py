"""SHED's values: groups of players are removed one after another, and each member is credited with its group's loss.

He et al., "SHED: Shapley-Based Automated Dataset Refinement", NeurIPS 2024, arXiv 2405.00705. A random permutation of
the players is cut into groups G_1 .. G_B of `group_size`, the last may be smaller. With D_0 = N, D_b = D_(b-1) \\ G_b

    delta_b = v(D_(b-1)) - v(D_b),         S_i = mean over permutations of delta_b / |G_b|,   i in G_b.

`PaperEstimator` is that. For groups of one it is the permutation estimate of the Shapley value, without bias. For
larger groups the values add up to v(N) - v(empty) as Shapley's do, but each is mixed with those of its group: of an
additive game the estimate's mean is phi_i / g + (1 - 1 / g) times the mean of the others, about g times too close
together. The ranking survives, the differences do not.

`OfficialEstimator` is the arithmetic of the released code (`calculate_s.py`), which differs:

- every member is given delta_b whole, not divided by the group's size;
- deltas are summed over permutations, not averaged;
- v(empty) is a constant, 0, not measured, so the last group of each permutation is credited with all that the model
  can do without any training, and whoever once was in it leads the ranking.

Faults of the released code around it that are not kept: scores keyed by the text of the instruction, so that
duplicates merge; players whose deltas are all exactly 0 dropped; 19 of the 20 permutations that its script trains
counted; no seed. It trains v(N) again in every permutation; here it is asked for once.

Legend: n players, B groups, k permutations.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.valuation.estimate import (
    Coalitions,
    Estimate,
    Game,
    Matrix,
    Progress,
    Questions,
    Vector,
    is_number,
    require_int,
)
from hf_datasel.functional.valuation.stopping import Looks, StopWhenStable, split_into_rounds


@dataclass(frozen=True, kw_only=True)
class _RemovalEstimator(ABC):
    """What both share: permutations cut into groups, as many as the budget lets, and when to stop."""

    group_size: int = 60
    num_permutations: int = 10
    num_evaluations: int | None = None
    stop_when_stable: StopWhenStable | None = None
    batch_size: int = 64

    _num_ends: ClassVar[int]  # evaluations outside of the permutations

    def estimate(
        self,
        game: Game,
        num_players: int,
        *,
        features: NDArray[np.float32] | None = None,
        seed: int,
        progress: Progress | None = None,
    ) -> Estimate:
        """See `Estimator.estimate`; features are not read."""
        self._check(num_players)
        num_groups = math.ceil(num_players / self.group_size)
        unit = self._walks * (num_groups - 1)  # evaluations of a permutation, and of its reverse if that is walked
        num_units = self._affordable(unit, num_groups)
        planned = self._num_ends + num_units * unit
        questions = Questions(game, num_players, planned=planned, batch_size=self.batch_size, progress=progress)
        generator = np.random.default_rng(seed)
        full, empty = self._ask_ends(questions, num_players)
        shares, looks, is_stable = np.empty((0, num_players)), Looks(self.stop_when_stable), False
        for size in split_into_rounds(num_units, unit, self.stop_when_stable):
            groups = np.empty((size, num_players), np.int64)
            for row in groups:
                row[generator.permutation(num_players)] = np.arange(num_players) // self.group_size
            walks = np.stack([groups, num_groups - 1 - groups][: self._walks], axis=1)
            deltas = _walk(questions, walks, num_groups, full, empty)
            shares = np.concatenate([shares, self._share(deltas, walks).mean(axis=1)])
            values, errors = self._summarise(shares)
            is_stable = looks.is_stable(values, errors)
            if is_stable:
                break
        num_permutations = len(shares) * self._walks
        details: dict[str, Any] = {
            "num_permutations": num_permutations,
            "num_groups": num_groups,
            "v_full": full,
            "v_empty": empty,
            "stopped": "stable" if is_stable else "budget",
        }
        bearing = np.full(num_players, 2 * num_permutations, np.int64)  # v before the player's group left, and after
        return Estimate(values, errors, bearing, questions.asked, details)

    @property
    def _walks(self) -> int:
        """Ways in which a permutation is walked."""
        return 1

    def _check(self, num_players: int) -> None:
        require_int("num_players", num_players, 1)
        require_int("group_size", self.group_size, 1)
        require_int("num_permutations", self.num_permutations, self._walks)
        if self.group_size > num_players:
            raise ValueError(
                f"group_size={self.group_size} exceeds the {num_players} players: take groups of at most "
                f"{num_players}, the paper's 60 of 3000 clusters is a fiftieth."
            )
        if self.stop_when_stable is not None:
            self.stop_when_stable.check()

    def _affordable(self, unit: int, num_groups: int) -> int:
        """How many permutations (pairs of them, if antithetic) are walked."""
        wanted = self.num_permutations // self._walks
        if self.num_evaluations is None:
            return wanted
        least = self._num_ends + unit
        require_int("num_evaluations", self.num_evaluations, 1)
        if self.num_evaluations < least:
            raise ValueError(
                f"num_evaluations={self.num_evaluations} is too small: removing {num_groups} groups takes {least} "
                "evaluations. Raise it, or raise group_size."
            )
        return min(wanted, (self.num_evaluations - self._num_ends) // unit) if unit else wanted

    @abstractmethod
    def _ask_ends(self, questions: Questions, num_players: int) -> tuple[float, float]:
        """v(N) and v(empty)."""

    @abstractmethod
    def _share(self, deltas: Matrix, walks: NDArray[np.int64]) -> Matrix:
        """What each player is credited with, given its group's delta; both [..., n], walks hold the group's number."""

    @abstractmethod
    def _summarise(self, shares: Matrix) -> tuple[Vector, Vector]:
        """Values and standard errors, float64 [n], from what each permutation gave, float64 [k, n]."""


@dataclass(frozen=True, kw_only=True)
class OfficialEstimator(_RemovalEstimator):
    """The released code's arithmetic, its faults included (see the module): for comparison, not for use.

    Args:
        group_size: players removed at once.
        num_permutations: k at most.
        num_evaluations: budget; permutations that do not fit whole are left out. v(empty) costs nothing here.
        stop_when_stable: leave permutations out once the top of the ranking is known.
        empty_value: what v(empty) is held to be.
        batch_size: coalitions in one call of the game; the answer does not depend on it.

    Example:
        >>> count = lambda coalitions: 0.5 + coalitions.sum(axis=1)
        >>> OfficialEstimator(group_size=2, num_permutations=1).estimate(count, 4, seed=0).values.tolist()
        [2.0, 2.5, 2.0, 2.5]
    """

    empty_value: float = 0.0

    name: ClassVar[str] = "official"
    _num_ends: ClassVar[int] = 1

    def _check(self, num_players: int) -> None:
        super()._check(num_players)
        if not is_number(self.empty_value):
            raise ValueError(f"empty_value={self.empty_value!r} must be a finite number.")

    def _ask_ends(self, questions: Questions, num_players: int) -> tuple[float, float]:
        return float(questions.ask(np.ones((1, num_players), bool))[0]), float(self.empty_value)

    def _share(self, deltas: Matrix, walks: NDArray[np.int64]) -> Matrix:
        return deltas

    def _summarise(self, shares: Matrix) -> tuple[Vector, Vector]:
        return shares.sum(axis=0), len(shares) * _error_of_mean(shares)


@dataclass(frozen=True, kw_only=True)
class PaperEstimator(_RemovalEstimator):
    """SHED's values as published, with v(empty) measured; standard errors from the spread over permutations.

    Args:
        group_size: players removed at once; the paper uses 60 of 3000.
        num_permutations: k at most; the paper uses 10.
        num_evaluations: budget, v(N) and v(empty) included; permutations that do not fit whole are left out.
        stop_when_stable: leave permutations out once the top of the ranking is known.
        antithetic: walk every permutation's groups in reverse order too, which asks for the complements; k is even,
            and the spread is that of the pairs. Not in the paper.
        batch_size: coalitions in one call of the game; the answer does not depend on it.

    Example:
        >>> count = lambda coalitions: 0.5 + coalitions.sum(axis=1)
        >>> PaperEstimator(group_size=2, num_permutations=3).estimate(count, 4, seed=0).values.tolist()
        [1.0, 1.0, 1.0, 1.0]
    """

    antithetic: bool = False

    name: ClassVar[str] = "paper"
    _num_ends: ClassVar[int] = 2

    @property
    def _walks(self) -> int:
        return 2 if self.antithetic else 1

    def _check(self, num_players: int) -> None:
        super()._check(num_players)
        if self.num_permutations % self._walks:
            raise ValueError(
                f"num_permutations={self.num_permutations} must be even if antithetic: each permutation goes with "
                "its reverse."
            )

    def _ask_ends(self, questions: Questions, num_players: int) -> tuple[float, float]:
        ends = np.stack([np.ones(num_players, bool), np.zeros(num_players, bool)])
        full, empty = questions.ask(ends).tolist()
        return full, empty

    def _share(self, deltas: Matrix, walks: NDArray[np.int64]) -> Matrix:
        sizes = np.apply_along_axis(np.bincount, -1, walks)
        return deltas / np.take_along_axis(sizes, walks, axis=-1)

    def _summarise(self, shares: Matrix) -> tuple[Vector, Vector]:
        return shares.mean(axis=0), _error_of_mean(shares)


def _walk(questions: Questions, walks: NDArray[np.int64], num_groups: int, full: float, empty: float) -> Matrix:
    """delta of each player's group, float64 [units, ways, n]; walks hold at which step a player is removed."""
    num_units, num_ways, n = walks.shape
    steps = np.arange(1, num_groups)[:, None]
    remaining: Coalitions = walks[:, :, None, :] >= steps  # [units, ways, B - 1, n]
    answers = questions.ask(remaining.reshape(-1, n)).reshape(num_units, num_ways, num_groups - 1)
    ends = np.ones((num_units, num_ways, 1))
    lost = -np.diff(np.concatenate([full * ends, answers, empty * ends], axis=2), axis=2)
    return np.take_along_axis(lost, walks, axis=2)


def _error_of_mean(shares: Matrix) -> Vector:
    """Standard error of the mean over rows, NaN for a single one."""
    if len(shares) == 1:
        return np.full(shares.shape[1], np.nan)
    return shares.std(axis=0, ddof=1) / math.sqrt(len(shares))

"""Values by regression of v on membership: every coalition tells something of every player.

Without truncation coalitions come in pairs, S and its complement, and the row is half the difference of the two:
whatever players do to one another in pairs, fours, ... is the same in both and cancels. Shapley values then are

    phi_i = (v(N) - v(empty)) / n + beta_i,

both ends measured, so that the values add up to v(N) - v(empty) exactly, and Banzhaf values the slope of v in the size
plus beta_i, with beta the coefficients of the size laws in `coalitions.py`, which add up to 0.

With `max_share` f no coalition is larger than M = floor(f n): training is cheaper, and where utility saturates a
player moves v more. Complements are then too large, and of two disjoint coalitions each would foretell a part of the
other, so single coalitions are taken. What is estimated is no longer Shapley's or Banzhaf's value but that of a game
that ends at M players (see `coalitions.py`): who only helps once most others are there is undervalued. The level is
(mean v at s - v(empty)) / s, at s = M or, for Banzhaf, the mean size. For an additive game nothing changes.

A trend of v in the size alone is removed first. It carries no difference between players, its curvature would
otherwise count as noise, and over all coalitions it is orthogonal to them, so nothing is biased by it.

beta's prior is that of ridge regression or of a Gaussian process over features, with strength and scales from the
marginal likelihood; values are posterior means, standard errors posterior standard deviations. Interactions that do
not cancel count as noise.

Legend: n players, m rows, M the largest size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.valuation.coalitions import size_law, spread_coalitions
from hf_datasel.functional.valuation.estimate import (
    VALUES,
    Coalitions,
    Estimate,
    Game,
    Progress,
    Questions,
    Value,
    Vector,
    is_number,
    require_int,
    require_one_of,
)
from hf_datasel.functional.valuation.evidence import remove_trend
from hf_datasel.functional.valuation.exact import MOST_PLAYERS, ExactEstimator
from hf_datasel.functional.valuation.forms import Form, Pairs, Singles
from hf_datasel.functional.valuation.gaussian_process import gaussian_process_posterior, ridge_posterior
from hf_datasel.functional.valuation.stopping import Looks, StopWhenStable, split_into_rounds


@dataclass(frozen=True, kw_only=True)
class RegressionEstimator:
    """Ridge or Gaussian process regression of v on membership (see the module).

    Args:
        num_evaluations: budget, v(N) and v(empty) included; where it reaches all 2^n coalitions, `ExactEstimator` is
            used.
        value: "shapley" or "banzhaf".
        max_share: f in (0, 1), the largest share of the players in a coalition; None lets them be of any size.
        ridge: variance of the noise over that of the players' values, positive; None averages over it by its marginal
            likelihood.
        gaussian_process: expect near values of players with near features.
        alignment: share in [0, 1) by which coalitions follow the features (`coalitions.spread_coalitions`): for many
            players, a strong noise and values that are smooth in the features.
        stop_when_stable: stop before the budget is used once the top of the ranking is known.
        batch_size: coalitions in one call of the game; the answer does not depend on it.

    Example:
        >>> additive = lambda coalitions: coalitions @ np.arange(20.0)
        >>> estimate = RegressionEstimator(num_evaluations=100).estimate(additive, 20, seed=0)
        >>> np.abs(estimate.values - np.arange(20)).max() < 1e-6
        np.True_
    """

    num_evaluations: int
    value: Value = "shapley"
    max_share: float | None = None
    ridge: float | None = None
    gaussian_process: bool = False
    alignment: float = 0.0
    stop_when_stable: StopWhenStable | None = None
    batch_size: int = 64

    name: ClassVar[str] = "regression"

    def estimate(
        self,
        game: Game,
        num_players: int,
        *,
        features: NDArray[np.float32] | None = None,
        seed: int,
        progress: Progress | None = None,
    ) -> Estimate:
        """See `Estimator.estimate`; features are read for a Gaussian process, or where coalitions follow them."""
        form = self._check(num_players, features)
        if self.max_share is None and self.num_evaluations >= 2**num_players and num_players <= MOST_PLAYERS:
            exact = ExactEstimator(value=self.value, batch_size=self.batch_size)
            return exact.estimate(game, num_players, seed=seed, progress=progress)
        num_rows = (self.num_evaluations - len(form.ends)) // form.per_row
        planned = len(form.ends) + form.per_row * num_rows
        questions = Questions(game, num_players, planned=planned, batch_size=self.batch_size, progress=progress)
        generator = np.random.default_rng(seed)
        sizes, weights = size_law(num_players, self.value, form.largest).draw(num_rows, generator)
        source = spread_coalitions(sizes, num_players, generator, features=features, alignment=self.alignment)
        ends = questions.ask(form.ends)
        coalitions, answers = np.empty((0, num_players), bool), np.empty(0)
        looks, is_stable = Looks(self.stop_when_stable), False
        for size in split_into_rounds(num_rows, form.per_row, self.stop_when_stable):
            fresh = np.stack([next(source) for _ in range(size)])
            coalitions = np.concatenate([coalitions, fresh])
            answers = np.concatenate([answers, form.ask(questions, fresh)])
            if len(answers) < form.least_rows:
                continue
            values, errors, details = self._fit(form, coalitions, answers, weights[: len(answers)], ends, features)
            is_stable = looks.is_stable(values, errors)
            if is_stable:
                break
        bearing = np.full(num_players, questions.asked, np.int64)
        details |= {"num_rows": len(answers), "stopped": "stable" if is_stable else "budget"}
        return Estimate(values, errors, bearing, questions.asked, details)

    def _fit(
        self,
        form: Form,
        coalitions: Coalitions,
        answers: Vector,
        weights: Vector,
        ends: Vector,
        features: NDArray[np.floating] | None,
    ) -> tuple[Vector, Vector, dict[str, Any]]:
        """Values, standard errors and details from the rows so far."""
        sizes = coalitions.sum(axis=1, dtype=np.float64)
        memberships, trend = coalitions - sizes[:, None] / form.num_players, form.trend(sizes)
        plain = weighted = remove_trend(answers, memberships, trend, np.ones(len(answers)))
        if self.value == "shapley":
            weighted = remove_trend(answers, memberships, trend, weights)
        details: dict[str, Any] = {"value": self.value, "largest": form.largest}
        if self.gaussian_process:
            assert features is not None
            smoothed = gaussian_process_posterior(plain, weighted, features)
            beta = smoothed.posterior
            details |= {"length_scale": smoothed.length_scale, "smooth_share": smoothed.smooth_share}
        else:
            beta = ridge_posterior(plain, weighted, self.ridge)
        level, level_variance = form.level(answers - memberships @ beta.mean, trend, weights, ends, beta.noise)
        details |= {"explained_share": beta.share, "noise": math.sqrt(form.per_row * beta.noise)}
        return level + beta.mean, np.sqrt(beta.variance + level_variance), details

    def _check(self, num_players: int, features: NDArray[np.floating] | None) -> Form:
        """Check every option, and say what a row is."""
        require_int("num_players", num_players, 1)
        require_int("num_evaluations", self.num_evaluations, 1)
        require_one_of("value", self.value, VALUES)
        if self.ridge is not None and not (is_number(self.ridge) and self.ridge > 0):
            raise ValueError(f"ridge={self.ridge!r} must be a positive number, or None to average over it.")
        if self.ridge is not None and self.gaussian_process:
            raise ValueError("ridge is of the regression without features: leave it out, or gaussian_process=True.")
        if not (is_number(self.alignment) and 0 <= self.alignment < 1):
            raise ValueError(f"alignment={self.alignment!r} must be a share, at least 0 and below 1.")
        if self.gaussian_process or self.alignment > 0:
            _check_features(features, num_players)
        if self.stop_when_stable is not None:
            self.stop_when_stable.check()
        form = self._form(num_players)
        least = len(form.ends) + form.per_row * form.least_rows
        if self.max_share is None and num_players <= MOST_PLAYERS:
            least = min(least, 2**num_players)
        if self.num_evaluations < least:
            raise ValueError(
                f"num_evaluations={self.num_evaluations} is too small for a regression: take at least {least}, and "
                f"rather as many as there are players, {num_players}."
            )
        return form

    def _form(self, num_players: int) -> Form:
        if self.max_share is None:
            return Pairs(num_players, self.value, num_players)
        if not (is_number(self.max_share) and 0 < self.max_share < 1):
            raise ValueError(f"max_share={self.max_share!r} must be a share between 0 and 1, or None for all sizes.")
        largest = math.floor(self.max_share * num_players + 1e-9)  # 0.29 * 100 falls short of 29
        if largest < 1:
            raise ValueError(
                f"max_share={self.max_share} of {num_players} players leaves coalitions of none: take at least "
                f"{1 / num_players:.3g}."
            )
        return Singles(num_players, self.value, largest)


def _check_features(features: NDArray[np.floating] | None, num_players: int) -> None:
    if features is None:
        raise ValueError("gaussian_process and alignment need the players' features: pass features, float32 [n, d].")
    if features.ndim != 2 or len(features) != num_players:
        raise ValueError(
            f"features have the shape {features.shape}: they need one row for each of {num_players} players."
        )
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise ValueError(f"The features of player {int(np.argmin(finite))} are not finite: embed it again.")

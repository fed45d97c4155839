"""Selectors that give every example a score: keep the best of a budget, or all that pass a threshold.

A budget as a share is the baseline "fixed ratio", a number as threshold the baseline "fixed score"; the threshold may
also be a rule (`functional/thresholds.py`) that reads the scores of anchors.

Legend: M candidates, n anchors, B budget.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.ranking import keep_best_of_each
from hf_datasel.functional.thresholds import RULES, Threshold, find_threshold
from hf_datasel.selection import Selection
from hf_datasel.selectors.base import Choice, Selector, is_number
from hf_datasel.selectors.pool import Pool, gather_pool
from hf_datasel.selectors.published import Published
from hf_datasel.selectors.recorded import Recorded


@dataclass(frozen=True, eq=False)
class Scores:
    """What a method thinks of every candidate.

    Args:
        ids: int64 [M], ascending.
        values: float32 [M], finite.
        anchors: float32 [n] by the same scale; None where there are none or none were asked for.
        details: for the provenance.
    """

    ids: NDArray[np.int64]
    values: NDArray[np.float32]
    anchors: NDArray[np.float32] | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ScoreSelector(Selector):
    """A method that scores; `budget` or `threshold` says how much of it is kept, and never both.

    Args:
        budget: keep exactly so many, the best by score; ties for the last places are broken by the seed.
        threshold: keep what passes: a number, or a rule over the anchors' scores: "mean", "quantile", "conformal" or
            "f1".
        alpha: share of the clean examples that "quantile" and "conformal" may lose.
        seed: breaks ties.
    """

    budget: int | float | None = None
    threshold: float | str | None = None
    alpha: float = 0.1

    is_random: ClassVar[bool] = False
    direction: ClassVar[Literal["high", "low"]]  # which scores are good
    metrics: ClassVar[tuple[str, ...]]  # of the Traces it reads
    recorded_by: ClassVar[str]  # what records them
    default_threshold: ClassVar[float | str | None] = None  # where neither budget nor threshold is given

    def score_examples(self, evidence: Any, *, within: Selection | None = None) -> Scores:
        """The candidates' scores, and the anchors' where the Trace has some, with nothing chosen yet.

        Raises:
            TypeError, ValueError: as `select`, of whose hyperparameters budget and threshold are not looked at.
        """
        free = replace(self, budget=1.0, threshold=None)
        free._check()
        pool = gather_pool(evidence, None, within, reads_values=True, asker=type(self).__name__)
        return free._scores(pool, anchors="anchors" in Recorded.candidates(pool).trace.companions)

    def check(self, num_candidates: int) -> None:
        """As `Selector.check`; where a threshold cuts, the number of candidates does not matter."""
        self._check()
        if self._rule is None:
            self.resolve_budget(num_candidates)

    @property
    def needs_anchors(self) -> bool:
        """Whether the threshold is a rule over anchors' scores."""
        return isinstance(self._rule, str)

    @property
    def _rule(self) -> float | str | None:
        """The threshold in force, None where a budget is."""
        if self.threshold is None and self.budget is None:
            return self.default_threshold
        return self.threshold

    def _config(self) -> dict[str, Any]:
        rule = self._rule
        return {**super()._config(), "threshold": rule.item() if isinstance(rule, np.generic) else rule}

    def _check(self) -> None:
        super()._check()
        name = type(self).__name__
        if self.budget is not None and self.threshold is not None:
            raise ValueError(
                f"{name} got budget={self.budget!r} and threshold={self.threshold!r}: pass the one or the other."
            )
        rule = self._rule
        if self.budget is None and rule is None:
            raise ValueError(
                f"{name} got budget=None and threshold=None: pass budget= (how many to keep) or threshold= (which)."
            )
        if isinstance(rule, str):
            self._require_one_of("threshold", rule, RULES)
        elif rule is not None and not is_number(rule):
            raise ValueError(f"threshold={rule!r} of {name} must be a finite number or one of {RULES}.")
        self._require_share("alpha", self.alpha)

    def _decide(self, pool: Pool) -> Choice:
        rule = self._rule
        if rule is None:
            return super()._decide(pool)
        if pool.codes is not None:
            raise ValueError(
                f"strata share out a budget, but {type(self).__name__}(threshold={rule!r}) has none: select without "
                "strata, or pass budget=."
            )
        scores = self._scores(pool, anchors=isinstance(rule, str))
        sign = np.float32(1 if self.direction == "high" else -1)
        if isinstance(rule, str):
            assert scores.anchors is not None
            found = find_threshold(rule, sign * scores.anchors, sign * scores.values, self.alpha)
        else:
            found = Threshold(float(sign) * rule, "fixed", 0)
        threshold = _rounded(float(sign) * found.value)
        kept = self._passing(scores.values, threshold)
        if not kept.any():
            raise ValueError(self._why_none(scores, threshold, found.rule))
        finite = math.isfinite(threshold)
        details = self._details(scores, kept, found.rule, threshold if finite else None) | {
            "num_anchors": found.num_anchors or None,
            "clean_kept": None if found.clean_kept is None else list(found.clean_kept),
            "clean_share": found.clean_share,
        }
        return Choice(kept, scores=scores.values, details=details, notices=found.notices)

    def _decide_again(self, published: Published) -> NDArray[np.bool_]:
        rule = self._rule
        if rule is None:
            return super()._decide_again(published)
        threshold = published.details.get("threshold") if isinstance(rule, str) else rule
        if threshold is None:
            threshold = -math.inf if self.direction == "high" else math.inf
        elif not is_number(threshold):
            raise ValueError(f"The threshold that {rule!r} came to must be a number, not {threshold!r}.")
        return self._passing(published.require("scores", type(self).__name__), _rounded(threshold))

    def _passing(self, scores: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
        """Which candidates a threshold keeps, bool [M]."""
        better = np.greater_equal if self.direction == "high" else np.less_equal
        return better(scores, np.float32(threshold)) & self._eligible(scores)

    def _choose(self, pool: Pool, budget: int) -> Choice:
        scores = self._scores(pool, anchors=False)
        kept = self._choose_again(Published.of_pool(pool, scores=scores.values), budget)
        worst = float(scores.values[kept].min() if self.direction == "high" else scores.values[kept].max())
        details = self._details(scores, kept, "budget", worst)
        if pool.codes is not None:
            details["strata"] = pool.count_by_stratum(kept)
        return Choice(kept, scores=scores.values, details=details)

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        scores = published.require("scores", type(self).__name__)
        eligible = np.flatnonzero(self._eligible(scores))
        if len(eligible) < budget:
            raise ValueError(
                f"budget={self.budget} asks for {budget} examples, but {type(self).__name__} lets only "
                f"{len(eligible)} of {len(scores)} pass: lower the budget."
            )
        goodness = scores[eligible] if self.direction == "high" else -scores[eligible]
        codes, num_strata = published.strata()
        kept = np.zeros(len(scores), bool)
        generator = np.random.default_rng(self.seed)
        kept[eligible] = keep_best_of_each(goodness, codes[eligible], num_strata, budget, generator)
        return kept

    def _details(self, scores: Scores, kept: NDArray[np.bool_], rule: str, threshold: float | None) -> dict[str, Any]:
        return {
            "direction": self.direction,
            "rule": rule,
            "threshold": threshold,
            "num_kept": int(np.count_nonzero(kept)),
            **scores.details,
        }

    def _scores(self, pool: Pool, *, anchors: bool) -> Scores:
        """The scores as float32, checked; the anchors' too, which must be there if `anchors`."""
        rows, name = Recorded.candidates(pool), type(self).__name__
        if rows.trace.metric not in self.metrics:
            readable = " or ".join(map(repr, self.metrics))
            raise ValueError(
                f"{name} reads a Trace of the metric {readable}, recorded by {self.recorded_by}, not one of "
                f"{rows.trace.metric!r}."
            )
        wanted = anchors or self._wants_anchors(rows)
        trusted = rows.anchors(f"{name}(threshold={self._rule!r})") if wanted else None
        values, anchor_values, details = self._score(rows, trusted)
        return Scores(
            pool.ids,
            self._as_float32(values, rows),
            None if trusted is None or anchor_values is None else self._as_float32(anchor_values, trusted),
            details,
        )

    def _as_float32(self, values: NDArray[np.float64], rows: Recorded) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            scores = values.astype(np.float32)
        finite = np.isfinite(scores)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(
                f"{type(self).__name__}: the score of example {rows.ids[row]} of {rows.what} is {scores[row]}. Mend "
                "what was recorded, or leave the example out with within=."
            )
        return scores

    def _why_none(self, scores: Scores, threshold: float, rule: str) -> str:
        best = int(np.argmax(scores.values if self.direction == "high" else -scores.values))
        side = "at or above" if self.direction == "high" else "at or below"
        return (
            f"{type(self).__name__} would keep no example: none scores {side} the threshold {threshold:.6g} "
            f"({rule}), the best score is {scores.values[best]:.6g} (example {scores.ids[best]}). Choose another "
            "threshold, look whether the anchors are of the same kind as the data, or pass budget=."
        )

    def _wants_anchors(self, candidates: Recorded) -> bool:
        """Whether the method reads anchors, beside a threshold's rule that does."""
        return False

    def _eligible(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which candidates may be kept at all, bool [M]."""
        return np.ones(len(scores), bool)

    @abstractmethod
    def _score(
        self, candidates: Recorded, anchors: Recorded | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, dict[str, Any]]:
        """The method itself: scores of the candidates [M] and the anchors [n], and details for the provenance."""


def _rounded(threshold: float) -> float:
    """As float32, by which scores are compared; a number beyond it is infinite, and compares as it should."""
    with np.errstate(over="ignore"):
        return float(np.float32(threshold))


@dataclass(frozen=True, kw_only=True)
class RowScoreSelector(ScoreSelector):
    """A method whose score of a row depends on that row alone."""

    def _score(
        self, candidates: Recorded, anchors: Recorded | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, dict[str, Any]]:
        return self._score_rows(candidates), None if anchors is None else self._score_rows(anchors), {}

    @abstractmethod
    def _score_rows(self, rows: Recorded) -> NDArray[np.float64]:
        """A score for each of the rows, float64 [n]."""

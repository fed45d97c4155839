"""What a comparison says, in one paragraph that claims no difference inside the noise.

"Better" and "worse" are said only where an interval that is corrected for all that was asked with it leaves out 0 (see
`result.py`). What is merely the highest mean is called that, and what does not differ clearly "cannot be told apart".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.plan import ALL

MOST_CLAIMS = 4  # methods told of; the table has the others
Result = Mapping[str, Any]
Record = Mapping[str, Any]


def write_verdict(result: Result, metric: str | None = None) -> str:
    """The paragraph, on the first metric unless another one is named, over all test rows.

    Args:
        result: of `summarise`.
        metric: one of the result's.

    Raises:
        ValueError: there is no such metric.
    """
    if metric is None:
        metric = result["metric_names"][0]
    if metric not in result["metrics"]:
        raise ValueError(f"The comparison has no metric {metric!r}, only {result['metric_names']}.")
    measured = result["metrics"][metric]
    one = _Verdict(result, metric, measured["higher_is_better"], measured["groups"][ALL])
    sentences = [one.against_random(), one.best(), one.against_full(), one.cheapest()]
    return " ".join(sentence for sentence in sentences if sentence)


def is_better(difference: Record, higher_is_better: bool) -> bool:
    """Whether the method of a clear difference is the better one of the two."""
    return bool((difference["mean"] > 0) == higher_is_better)


def percent(share: float) -> str:
    """A budget in words.

    Example:
        >>> percent(0.05), percent(0.00125)
        ('5%', '0.125%')
    """
    return f"{100 * share:.3g}%"


def with_interval(difference: Record) -> str:
    """A difference and its corrected interval, where that is known.

    Example:
        >>> with_interval({"mean": 0.1, "corrected_interval": [0.05, 0.15]})
        '+0.1, interval [+0.05, +0.15]'
    """
    bounds = difference["corrected_interval"]
    interval = "" if bounds is None else f", interval [{bounds[0]:+.3g}, {bounds[1]:+.3g}]"
    return f"{difference['mean']:+.3g}{interval}"


class _Verdict:
    def __init__(self, result: Result, metric: str, higher_is_better: bool, measures: Mapping[str, Any]) -> None:
        self._metric, self._higher, self._measures = metric, higher_is_better, measures
        self._num_seeds = len(result["seeds"])
        self._shares = dict(zip(result["budgets"], result["shares"], strict=True))
        self._costs = {one["method"]: one for one in result["costs"]["methods"]}
        sign = 1 if higher_is_better else -1
        subsets = [one for one in measures["means"] if one["method"] != FULL]
        self._full = next(one for one in measures["means"] if one["method"] == FULL)
        self._best = max(subsets, key=lambda one: (sign * one["mean"], -self._seconds(one["method"])))

    def against_random(self) -> str:
        """Which methods did better or worse than random rows, or that none can be told apart."""
        differences = self._measures[f"against_{RANDOM}"]
        measured = f"Measured by {self._metric} ({'higher' if self._higher else 'lower'} is better)"
        if self._num_seeds == 1:
            return (
                f"{measured} with one seed, which has no spread to tell noise by, nothing can be said: run at least 3."
            )
        if not differences:
            return f"{measured} over {self._num_seeds} seeds; only random rows and all rows were compared."
        corrected = f"with intervals corrected for the number of comparisons ({len(differences)} with random rows)"
        told = [f"{measured} over {self._num_seeds} seeds, {corrected}."]
        clear = [one for one in differences if one["is_clear"]]
        if not clear:
            nothing = "No method can be told apart from as many random rows."
            return f"{told[0]} {nothing} {self._seeds_needed(differences)}"
        for outcome in ("better", "worse"):
            own = [one for one in clear if is_better(one, self._higher) == (outcome == "better")]
            if own:
                told.append(f"These did {outcome} than as many random rows: {self._claims(own)}.")
        if rest := len(differences) - len(clear):
            told.append(f"The other {rest} cannot be told apart from random.")
        return " ".join(told)

    def best(self) -> str:
        """The best mean of a subset, and what choosing it costs."""
        what = "highest" if self._higher else "lowest"
        cost = self._costs[self._best["method"]]
        counts = f"{cost['forwards']:,} forwards, {cost['backwards']:,} backwards, fine-tunes: {cost['fine_tunes']:,}"
        multiple, price = cost["trainings"]["seconds"], f"{cost['seconds']:.3g} s"
        if multiple is not None:
            price += f", {multiple:.2g} times one training on everything"
        return (
            f"The {what} mean of a subset is {self._best['mean']:.4g}, of {self._best['method']} at "
            f"{self._at(self._best)} of the rows; choosing it costs {price} ({counts})."
        )

    def against_full(self) -> str:
        """How the best subset stands to training on everything."""
        own = self._find(f"against_{FULL}", self._best["method"])
        everything = f"Training on everything has {self._full['mean']:.4g}"
        if self._num_seeds == 1:
            return f"{everything}."
        if not own["is_clear"]:
            return f"{everything}; the two cannot be told apart."
        outcome = "better" if is_better(own, self._higher) else "worse"
        return f"{everything}; the subset did {outcome} ({with_interval(own)})."

    def cheapest(self) -> str:
        """The cheapest method that is not clearly behind the best one, at the same budget."""
        if self._num_seeds == 1:
            return ""
        best, at = self._best["method"], self._at(self._best)
        limit = self._seconds(best)
        cheaper = sorted((method for method in self._costs if self._seconds(method) < limit), key=self._seconds)
        if not cheaper:
            return f"No method is cheaper than {best}."
        for method in cheaper:
            difference = self._find("pairs", best, method)
            if not difference["is_clear"]:
                return f"The cheapest that cannot be told apart from it at {at} is {method}{self._mean_of(method)}."
        return f"Every cheaper method did worse than {best} at {at}."

    def _claims(self, differences: Sequence[Record]) -> str:
        """Method by method, those with the largest difference first."""
        by_method: dict[str, list[Record]] = {}
        for one in sorted(differences, key=lambda one: -abs(one["mean"])):
            by_method.setdefault(one["method"], []).append(one)
        told = [f"{method} at {self._claim(own)}" for method, own in list(by_method.items())[:MOST_CLAIMS]]
        more = len(by_method) - len(told)
        return "; ".join(told) + (f"; and {more} more" if more else "")

    def _claim(self, own: Sequence[Record]) -> str:
        """Budgets and differences of one method; of several, the interval that comes nearest to 0."""
        if len(own) == 1:
            return f"{self._at(own[0])} ({with_interval(own[0])})"
        shares = [percent(share) for share in sorted(self._shares[one["budget"]] for one in own)]
        means = sorted((one["mean"] for one in own), key=abs)
        nearest = min((bound for one in own for bound in one["corrected_interval"]), key=abs)
        at = f"{', '.join(shares[:-1])} and {shares[-1]}"
        return f"{at} ({means[0]:+.3g} to {means[-1]:+.3g}, the intervals beyond {nearest:+.3g})"

    def _seeds_needed(self, differences: Sequence[Record]) -> str:
        known = [one for one in differences if one["seeds_needed"] is not None]
        if not known:
            return "No difference is so large beside its spread that 1,000 seeds would show it."
        nearest = min(known, key=lambda one: one["seeds_needed"])
        return (
            f"Nearest to it is {nearest['method']} at {self._at(nearest)} ({with_interval(nearest)}): were that the "
            f"true difference, about {nearest['seeds_needed']:,} seeds would show it, four times in five."
        )

    def _find(self, family: str, method: str, other: str | None = None) -> Record:
        """The difference at the best subset's budget, whichever of a pair comes first."""
        names = {method} if other is None else {method, other}
        return next(
            one
            for one in self._measures[family]
            if one["budget"] == self._best["budget"] and names <= {one["method"], one["other"]}
        )

    def _mean_of(self, method: str) -> str:
        means = self._measures["means"]
        own = next(one for one in means if (one["method"], one["budget"]) == (method, self._best["budget"]))
        return f", with {own['mean']:.4g} and {self._costs[method]['seconds']:.3g} s of choosing"

    def _at(self, record: Record) -> str:
        return percent(self._shares[record["budget"]])

    def _seconds(self, method: str) -> float:
        return float(self._costs[method]["seconds"])

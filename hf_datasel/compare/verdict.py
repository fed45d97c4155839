"""What a comparison says, in one paragraph that claims no difference inside the noise.

"Better" and "worse" are said only where an interval that is corrected for all that was asked with it leaves out 0 (see
`result.py`). What is merely the highest mean is called that, and what does not differ clearly "cannot be told apart".

Yardsticks, which are told what is to be found out, and methods that train on all rows make no choice of rows that
anyone else could make: they are not among what is best or cheapest, and have sentences of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    sentences = [
        one.against_random(),
        one.best(),
        one.against_full(),
        one.cheapest(),
        *one.yardsticks(),
        *one.on_all(),
    ]
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


def turned(difference: Record) -> dict[str, Any]:
    """A difference the other way round: the other less the method."""
    swapped = {"method": difference["other"], "other": difference["method"], "mean": -difference["mean"]}
    bounds = difference["corrected_interval"]
    return {**difference, **swapped, "corrected_interval": bounds and [-bound for bound in bounds[::-1]]}


class _Verdict:
    def __init__(self, result: Result, metric: str, higher_is_better: bool, measures: Mapping[str, Any]) -> None:
        self._metric, self._higher, self._measures = metric, higher_is_better, measures
        self._num_seeds = len(result["seeds"])
        self._shares = dict(zip(result["budgets"], result["shares"], strict=True))
        self._costs = {one["method"]: one for one in result["costs"]["methods"]}
        self._yardsticks, self._on_all = result["yardsticks"], result["on_all"]
        self._choices = [method for method in result["methods"] if method not in self._yardsticks]
        sign = 1 if higher_is_better else -1
        subsets = [one for one in measures["means"] if one["method"] in self._choices]
        self._full = next(one for one in measures["means"] if one["method"] == FULL)
        self._best = max(subsets, key=lambda one: (sign * one["mean"], -self._seconds(one["method"])))

    def against_random(self) -> str:
        """Which methods did better or worse than random rows, or that none can be told apart."""
        asked = self._measures[f"against_{RANDOM}"]
        differences = [one for one in asked if one["method"] in self._choices]
        measured = f"Measured by {self._metric} ({'higher' if self._higher else 'lower'} is better)"
        if self._num_seeds == 1:
            return (
                f"{measured} with one seed, which has no spread to tell noise by, nothing can be said: run at least 3."
            )
        if not differences:
            return f"{measured} over {self._num_seeds} seeds; no choice of rows but random ones was compared."
        corrected = f"with intervals corrected for the number of comparisons ({len(asked)} with random rows)"
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
        return (
            f"The {what} mean of a subset is {self._best['mean']:.4g}, of {self._best['method']} at "
            f"{self._at(self._best)} of the rows; choosing it costs {self._price(self._best['method'])}."
        )

    def against_full(self) -> str:
        """How the best subset stands to training on everything."""
        own = self._find(f"against_{FULL}", self._best["method"])
        return f"Training on everything has {self._full['mean']:.4g}{self._outcome(own, 'the subset')}."

    def cheapest(self) -> str:
        """The cheapest method that is not clearly behind the best one, at the same budget."""
        if self._num_seeds == 1:
            return ""
        best, at = self._best["method"], self._at(self._best)
        limit = self._seconds(best)
        cheaper = sorted((method for method in self._choices if self._seconds(method) < limit), key=self._seconds)
        if not cheaper:
            return f"No method is cheaper than {best}."
        for method in cheaper:
            difference = self._find("pairs", best, method)
            if not difference["is_clear"]:
                return (
                    f"The cheapest that cannot be told apart from it at {at} is {method}, with "
                    f"{self._mean_at_best(method):.4g} and {self._seconds(method):.3g} s of choosing."
                )
        return f"Every cheaper method did worse than {best} at {at}."

    def yardsticks(self) -> Iterator[str]:
        """How the best subset stands to what is chosen by those who know, and whether these did better than random."""
        for method in self._yardsticks:
            pair = self._find("pairs", self._best["method"], method)
            pair = pair if pair["other"] == method else turned(pair)
            mean, at = self._mean_at_best(method), self._at(self._best)
            said = f"{method}, a yardstick that is told what nobody knows, has {mean:.4g} at {at}"
            # Of random rows the next sentence speaks, by intervals of its own.
            yield f"{said}{'' if self._best['method'] == RANDOM else self._outcome(pair, 'the subset')}."
            if self._num_seeds > 1:
                own = self._find(f"against_{RANDOM}", method)
                stands = f"did {self._word(own)} than" if own["is_clear"] else "cannot be told apart from"
                interval = f" ({with_interval(own)})" if own["is_clear"] else ""
                yield f"{method} {stands} as many random rows{interval}."

    def on_all(self) -> Iterator[str]:
        """How training on all rows in another order stands to training on them at random, and what it costs."""
        for method in self._on_all:
            own = next(one for one in self._measures[f"against_{FULL}"] if one["method"] == method)
            mean = next(one["mean"] for one in self._measures["means"] if one["method"] == method)
            yield (
                f"{method}, which trains on everything in an order that costs {self._price(method)}, has {mean:.4g} "
                f"against {self._full['mean']:.4g}{self._outcome(own, 'it')}."
            )

    def _outcome(self, difference: Record, what: str) -> str:
        """Which of the two did better, if any; nothing where there is one seed."""
        if self._num_seeds == 1:
            return ""
        if not difference["is_clear"]:
            return "; the two cannot be told apart"
        return f"; {what} did {self._word(difference)} ({with_interval(difference)})"

    def _word(self, difference: Record) -> str:
        return "better" if is_better(difference, self._higher) else "worse"

    def _price(self, method: str) -> str:
        """What choosing costs."""
        cost = self._costs[method]
        counts = f"{cost['forwards']:,} forwards, {cost['backwards']:,} backwards, fine-tunes: {cost['fine_tunes']:,}"
        multiple, price = cost["trainings"]["seconds"], f"{cost['seconds']:.3g} s"
        if multiple is not None:
            price += f", {multiple:.2g} times one training on everything"
        return f"{price} ({counts})"

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

    def _mean_at_best(self, method: str) -> float:
        """A method's mean at the best subset's budget."""
        place = method, self._best["budget"]
        return next(one["mean"] for one in self._measures["means"] if (one["method"], one["budget"]) == place)

    def _at(self, record: Record) -> str:
        return percent(self._shares[record["budget"]])

    def _seconds(self, method: str) -> float:
        return float(self._costs[method]["seconds"])

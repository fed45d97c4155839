"""What is told of a comparison, whatever was compared: marks, means with intervals, costs, and what can be said."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.plan import ALL
from hf_datasel.compare.tables import CLEAR
from hf_datasel.compare.verdict import is_better, turned, with_interval
from hf_datasel.functional.statistics import spread, t_interval
from recipes.benchmarks.effectiveness.setting import S2L

METRIC, LOSS = "exact_match", "loss"
PASSES = "forwards / backwards of the proxy, a row"
World = Mapping[str, Any]  # what `comparing.compare` told of a comparison


def verdict_of(found: World, metric: str = METRIC) -> str:
    """What a comparison says in words, without seconds, which are those of a machine."""
    text = re.sub(r"costs [^()]*\(([^()]*)\)", r"costs \1", found["verdicts"][metric])
    return re.sub(r" and \S+ s of choosing", "", text)


def told_of(method: str, found: World, metric: str = METRIC) -> str:
    """How a method stands to each other choice of as many rows, and to everything."""
    measured = found["metrics"][metric]
    groups = measured["groups"][ALL]
    told: dict[str, list[str]] = {"better than": [], "worse than": [], "not to be told apart from": []}
    others = [one for one in groups["pairs"] if method in (one["method"], one["other"])]
    for one in (*others, *(one for one in groups[f"against_{FULL}"] if one["method"] == method)):
        is_first = one["method"] == method
        other = one["other" if is_first else "method"]
        if not one["is_clear"]:
            told["not to be told apart from"].append(other)
            continue
        said = with_interval(one if is_first else turned(one))
        is_good = is_better(one, measured["higher_is_better"]) == is_first
        told["better than" if is_good else "worse than"].append(f"{other} ({said})")
    pieces = "; ".join(f"{outcome} {', '.join(names)}" for outcome, names in told.items() if names)
    name = "S2L" if method == S2L else method
    return f"{name}, all pairs corrected together: {pieces}."


def arms_of(worlds: Mapping[str, World]) -> list[str]:
    """Names of all that was trained in any world: subsets, then what is trained on all rows."""
    everything = {one: None for found in worlds.values() for one in (*found["on_all"], FULL)}
    subsets = {one: None for found in worlds.values() for one in found["methods"]}
    return [*subsets, *sorted(everything, key=lambda name: name == FULL)]


def costs_of(found: World) -> dict[str, float]:
    """Of choosing, in trainings on everything."""
    return {one["method"]: one["trainings"]["seconds"] for one in found["costs"]["methods"]}


def means_of(found: World, metric: str) -> dict[str, Any]:
    """By method its mean over all test rows, with what each seed reached."""
    return {one["method"]: one for one in found["metrics"][metric]["groups"][ALL]["means"]}


def outcome_of(found: World, metric: str, method: str) -> str:
    """A method's mean with half of its interval, marked where it differs clearly from random rows; "" where absent."""
    measured = found["metrics"][metric]
    one = means_of(found, metric).get(method)
    if one is None:
        return ""
    against = {each["method"]: each for each in measured["groups"][ALL][f"against_{RANDOM}"]}
    mark = ""
    if method in against and against[method]["is_clear"]:
        mark = CLEAR[is_better(against[method], measured["higher_is_better"])]
    return _with_half(one["mean"], one["interval"]) + mark


def passes_of(found: World, method: str) -> str:
    """Of the recorded model over all rows, forward and backward."""
    [cost] = [one for one in found["costs"]["methods"] if one["method"] == method]
    return f"{cost['forwards'] / found['num_rows']:.1f} / {cost['backwards'] / found['num_rows']:.1f}"


def with_spread(values: Sequence[float]) -> str:
    """Mean and half of the 95% interval."""
    return _with_half(spread(values).mean, t_interval(values))


def _with_half(mean: float, interval: Sequence[float] | None) -> str:
    """± half of the interval, where that is known."""
    if interval is None or math.isnan(interval[0]):
        return f"{mean:.3f}"
    return f"{mean:.3f} ± {(interval[1] - interval[0]) / 2:.3f}"

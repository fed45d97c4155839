"""What a budget buys: a metric of models trained on more and more of the data, beside random rows and all of them."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from hf_datasel.report.figure import BLUE, GREEN, GREY, LARGE, NORMAL, SMALL, new_figure, short_name, tidy
from hf_datasel.report.picture import Picture, save_picture

# Orange is for what was dropped, in every picture.
_COLOURS = (BLUE, GREEN, "#CC79A7", "#D55E00", "#56B4E9")
_MARKERS = "os^Dvp"
_LEGEND = 80  # characters below the picture, six of them for a line before each name
_HEADER = ("arm", "budget", "mean", "standard_error", "num_values")
_FORM = '{"metric": "accuracy", "higher_is_better": true, "arms": {"random": [{"budget": 0.1, "values": [0.61]}]}}'


@dataclass(frozen=True)
class _Point:
    budget: float
    mean: float
    error: float  # standard error, NaN of a single value
    num_values: int


def plot_budgets(results: Mapping[str, Any], path: str | os.PathLike[str]) -> Picture:
    """A line for each arm, with one standard error over its seeds; `full` is a dashed line across.

    Args:
        results: `{"metric": name, "higher_is_better": bool, "arms": {name: [{"budget": share, "values": [a number a
            seed]}]}}`. The arms `random` and `full`, trained on all rows, have looks of their own.
        path: a name that ends in `.png`; the numbers go beside it as CSV.

    Raises:
        ValueError: `results` are of another form (says where), or `path` does not end in `.png`.
    """
    metric, higher, arms = _checked(results)
    num_columns = max(1, min(4, len(arms), _LEGEND // (6 + max(len(short_name(name)) for name in arms))))
    figure = new_figure(7.0, 3.8 + 0.18 * math.ceil(len(arms) / num_columns))
    axes = figure.subplots()
    methods = 0
    handles: list[Any] = []
    for name, points in arms.items():
        if name.lower() == "full":
            handles.append(_draw_full(axes, points[-1]))
            continue
        is_random = name.lower() == "random"
        look: dict[str, Any] = {"color": GREY, "marker": "x"}
        if not is_random:
            style = ("-", "--", ":")[methods // len(_COLOURS) % 3]
            look = {"color": _COLOURS[methods % len(_COLOURS)], "marker": _MARKERS[methods % 6], "linestyle": style}
            methods += 1
        line = axes.errorbar(
            [point.budget for point in points],
            [point.mean for point in points],
            yerr=[0.0 if math.isnan(point.error) else point.error for point in points],
            linewidth=1.6, markersize=5, capsize=2.5, elinewidth=1, **look,
        )  # fmt: skip
        handles.append(line)
    _label_budgets(axes, sorted({point.budget for points in arms.values() for point in points}))
    title = f"{metric} by budget"
    spread = ": mean and standard error" if any(p.num_values > 1 for points in arms.values() for p in points) else ""
    axes.set_title(f"{short_name(metric, 45)} by budget{spread}", fontsize=LARGE, loc="left", parse_math=False)
    axes.set_xlabel("share of the rows that is trained on", fontsize=NORMAL)
    good = "higher is better" if higher else "lower is better"
    axes.set_ylabel(f"{short_name(metric)} ({good})", fontsize=NORMAL, parse_math=False)
    tidy(axes)
    names = [f" {short_name(name)}" for name in arms]  # matplotlib leaves out what begins with an underscore
    legend = figure.legend(
        handles, names, fontsize=NORMAL, frameon=False, ncols=num_columns, loc="outside lower center"
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    rows = [
        (name, f"{p.budget:.9g}", f"{p.mean:.9g}", "" if math.isnan(p.error) else f"{p.error:.9g}", p.num_values)
        for name, points in arms.items()
        for p in points
    ]
    best, reached = max(
        ((name, point) for name, points in arms.items() for point in points),
        key=lambda one: one[1].mean if higher else -one[1].mean,
    )
    alt = (
        f"Lines of {metric} over the share of rows trained on, for {', '.join(arms)}; {good}, and the best mean is "
        f"{reached.mean:.4g}, of {best} at {reached.budget:.3g}."
    )
    return save_picture(figure, path, _HEADER, rows, title=title, alt=alt)


def _draw_full(axes: Axes, point: _Point) -> Line2D:
    if not math.isnan(point.error):
        axes.axhspan(point.mean - point.error, point.mean + point.error, color="black", alpha=0.08, linewidth=0)
    axes.plot(point.budget, point.mean, "s", color="black", markersize=5)
    return axes.axhline(point.mean, color="black", linewidth=1.3, linestyle=(0, (5, 3)))


def _label_budgets(axes: Axes, budgets: list[float]) -> None:
    """Percentages below the budgets there are, on a logarithmic axis where they span much; none over another."""
    spread = budgets[-1] / budgets[0]
    if spread > 6:
        axes.set_xscale("log")
    places = [math.log(budget) if spread > 6 else budget for budget in budgets]
    room, ticks = 0.07 * (places[-1] - places[0]), [(places[-1], budgets[-1])]
    for place, budget in list(zip(places, budgets, strict=True))[-2::-1]:
        if ticks[-1][0] - place >= room:
            ticks.append((place, budget))
    axes.set_xticks([budget for _, budget in ticks], [f"{100 * budget:.3g}%" for _, budget in ticks], fontsize=SMALL)
    axes.minorticks_off()


def _checked(results: Mapping[str, Any]) -> tuple[str, bool, dict[str, list[_Point]]]:
    """Metric, whether high is good, and the points of each arm in the order of their budgets."""
    missing = [key for key in ("metric", "higher_is_better", "arms") if key not in results]
    if missing:
        raise ValueError(f"results have no {missing[0]!r}: they must be of the form {_FORM}.")
    if not isinstance(results["higher_is_better"], bool):
        raise ValueError(f"higher_is_better of results is {results['higher_is_better']!r}: say true or false.")
    if not isinstance(results["arms"], Mapping) or not results["arms"]:
        raise ValueError(f"results have no arms: they must be of the form {_FORM}.")
    arms = {}
    for name, points in results["arms"].items():
        if not points:
            raise ValueError(f"The arm {name!r} of results has no budgets: leave it out, or give what it reached.")
        arms[str(name)] = sorted((_point(name, point) for point in points), key=lambda point: point.budget)
    return str(results["metric"]), results["higher_is_better"], arms


def _point(arm: str, point: Any) -> _Point:
    if not isinstance(point, Mapping) or not {"budget", "values"} <= set(point):
        raise ValueError(f"The arm {arm!r} of results has {point!r}: give a budget and its values, as in {_FORM}.")
    budget, values = point["budget"], point["values"]
    if not _is_number(budget) or not 0 < budget <= 1:
        raise ValueError(f"The arm {arm!r} of results has the budget {budget!r}: give a share of the rows in (0, 1].")
    if not isinstance(values, list | tuple) or not values or not all(_is_number(value) for value in values):
        raise ValueError(
            f"The arm {arm!r} of results has at the budget {budget:g} the values {values!r}: give a list of finite "
            "numbers, one a seed, and leave out what was not measured."
        )
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return _Point(float(budget), statistics.fmean(values), error, len(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

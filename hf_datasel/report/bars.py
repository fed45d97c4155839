"""Grouped bars: scores of several arms with their spread, and shares of groups before and after a selection."""

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from hf_datasel.report.figure import LARGE, NORMAL, SERIES, SMALL, new_figure, save_figure, tidy

Groups = Mapping[str, tuple[float, float]]  # name: mean, standard error (NaN where unknown)


def plot_scores(arms: Mapping[str, Groups], path: str | os.PathLike[str], *, title: str, ylabel: str) -> None:
    """Scores in [0, 1], a group of bars for each name and a bar for each arm, with error bars of one standard error.

    Args:
        arms: for each arm, mean and standard error by name; the same names in the same order in every arm.
        path: a name that ends in `.png`.

    Raises:
        ValueError: no arm, more arms than colours, or arms with different names.
    """
    names = _common_names(arms)
    figure = new_figure(max(6.5, 1.05 * len(names) + 1), 3.8)
    axes = figure.subplots()
    _bars(axes, arms, names)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel(ylabel, fontsize=NORMAL)
    axes.set_title(title, fontsize=LARGE, loc="left")
    axes.legend(fontsize=SMALL, frameon=False, ncols=len(arms), loc="lower left", bbox_to_anchor=(0, -0.28))
    save_figure(figure, path, ("arm", "name", "mean", "standard_error"), _rows(arms))


def plot_shares(arms: Mapping[str, Groups], path: str | os.PathLike[str], *, title: str, ylabel: str) -> None:
    """Shares of groups on a logarithmic axis, so that the rare ones can be read; otherwise as `plot_scores`."""
    names = _common_names(arms)
    figure = new_figure(max(6.5, 1.05 * len(names) + 1), 3.8)
    axes = figure.subplots()
    _bars(axes, arms, names)
    axes.set_yscale("log")
    least = min(mean for groups in arms.values() for mean, _ in groups.values() if mean > 0)
    axes.set_ylim(least / 2, 1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}" if value >= 0.01 else f"{value:.1%}")
    axes.set_ylabel(ylabel, fontsize=NORMAL)
    axes.set_title(title, fontsize=LARGE, loc="left")
    axes.legend(fontsize=SMALL, frameon=False, loc="upper right")
    save_figure(figure, path, ("arm", "name", "mean", "standard_error"), _rows(arms))


def _common_names(arms: Mapping[str, Groups]) -> list[str]:
    if not 1 <= len(arms) <= len(SERIES):
        raise ValueError(f"From 1 to {len(SERIES)} arms can be drawn side by side, not {len(arms)}.")
    first, *others = arms.items()
    names = list(first[1])
    for label, groups in others:
        if list(groups) != names:
            raise ValueError(f"{label!r} has the groups {list(groups)}, but {first[0]!r} has {names}.")
    return names


def _bars(axes: Axes, arms: Mapping[str, Groups], names: Sequence[str]) -> None:
    width = 0.8 / len(arms)
    places = np.arange(len(names))
    for k, (label, groups) in enumerate(arms.items()):
        means = [groups[name][0] for name in names]
        errors = [0.0 if math.isnan(groups[name][1]) else groups[name][1] for name in names]
        shift = (k - (len(arms) - 1) / 2) * width
        axes.bar(
            places + shift,
            means,
            width * 0.92,
            yerr=errors if any(errors) else None,
            color=SERIES[k],
            label=label,
            error_kw={"elinewidth": 1, "capsize": 2},
        )
    axes.set_xticks(places, names, fontsize=NORMAL)
    tidy(axes)


def _rows(arms: Mapping[str, Groups]) -> list[tuple[object, ...]]:
    return [
        (label, name, f"{mean:.6g}", "" if math.isnan(error) else f"{error:.6g}")
        for label, groups in arms.items()
        for name, (mean, error) in groups.items()
    ]

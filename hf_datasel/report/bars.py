"""Grouped bars: scores of several arms with their spread, and what share each group has in several subsets."""

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hf_datasel.report.figure import GREY, LARGE, NORMAL, SERIES, SMALL, new_figure, save_figure, tidy

Groups = Mapping[str, tuple[float, float]]  # name: mean, standard error (NaN where unknown)
_HEADER = ("arm", "name", "mean", "standard_error")
_BAR_WIDTH = 0.8  # of all bars of one name


def plot_scores(
    arms: Mapping[str, Groups],
    path: str | os.PathLike[str],
    *,
    title: str,
    ylabel: str,
    average: str | None = None,
) -> None:
    """Scores in [0, 1]: bars for each name, one for each arm, with error bars of one standard error.

    Args:
        arms: for each arm, mean and standard error by name; the same names in the same order in every arm.
        path: a name that ends in `.png`; the numbers go beside it as CSV.
        average: the last name, where it is an average of the others and is to stand apart.

    Raises:
        ValueError: no arm, more arms than colours, or arms with different names.
    """
    names = _common_names(arms)
    figure, axes = _begin(names, title, ylabel)
    places = np.arange(len(names), dtype=float)
    if average is not None and average == names[-1]:
        places[-1] += 0.4
        axes.axvline(places[-1] - 0.7, color=GREY, linewidth=0.8)
    _bars(axes, arms, names, places)
    axes.set_ylim(0, 1.05)
    _end(figure, axes, arms, path)


def plot_shares(arms: Mapping[str, Groups], path: str | os.PathLike[str], *, title: str, ylabel: str) -> None:
    """Shares of groups, each with its percentage written over it; otherwise as `plot_scores`."""
    names = _common_names(arms)
    figure, axes = _begin(names, title, ylabel)
    for bars in _bars(axes, arms, names, np.arange(len(names), dtype=float)):
        axes.bar_label(bars, fmt=lambda share: f"{100 * share:.0f}", padding=4, fontsize=SMALL - 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.margins(y=0.1)
    _end(figure, axes, arms, path)


def _common_names(arms: Mapping[str, Groups]) -> list[str]:
    if not 1 <= len(arms) <= len(SERIES):
        raise ValueError(f"From 1 to {len(SERIES)} arms can be drawn side by side, not {len(arms)}.")
    first, *others = arms.items()
    names = list(first[1])
    for label, groups in others:
        if list(groups) != names:
            raise ValueError(f"{label!r} has the groups {list(groups)}, but {first[0]!r} has {names}.")
    return names


def _begin(names: Sequence[str], title: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = new_figure(max(7.0, 1.05 * len(names) + 1), 3.8)
    axes = figure.subplots()
    axes.set_ylabel(ylabel, fontsize=NORMAL)
    axes.set_title(title, fontsize=LARGE, loc="left")
    return figure, axes


def _bars(axes: Axes, arms: Mapping[str, Groups], names: Sequence[str], places: np.ndarray) -> list[BarContainer]:
    width = _BAR_WIDTH / len(arms)
    containers = []
    for k, (label, groups) in enumerate(arms.items()):
        errors = [0.0 if math.isnan(groups[name][1]) else groups[name][1] for name in names]
        containers.append(
            axes.bar(
                places + (k - (len(arms) - 1) / 2) * width,
                [groups[name][0] for name in names],
                width * 0.92,
                yerr=errors if any(errors) else None,
                color=SERIES[k],
                label=label,
                error_kw={"elinewidth": 1, "capsize": 2},
            )
        )
    axes.set_xticks(places, names, fontsize=NORMAL)
    axes.margins(x=0.02)
    tidy(axes)
    return containers


def _end(figure: Figure, axes: Axes, arms: Mapping[str, Groups], path: str | os.PathLike[str]) -> None:
    figure.legend(fontsize=NORMAL, frameon=False, ncols=len(arms), loc="outside lower center")
    rows = [
        (label, name, f"{mean:.6g}", "" if math.isnan(error) else f"{error:.6g}")
        for label, groups in arms.items()
        for name, (mean, error) in groups.items()
    ]
    save_figure(figure, path, _HEADER, rows)

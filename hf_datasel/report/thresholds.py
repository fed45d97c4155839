"""A filter at a glance: how candidates and anchors score, and where the cut lies."""

import os
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_datasel.report.bins import bin_edges, counts
from hf_datasel.report.figure import EVERYTHING, GREEN, LARGE, NORMAL, SMALL, new_figure, save_figure, tidy


def plot_score_threshold(
    scores: ArrayLike,
    path: str | os.PathLike[str],
    *,
    threshold: float | None = None,
    anchors: ArrayLike | None = None,
    direction: Literal["high", "low"] = "high",
    title: str = "Scores and threshold",
) -> None:
    """Histograms of the candidates' and the anchors' scores, each of area 1, and the threshold.

    A Selection's `scores`, and the `threshold` and `direction` in its provenance, are what this takes.

    Args:
        scores: numbers [M], finite.
        path: a name that ends in `.png`; the numbers go beside it as CSV.
        threshold: the cut; None where everything is kept.
        anchors: numbers [n].
        direction: which scores are good.
        title: of the picture.

    Raises:
        ValueError: no score, or one that is not finite; `path` does not end in `.png`.
    """
    values, trusted = _checked(scores, "scores"), _checked([] if anchors is None else anchors, "anchors")
    if not values.size:
        raise ValueError("There are no scores to show.")
    edges = bin_edges(np.concatenate([values, trusted]), threshold)
    figure = new_figure(7.0, 3.4)
    axes = figure.subplots()
    heights = {}
    for name, part, colour in (("candidates", values, EVERYTHING), ("anchors", trusted, GREEN)):
        if part.size:
            heights[name] = counts(part, edges) / (part.size * (edges[1] - edges[0]))
            axes.stairs(heights[name], edges, fill=name == "candidates", color=colour, alpha=0.75, label=name)
    if threshold is not None:
        axes.axvline(threshold, color="black", linewidth=1.2)
        kept = values >= threshold if direction == "high" else values <= threshold
        axes.annotate(
            f"{kept.mean():.0%} kept",
            (threshold, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(4 if direction == "high" else -4, 0),
            textcoords="offset points",
            ha="left" if direction == "high" else "right",
            va="top",
            fontsize=SMALL,
        )
    axes.set_title(title, fontsize=LARGE, loc="left")
    axes.set_xlabel(f"score ({direction} is good)", fontsize=NORMAL)
    axes.set_ylabel("density", fontsize=NORMAL)
    axes.legend(fontsize=SMALL, frameon=False)
    tidy(axes)
    rows = [
        [f"{edges[i]:.6g}", f"{edges[i + 1]:.6g}", *(f"{part[i]:.6g}" for part in heights.values())]
        for i in range(len(edges) - 1)
    ]
    save_figure(figure, path, ("from", "to", *heights), rows)


def _checked(numbers: ArrayLike, what: str) -> NDArray[np.float64]:
    values = np.asarray(numbers, np.float64).ravel()
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{what}[{row}] is {values[row]}: only finite numbers can be shown.")
    return values

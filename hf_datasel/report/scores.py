"""How the candidates scored, and where the cut between kept and dropped lies."""

import os

import numpy as np

from hf_datasel.report.bins import bin_edges, counts
from hf_datasel.report.cut import find_cut
from hf_datasel.report.figure import DROPPED, KEPT, LARGE, NORMAL, new_figure, tidy
from hf_datasel.report.picture import Picture, save_picture
from hf_datasel.selection import Selection

_HEADER = ("from", "to", "kept", "dropped")


def plot_kept_scores(selection: Selection, path: str | os.PathLike[str], *, name: str = "score") -> Picture:
    """Histogram of the candidates' scores, kept and dropped on each other, with the cut where there is one.

    A bin has its edge at the cut; the outermost bins hold also what lies beyond them. The CSV has the counts.

    Args:
        selection: of a method that scores.
        path: a name that ends in `.png`.
        name: what the score is called.

    Raises:
        ValueError: the Selection has no scores or one that is not finite; `path` does not end in `.png`.
    """
    cut = find_cut(selection)
    sign = 1.0 if cut.direction == "high" else -1.0
    edges = bin_edges(cut.goodness, None if cut.value is None else sign * cut.value)
    kept, dropped = (counts(cut.goodness[mask], edges) for mask in (selection.kept, ~selection.kept))
    if sign < 0:  # bins hold the edge on their good side
        edges, kept, dropped = -edges[::-1], kept[::-1], dropped[::-1]
    num_kept, total = len(selection), len(selection.candidate_ids)
    figure = new_figure(7.0, 3.6)
    axes = figure.subplots()
    axes.stairs(kept, edges, fill=True, color=KEPT, label=f"kept ({num_kept:,})")
    axes.stairs(
        kept + dropped, edges, baseline=kept, fill=True, color=DROPPED, label=f"dropped ({total - num_kept:,})"
    )
    if cut.value is not None:
        axes.axvline(cut.value, color="black", linewidth=1.2, label=f"cut at {cut.value:.4g}")
    title = f"Scores: {num_kept:,} of {total:,} candidates kept"
    axes.set_title(title, fontsize=LARGE, loc="left")
    axes.set_xlabel(f"{name} ({cut.direction} is good)", fontsize=NORMAL)
    axes.set_ylabel("candidates", fontsize=NORMAL)
    axes.margins(x=0.01)
    tidy(axes)
    figure.legend(fontsize=NORMAL, frameon=False, ncols=3, loc="outside lower center")
    rows = [(f"{edges[k]:.9g}", f"{edges[k + 1]:.9g}", int(kept[k]), int(dropped[k])) for k in range(len(kept))]
    where = "kept and dropped scores overlap" if cut.value is None else f"kept are those of {cut.value:.4g} {cut.side}"
    median = sign * np.median(cut.goodness)
    alt = (
        f"Histogram of the candidates' scores, of which {cut.direction} is good: their median is {median:.4g}, and "
        f"{where}."
    )
    return save_picture(figure, path, _HEADER, rows, title=title, alt=alt)

"""How long rows are, before and after: in tokens with a label where a Trace counted them, else in characters."""

import os

import numpy as np
from numpy.typing import NDArray

from hf_datasel.report.bins import bin_edges, counts
from hf_datasel.report.figure import EVERYTHING, KEPT, LARGE, NORMAL, new_figure, tidy
from hf_datasel.report.picture import Picture, save_picture

_HEADER = ("from", "to", "rows_before", "rows_after")
_LOGARITHMIC = 30  # times the median at which a linear axis shows nothing but its tail


def plot_lengths(
    before: NDArray[np.int64], after: NDArray[np.int64], path: str | os.PathLike[str], *, unit: str, note: str = ""
) -> Picture:
    """Histograms of lengths, each in shares of its rows, with the medians.

    Args:
        before: lengths of all rows, or of a sample of them, at least one.
        after: of the kept ones.
        path: a name that ends in `.png`; the counts go beside it as CSV.
        unit: as in "characters of text".
        note: what the title says beside, as that this is a sample.

    Raises:
        ValueError: there are no lengths; `path` does not end in `.png`.
    """
    if not before.size or not after.size:
        raise ValueError("There are no lengths to show.")
    edges: NDArray[np.floating] = bin_edges(before.astype(np.float64), whole=True)
    if logarithmic := bool(edges[-1] > _LOGARITHMIC * max(1.0, float(np.median(before)))):
        edges = np.unique(np.round(np.geomspace(max(1.0, edges[0] + 0.5), edges[-1] + 0.5, 41))) - 0.5
    numbers = [counts(lengths.astype(np.float64), edges) for lengths in (before, after)]
    medians = [float(np.median(lengths)) for lengths in (before, after)]
    figure = new_figure(7.0, 3.6)
    axes = figure.subplots()
    looks = ((EVERYTHING, "all rows", "--"), (KEPT, "kept", ":"))
    for number, median, (colour, name, style) in zip(numbers, medians, looks, strict=True):
        share = 100 * number / number.sum()
        is_kept = colour == KEPT
        axes.stairs(share, edges, fill=not is_kept, color=colour, alpha=1.0 if is_kept else 0.5, linewidth=1.8,
                    label=name)  # fmt: skip
        axes.axvline(
            median, color=colour, linewidth=1.3, linestyle=style, label=f"median of {name.split()[0]}: {median:,.4g}"
        )
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    title = "Length of the rows, before and after"
    axes.set_title(title + (f" ({note})" if note else ""), fontsize=LARGE, loc="left")
    tail = "; the last bin has what is longer" if before.max() > edges[-1] else ""
    axes.set_xlabel(unit + tail, fontsize=NORMAL)
    axes.set_ylabel("share of the rows, in %", fontsize=NORMAL)
    tidy(axes)
    figure.legend(fontsize=NORMAL, frameon=False, ncols=4, loc="outside lower center")
    rows = [
        (f"{edges[k]:.9g}", f"{edges[k + 1]:.9g}", int(numbers[0][k]), int(numbers[1][k]))
        for k in range(len(edges) - 1)
    ]
    alt = (
        f"Histograms of the length of the rows in {unit}: the median of all is {medians[0]:,.4g}, of the kept ones "
        f"{medians[1]:,.4g}."
    )
    return save_picture(figure, path, _HEADER, rows, title=title, alt=alt)

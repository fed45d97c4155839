"""What clusters of examples are worth to train on, with how well that is known, and which of them were kept."""

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_datasel.example_ids import locate
from hf_datasel.report.figure import DROPPED, GREY, KEPT, LARGE, NORMAL, SMALL, SOME_KEPT, new_figure, tidy
from hf_datasel.report.picture import Picture, save_picture
from hf_datasel.selection import Selection
from hf_datasel.valuation import Valuation

MOST_BARS = 24
Z_95 = 1.959964  # standard errors on each side of a 95% interval
_KINDS = {"all rows kept": KEPT, "some kept": SOME_KEPT, "none kept": DROPPED}
_OF_ROWS = {"all rows kept": "kept", "none kept": "dropped"}
_HEADER = ("cluster", "num_examples", "num_kept", "value", "low_95", "high_95", "num_evaluations", "example_id")


@dataclass(frozen=True)
class _Bar:
    cluster: int
    size: int
    kept: int
    value: float
    error: float
    num_evaluations: int
    example_id: int | None  # its proxy, or itself where it is of one row

    @property
    def kind(self) -> str:
        return "none kept" if not self.kept else "all rows kept" if self.kept == self.size else "some kept"

    @property
    def name(self) -> str:
        return f"example {self.example_id}" if self.size == 1 else f"cluster {self.cluster} ({self.size:,} rows)"


def plot_values(valuation: Valuation, selection: Selection, path: str | os.PathLike[str]) -> Picture:
    """Bars of the clusters' values, the best first, with 95% intervals where standard errors are known.

    Beyond 24 clusters the 12 best and the 12 worst are shown. A cluster without a value, or without a candidate of the
    Selection, has no bar.

    Args:
        valuation: what the Selection was made from.
        selection: which rows were kept.
        path: a name that ends in `.png`; the numbers go beside it as CSV.

    Raises:
        ValueError: a candidate is not in the Valuation, or no cluster has a value; `path` does not end in `.png`.
    """
    ranked = _rank(valuation, selection)
    num_ranked, half = len(ranked.order), MOST_BARS // 2
    if not num_ranked:
        raise ValueError("No cluster of the Valuation has both a value and candidates: there is nothing to draw.")
    gap = half if num_ranked > MOST_BARS else None
    ends = ranked.order if gap is None else np.concatenate([ranked.order[:half], ranked.order[-half:]])
    shown = [ranked.bar(cluster) for cluster in ends.tolist()]
    places = np.arange(len(shown), dtype=float)
    if gap is not None:
        places[gap:] += 1
    figure = new_figure(7.0, 1.5 + 0.23 * (places[-1] + 1))
    axes = figure.subplots()
    of_rows = bool((ranked.sizes[ranked.order] == 1).all())
    what = "examples" if of_rows else "clusters"
    for kind, colour in _KINDS.items():
        mine = [k for k, bar in enumerate(shown) if bar.kind == kind]
        if mine:
            name = _OF_ROWS[kind] if of_rows else kind
            axes.barh(places[mine], [shown[k].value for k in mine], 0.74, color=colour, label=name)
    known = [k for k, bar in enumerate(shown) if not math.isnan(bar.error)]
    if known:
        reach = [Z_95 * shown[k].error for k in known]
        axes.errorbar(
            [shown[k].value for k in known], places[known], xerr=reach, fmt="none", ecolor="black", elinewidth=0.9,
            capsize=2, label="95% interval",
        )  # fmt: skip
    if gap is not None:
        told = f"… {num_ranked - len(shown):,} between"
        axes.annotate(
            told, (0, gap), textcoords="offset points", xytext=(4, 0), va="center", fontsize=SMALL, color=GREY
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, [bar.name for bar in shown])
    axes.set_ylim(places[-1] + 0.6, -0.6)
    title = f"Values of {num_ranked:,} {what}" + ("" if gap is None else f": the {half} best and the {half} worst")
    axes.set_title(title, fontsize=LARGE, loc="left")
    axes.set_xlabel(_axis(valuation), fontsize=NORMAL)
    tidy(axes, grid=False)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    figure.legend(fontsize=NORMAL, frameon=False, ncols=4, loc="outside lower center")
    best, worst = shown[0], shown[-1]
    alt = (
        f"Bars of the values of {what} to train on: from {best.value:.4g} ({best.name}, {best.kept:,} of "
        f"{best.size:,} rows kept) to {worst.value:.4g} ({worst.name}, {worst.kept:,} of {worst.size:,})."
    )
    return save_picture(figure, path, _HEADER, [_numbers(bar) for bar in shown], title=title, alt=alt)


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Legend: M candidates, C clusters."""

    valuation: Valuation
    ids: NDArray[np.int64]  # [M]
    clusters: NDArray[np.int32]  # [M]
    sizes: NDArray[np.int64]  # [C], candidates
    kept: NDArray[np.int64]  # [C]
    order: NDArray[np.int64]  # clusters with a value and candidates, the best first, ties by number

    def bar(self, cluster: int) -> _Bar:
        valuation, size, example = self.valuation, int(self.sizes[cluster]), None
        if size == 1:
            example = int(self.ids[np.argmax(self.clusters == cluster)])
        elif valuation.proxies is not None:
            example = int(valuation.proxies[cluster])
        value, error = float(valuation.values[cluster]), float(valuation.standard_errors[cluster])
        num_evaluations = int(valuation.num_evaluations[cluster])
        return _Bar(cluster, size, int(self.kept[cluster]), value, error, num_evaluations, example)


def _rank(valuation: Valuation, selection: Selection) -> _Ranked:
    missing = "Example {id} of the Selection is not in the Valuation: they belong to different data."
    clusters = valuation.clusters[locate(valuation.ids, selection.candidate_ids, missing)]
    sizes, kept = (
        np.bincount(clusters[mask], minlength=valuation.num_clusters)
        for mask in (clusters >= 0, (clusters >= 0) & selection.kept)
    )
    order = np.argsort(-valuation.values, kind="stable")
    order = order[(sizes[order] > 0) & ~np.isnan(valuation.values[order])]
    return _Ranked(valuation, selection.candidate_ids, clusters, sizes, kept, order)


def _axis(valuation: Valuation) -> str:
    estimator = valuation.info.get("estimator")
    by = "" if estimator is None else f"estimator: {str(estimator).replace('_', ' ')}; "
    return f"value to train on ({by}high is good)"


def _numbers(bar: _Bar) -> tuple[object, ...]:
    low, high = bar.value - Z_95 * bar.error, bar.value + Z_95 * bar.error
    interval = ("", "") if math.isnan(bar.error) else (f"{low:.9g}", f"{high:.9g}")
    example = "" if bar.example_id is None else bar.example_id
    return (bar.cluster, bar.size, bar.kept, f"{bar.value:.9g}", *interval, bar.num_evaluations, example)

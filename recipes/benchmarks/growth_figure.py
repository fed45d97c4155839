"""Picture of growth: cost against the number of rows, a line a selector, and ratios against the model's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from hf_datasel.report.figure import GREY, NORMAL, SERIES, SMALL, new_figure, save_figure, tidy

PANELS = {
    "scores and draws": ("random", "perplexity", "middle_perplexity", "high_learnability", "dsir", "dsir_hashing"),
    "S2L, CLUES, SHED": ("s2l", "clues", "clues_paper", "clues_f1", "shed_qwcs", "shed_qocs"),
    "by embeddings": ("quantization", "quantization_chunks", "facility_exact", "facility_neighbours"),
}
MODELS = "by model size"
RATIOS = {
    "recording": "recorded step / plain step",
    "sweep": "score-only sweep / forward + backward",
    "one_by_one": "score-only sweep / one example at a time",
}
MARKERS = "osD^vP"
HEADER = ("panel", "what", "size", "ratio", "low", "high")
Row = tuple[str, str, float, float, float, float]


def rows_of(result: dict[str, Any]) -> list[Row]:
    """What is drawn: panel, series, rows or parameters, ratio and its interval."""
    rows: list[Row] = []
    for panel, names in PANELS.items():
        for name in names:
            if name in result["cases"]:
                case = result["cases"][name]
                points = {case["sizes"][0]: {"median": 1.0, "interval": [1.0, 1.0]}, **case["grows"]}
                rows += [(panel, case["what"], int(x), y["median"], *y["interval"]) for x, y in points.items()]
    for name, what in RATIOS.items():
        for model in result["models"].values():
            rows.append((MODELS, what, model["num_parameters"], model[name]["median"], *model[name]["interval"]))
    return rows


def draw(result: dict[str, Any], path: Path) -> None:
    """Four panels, both axes logarithmic but for the ratios of models."""
    rows = rows_of(result)
    figure = new_figure(10.0, 8.0)
    for axes, panel in zip(figure.subplots(2, 2).flat, (*PANELS, MODELS), strict=True):
        shown = [row for row in rows if row[0] == panel]
        for number, what in enumerate(dict.fromkeys(row[1] for row in shown)):
            _line(axes, what, [row for row in shown if row[1] == what], number)
        axes.set_xscale("log")
        axes.set_title(panel, fontsize=NORMAL, loc="left")
        if panel == MODELS:
            axes.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
            axes.set_xlabel("parameters", fontsize=NORMAL)
            axes.set_ylabel("ratio of CPU times", fontsize=NORMAL)
            sizes = sorted({row[2] for row in shown})
            axes.set_xticks(sizes, [f"{size / 1e6:.1f} M" for size in sizes])
            axes.minorticks_off()
        elif shown:
            axes.set_yscale("log")
            _guides(axes, shown)
            axes.set_xlabel("rows (dotted: in proportion to them)", fontsize=NORMAL)
            axes.set_ylabel("CPU time, in that of the fewest rows", fontsize=NORMAL)
        tidy(axes)
        if shown:
            axes.legend(fontsize=SMALL, frameon=False)
    save_figure(figure, path, HEADER, rows)


def _line(axes: Axes, what: str, rows: list[Row], number: int) -> None:
    x, y, low, high = (list(column) for column in list(zip(*rows, strict=True))[2:])
    errors = [[b - a for a, b in zip(low, y, strict=True)], [b - a for a, b in zip(y, high, strict=True)]]
    style = {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number], "markersize": 4, "linewidth": 1.2}
    axes.errorbar(x, y, yerr=errors, label=what, capsize=2, linestyle="--" if number >= len(SERIES) else "-", **style)


def _guides(axes: Axes, rows: list[Row]) -> None:
    """Growth as N, from the smallest size of every line."""
    for base in {min(row[2] for row in rows if row[1] == what) for what in {row[1] for row in rows}}:
        largest = max(row[2] for row in rows)
        axes.plot([base, largest], [1, largest / base], color=GREY, linewidth=0.8, linestyle=":")

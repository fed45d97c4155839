"""Pictures of a result: `python -m recipes.benchmarks.clues_noise.figures`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hf_datasel.report.figure import BLUE, GREY, LARGE, NORMAL, ORANGE, SMALL, new_figure, save_figure, tidy

HERE = Path(__file__).parent
WORLD = "medquad"
SHOWN = {
    "plain dot, learning-rate weights": "CLUES as published (dot)",
    "plain cosine": "CLUES, cosine",
    "plain length-normalised": "CLUES, length-normalised",
    "plain cosine + loss": "CLUES, cosine + loss",
    "plain contrasts, mean": "CLUES, contrasted directions",
    "weakest link": "weakest link (default)",
    "weakest link, without contrasts": "weakest link without gradients",
    "pairing": "pairing",
    "perplexity": "perplexity",
    "IFD, low is good": "IFD, low is good",
    "DataInf": "DataInf",
    "length": "length of the answer",
    "random": "random",
}
KINDS = ("mismatched", "truncated", "shuffled", "foreign", "all")
CURVES = {
    "weakest link": ("conformal", "weakest link", BLUE),
    "plain cosine": ("conformal", "CLUES, cosine", ORANGE),
    "perplexity": ("conformal", "perplexity", GREY),
}
SHARES = {"mixed-20": 0.2, "mixed-50": 0.5, "mixed-80": 0.8}


def detection_picture(result: dict[str, Any], path: Path) -> None:
    """AUROC of each score on each kind of damage, half of the rows damaged in four ways."""
    table = result["worlds"][WORLD]["mixed-50"]["detection"]
    names = [name for name in SHOWN if name in table]
    values = np.array([[table[name]["auroc"][kind]["mean"] for kind in KINDS] for name in names])
    figure = new_figure(7.0, 0.36 * len(names) + 1.2)
    axes = figure.subplots()
    axes.imshow(values, cmap="RdBu", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*values.shape):
        dark = abs(values[row, column] - 0.5) > 0.35
        axes.text(
            column,
            row,
            f"{values[row, column]:.2f}",
            ha="center",
            va="center",
            fontsize=SMALL,
            color="white" if dark else "black",
        )
    axes.set_xticks(range(len(KINDS)), KINDS, fontsize=SMALL)
    axes.set_yticks(range(len(names)), [SHOWN[name] for name in names], fontsize=SMALL)
    axes.set_title("Clean rows against damaged ones: AUROC by kind of damage", fontsize=LARGE, loc="left")
    axes.spines[:].set_visible(False)
    save_figure(
        figure, path, ("score", *KINDS), [(name, *row) for name, row in zip(names, values.tolist(), strict=True)]
    )


def selection_picture(result: dict[str, Any], path: Path) -> None:
    """F1 of what is kept over the share of damaged rows, and the held-out loss of what is trained on it."""
    patterns = result["worlds"][WORLD]
    figure = new_figure(9.0, 3.6)
    left, right = figure.subplots(1, 2)
    rows = _draw_f1(left, patterns)
    held_out = patterns["mixed-50"]["held_out"]
    for place, (arm, found) in enumerate(held_out.items()):
        values = found["loss"]["per_seed"]
        right.plot(values, [place] * len(values), "o", color=GREY, markersize=3)
        right.plot(found["loss"]["mean"], place, "D", color=BLUE, markersize=5)
        rows += [(arm, "held-out loss", seed, value) for seed, value in enumerate(values)]
    right.set_yticks(range(len(held_out)), list(held_out), fontsize=SMALL)
    right.invert_yaxis()
    right.set_xlabel("loss of test answers, nats a token (seeds, and their mean)", fontsize=NORMAL)
    right.set_title("Merged model, half damaged", fontsize=LARGE, loc="left")
    tidy(right, grid=False)
    save_figure(figure, path, ("name", "measure", "share_or_seed", "value"), rows)


def _draw_f1(axes: Axes, patterns: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    shown = {pattern: share for pattern, share in SHARES.items() if pattern in patterns}
    for name, (rule, label, colour) in CURVES.items():
        measured = [patterns[pattern]["detection"][name]["f1"][rule] for pattern in shown]
        means = [one["mean"] for one in measured]
        axes.plot(list(shown.values()), means, "o-", color=colour, label=label)
        for share, one in zip(shown.values(), measured, strict=True):
            axes.plot([share] * len(one["per_seed"]), one["per_seed"], ".", color=colour, markersize=3)
        rows += [(name, "f1", share, mean) for share, mean in zip(shown.values(), means, strict=True)]
    everything = [2 * (1 - share) / (2 - share) for share in shown.values()]
    axes.plot(list(shown.values()), everything, "--", color="black", linewidth=0.8, label="keep everything")
    axes.set_xlabel("share of damaged rows, four kinds", fontsize=NORMAL)
    axes.set_ylabel("F1 of the rows kept", fontsize=NORMAL)
    axes.set_ylim(0, 1)
    axes.set_title("Conformal threshold, 60 anchors", fontsize=LARGE, loc="left")
    axes.legend(fontsize=SMALL, frameon=False)
    tidy(axes)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--result", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    result = json.loads(options.result.read_text())
    detection_picture(result, options.result.parent / "detection.png")
    selection_picture(result, options.result.parent / "selection.png")


if __name__ == "__main__":
    main()

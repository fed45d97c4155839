"""Pictures of a result: `python -m recipes.benchmarks.clues_noise.figures`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hf_datasel.report.figure import BLUE, GREEN, GREY, LARGE, NORMAL, ORANGE, SMALL, new_figure, save_figure, tidy

HERE = Path(__file__).parent
WORLD = "medquad"
SHOWN = {
    "plain dot, learning-rate weights": "CLUES as published (dot)",
    "plain cosine": "CLUES, cosine",
    "plain length-normalised": "CLUES, length-normalised",
    "plain cosine + loss": "CLUES, cosine + loss",
    "plain contrasts, mean": "CLUES, contrasted directions",
    "weakest link of four": "CLUES, weakest link of four",
    "weakest link of three": "CLUES, weakest link of three",
    "weakest link of two": "weakest link without gradients",
    "pairing": "pairing",
    "IFD of the base, low is good": "IFD of the base, low is good",
    "perplexity": "perplexity",
    "IFD, low is good": "IFD, low is good",
    "DataInf": "DataInf",
    "length": "length of the answer",
    "random": "random",
}
KINDS = ("mismatched", "truncated", "shuffled", "foreign", "all")
CURVES = {
    "weakest link of three": ("conformal", "weakest link of three", BLUE),
    "plain cosine": ("conformal", "CLUES, cosine", ORANGE),
    "IFD of the base, low is good": ("conformal", "IFD, low is good", GREEN),
    "perplexity": ("conformal", "perplexity", GREY),
}
PATTERNS = {
    "mixed-20": "20%",
    "mixed-50": "50%",
    "mixed-80": "80%",
    "uneven": "uneven",
    "mismatched-50": "50%,\nmismatched",
}
ARMS = ("base", "mixed", "oracle")  # in this order; selections after them


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
    figure = new_figure(9.0, 4.2)
    left, right = figure.subplots(1, 2)
    rows = _draw_f1(left, patterns)
    held_out = patterns["mixed-50"]["held_out"]
    for place, arm in enumerate([*ARMS, *sorted(set(held_out) - set(ARMS))]):
        found = held_out[arm]
        values = found["minus_oracle"]["per_seed"]
        right.plot(values, [place] * len(values), "o", color=GREY, markersize=4)
        right.plot(found["minus_oracle"]["mean"], place, "D", color=BLUE, markersize=5)
        rows += [(arm, "held-out loss less the oracle's", seed, value) for seed, value in enumerate(values)]
    right.set_yticks(range(len(held_out)), [*ARMS, *sorted(set(held_out) - set(ARMS))], fontsize=SMALL)
    right.invert_yaxis()
    right.axvline(0, color="black", linewidth=0.8)
    right.set_xlabel("test loss less the oracle's, nats a token", fontsize=NORMAL)
    right.set_title("Merged model, 50% damaged", fontsize=LARGE, loc="left")
    tidy(right, grid=False)
    save_figure(figure, path, ("name", "measure", "seed", "value"), rows)


def _draw_f1(axes: Axes, patterns: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    shown = {pattern: label for pattern, label in PATTERNS.items() if pattern in patterns}
    width = 0.8 / len(CURVES)
    for k, (name, (rule, label, colour)) in enumerate(CURVES.items()):
        measured = [patterns[pattern]["detection"][name]["f1"][rule] for pattern in shown]
        places = [place + (k - (len(CURVES) - 1) / 2) * width for place in range(len(shown))]
        axes.bar(places, [one["mean"] for one in measured], width, color=colour, label=label)
        for place, one in zip(places, measured, strict=True):
            axes.plot([place] * len(one["per_seed"]), one["per_seed"], ".", color="black", markersize=3)
        rows += [(name, f"f1, {pattern}", "mean", one["mean"]) for pattern, one in zip(shown, measured, strict=True)]
    axes.set_xticks(range(len(shown)), list(shown.values()), fontsize=SMALL)
    axes.set_xlabel("share of damaged rows; four kinds, or mismatched alone", fontsize=NORMAL)
    axes.set_ylabel("F1 of the rows kept", fontsize=NORMAL)
    axes.set_ylim(0, 1)
    axes.set_title("Conformal threshold, 60 anchors", fontsize=LARGE, loc="left")
    axes.legend(fontsize=SMALL, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
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

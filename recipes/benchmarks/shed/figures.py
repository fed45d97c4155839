"""Pictures of a result: `python -m recipes.benchmarks.shed.figures`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from hf_datasel.report.figure import BLUE, GREEN, GREY, LARGE, NORMAL, ORANGE, SMALL, new_figure, save_figure, tidy
from recipes.benchmarks.shed.cell import CLEAN_SHARE, FULL, ORACLE, RANDOM

HERE = Path(__file__).parent
ARMS = {
    FULL: "full, 100%",
    ORACLE: "oracle: all clean rows, 60%",
    CLEAN_SHARE: "oracle: 10% of clean rows",
    RANDOM: "random",
    "DSIR": "DSIR",
    "DQ": "Dataset Quantization",
    "regression, QOCS": "SHED, regression, QOCS",
    "regression, QWCS": "SHED, regression, QWCS",
    "regression, QWCS, f=3": "SHED, regression, QWCS, f = 3",
    "regression, half, random": "SHED, regression: best half, then random",
    "Banzhaf, QWCS": "SHED, Banzhaf, QWCS",
    "Banzhaf, QWCS, f=3": "SHED, Banzhaf, QWCS, f = 3",
    "Banzhaf, half, random": "SHED, Banzhaf: best half, then random",
    "in-run clusters, QWCS": "in-run, clusters, QWCS",
    "in-run rows, QOCS": "in-run, rows, QOCS",
    "in-run rows, cosine, QOCS": "in-run, rows, cosine, QOCS",
    "in-run rows, cosine, QWCS": "in-run, rows, cosine, QWCS",
    "in-run rows, cosine, QWCS, f=3": "in-run, rows, cosine, QWCS, f = 3",
    "in-run rows, cosine, half, random": "in-run, rows, cosine: best half, then random",
    "Banzhaf and in-run rows, cosine, random": "both: best by Banzhaf, by cosine, then random",
}
WORLD_NAMES = {"skills": "generated skills", "real": "math and medical"}
CURVES = {
    "regression": ("regression", BLUE, "-"),
    # The official arithmetic with v(empty) measured ranks as this does: sums in place of means.
    "paper, groups of 1": ("paper, groups of 1", GREEN, "-"),
    "paper, groups of 2": ("paper, groups of 2", GREEN, "--"),
    "official, groups of 1": ("official, groups of 1", GREY, "-"),
    "official, groups of 2": ("official, groups of 2", GREY, "--"),
}


def arms_picture(result: dict[str, Any], path: Path) -> None:
    """Held-out loss less that of training on everything: a panel for each world and pattern, a line an arm."""
    panels = [(world, pattern) for world, patterns in result["worlds"].items() for pattern in patterns]
    figure = new_figure(1.6 + 2.3 * len(panels), 4.2)
    rows: list[tuple[Any, ...]] = []
    for axes, (world, pattern) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        rows += _draw_arms(axes, world, pattern, result["worlds"][world][pattern]["arms"])
        if rows[0][:2] != (world, pattern):
            axes.set_yticklabels([])
    save_figure(figure, path, ("world", "pattern", "arm", "seed", "loss less full's"), rows)


def _draw_arms(axes: Axes, world: str, pattern: str, arms: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for place, arm in enumerate(ARMS):  # the same place in every panel, empty where an arm was not run
        if arm not in arms:
            continue
        found = arms[arm][f"minus_{FULL}"]
        axes.plot(found["per_seed"], [place] * len(found["per_seed"]), "o", color=GREY, markersize=3)
        axes.plot(found["mean"], place, "D", color=ORANGE if arm in (ORACLE, CLEAN_SHARE) else BLUE, markersize=5)
        rows += [(world, pattern, arm, seed, value) for seed, value in enumerate(found["per_seed"])]
    axes.set_yticks(range(len(ARMS)), list(ARMS.values()), fontsize=SMALL)
    axes.set_ylim(len(ARMS) - 0.5, -0.5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("loss less full's, nats", fontsize=NORMAL)
    axes.set_title(f"{WORLD_NAMES[world]},\n{pattern}", fontsize=NORMAL, loc="left")
    tidy(axes, grid=False)
    return rows


def game_picture(result: dict[str, Any], path: Path) -> None:
    """Rank correlation with exact Shapley values over the number of fine-tunes."""
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    rows: list[tuple[Any, ...]] = []
    for name, (label, colour, style) in CURVES.items():
        found = result["game"]["spearman"][name]
        budgets = [int(budget) for budget in found]
        axes.plot(budgets, [one["mean"] for one in found.values()], style, color=colour, label=label, marker="o", ms=3)
        rows += [
            (name, budget, game, value) for budget, one in found.items() for game, value in enumerate(one["per_seed"])
        ]
    axes.set_xscale("log")
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.minorticks_off()
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("fine-tunes", fontsize=NORMAL)
    axes.set_ylabel("Spearman's correlation", fontsize=NORMAL)
    axes.set_title("Ten players, against exact Shapley values", fontsize=LARGE, loc="left")
    axes.legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    tidy(axes)
    save_figure(figure, path, ("estimator", "fine-tunes", "game", "mean over repeats"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--result", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    result = json.loads(options.result.read_text())
    if "worlds" in result:
        arms_picture(result, options.result.parent / "arms.png")
    if "game" in result:
        game_picture(result, options.result.parent / "game.png")


if __name__ == "__main__":
    main()

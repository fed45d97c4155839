"""Pictures of a result: what each method and seed reached, a panel a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.plan import ALL
from hf_datasel.report.figure import BLUE, GREY, NORMAL, ORANGE, SMALL, new_figure, save_figure, tidy
from recipes.benchmarks.effectiveness.mathematics import MIXTURE
from recipes.benchmarks.effectiveness.telling import LOSS, METRIC, World, arms_of

AXES = {METRIC: "exact match, macro over skills", LOSS: "loss, nats a token (less is better)"}
PICTURES = {  # by part of a result: the file's name, the metric, and the comparisons, all if there are none
    "worlds": ("methods", METRIC, ()),
    "mathematics": ("mathematics", LOSS, (MIXTURE,)),
    "clients": ("clients", LOSS, ()),
    "valuations": ("valuations", LOSS, ()),
}


def draw_all(result: Mapping[str, Any], folder: Path) -> None:
    """A picture for each part that was run."""
    for part, (name, metric, comparisons) in PICTURES.items():
        if part in result:
            shown = {one: result[part][one] for one in comparisons or result[part]}
            draw(shown, folder / f"{name}.png", metric)


def draw(found: Mapping[str, World], path: Path, metric: str = METRIC) -> None:
    """A line a method: its seeds grey, their mean a diamond; random's and full's means run through.

    Args:
        found: comparisons by name.
    """
    figure = new_figure(2.0 + 2.6 * len(found), 3.6)
    names = arms_of(found)
    rows: list[tuple[Any, ...]] = []
    for number, (axes, (name, one)) in enumerate(
        zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True)
    ):
        for arm in one["metrics"][metric]["groups"][ALL]["means"]:
            place, is_yardstick = names.index(arm["method"]), arm["method"] in (RANDOM, FULL)
            axes.plot(arm["per_seed"], [place] * len(arm["per_seed"]), "o", color=GREY, markersize=3)
            axes.plot(arm["mean"], place, "D", color=ORANGE if is_yardstick else BLUE, markersize=5)
            if is_yardstick:
                axes.axvline(arm["mean"], color=ORANGE, linewidth=0.8)
            rows += [
                (name, arm["method"], seed, value) for seed, value in zip(one["seeds"], arm["per_seed"], strict=True)
            ]
        axes.set_yticks(range(len(names)), [] if number else names, fontsize=SMALL)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(AXES[metric], fontsize=NORMAL)
        axes.set_title(name, fontsize=NORMAL, loc="left")
        tidy(axes, grid=False)
    save_figure(figure, path, ("world", "method", "seed", metric), rows)

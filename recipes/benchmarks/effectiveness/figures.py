"""Picture of a result: exact match of each method and seed, a panel a world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.plan import ALL
from hf_datasel.report.figure import BLUE, GREY, NORMAL, ORANGE, SMALL, new_figure, save_figure, tidy
from recipes.benchmarks.effectiveness.telling import arms_of

METRIC = "exact_match"


def draw(result: dict[str, Any], path: Path) -> None:
    """A line a method: its seeds grey, their mean a diamond; random's and full's means run through."""
    worlds = result["worlds"]
    figure = new_figure(2.0 + 2.6 * len(worlds), 3.6)
    names = arms_of(worlds)
    rows: list[tuple[Any, ...]] = []
    for number, (axes, (world, found)) in enumerate(
        zip(figure.subplots(1, len(worlds), squeeze=False)[0], worlds.items(), strict=True)
    ):
        means = found["metrics"][METRIC]["groups"][ALL]["means"]
        for one in means:
            place = names.index(one["method"])
            is_yardstick = one["method"] in (RANDOM, FULL)
            axes.plot(one["per_seed"], [place] * len(one["per_seed"]), "o", color=GREY, markersize=3)
            axes.plot(one["mean"], place, "D", color=ORANGE if is_yardstick else BLUE, markersize=5)
            if is_yardstick:
                axes.axvline(one["mean"], color=ORANGE, linewidth=0.8)
            rows += [
                (world, one["method"], seed, value)
                for seed, value in zip(found["seeds"], one["per_seed"], strict=True)
            ]
        axes.set_yticks(range(len(names)), [] if number else names, fontsize=SMALL)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("exact match, macro over skills", fontsize=NORMAL)
        axes.set_title(world, fontsize=NORMAL, loc="left")
        tidy(axes, grid=False)
    save_figure(figure, path, ("world", "method", "seed", METRIC), rows)

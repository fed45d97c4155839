"""Comparisons that never were: cells, costs and Selections with chosen effects, for the tests of this room."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hf_datasel import Selection
from hf_datasel.compare.result import summarise

NUM_ROWS = 40
TRACE = {"evidence": "losses-1a", "seconds": 30.0, "forwards": 900, "backwards": 100, "fine_tunes": 1}
INFLUENCE = {"evidence": "influence-2b", "seconds": 60.0, "forwards": 400, "backwards": 400, "fine_tunes": 0}

Score = Callable[[str, int | float, int, str], float]


class World(NamedTuple):
    """What `summarise` takes."""

    cells: list[dict[str, Any]]
    costs: dict[str, list[dict[str, Any]]]
    selections: dict[tuple[str, int | float, int], Selection]
    on_all: Sequence[str] = ()

    def summarise(self, **options: Any) -> dict[str, Any]:
        return summarise(self.cells, self.costs, self.selections, on_all=self.on_all, **options)


def make_world(
    score: Score,
    methods: Sequence[str] = ("random", "s2l", "clues"),
    budgets: Sequence[int | float] = (0.1, 0.5),
    num_seeds: int = 3,
    groups: Sequence[str] = (),
    metrics: Sequence[str] = ("exact_match",),
    costs: Mapping[str, Any] | None = None,
    on_all: Sequence[str] = (),
) -> World:
    """A world of which `score(method, budget, seed, group)` is the metric; "full" is there by itself.

    Methods on all rows make no Selection, and come to three rows in four.
    """
    rng = np.random.default_rng(0)
    cells, selections = [], {}
    for seed in range(num_seeds):
        for method in (*methods, *on_all, "full"):
            for budget in budgets if method in methods else (1.0,):
                num_kept = budget if isinstance(budget, int) else round(budget * NUM_ROWS)
                values = {group: score(method, budget, seed, group) for group in ("all", *groups)}
                cells.append(
                    {
                        "method": method, "budget": budget, "seed": seed, "num_kept": num_kept, "steps": 50,
                        "select_seconds": 2.0, "train_seconds": 100.0, "metrics": dict.fromkeys(metrics, values),
                    }
                )  # fmt: skip
                if method in on_all:
                    cells[-1]["num_seen"] = NUM_ROWS * 3 // 4
                    continue
                kept = np.zeros(NUM_ROWS, bool)
                kept[rng.choice(NUM_ROWS, num_kept, replace=False)] = True
                selections[method, budget, seed] = Selection(candidate_ids=np.arange(NUM_ROWS) * 3, kept=kept)
    if costs is None:
        costs = {"s2l": [TRACE], "clues": [INFLUENCE, TRACE], **{method: [] for method in methods if method[0] == "m"}}
    return World(cells, {**{method: [TRACE] for method in on_all}, **costs}, selections, on_all)


def noisy(effects: Mapping[str, float], noise: float, seed: int = 0) -> Score:
    """Scores around 0.5 with the effects of methods and noise of their own."""
    rng = np.random.default_rng(seed)
    return lambda method, budget, seed, group: 0.5 + effects.get(method, 0.0) + noise * float(rng.normal())

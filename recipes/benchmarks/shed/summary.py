"""From pieces to the tables: means over seeds with their 95% intervals, paired where arms are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recipes.benchmarks.clues_noise.metrics import interval
from recipes.benchmarks.shed.cell import BASE, DECLARED, FULL, RANDOM
from recipes.benchmarks.shed.game import NUM_PLAYERS, NUM_REPEATS, correlations

Pieces = Sequence[dict[str, Any]]
BY_FINE_TUNES, WATCHED = (
    "regression, QWCS",
    ("in-run clusters, QWCS", "in-run rows, QOCS", "in-run rows, cosine, QOCS", DECLARED),
)
OFFICIAL = "official, groups of 1"


def summarise(pieces: Mapping[str, Pieces]) -> dict[str, Any]:
    """The result: `worlds` by pattern, the `game`, the `transfer`; a part without pieces is left out."""
    found: dict[str, Any] = {}
    cells = pieces["cells"]
    for world, pattern in dict.fromkeys((cell["world"], cell["pattern"]) for cell in cells):
        own = [cell for cell in cells if (cell["world"], cell["pattern"]) == (world, pattern)]
        found.setdefault("worlds", {}).setdefault(world, {})[pattern] = summarise_cells(own)
    if pieces["game"]:
        found["game"] = summarise_games(pieces["game"])
    for pattern, family in dict.fromkeys((one["pattern"], one["family"]) for one in pieces["transfer"]):
        own = [one for one in pieces["transfer"] if (one["pattern"], one["family"]) == (pattern, family)]
        arms = summarise_arms([one["held_out"] for one in own])
        found.setdefault("transfer", {}).setdefault(pattern, {})[family] = {"seeds": seeds(own), "arms": arms}
    return found


def summarise_cells(cells: Pieces) -> dict[str, Any]:
    """One world and pattern: arms, how values tell clean rows, and what they cost."""
    first = cells[0]
    found: dict[str, Any] = {"seeds": seeds(cells)}
    for key in ("num_rows", "num_clusters"):
        found[key] = [cell[key] for cell in cells]
    found["cluster_ceiling"] = over(cells, "cluster_ceiling")
    found["auroc"] = {name: interval([cell["auroc"][name] for cell in cells]) for name in first["auroc"]}
    found["arms"] = summarise_arms([cell["held_out"] for cell in cells])
    for arm in [arm for arm in found["arms"] if arm in first["kept_corrupted"]]:
        for key in ("kept_corrupted", "kept_topics"):
            found["arms"][arm][key] = interval([cell[key][arm] for cell in cells])
    found["costs"] = {name: summarise_cost(cells, name) for name in first["costs"]}
    found["in_run_over_regression"] = compare_with_regression(cells)
    return found


def summarise_arms(held_out: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """By arm: loss, exact match, and the loss less that of full and of random, seed by seed."""
    found = {}
    for arm in [arm for arm in held_out[0] if all(arm in one for one in held_out)]:
        losses = np.array([one[arm]["loss"] for one in held_out])
        found[arm] = {
            "loss": interval(losses.tolist()),
            "exact_match": interval([one[arm]["exact_match"] for one in held_out]),
            **{
                f"minus_{other}": interval([one[arm]["loss"] - one[other]["loss"] for one in held_out])
                for other in (FULL, RANDOM)
            },
        }
    return found


def summarise_cost(cells: Pieces, name: str) -> dict[str, Any]:
    """Fine-tunes, and processor time over that of one arm's training on everything."""
    ratios = [cell["costs"][name]["seconds"] / cell["held_out"][FULL]["seconds"] for cell in cells]
    return {"fine_tunes": cells[0]["costs"][name]["fine_tunes"], "full_trainings": interval(ratios)}


def compare_with_regression(cells: Pieces) -> dict[str, Any]:
    """Gain of each in-run arm over the base as a share of regression's, and its cost as a share of regression's."""
    found: dict[str, Any] = {}
    for arm in WATCHED:
        gains = [
            [cell["held_out"][BASE]["loss"] - cell["held_out"][one]["loss"] for one in (arm, BY_FINE_TUNES)]
            for cell in cells
        ]
        found[arm] = interval([ours / theirs for ours, theirs in gains])
    costs = [cell["costs"] for cell in cells]
    found["fine_tunes"] = costs[0]["in-run rows"]["fine_tunes"] / costs[0]["regression"]["fine_tunes"]
    found["seconds"] = interval([cost["in-run rows"]["seconds"] / cost["regression"]["seconds"] for cost in costs])
    return found


def summarise_games(games: Pieces) -> dict[str, Any]:
    """Spearman's correlation with the exact values by estimator and number of fine-tunes, over games."""
    measured = [correlations(game["values"]) for game in games]
    ranks = {
        name: {budget: interval([one[name][budget] for one in measured]) for budget in budgets}
        for name, budgets in measured[0].items()
    }
    ratios = {
        budget: round(ranks["regression"][budget]["mean"] / official["mean"], 4)
        for budget, official in ranks[OFFICIAL].items()
        if official["mean"] > 0
    }
    return {
        "seeds": seeds(games),
        "num_players": NUM_PLAYERS,
        "repeats": NUM_REPEATS,
        "v_empty_and_full": [[round(game["values"][0], 4), round(game["values"][-1], 4)] for game in games],
        "spearman": ranks,
        "regression_over_official": ratios,
    }


def seeds(pieces: Pieces) -> list[int]:
    """Of the pieces."""
    return [piece["seed"] for piece in pieces]


def over(cells: Pieces, key: str) -> dict[str, Any]:
    """The interval over seeds of a number."""
    return interval([cell[key] for cell in cells])

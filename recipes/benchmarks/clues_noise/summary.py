"""From cells to the tables: means over clients, then over seeds with their intervals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recipes.benchmarks.clues_noise.metrics import interval

Cells = list[dict[str, Any]]
MEASURES = ("precision", "recall", "f1", "accuracy")


def summarise(cells: Cells) -> dict[str, Any]:
    """Detection and held-out losses by world and pattern of noise.

    A number is the mean over the five clients, its interval over the seeds. In `detection` every score has its AUROC
    by kind of noise ("all" for all damaged rows together) and by client, the best F1 that a threshold knowing the
    truth would reach, and for each rule what it keeps, by kind.
    """
    worlds: dict[str, Any] = {}
    for world, pattern in dict.fromkeys((cell["world"], cell["pattern"]) for cell in cells):
        chosen = [cell for cell in cells if (cell["world"], cell["pattern"]) == (world, pattern)]
        found: dict[str, Any] = {"seeds": [cell["seed"] for cell in chosen], "detection": detection(chosen)}
        if "held_out" in chosen[0]:
            found["held_out"] = held_out(chosen)
        worlds.setdefault(world, {})[pattern] = found
    return {"worlds": worlds}


def detection(cells: Cells) -> dict[str, Any]:
    """By score: AUROC, best F1, and precision, recall, F1 and accuracy of every rule."""
    first = next(iter(cells[0]["clients"].values()))
    found = {}
    for name, example in first.items():
        rule = "conformal" if "conformal" in example["rules"] else "ratio"
        found[name] = {
            "auroc": {kind: over(cells, name, lambda one, kind=kind: one["auroc"][kind]) for kind in example["auroc"]},
            "by_client": {party: of_client(cells, party, name, rule) for party in cells[0]["clients"]},
            "best_f1": over(cells, name, lambda one: one["best_f1"]),
            "rules": {
                rule: {
                    kind: {
                        measure: over(cells, name, lambda one, r=rule, k=kind, m=measure: one["rules"][r][k][m])[
                            "mean"
                        ]
                        for measure in MEASURES
                    }
                    for kind in kinds
                }
                for rule, kinds in example["rules"].items()
            },
            "f1": {
                rule: over(cells, name, lambda one, r=rule: one["rules"][r]["all"]["f1"]) for rule in example["rules"]
            },
        }
    return found


def of_client(cells: Cells, party: str, name: str, rule: str) -> dict[str, float]:
    """Means over seeds of one client's AUROC, and of what the rule keeps of its rows."""
    own = [cell["clients"][party][name] for cell in cells]
    kept = {measure: mean([one["rules"][rule]["all"][measure] for one in own]) for measure in MEASURES}
    found = {"auroc": mean([one["auroc"]["all"] for one in own]), **kept}
    return {measure: round(value, 4) for measure, value in found.items()}


def over(cells: Cells, name: str, read: Callable[[dict[str, Any]], float | None]) -> dict[str, Any]:
    """The interval over seeds of a measure's mean over clients."""
    return interval([mean([read(client[name]) for client in cell["clients"].values()]) for cell in cells])


def mean(values: Sequence[float | None]) -> float:
    """Of those that are measured: there is no precision where nothing is kept.

    Example:
        >>> mean([0.5, None, 1.0])
        0.75
    """
    return statistics.fmean(value for value in values if value is not None)


def held_out(cells: Cells) -> dict[str, Any]:
    """By arm: test loss in nats per answer token (mean over the parties), what of the oracle's gain it reaches.

    `share_of_gain` is (base - arm) / (base - oracle); `share_of_gap`, (mixed - arm) / (mixed - oracle), is harder: it
    gives nothing for what training on everything reaches too. Both are ratios of means over seeds, by seed beside.
    """
    losses = {
        arm: np.array([np.mean(list(cell["held_out"][arm]["loss"].values())) for cell in cells])
        for arm in cells[0]["held_out"]
    }
    found = {}
    for arm, values in losses.items():
        found[arm] = {
            "loss": interval(values.tolist()),
            "minus_oracle": interval((values - losses["oracle"]).tolist()),
            "num_kept": float(np.mean([cell["held_out"][arm]["num_kept"] for cell in cells])),
        }
        for share, start in (("share_of_gain", "base"), ("share_of_gap", "mixed")):
            gained, possible = losses[start] - values, losses[start] - losses["oracle"]
            found[arm][share] = {
                "of_means": round(float(gained.mean() / possible.mean()), 4) if possible.mean() else None,
                "per_seed": [round(float(a / b), 4) if b else None for a, b in zip(gained, possible, strict=True)],
            }
    return found

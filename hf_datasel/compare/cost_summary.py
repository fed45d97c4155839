"""What choosing costs: seconds, forwards, backwards and fine-tunes, as multiples of one training on everything.

A method is charged with all the evidence it reads, as if it had been alone, and with the mean of its own selecting;
what the whole comparison took, with the evidence recorded once for all, stands apart.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hf_datasel.compare.grid import FULL, RANDOM, Budget, Grid

COUNTS = ("forwards", "backwards", "fine_tunes")
Costs = Mapping[str, Sequence[Mapping[str, Any]]]


def summarise_costs(grid: Grid, costs: Costs, examples_per_step: int | None) -> dict[str, Any]:
    """The costs of each method, of each training, and of everything.

    Args:
        grid: the cells.
        costs: by method, one entry for each piece of evidence it reads: `{"evidence": name, "seconds", "forwards",
            "backwards", "fine_tunes"}`, forwards and backwards in examples. Equal names are one piece. Random and full
            read none and may be left out.
        examples_per_step: of an optimiser step of the target's training, which makes forwards and backwards
            multiples of it; without it these are None.

    Raises:
        ValueError: a method has no costs, or a cost is not a finite number from 0 up.
    """
    pieces = {label: _checked(label, costs) for label in (*grid.methods, *grid.on_all)}
    training: dict[str, Any] = {
        "seconds": statistics.fmean(grid.numbers("train_seconds", FULL, grid.full_budget)),
        "examples": examples_per_step
        and examples_per_step * statistics.fmean(grid.numbers("steps", FULL, grid.full_budget)),
    }
    methods = [_of_method(grid, label, own, training) for label, own in pieces.items()]
    seconds = {one["method"]: one["evidence_seconds"] for one in methods}
    recorded = {piece["evidence"]: piece["seconds"] for own in pieces.values() for piece in own}
    return {
        "full_training": training,
        "methods": methods,
        "arms": [_of_arm(grid, method, budget, seconds, training) for method, budget in grid.arms()],
        "comparison": {
            "evidence_seconds": math.fsum(recorded.values()),
            "evidence_unshared_seconds": math.fsum(seconds.values()),
            "select_seconds": math.fsum(cell["select_seconds"] for cell in grid.cells.values()),
            "train_seconds": math.fsum(cell["train_seconds"] for cell in grid.cells.values()),
            "num_trainings": len(grid.cells),
        },
    }


def _of_method(grid: Grid, method: str, pieces: Sequence[Mapping[str, Any]], training: Mapping[str, Any]) -> Any:
    evidence = math.fsum(piece["seconds"] for piece in pieces)
    budgets = grid.budgets_of(method)
    selecting = statistics.fmean(x for budget in budgets for x in grid.numbers("select_seconds", method, budget))
    counts = {name: sum(piece[name] for piece in pieces) for name in COUNTS}
    examples = training["examples"]
    return {
        "method": method,
        "evidence": [piece["evidence"] for piece in pieces],
        "evidence_seconds": evidence,
        "select_seconds": selecting,
        "seconds": evidence + selecting,
        **counts,
        "trainings": {
            "seconds": _over(evidence + selecting, training["seconds"]),
            **{name: examples and counts[name] / examples for name in ("forwards", "backwards")},
        },
    }


def _of_arm(
    grid: Grid, method: str, budget: Budget, evidence: Mapping[str, float], training: Mapping[str, Any]
) -> dict[str, Any]:
    """Rows, and the time of choosing and training together, as a multiple of one training on everything.

    Of what visits all rows in an order of its own, `num_seen` is how many it came to; else None.
    """
    train, select = (
        statistics.fmean(grid.numbers(name, method, budget)) for name in ("train_seconds", "select_seconds")
    )
    return {
        "method": method,
        "budget": budget,
        "num_kept": statistics.fmean(grid.numbers("num_kept", method, budget)),
        "num_seen": statistics.fmean(grid.numbers("num_seen", method, budget)) if method in grid.on_all else None,
        "steps": statistics.fmean(grid.numbers("steps", method, budget)),
        "train_seconds": train,
        "trainings": _over(evidence.get(method, 0.0) + select + train, training["seconds"]),
    }


def _over(seconds: float, training: float) -> float | None:
    return seconds / training if training > 0 else None


def _checked(method: str, costs: Costs) -> list[Mapping[str, Any]]:
    if method not in costs and method not in (RANDOM, FULL):
        raise ValueError(
            f"No costs are given for {method!r}, and what was not measured is not free: give an entry for each piece "
            "of evidence it reads, an empty list where it reads none."
        )
    found: dict[str, Mapping[str, Any]] = {}
    for piece in costs.get(method, ()):
        for name in ("evidence", "seconds", *COUNTS):
            number = piece.get(name)
            is_number = isinstance(number, int | float) and math.isfinite(number) and number >= 0
            if number is None or not (is_number or name == "evidence"):
                raise ValueError(f"A cost of {method!r} has {name} = {number!r}: {dict(piece)!r}.")
        found[piece["evidence"]] = piece
    return list(found.values())

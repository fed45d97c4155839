"""Comparisons of the same methods on several deals of rows, one seed each, as one comparison with deals for seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel import Selection
from hf_datasel.compare.cost_summary import COUNTS, Costs
from hf_datasel.compare.jobs import CELLS, SELECTIONS
from hf_datasel.compare.plan import Cell, Method, Plan
from hf_datasel.compare.result import summarise
from hf_datasel.storage import read_json
from recipes.benchmarks.effectiveness.comparing import digest


@dataclass(frozen=True, eq=False)
class Deal:
    """A comparison that is done.

    Args:
        number: the seed of its one repetition; another one in each deal.
        folder: of the comparison.
        found: what `comparing.compare` told of it.
        kinds: of the rows that were chosen from, [n].
    """

    number: int
    folder: Path
    found: Mapping[str, Any]
    kinds: NDArray[np.str_]


def over_deals(
    deals: Sequence[Deal], methods: Sequence[Method], budget: float, metrics: Sequence[str], examples_per_step: int
) -> dict[str, Any]:
    """What `comparing.compare` tells, with deals for seeds: intervals are over both.

    Returns:
        A digest with "flagged_kept" and "kinds_kept": by method and kind of row the share of these rows that was kept,
        in each deal.
    """
    cells = [(deal, cell) for deal in deals for cell in Plan(methods, [budget], 1, deal.number).cells()]
    outcomes = [read_json(deal.folder / CELLS / f"{cell.name}.json", "cell") for deal, cell in cells]
    choices = [(deal, cell) for deal, cell in cells if not cell.method.is_on_all]
    kept = {_place(cell): Selection.load(deal.folder / SELECTIONS / cell.name) for deal, cell in choices}
    result = summarise(
        outcomes,
        _costs(deals),
        kept,
        metrics=metrics,
        yardsticks=deals[0].found["yardsticks"],
        examples_per_step=examples_per_step,
    )
    flagged: dict[str, list[float]] = {}
    kinds: dict[str, dict[str, list[float]]] = {}
    for deal, cell in choices:
        label = cell.method.label
        flagged.setdefault(label, []).extend(deal.found["flagged_kept"][label])
        for kind, share in _shares(deal.kinds, kept[_place(cell)]).items():
            kinds.setdefault(label, {}).setdefault(kind, []).append(share)
    return {**digest(result), "flagged_kept": flagged, "kinds_kept": kinds}


def _place(cell: Cell) -> tuple[str, int | float, int]:
    return cell.method.label, cell.budget, cell.seed


def _shares(kinds: NDArray[np.str_], kept: Selection) -> dict[str, float]:
    """Of the rows of each kind, how many were kept."""
    return {str(kind): float(np.mean(np.isin(np.flatnonzero(kinds == kind), kept.ids))) for kind in np.unique(kinds)}


def _costs(deals: Sequence[Deal]) -> Costs:
    """What a method reads as one piece, named by its kind, with the mean of what it cost in a deal."""
    found: dict[str, list[dict[str, Any]]] = {}
    for of_method in zip(*(deal.found["costs"]["methods"] for deal in deals), strict=True):
        first = of_method[0]
        piece = {
            "evidence": "+".join(name.partition("-")[0] for name in first["evidence"]),
            "seconds": statistics.fmean(one["evidence_seconds"] for one in of_method),
            **{name: statistics.fmean(one[name] for one in of_method) for name in COUNTS},
        }
        found[first["method"]] = [piece] if first["evidence"] else []
    return found

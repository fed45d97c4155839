"""How far methods keep the same rows: the Jaccard index of what each kept, at every budget, as a mean over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.compare.grid import Budget, Grid
from hf_datasel.functional.overlap import jaccard
from hf_datasel.selection import Selection

Selections = Mapping[tuple[str, Budget, int], Selection]


def summarise_overlap(grid: Grid, selections: Selections) -> list[dict[str, Any]]:
    """A symmetric matrix for each budget, `{"budget", "methods", "jaccard": [[...]]}`; what keeps all is out.

    Args:
        grid: the cells.
        selections: by method, budget and seed; asked for one at a time, so that they may be loaded on demand.

    Raises:
        ValueError: a Selection is missing, or keeps another number of rows than its cell says.
    """
    return [
        {
            "budget": budget,
            "methods": list(grid.methods),
            "jaccard": np.mean([_matrix(grid, selections, budget, seed) for seed in grid.seeds], axis=0).tolist(),
        }
        for budget in grid.budgets
    ]


def _matrix(grid: Grid, selections: Selections, budget: Budget, seed: int) -> NDArray[np.float64]:
    kept = [_kept(grid, selections, method, budget, seed) for method in grid.methods]
    matrix = np.eye(len(kept))
    for row, first in enumerate(kept):
        for column, second in enumerate(kept[:row]):
            matrix[row, column] = matrix[column, row] = jaccard(first, second)
    return matrix


def _kept(grid: Grid, selections: Selections, method: str, budget: Budget, seed: int) -> NDArray[np.int64]:
    place = (method, budget, seed)
    if place not in selections:
        raise ValueError(f"The Selection of {method}, budget {budget}, seed {seed} is missing: select again.")
    ids, told = selections[place].ids, grid.cells[place]["num_kept"]
    if len(ids) != told:
        raise ValueError(
            f"The Selection of {method}, budget {budget}, seed {seed} keeps {len(ids)} rows, and its cell was trained "
            f"on {told}: they do not belong together. Delete the cell and run the comparison again."
        )
    return ids

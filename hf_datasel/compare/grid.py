"""The finished cells of a comparison as a grid without holes: methods x budgets x seeds, random and full among them.

A cell is one training of the target and its evaluation, as JSON:

    {"method": "s2l", "budget": 0.1, "seed": 0, "num_kept": 800, "steps": 400, "select_seconds": 1.2,
     "train_seconds": 60.0, "metrics": {"exact_match": {"all": 0.61, "<group>": 0.58}}}

A method that trains on all rows in an order of its own has one budget, as full has, and "num_seen": how many of them
it visited.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_datasel.compare.plan import ALL, ALWAYS

RANDOM, FULL = ALWAYS
Budget = int | float
Cell = Mapping[str, Any]
_NUMBERS = ("num_kept", "steps", "select_seconds", "train_seconds")
_AGAIN = "Run the comparison again: it does what is missing and keeps the rest."


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells by method, budget and seed, checked.

    Args:
        methods: labels of those that choose at a budget, in the order of the cells.
        budgets: of these methods, the smallest share first; a number of rows or a share, as the user gave them.
        seeds: ascending.
        metrics: names.
        groups: of the test rows, "all" first.
        full_budget: the one budget of full.
        on_all: labels of those that train on all rows beside full.
    """

    methods: tuple[str, ...]
    budgets: tuple[Budget, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    groups: tuple[str, ...]
    full_budget: Budget
    on_all: tuple[str, ...]
    cells: Mapping[tuple[str, Budget, int], Cell]

    @classmethod
    def of(cls, cells: Sequence[Cell], metrics: Sequence[str] | None = None, on_all: Collection[str] = ()) -> Grid:
        """Check the cells and order them.

        Args:
            cells: of the form above.
            metrics: their order, where it is not that of the first cell.
            on_all: methods that train on all rows, beside full.

        Raises:
            ValueError: there is none, one is there twice or missing, lacks an entry, holds a number that is not
                finite, or random or full is not there; names the cell.
        """
        found: dict[tuple[str, Budget, int], Cell] = {}
        for cell in cells:
            place = _require_entries(cell, cells[0])
            if place in found:
                raise ValueError(f"The cell {_name(*place)} is there twice: give every cell once.")
            found[place] = cell
        methods = list(dict.fromkeys(method for method, _, _ in found))
        whole = {*on_all, FULL}
        for needed in (RANDOM, FULL):
            if needed not in methods:
                raise ValueError(f"No cell is of the method {needed!r}, which the others are held against. {_AGAIN}")
        full_budgets = {budget for method, budget, _ in found if method in whole}
        if len(full_budgets) > 1:
            raise ValueError(
                f"{' and '.join(sorted(whole))} has the budgets {sorted(full_budgets)}: all rows are one."
            )
        for place, cell in found.items():
            if place[0] in on_all:
                _require_number(cell.get("num_seen"), place, "num_seen")
        full_budget = full_budgets.pop()
        measured = cells[0]["metrics"]
        if metrics is not None and sorted(metrics) != sorted(measured):
            raise ValueError(f"metrics={list(metrics)} is no order of what the cells have: {sorted(measured)}.")
        groups = list(next(iter(measured.values())))
        seeds = tuple(sorted({seed for _, _, seed in found}))
        num_rows = next(cell["num_kept"] for (method, _, _), cell in found.items() if method == FULL)
        grid = cls(
            methods=tuple(method for method in methods if method not in whole),
            budgets=tuple(
                sorted({b for m, b, _ in found if m not in whole}, key=lambda budget: _share_of(budget, num_rows))
            ),
            seeds=seeds,
            metrics=tuple(metrics or measured),
            groups=(ALL, *(group for group in groups if group != ALL)),
            full_budget=full_budget,
            cells=found,
            on_all=tuple(on_all),
        )
        missing = [place for arm in grid.arms() for seed in seeds if (place := (*arm, seed)) not in found]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ValueError(
                f"These cells are missing: {', '.join(_name(*one) for one in missing[:3])}{more}. {_AGAIN}"
            )
        return grid

    @property
    def num_rows(self) -> int:
        """How many rows full trains on."""
        return int(self.cells[FULL, self.full_budget, self.seeds[0]]["num_kept"])

    def share(self, budget: Budget) -> float:
        """A budget as a share of all rows."""
        return _share_of(budget, self.num_rows)

    def arms(self) -> Iterator[tuple[str, Budget]]:
        """Method and budget of everything that was trained, full last."""
        names = (*self.methods, *self.on_all, FULL)
        yield from ((method, budget) for method in names for budget in self.budgets_of(method))

    def budgets_of(self, method: str) -> tuple[Budget, ...]:
        """The budgets that a method was trained at."""
        return self.budgets if method in self.methods else (self.full_budget,)

    def scores(self, metric: str, group: str, method: str, budget: Budget) -> list[float]:
        """A metric on a group of the test rows, seed by seed; the budget does not matter for full."""
        return [float(cell["metrics"][metric][group]) for cell in self._of(method, budget)]

    def numbers(self, name: str, method: str, budget: Budget) -> list[float]:
        """Another number of the cells, such as "num_kept", seed by seed."""
        return [float(cell[name]) for cell in self._of(method, budget)]

    def _of(self, method: str, budget: Budget) -> list[Cell]:
        budget = budget if method in self.methods else self.full_budget
        return [self.cells[method, budget, seed] for seed in self.seeds]


def _share_of(budget: Budget, num_rows: int) -> float:
    return budget / num_rows if isinstance(budget, int) else budget


def _require_entries(cell: Cell, first: Cell) -> tuple[str, Budget, int]:
    """The cell's place, once all that is read of it is there."""
    missing = [key for key in ("method", "budget", "seed", *_NUMBERS, "metrics") if key not in cell]
    if missing:
        raise ValueError(f"A cell has no {missing[0]!r}: {dict(cell)!r}.")
    place = cell["method"], cell["budget"], cell["seed"]
    for key in _NUMBERS:
        _require_number(cell[key], place, key)
    if not cell["metrics"] or set(cell["metrics"]) != set(first["metrics"]):
        raise ValueError(
            f"The cell {_name(*place)} has the metrics {sorted(cell['metrics'])}, and the first cell has "
            f"{sorted(first['metrics'])}: all cells need the same, at least one."
        )
    groups = set(next(iter(first["metrics"].values())))
    for metric, values in cell["metrics"].items():
        if set(values) != groups or ALL not in values:
            raise ValueError(
                f"The cell {_name(*place)} has {metric} for {sorted(values)}, and the first cell has "
                f"{sorted(groups)}: all cells and metrics need the same groups, and {ALL!r}."
            )
        for group, value in values.items():
            _require_number(value, place, f"{metric} of {group}")
    return place


def _require_number(value: Any, place: tuple[str, Budget, int], what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(
            f"The cell {_name(*place)} has {value!r} as its {what}, which is no finite number: a training that failed "
            "has no score. Find out why, delete the cell and run the comparison again, or leave the method out."
        )


def _name(method: str, budget: Budget, seed: int) -> str:
    return f"({method}, budget {budget}, seed {seed})"

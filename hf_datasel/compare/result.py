"""From the cells of a comparison to its result: means, paired differences, overlap and costs, and what they say.

Every difference is taken seed by seed, and has its plain 95% interval of Student's t and one that is corrected for
the company it is in (Holm, `functional/statistics.py`): `is_clear` says whether the corrected one leaves out 0. What
is asked together is corrected together. For each metric these are five families:

- on all test rows, methods x budgets against random, the same against full, and every pair of methods at one budget;
- on the groups of test rows, methods x budgets x groups against random, and the same against full.

A method that trains on all rows in an order of its own has no budget, and is asked about with those against full.
So at most one in twenty comparisons claims anything false within a family, however many methods there are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from hf_datasel.compare.cost_summary import Costs, summarise_costs
from hf_datasel.compare.grid import FULL, RANDOM, Budget, Cell, Grid
from hf_datasel.compare.overlap import Selections, summarise_overlap
from hf_datasel.compare.plan import ALL
from hf_datasel.compare.verdict import write_verdict
from hf_datasel.functional.statistics import (
    LEVEL,
    holm_levels,
    num_repetitions_needed,
    p_value,
    paired_difference,
    spread,
    t_interval,
)
from hf_datasel.version import __version__

FORMAT, VERSION = "hf_datasel.comparison", 1
LOWER_IS_BETTER = ("loss", "perplexity")


class _Question(NamedTuple):
    """Does `method` differ from `other` at `budget`, on this group of the test rows?"""

    group: str
    budget: Budget
    method: str
    other: str


def summarise(
    cells: Sequence[Cell],
    costs: Costs,
    selections: Selections,
    *,
    metrics: Sequence[str] | None = None,
    lower_is_better: Collection[str] = LOWER_IS_BETTER,
    examples_per_step: int | None = None,
    yardsticks: Collection[str] = (),
    on_all: Collection[str] = (),
) -> dict[str, Any]:
    """What `result.json` holds, as JSON values; what is not known is None.

    Args:
        cells: of every method, budget and seed, random and full among them; the form is in `grid.py`.
        costs: of the evidence that each method reads; the form is in `cost_summary.py`.
        selections: of every cell but those of methods that train on all rows, by method, budget and seed.
        metrics: their order, where it is not that of the first cell; the verdict is on the first.
        lower_is_better: metrics of which less is better; more is better of all others.
        examples_per_step: examples in an optimiser step of the target's training, to count forwards and backwards as
            multiples of one training on everything.
        yardsticks: methods that nobody can use, as they are told what is to be found out.
        on_all: methods that train on all rows, beside full.

    Raises:
        ValueError: something is missing, there twice, or no finite number; names it.
    """
    grid = Grid.of(cells, metrics, on_all)
    result = {
        "format": FORMAT,
        "version": VERSION,
        "hf_datasel": __version__,
        "methods": list(grid.methods),
        "yardsticks": [method for method in grid.methods if method in yardsticks],
        "on_all": list(grid.on_all),
        "budgets": list(grid.budgets),
        "shares": [grid.share(budget) for budget in grid.budgets],
        "seeds": list(grid.seeds),
        "metric_names": list(grid.metrics),
        "groups": list(grid.groups),
        "num_rows": grid.num_rows,
        "metrics": {
            metric: {"higher_is_better": metric not in lower_is_better, "groups": _summarise_metric(grid, metric)}
            for metric in grid.metrics
        },
        "overlap": summarise_overlap(grid, selections),
        "costs": summarise_costs(grid, costs, examples_per_step),
    }
    return {**result, "verdict": write_verdict(result)}


def _summarise_metric(grid: Grid, metric: str) -> dict[str, Any]:
    found: dict[str, Any] = {group: {"means": _means(grid, metric, group)} for group in grid.groups}
    for other in (RANDOM, FULL):
        for family in ((ALL,), grid.groups[1:]):
            questions = [
                _Question(group, budget, method, other)
                for group in family
                for method in grid.methods
                if method != other
                for budget in grid.budgets
            ]
            if other == FULL:
                questions += [_Question(one, grid.full_budget, own, FULL) for one in family for own in grid.on_all]
            answers = _answers(grid, metric, questions)
            for group in family:
                found[group][f"against_{other}"] = [
                    answer for question, answer in zip(questions, answers, strict=True) if question.group == group
                ]
    pairs = [_Question(ALL, budget, *pair) for budget in grid.budgets for pair in combinations(grid.methods, 2)]
    found[ALL]["pairs"] = _answers(grid, metric, pairs)
    return found


def _means(grid: Grid, metric: str, group: str) -> list[dict[str, Any]]:
    found = []
    for method, budget in grid.arms():
        values = grid.scores(metric, group, method, budget)
        found.append(
            {
                "method": method,
                "budget": budget,
                "mean": spread(values).mean,
                "interval": _bounds(*t_interval(values)),
                "per_seed": values,
            }
        )
    return found


def _answers(grid: Grid, metric: str, questions: Sequence[_Question]) -> list[dict[str, Any]]:
    """The differences of one family, method less other."""
    scores = [
        {
            method: grid.scores(metric, question.group, method, question.budget)
            for method in (question.method, question.other)
        }
        for question in questions
    ]
    differences = [
        [a - b for a, b in zip(own[question.method], own[question.other], strict=True)]
        for question, own in zip(questions, scores, strict=True)
    ]
    levels = holm_levels([p_value(values) for values in differences])
    found = []
    for question, own, values, level in zip(questions, scores, differences, levels, strict=True):
        plain, corrected = (paired_difference(question.method, question.other, own, at) for at in (LEVEL, level))
        found.append(
            {
                "method": question.method,
                "other": question.other,
                "budget": question.budget,
                "mean": plain.mean,
                "interval": _bounds(plain.low, plain.high),
                "corrected_interval": _bounds(corrected.low, corrected.high),
                "corrected_level": level,
                "is_clear": corrected.is_clear,
                "seeds_needed": num_repetitions_needed(values, LEVEL / len(questions)),
            }
        )
    return found


def _bounds(low: float, high: float) -> list[float] | None:
    """None for an interval that is not known: JSON has no NaN."""
    return None if math.isnan(low) else [low, high]

"""Which rows a report shows: the best kept, the worst dropped and those nearest to the cut, or some by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_datasel.report.cut import find_cut
from hf_datasel.selection import Selection

BEST, WORST, NEAREST, BY_CHANCE = "best score", "worst score", "nearest to the cut", "drawn by chance"


@dataclass(frozen=True)
class Example:
    """A row to show.

    Args:
        id: its example id.
        kept: or dropped.
        score, cluster: None where the Selection has none.
        reason: why it is shown.
    """

    id: int
    kept: bool
    score: float | None
    cluster: int | None
    reason: str


def choose_examples(selection: Selection, num_examples: int, *, seed: int = 0) -> tuple[list[Example], list[Example]]:
    """Kept and dropped examples to show, `num_examples` of each where there are so many.

    With scores, half of them (rounded up) are the best of the kept and the worst of the dropped ones; the others are
    nearest to the cut, or drawn by chance where kept and dropped scores overlap. Without, all are drawn by chance.

    Args:
        selection: to choose from.
        num_examples: of each kind, at least 0.
        seed: of the draws and of ties.

    Raises:
        ValueError: `num_examples` is no number of rows, or a score is not finite.

    Example:
        >>> scores = np.float32([0.1, 0.9, 0.5, 0.7])
        >>> kept, dropped = choose_examples(Selection(candidate_ids=np.arange(4), kept=scores > 0.6, scores=scores), 2)
        >>> [(one.id, one.reason) for one in kept], [one.id for one in dropped]
        ([(1, 'best score'), (3, 'nearest to the cut')], [0, 2])
    """
    if isinstance(num_examples, bool) or not isinstance(num_examples, int | np.integer) or num_examples < 0:
        raise ValueError(f"num_examples={num_examples!r} is no number of rows to show: pass 0 or more.")
    generator = np.random.default_rng(seed)
    kept, dropped = (
        [_example(selection, int(row), reason) for row, reason in _rows(selection, mask, num_examples, generator)]
        for mask in (selection.kept, ~selection.kept)
    )
    return kept, dropped


def _rows(
    selection: Selection, mask: NDArray[np.bool_], num: int, generator: np.random.Generator
) -> list[tuple[int, str]]:
    rows = np.flatnonzero(mask)
    chosen: list[tuple[int, str]] = []
    if selection.scores is not None and len(rows):
        cut, is_kept = find_cut(selection), bool(selection.kept[rows[0]])
        goodness = cut.goodness[rows]
        extreme = _least(-goodness if is_kept else goodness, math.ceil(num / 2), generator)
        chosen = [(row, BEST if is_kept else WORST) for row in rows[extreme].tolist()]
        rows, goodness = np.delete(rows, extreme), np.delete(goodness, extreme)
        if cut.value is not None:
            distance = np.abs(goodness - (cut.value if cut.direction == "high" else -cut.value))
            nearest = rows[_least(distance, num - len(chosen), generator)]
            return [*chosen, *((row, NEAREST) for row in nearest.tolist())]
    num_left = min(num - len(chosen), len(rows))
    return [*chosen, *((row, BY_CHANCE) for row in generator.choice(rows, num_left, replace=False).tolist())]


def _least(key: NDArray[np.float64], num: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Positions of the `num` smallest keys in their order, ties by chance."""
    if not num or not len(key):
        return np.empty(0, np.int64)
    bound = np.partition(key, min(num, len(key)) - 1)[min(num, len(key)) - 1]
    near = np.flatnonzero(key <= bound)
    return near[np.lexsort((generator.random(len(near)), key[near]))][:num]


def _example(selection: Selection, row: int, reason: str) -> Example:
    return Example(
        id=int(selection.candidate_ids[row]),
        kept=bool(selection.kept[row]),
        score=None if selection.scores is None else float(selection.scores[row]),
        cluster=None if selection.clusters is None else int(selection.clusters[row]),
        reason=reason,
    )

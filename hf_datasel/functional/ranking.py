"""The best of scored examples, or those in the middle: a budget, ties and strata.

Legend: M examples, B budget, K strata.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.allocation import allocate, draw, group_members


def keep_best(goodness: NDArray[np.floating], budget: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """The `budget` examples that score highest; of those that tie for the last places, a uniform draw.

    Args:
        goodness: float32 or float64 [M], finite, high is good.
        budget: B, 0 .. M.
        generator: used only where there is a tie to break.

    Returns:
        bool [M], True for B of them.

    Example:
        >>> keep_best(np.array([0.5, 2.0, 1.0], np.float32), 2, np.random.default_rng(0)).tolist()
        [False, True, True]
    """
    if budget == 0:
        return np.zeros(len(goodness), bool)
    cut = np.partition(goodness, len(goodness) - budget)[len(goodness) - budget]
    kept = goodness > cut
    tied = np.flatnonzero(goodness == cut)
    kept[draw(tied, budget - int(np.count_nonzero(kept)), generator)] = True
    return kept


def keep_best_of_each(
    goodness: NDArray[np.floating],
    codes: NDArray[np.int32],
    num_strata: int,
    budget: int,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """The best of every stratum, the budget shared out as S2L shares it (`allocation.allocate`).

    Args:
        goodness: float32 or float64 [M], high is good.
        codes: int32 [M], each in 0 .. num_strata - 1.
        num_strata: K.
        budget: B, 0 .. M.
        generator: for ties, stratum after stratum.

    Returns:
        bool [M], True for B of them.

    Example:
        >>> goodness = np.array([9, 8, 7, 1, 2], np.float32)
        >>> keep_best_of_each(goodness, np.int32([0, 0, 0, 1, 1]), 2, 3, np.random.default_rng(0)).tolist()
        [True, True, False, False, True]
    """
    return _of_each(keep_best, goodness, codes, num_strata, budget, generator)


def keep_middle(values: NDArray[np.floating], budget: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """The `budget` neighbouring ranks that are centred on the median; the lower ones where two are as central.

    Args:
        values: float32 or float64 [M], finite.
        budget: B, 0 .. M.
        generator: ranks equal values in a random order.

    Returns:
        bool [M], True for the ranks floor((M - B) / 2) .. floor((M - B) / 2) + B - 1, counted from 0.

    Example:
        >>> keep_middle(np.array([9.0, 1.0, 5.0, 7.0]), 2, np.random.default_rng(0)).tolist()
        [False, False, True, True]
    """
    order = generator.permutation(len(values))
    order = order[np.argsort(values[order], kind="stable")]
    first = (len(values) - budget) // 2
    kept = np.zeros(len(values), bool)
    kept[order[first : first + budget]] = True
    return kept


def keep_middle_of_each(
    values: NDArray[np.floating],
    codes: NDArray[np.int32],
    num_strata: int,
    budget: int,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """The middle of every stratum, around a median of its own; arguments and shares as in `keep_best_of_each`."""
    return _of_each(keep_middle, values, codes, num_strata, budget, generator)


def _of_each(
    keep: Callable[[NDArray[np.floating], int, np.random.Generator], NDArray[np.bool_]],
    values: NDArray[np.floating],
    codes: NDArray[np.int32],
    num_strata: int,
    budget: int,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    members = group_members(codes, num_strata)
    quotas = allocate(np.array([len(group) for group in members], np.int64), budget)
    kept = np.zeros(len(values), bool)
    for group, quota in zip(members, quotas.tolist(), strict=True):
        kept[group] = keep(values[group], quota, generator)
    return kept

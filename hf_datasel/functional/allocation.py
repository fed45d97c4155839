"""How a budget is shared among clusters: Algorithm 1 of S2L.

Yang, Mishra, Chiang, Mirzasoleiman, "SmallToLarge (S2L)", NeurIPS 2024, arXiv 2403.07384. With clusters C_1 .. C_K in
ascending size, budget B and S what has been taken so far,

    R_k = floor((B - |S|) / (K - k + 1)),

a cluster with |C_k| <= R_k is taken whole, and R_k examples are drawn uniformly without replacement from a larger one.
Ascending order is what makes the quotas add up to min(B, N): what a small cluster leaves over goes to larger ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def allocate(sizes: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """How many examples each group gives.

    Args:
        sizes: int64 [K], non-negative; an empty group is no group. Ties are walked in the order given.
        budget: B >= 0.

    Returns:
        int64 [K], at most `sizes`, adding up to min(budget, sizes.sum()).

    Example:
        >>> allocate(np.array([8000, 300, 5000, 2000]), 3001).tolist()
        [901, 300, 900, 900]
    """
    sizes = np.asarray(sizes, np.int64)
    quotas = np.zeros_like(sizes)
    ascending = np.argsort(sizes, kind="stable")
    ascending = ascending[sizes[ascending] > 0]
    remaining = budget
    for k, group in enumerate(ascending):
        quotas[group] = min(sizes[group], remaining // (len(ascending) - k))
        remaining -= int(quotas[group])
    return quotas


def draw(members: NDArray[np.int64], quota: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """`quota` of the members, uniformly without replacement; none or all of them cost no draw."""
    if quota in (0, len(members)):
        return members[:quota]
    return generator.choice(members, size=quota, replace=False, shuffle=False)


def group_members(labels: NDArray[np.integer], num_groups: int) -> list[NDArray[np.int64]]:
    """Positions of each label 0 .. num_groups - 1, ascending."""
    compact = labels.astype(np.min_scalar_type(num_groups))  # up to 16 bits numpy sorts in linear time
    order = np.argsort(compact, kind="stable")
    ends = np.cumsum(np.bincount(compact, minlength=num_groups))
    return np.split(order, ends[:-1])


def sample_clusters(
    labels: NDArray[np.int32], num_clusters: int, budget: int, generator: np.random.Generator, *, tiny: int = 0
) -> NDArray[np.bool_]:
    """Algorithm 1 on clustered examples.

    Args:
        labels: int32 [n], each in 0 .. num_clusters - 1.
        num_clusters: K; some may be empty.
        budget: B >= 0.
        generator: the draws come from here and from nowhere else.
        tiny: clusters of this size or smaller stand aside and are drawn from, all together, only when the others leave
            some of the budget. The paper has none (0); the official code sets 2.

    Returns:
        bool [n], True for min(budget, n) examples.
    """
    members = group_members(labels, num_clusters)
    sizes = np.array([len(group) for group in members], np.int64)
    kept = np.zeros(len(labels), bool)
    quotas = allocate(np.where(sizes > tiny, sizes, 0), budget)
    for k in np.argsort(sizes, kind="stable"):  # the draws follow the walk
        kept[draw(members[k], int(quotas[k]), generator)] = True
    left = budget - int(quotas.sum())
    if left > 0 and tiny > 0:
        aside = np.sort(np.concatenate([members[k] for k in np.flatnonzero(sizes <= tiny)] or [members[0][:0]]))
        kept[draw(aside, min(left, len(aside)), generator)] = True
    return kept

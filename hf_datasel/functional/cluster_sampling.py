"""How SHED spends a budget on clusters that have a value: QOCS, QWCS, and a uniform draw from the better part.

He et al., "SHED: Shapley-Based Automated Dataset Refinement for Instruction Fine-Tuning", NeurIPS 2024,
arXiv 2405.00705. With clusters 1 .. C of values S_c:

- QOCS (quality-ordered): clusters by descending S_c, each taken whole until the budget is full; what is left of it is
  drawn uniformly from the next.
- QWCS (quality-weighted): B times, draw a cluster with Pr(c) = exp(f S_c) / sum_c' exp(f S_c'), and one of its rows
  that has not been drawn, uniformly. A cluster whose rows have all been drawn is left out of the sum.

A third, which is ours: the best share of the rows in QOCS' order, of which B are drawn uniformly. Values then clean,
and what is left is as broad as it was.

QWCS is a race, and run as one. Let every cluster be a Poisson process of rate exp(f S_c) in which each event draws
a row: by the exponential clocks' lack of memory the next event is c's with Pr(c) among those that still have rows, so
the B first events of all are the B draws. That is N exponentials and a partial sort instead of B draws from weights
that change; where every cluster is one row it is the Gumbel top-k trick. Times are compared as logarithms, in which no
weight underflows, however large f is.

Legend: N rows, C clusters, B budget.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.allocation import draw


def quality_ordered(
    labels: NDArray[np.integer], values: NDArray[np.float64], budget: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """QOCS: rows of the best clusters.

    Args:
        labels: integers [N], each of 0 .. C - 1; some clusters may be empty.
        values: float64 [C], finite; high is good. Clusters that tie come in an order drawn by the generator.
        budget: B, 0 .. N.
        generator: of the order of ties, and of the rows of the last cluster.

    Returns:
        bool [N], True for B of them.

    Example:
        >>> labels, values = np.array([0, 1, 0, 2, 1, 2]), np.array([0.1, 0.9, 0.5])
        >>> quality_ordered(labels, values, 4, np.random.default_rng(0)).tolist()
        [False, True, False, True, True, True]
    """
    _require_budget(budget, len(labels))
    order = np.lexsort((generator.permutation(len(values)), -values))
    place = np.empty(len(values), np.int64)
    place[order] = np.arange(len(values))
    ends = np.cumsum(np.bincount(labels, minlength=len(values))[order])
    last = int(np.searchsorted(ends, budget, side="right"))  # the first cluster that does not fit whole
    places = place[labels]
    kept = places < last
    kept[draw(np.flatnonzero(places == last), budget - int(np.count_nonzero(kept)), generator)] = True
    return kept


def uniform_of_best(
    labels: NDArray[np.integer],
    values: NDArray[np.float64],
    best_share: float,
    budget: int,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """A uniform draw from the rows of the best clusters; not in the paper.

    Args:
        labels, values, budget, generator: as of :func:`quality_ordered`, whose order says which are the best.
        best_share: share of the N rows to draw from, in (0, 1]; rounded to the nearest, and at least B rows.

    Returns:
        bool [N], True for B of them.

    Example:
        >>> labels, values = np.arange(6), np.array([0.3, -0.1, 0.2, 0.1, -0.2, 0.0])
        >>> bool(uniform_of_best(labels, values, 0.5, 2, np.random.default_rng(0))[[1, 4, 5]].any())
        False
    """
    num_best = max(budget, round(best_share * len(labels)))
    best = quality_ordered(labels, values, num_best, generator)
    kept = np.zeros(len(labels), bool)
    kept[draw(np.flatnonzero(best), budget, generator)] = True
    return kept


def quality_weighted(
    labels: NDArray[np.integer], logits: NDArray[np.float64], budget: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """QWCS: rows of clusters drawn by weight.

    Args:
        labels: integers [N], each of 0 .. C - 1; some clusters may be empty.
        logits: float64 [C], finite: f S_c, up to a constant.
        budget: B, 0 .. N.
        generator: of everything drawn.

    Returns:
        bool [N], True for B of them.

    Example:
        >>> quality_weighted(np.array([0, 1, 1]), np.array([0.0, 1e6]), 2, np.random.default_rng(0)).tolist()
        [False, True, True]
    """
    _require_budget(budget, len(labels))
    kept = np.zeros(len(labels), bool)
    if budget in (0, len(labels)):
        kept[:] = budget > 0
        return kept
    mixed = generator.permutation(len(labels))
    rows = mixed[np.argsort(labels[mixed], kind="stable")]  # cluster by cluster, each in the order of its draws
    clusters = labels[rows]
    waits = generator.standard_exponential(len(rows))
    sums = np.cumsum(waits)
    first = np.flatnonzero(np.diff(clusters, prepend=-1))
    before = np.repeat(sums[first] - waits[first], np.diff(first, append=len(rows)))
    times = np.maximum(sums - before, np.finfo(np.float64).tiny)
    log_times = np.log(times) - (logits - logits.max())[clusters]
    kept[rows[np.argpartition(log_times, budget - 1)[:budget]]] = True
    return kept


def softmax_logits(values: NDArray[np.float64], sharpness: float, *, standardise: bool) -> NDArray[np.float64]:
    """f S_c, or f z_c with z_c = (S_c - mean) / standard deviation over the clusters; 0 where all values are equal.

    Values of proxies are shares of one accuracy, a thousandth or less each: without the z-score f = 1 is uniform.

    Example:
        >>> softmax_logits(np.array([1e-4, 3e-4]), 2.0, standardise=True).round(6).tolist()
        [-2.0, 2.0]
    """
    if not standardise:
        return sharpness * values
    offsets = values - values.mean()
    deviation = float(np.sqrt(np.mean(np.square(offsets))))
    if (values == values[0]).all() or deviation == 0:
        return np.zeros_like(values)
    return sharpness * (offsets / deviation)


def _require_budget(budget: int, num_rows: int) -> None:
    if not 0 <= budget <= num_rows:
        raise ValueError(f"budget={budget} is out of range: there are {num_rows} rows.")

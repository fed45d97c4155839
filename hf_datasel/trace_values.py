"""Values of rows, or of clusters of them, from the gradients of one recorded run: In-Run Data Shapley.

`functional/in_run_shapley.py` says what is taken and where it differs from the paper.

Legend: N examples, T checkpoints, C clusters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_datasel.clusters import Clusters
from hf_datasel.functional.in_run_shapley import cluster_means
from hf_datasel.functional.influence_scores import checkpoint_weights, weighted_sum
from hf_datasel.trace import Trace

_ESTIMATORS = {"in_run": "in_run", "probe": "tracin"}  # by the mode of the Trace
_BLOCK = 1 << 16


def values_of_trace(trace: Trace, clusters: Clusters | None, score: str, weighting: str) -> dict[str, Any]:
    """What a Valuation is made of, by name.

    Args:
        trace: of the metric "influence".
        clusters: of the same examples; None where every row is a cluster of its own.
        score: "dot" or "cosine".
        weighting: of the columns: "learning_rate" or "uniform".

    Raises:
        ValueError: no such score; the Trace is of another metric, lacks learning rates or cosines, or a row was not
            measured; or the clusters are of other examples.
    """
    if trace.metric != "influence":
        raise ValueError(
            "Values come from a Trace of the metric 'influence', recorded by GradientTraceCallback, not from one of "
            f"{trace.metric!r}."
        )
    if clusters is not None:
        _require_same_examples(trace, clusters)
    trace.require_measured()
    scores = _scores(trace, score)
    weights = checkpoint_weights(trace.learning_rates, weighting)
    worth = np.empty(trace.num_examples, np.float64)
    for start in range(0, trace.num_examples, _BLOCK):
        worth[start : start + _BLOCK] = weighted_sum(scores.rows(start, start + _BLOCK), weights)
    rows = trace.selectable
    present, counted = np.unique(rows if clusters is None else clusters.labels[rows], return_inverse=True)
    labels = np.full(trace.num_examples, -1, np.int32)
    labels[rows] = counted
    values, errors = cluster_means(worth[rows], counted, len(present))
    products = np.bincount(counted, minlength=len(present)) * trace.num_checkpoints
    return {
        "ids": trace.ids,
        "clusters": labels,
        "values": values,
        "standard_errors": errors,
        "num_evaluations": products,
        "fingerprint": trace.fingerprint or (None if clusters is None else clusters.fingerprint),
        "info": {
            "estimator": _ESTIMATORS[trace.mode],
            "score": score,
            "weighting": weighting,
            "num_evaluations": int(products.sum()),
            **trace.describe(),
            "precondition": trace.info.get("precondition"),
            **({} if clusters is None else clusters.describe()),
        },
    }


def _scores(trace: Trace, score: str) -> Trace:
    """The Trace whose values count: itself, or its companion of cosines."""
    if score == "dot":
        return trace
    if score != "cosine":
        raise ValueError(f"score={score!r} of Valuation.from_trace must be one of 'dot', 'cosine'.")
    if "cosine" not in trace.companions:
        raise ValueError(
            "score='cosine' needs the cosines of the gradients, which this Trace does not have: record with "
            "GradientTraceCallback(..., norms=True), or take score='dot'."
        )
    cosines = trace.companion("cosine")
    if not np.array_equal(cosines.steps, trace.steps):
        raise ValueError(
            f"The cosines were recorded at the steps {cosines.steps.tolist()}, the Trace at {trace.steps.tolist()}: "
            "resume the run that records them, or record anew."
        )
    cosines.require_measured(trace.selectable)
    return cosines


def _require_same_examples(trace: Trace, clusters: Clusters) -> None:
    if trace.fingerprint is not None and clusters.fingerprint is not None:
        trace.fingerprint.require_same(clusters.fingerprint, "clusters=")
    odd = np.setxor1d(trace.ids, clusters.ids, assume_unique=True)
    if odd.size:
        where = "has no cluster" if np.isin(odd[0], trace.ids) else "is not in the Trace"
        raise ValueError(
            f"Example {odd[0]} {where} (one of {odd.size:,} such examples): cluster the dataset that was recorded."
        )

"""First-order In-Run Data Shapley: what every row of one training run was worth.

Wang, Mittal, Song, Jia, "Data Shapley in One Training Run", ICLR 2025, arXiv 2406.11011. An iteration t of SGD is a
game of its own: its players are the rows of the batch, its utility the fall of the validation loss in that iteration.
To first order the fall is a sum over the players, so the Shapley value of a row is its own term, and over the run

    phi_i = sum over the iterations t with i in the batch of eta_t <grad l_i(w_t), grad L_val(w_t)>;

high lowers the validation loss. (With the validation loss itself as utility the sign is the other.) The terms are the
columns of an in-run Trace of GradientTraceCallback times their learning rates, so phi is `weighted_sum` over them.

Where a Trace differs from the paper:
- grad L_val is that of the last renewal of the direction (a checkpoint option), not of every iteration.
- A batch's update is a mean, not a sum: true terms are smaller by the batch's size, a constant. Where the Trainer
  weighs rows by their tokens, we still take the gradient of each row's own mean loss.
- eta of a column is the mean over the visits in it, not that of each visit.
- The update is taken as SGD's, as in the paper: Adam's scaling enters with precondition="adam" only (which matters,
  arXiv 2602.00329), clipping, momentum and weight decay never.
- Only visits count that every row has had, one an epoch; the second-order term (with the Hessian) is left out.

`Valuation.from_trace(score="cosine")` takes the cosine of the two gradients in place of their product, which is no
Shapley value: a row that training has not learned has a large gradient, be it new or wrong, and counts for no more.

A cluster's value is the mean over its rows, with standard error sd / sqrt(n). Removing the cluster as a whole is worth
the sum; the mean does not favour large clusters, and is what SHED's sampling compares.

Legend: N rows, T columns, C clusters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cluster_means(
    values: NDArray[np.float64], labels: NDArray[np.integer], num_clusters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over each cluster's rows, and its standard error.

    Args:
        values: float64 [N].
        labels: integers [N], each of 0 .. C - 1; none may be missing.
        num_clusters: C.

    Returns:
        float64 [C] twice; the error of a cluster of one row is unknown, NaN.

    Example:
        >>> cluster_means(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]), 2)
        (array([2., 5.]), array([ 1., nan]))
    """
    sizes = np.bincount(labels, minlength=num_clusters)
    means = np.bincount(labels, values, minlength=num_clusters) / sizes
    squares = np.bincount(labels, np.square(values - means[labels]), minlength=num_clusters)
    freedom = np.where(sizes > 1, sizes - 1.0, np.nan)
    return means, np.sqrt(squares / freedom / sizes)

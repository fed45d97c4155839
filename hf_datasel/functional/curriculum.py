"""Easiest rows first: how much of the data is there at a time, and in what order an epoch visits it.

Of the rows in descending confidence, a share is available that grows linearly with the part t of training done,

    c(t) = min(1, c_0 + (1 - c_0) t / t_full)

(the linear pace of Platanios, Stretcu, Neubig, Poczos, Mitchell, "Competence-based Curriculum Learning for Neural
Machine Translation", NAACL 2019, arXiv 1903.09848). An epoch stays N visits long: passes over what is available when a
pass begins, each in a random order, until they are N. Once everything is available, an epoch is a plain shuffle.

Legend: N rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def num_available(progress: float, num_rows: int, start_share: float, full_at: float) -> int:
    """How many of the easiest rows there are, 1 .. N; the share is rounded to the nearest, halves up.

    Args:
        progress: t, the part of training done, at least 0.
        num_rows: N.
        start_share: c_0, in (0, 1].
        full_at: t_full, in (0, 1].

    Example:
        >>> [num_available(t, 1000, 0.2, 0.5) for t in (0.0, 0.25, 0.5, 1.0)]
        [200, 600, 1000, 1000]
    """
    share = min(1.0, start_share + (1 - start_share) * progress / full_at)
    return max(1, math.floor(share * num_rows + 0.5))


def curriculum_epoch(
    easiest_first: NDArray[np.int64],
    epoch: int,
    num_epochs: float,
    *,
    start_share: float,
    full_at: float,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """The rows that an epoch visits, int64 [N], in order.

    Args:
        easiest_first: int64 [N].
        epoch: from 0.
        num_epochs: of the whole training.
        start_share, full_at: see `num_available`.
        generator: of the epoch's order.

    Example:
        >>> rows = np.array([30, 10, 20, 40])
        >>> pace = {"start_share": 0.5, "full_at": 0.5}
        >>> first, last = (curriculum_epoch(rows, e, 2, **pace, generator=np.random.default_rng(0)) for e in (0, 1))
        >>> sorted(first[:2].tolist()), sorted(last.tolist())
        ([10, 30], [10, 20, 30, 40])
    """
    num_rows, passes, done = len(easiest_first), [], 0
    while done < num_rows:
        progress = (epoch + done / num_rows) / num_epochs
        there = num_available(progress, num_rows, start_share, full_at)
        passes.append(easiest_first[generator.permutation(there)])
        done += there
    return np.concatenate(passes)[:num_rows]

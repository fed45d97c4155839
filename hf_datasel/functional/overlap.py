"""How far two sets of rows are the same: the Jaccard index, |A and B| / |A or B|.

Two uniform draws of a share b of the same rows have about b / (2 - b) of it: what nothing in common amounts to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def jaccard(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Share of the ids in either that are in both; 1 where neither has any.

    Args:
        first, second: unique ids.

    Example:
        >>> jaccard(np.array([1, 2, 3]), np.array([2, 3, 4]))
        0.5
    """
    common = len(np.intersect1d(first, second, assume_unique=True))
    either = len(first) + len(second) - common
    return common / either if either else 1.0

"""Transforms of loss trajectories before they are clustered.

S2L clusters the losses themselves (`none`). Euclidean distance then spends most clusters where losses are high; the
others are offered beside the published form and are not part of the paper.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRANSFORMS = ("none", "log", "zscore")
SMALLEST_LOSS = float(np.finfo(np.float32).tiny)


def transform_trajectories(trajectories: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Transform every trajectory by itself, so that blocks of rows can be transformed one after another.

    Args:
        trajectories: float32 [N, T], finite.
        name: "none"; "log", the natural logarithm, where a loss below the smallest positive normal float32 (a loss of
            exactly 0) counts as that number, so it becomes -87.3 and not minus infinity, and a negative value, which
            has no logarithm, becomes NaN; or "zscore", each row less its mean and divided by its standard deviation
            (population), where a constant row becomes 0.

    Returns:
        float32 [N, T].

    Raises:
        ValueError: an unknown name.

    Example:
        >>> transform_trajectories(np.array([[1.0, 3.0], [2.0, 2.0]], np.float32), "zscore").tolist()
        [[-1.0, 1.0], [0.0, 0.0]]
    """
    if name == "none":
        return trajectories
    if name == "log":
        logarithms = np.log(np.maximum(trajectories, np.float32(SMALLEST_LOSS)))
        return np.where(trajectories < 0, np.float32(np.nan), logarithms)
    if name == "zscore":
        wide = trajectories.astype(
            np.float64
        )  # a float32 mean of a nearly constant row is off by more than its spread
        centred = wide - wide.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True))
        constant = wide.min(axis=1, keepdims=True) == wide.max(axis=1, keepdims=True)
        scaled: NDArray[np.float64] = np.divide(
            centred, spread, out=np.zeros_like(wide), where=~constant & (spread > 0)
        )
        return scaled.astype(np.float32)
    raise ValueError(f"transform must be one of {TRANSFORMS}, not {name!r}.")

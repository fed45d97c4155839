"""How well an answer fits its question, from mean losses of the answer alone, with its question and with others.

Legend: N examples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float32]
FLOOR = 1e-6  # nats: a loss that float32 rounds to 0 has no logarithm


def instruction_following_difficulty(own: Losses, alone: Losses) -> Losses:
    """``IFD = NLL(answer | question) / NLL(answer)`` (Li et al., "From Quantity to Quality", NAACL 2024, Equation 4).

    Args:
        own: ``[N]``, of the answer with its question.
        alone: ``[N]``, without; NaN where it has none.

    Example:
        >>> instruction_following_difficulty(np.float32([1.0]), np.float32([4.0])).tolist()
        [0.25]
    """
    return own / alone


def pairing(own: Losses, alone: Losses, others: Losses) -> Losses:
    """``log((mean_k NLL(answer | question_k) + NLL(answer)) / 2) - log NLL(answer | question)``; not from a paper.

    Args:
        own: ``[N]``, of the answer with its question.
        alone: ``[N]``, without; where it is NaN the other questions stand alone.
        others: ``[K, N]``, with K other questions.

    Example:
        >>> pairing(np.float32([1.0]), np.float32([np.nan]), np.float32([[2.0], [2.0]])).round(4).tolist()
        [0.6930999755859375]
    """
    asked = others.mean(axis=0, dtype=np.float64)
    other = np.where(np.isnan(alone), asked, (asked + alone) / 2)
    return (np.log(np.maximum(other, FLOOR)) - np.log(np.maximum(own, FLOOR))).astype(np.float32)

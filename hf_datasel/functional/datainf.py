"""DataInf: closed-form influence from inner products and norms, parameter tensor by parameter tensor.

Kwon, Wu, Wu, Zou, "DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and Diffusion Models", ICLR 2024,
Equation 5. With v the mean validation gradient, g_i the training gradients and lambda_l = damping mean(g^2):
``h_l = (1 / n) sum_i [v_l - (v_l . g_il) / (lambda_l + |g_il|^2) g_il] / lambda_l`` and ``I_k = - sum_l h_l . g_kl``.
Low is good: a step on example k lowers the validation loss.

Legend: N examples, L parameter tensors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def dampings(squared_norms: Floats, sizes: NDArray[np.int64], damping: float) -> Floats:
    """``lambda_l``: ``damping`` times the mean squared element of the training gradients.

    Args:
        squared_norms: ``[N, L]``, ``|g_il|^2``.
        sizes: ``[L]``, elements of each tensor.
        damping: 0.1 in the paper.

    Returns:
        ``[L]``.

    Raises:
        ValueError: a tensor has no gradient at all.

    Example:
        >>> dampings(np.array([[4.0], [0.0]]), np.array([2]), 0.1).tolist()
        [0.1]
    """
    found: Floats = damping * squared_norms.mean(axis=0) / sizes
    if not (found > 0).all():
        raise ValueError(f"Tensor {int(np.argmin(found))} has no gradient on any example, so it cannot be damped.")
    return found


def shrinkages(inner: Floats, squared_norms: Floats, damping: Floats) -> Floats:
    """``(v_l . g_il) / (lambda_l + |g_il|^2)`` of every example, ``[N, L]``: how much of g_il is taken off v_l."""
    return inner / (damping + squared_norms)

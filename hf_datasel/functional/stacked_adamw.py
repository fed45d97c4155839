"""AdamW on several parameter vectors at once, each with its own learning rate, step count and gradient norm.

Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (ICLR 2019), Algorithm 2, as ``torch.optim.AdamW`` has it:

    theta <- theta - lr * decay * theta
    m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
    theta <- theta - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)

Row k of every matrix is one adapter, as if an optimizer of its own held it. All functions change their arguments in
place: a copy of the states would double the memory.

Shapes
    K  adapters        P  parameters of each
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

CLIP_EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_


def clip_rows_(gradients: Tensor, max_norm: float) -> Tensor:
    """Scale down each row whose norm exceeds ``max_norm``, as ``torch.nn.utils.clip_grad_norm_`` does for one model.

    Args:
        gradients: ``[K, P]``, changed in place.
        max_norm: the largest norm allowed.

    Returns:
        The norms before, ``[K]``.

    Example:
        >>> gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
        >>> clip_rows_(gradients, 1.0).tolist(), gradients.round(decimals=3).tolist()
        ([5.0, 0.5], [[0.6000000238418579, 0.800000011920929], [0.30000001192092896, 0.4000000059604645]])
    """
    norms = torch.linalg.vector_norm(gradients, dim=1)
    gradients.mul_((max_norm / (norms + CLIP_EPSILON)).clamp_(max=1.0)[:, None])
    return norms


def adamw_rows_(
    parameters: Tensor,
    gradients: Tensor,
    first: Tensor,
    second: Tensor,
    *,
    steps: Sequence[int],
    learning_rates: Sequence[float],
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float | Tensor,
) -> None:
    """One AdamW step of each row.

    Args:
        parameters: ``[K, P]``, changed in place.
        gradients: ``[K, P]``.
        first: ``[K, P]``, running means of the gradients, changed in place.
        second: ``[K, P]``, running means of their squares, changed in place.
        steps: t of each row, 1 in its first step.
        learning_rates: of each row.
        betas: decay of the two means.
        epsilon: added to the root.
        weight_decay: of all parameters, or ``[P]``.

    Raises:
        ValueError: a step count below 1.

    Example:
        >>> theta, mean, square = torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 1)
        >>> adamw_rows_(theta, torch.full((1, 1), 5.0), mean, square, steps=[1], learning_rates=[0.1],
        ...             betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0.0)
        >>> round(theta.item(), 6)
        -0.1
    """
    if min(steps) < 1:
        raise ValueError(f"steps={list(steps)}: AdamW counts from 1 in a row's first step.")
    rates = _column(learning_rates, parameters)
    step_sizes = [rate / (1 - betas[0] ** step) for rate, step in zip(learning_rates, steps, strict=True)]
    roots = [math.sqrt(1 - betas[1] ** step) for step in steps]
    parameters.mul_(1 - rates * weight_decay)
    first.lerp_(gradients, 1 - betas[0])
    second.mul_(betas[1]).addcmul_(gradients, gradients, value=1 - betas[1])
    denominators = second.sqrt().div_(_column(roots, parameters)).add_(epsilon)
    parameters.sub_((first / denominators).mul_(_column(step_sizes, parameters)))


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]

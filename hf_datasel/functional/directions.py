"""Directions that per-example gradients are held against: preconditioning, the released formula, low rank.

Legend: G a direction, P a preconditioner, m and v Adam's moments, all of a parameter's shape; r rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LARGEST_EXACT_SVD = 1024  # above it, the leading singular vectors are found by a randomised range finder
OVERSAMPLING, POWER_ITERATIONS = 8, 4

OFFICIAL_BETA1, OFFICIAL_BETA2, OFFICIAL_EPS = 0.9, 0.999, 1e-8


def adam_preconditioner(exp_avg_sq: Tensor, step: int, beta2: float, eps: float) -> Tensor:
    """``P = 1 / (sqrt(v / (1 - beta2^t)) + eps)``: what AdamW divides a gradient by, frozen as it is now.

    Args:
        exp_avg_sq: v, the optimizer's second moment.
        step: t, updates made so far, at least 1.
        beta2: of the optimizer.
        eps: of the optimizer.

    Example:
        >>> adam_preconditioner(torch.tensor([0.004]), step=1, beta2=0.999, eps=0.0)
        tensor([0.5000])
    """
    return 1.0 / (exp_avg_sq.float().div(1 - beta2**step).sqrt_().add_(eps))


def official_update(gradient: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor) -> Tensor:
    """The released code's update of one example: ``(0.9 m + 0.1 g) / sqrt(0.999 v + 0.001 g^2 + 1e-8)``.

    No bias correction, epsilon inside the root, moments those the optimizer holds. Not linear in g.
    """
    mean = OFFICIAL_BETA1 * exp_avg + (1 - OFFICIAL_BETA1) * gradient
    return mean / torch.sqrt(OFFICIAL_BETA2 * exp_avg_sq + (1 - OFFICIAL_BETA2) * gradient.square() + OFFICIAL_EPS)


def official_inner(direction: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor) -> Callable[[Tensor], Tensor]:
    """Elementwise map ``g -> official_update(g) * G``, to be summed over a gradient's elements."""
    return lambda gradient: official_update(gradient, exp_avg, exp_avg_sq) * direction


def low_rank(direction: Tensor, rank: int | float, seed: int = 0) -> tuple[Tensor, Tensor, float]:
    """The best approximation ``G ~ left^T right`` of a rank, or of the least rank that keeps a share of the energy.

    The mean gradient of a Linear over a few dozen examples is close to low rank, so its inner product with an
    example's gradient needs two skinny products instead of a full one.

    Args:
        direction: ``[o, d]``.
        rank: an int, r; or a float in (0, 1), the share of ``|G|^2`` to keep.
        seed: of the range finder, for matrices above ``LARGEST_EXACT_SVD``.

    Returns:
        ``left`` ``[r, o]`` with the singular values inside, ``right`` ``[r, d]``, and the share of energy kept.

    Example:
        >>> left, right, kept = low_rank(torch.outer(torch.arange(3.0), torch.ones(2)), rank=1)
        >>> torch.allclose(left.T @ right, torch.outer(torch.arange(3.0), torch.ones(2)), atol=1e-6), round(kept, 3)
        (True, 1.0)
    """
    matrix = direction.float()
    total = float(matrix.double().square().sum())
    if total == 0.0:
        return matrix.new_zeros(1, matrix.shape[0]), matrix.new_zeros(1, matrix.shape[1]), 1.0
    smallest = min(matrix.shape)
    if smallest <= LARGEST_EXACT_SVD:
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        return _cut(u, s, vh, rank, total)
    width = min(smallest, 64 if isinstance(rank, float) else rank)
    while True:
        factors = _randomised_svd(matrix, width, seed)
        left, right, kept = _cut(*factors, rank, total)
        if not isinstance(rank, float) or kept >= rank or width == smallest:
            return left, right, kept
        width = min(smallest, 2 * width)


def _cut(u: Tensor, s: Tensor, vh: Tensor, rank: int | float, total: float) -> tuple[Tensor, Tensor, float]:
    energy = s.double().square().cumsum(0) / total
    if isinstance(rank, float):
        rank = int((energy < min(rank, float(energy[-1]))).sum()) + 1
    rank = min(rank, len(s))
    return (u[:, :rank] * s[:rank]).T.contiguous(), vh[:rank].contiguous(), min(1.0, float(energy[rank - 1]))


def _randomised_svd(matrix: Tensor, width: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Leading singular vectors (Halko, Martinsson and Tropp 2011, Algorithms 4.4 and 5.1)."""
    columns = min(min(matrix.shape), width + OVERSAMPLING)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(matrix.shape[1], columns, generator=generator).to(matrix.device)
    basis = torch.linalg.qr(matrix @ start).Q
    for _ in range(POWER_ITERATIONS):
        basis = torch.linalg.qr(matrix @ torch.linalg.qr(matrix.T @ basis).Q).Q
    u, s, vh = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    return (basis @ u)[:, :width], s[:width], vh[:width]


def is_share(rank: int | float) -> bool:
    """Whether ``rank`` is a share of energy.

    Raises:
        ValueError: it is neither a positive int nor a float in (0, 1).
    """
    if isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1:
        return False
    if isinstance(rank, float) and math.isfinite(rank) and 0 < rank < 1:
        return True
    raise ValueError(
        f"low_rank={rank!r}: pass an int of at least 1, or the share of energy to keep, a float in (0, 1)."
    )

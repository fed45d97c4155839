"""Inner products of per-example gradients with one fixed direction, without the gradients.

For a layer with input a_t and output gradient b_t at token t, the gradient of its weight is a sum over tokens of outer
products, so its inner product with a direction G of the weight's shape is a sum over tokens of numbers: each rule here
gives that number for every token ("ghost" inner product; Lee and Kifer 2021 and Li et al. 2022 use the same identity
for norms, Wang et al. 2024, "GREATS", for inner products). Sum over an example's tokens with :func:`sum_examples`.

Legend: B rows, T tokens, d inputs, o outputs, V vocabulary, D examples, r rank. Accumulated in float32 at least.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SKINNY = 32  # columns up to which a product is faster with its short side first (both MKL and cuBLAS)


def linear_inner(inputs: Tensor, grads: Tensor, direction: Tensor) -> Tensor:
    """Weight of y = x W^T: ``b_t^T G a_t`` for every token.

    Args:
        inputs: ``[..., d]``, a.
        grads: ``[..., o]``, b.
        direction: ``[o, d]``, G.

    Returns:
        ``[...]``, float32 or float64.

    Example:
        >>> a, b, G = torch.randn(2, 5, 3), torch.randn(2, 5, 4), torch.randn(4, 3)
        >>> torch.allclose(linear_inner(a, b, G), torch.einsum("bto,od,btd->bt", b, G, a), atol=1e-5)
        True
    """
    outputs_are_fewer = direction.shape[0] <= direction.shape[1]
    wide, narrow = (inputs, grads) if outputs_are_fewer else (grads, inputs)
    short = direction if outputs_are_fewer else direction.T  # [narrow, wide]
    short = short.to(wide.dtype)
    if short.shape[0] <= SKINNY:
        return _sum_product(short @ _flat(wide).T, _flat(narrow).T, dim=0).view(wide.shape[:-1])
    return _sum_product(F.linear(wide, short), narrow, dim=-1)


def linear_inner_low_rank(inputs: Tensor, grads: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """:func:`linear_inner` with ``G = left^T right``: ``(left b_t) . (right a_t)``, two skinny products.

    Args:
        inputs: ``[..., d]``.
        grads: ``[..., o]``.
        left: ``[r, o]``, the singular values inside.
        right: ``[r, d]``.
    """
    return low_rank_product(project(grads, left), project(inputs, right)).view(inputs.shape[:-1])


def project(values: Tensor, rows: Tensor) -> Tensor:
    """``rows @ values^T``: ``[r, d]`` and ``[..., d]`` to ``[r, tokens]``, the faster way round for a small r."""
    return rows.to(values.dtype) @ _flat(values).T


def low_rank_product(left: Tensor, right: Tensor) -> Tensor:
    """Sum over the first dimension of two ``[r, tokens]`` projections."""
    return _sum_product(left, right, dim=0)


def bias_inner(grads: Tensor, direction: Tensor) -> Tensor:
    """Bias: ``b_t . G`` for every token, summed over whatever dimensions lie between tokens and outputs.

    Args:
        grads: ``[B, T, ..., o]``.
        direction: ``[o]``.

    Returns:
        ``[B, T]``.
    """
    return at_least_float32(grads).mul(at_least_float32(direction)).flatten(2).sum(-1)


def scale_inner(normalised: Tensor, grads: Tensor, direction: Tensor) -> Tensor:
    """Weight of RMSNorm or LayerNorm, y = w * x_hat: ``(b_t * x_hat_t) . G``.

    Args:
        normalised: ``[B, T, ..., d]``, x_hat (:func:`normalise`).
        grads: ``[B, T, ..., d]``.
        direction: ``[d]``.

    Returns:
        ``[B, T]``.
    """
    return bias_inner(at_least_float32(grads) * normalised, direction)


def normalise(inputs: Tensor, eps: float, *, centred: bool) -> Tensor:
    """x_hat of RMSNorm, or of LayerNorm if ``centred``, over the last dimension, in float32 at least."""
    x = at_least_float32(inputs)
    if centred:
        x = x - x.mean(-1, keepdim=True)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def embedding_inner(tokens: Tensor, grads: Tensor, direction: Tensor, padding_idx: int | None = None) -> Tensor:
    """Embedding: ``b_t . G[x_t]``; a padding token has no gradient.

    Args:
        tokens: int64 ``[B, T]``, x.
        grads: ``[B, T, d]``.
        direction: ``[V, d]``.
        padding_idx: of the embedding.
    """
    inner = _sum_product(F.embedding(tokens, direction), grads, dim=-1)
    return inner if padding_idx is None else inner.masked_fill(tokens == padding_idx, 0.0)


def sum_examples(tokens: Tensor, examples: Tensor, num_examples: int) -> Tensor:
    """Sum values of tokens over the example each belongs to; tokens of example -1 belong to none.

    Args:
        tokens: ``[B, T]``.
        examples: int64 ``[B, T]``, 0 .. D - 1 or -1.
        num_examples: D.

    Returns:
        ``[D]``.

    Example:
        >>> sum_examples(torch.tensor([[1., 2., 3.]]), torch.tensor([[0, 1, 1]]), 2)
        tensor([1., 5.])
    """
    totals = tokens.new_zeros(num_examples + 1)
    totals.index_add_(0, examples.flatten() + 1, tokens.flatten())
    return totals[1:]


def _flat(values: Tensor) -> Tensor:
    return values.reshape(-1, values.shape[-1])


def at_least_float32(values: Tensor) -> Tensor:
    """``values`` in a type that sums can be kept in."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def _sum_product(first: Tensor, second: Tensor, dim: int) -> Tensor:
    return (at_least_float32(first) * at_least_float32(second)).sum(dim)

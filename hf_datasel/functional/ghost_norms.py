"""Squared norms of per-example gradients, and other sums over their elements.

A plain squared norm needs only Gram matrices, ``|sum_t b_t a_t^T|^2 = sum_{t,t'} (a_t . a_t') (b_t . b_t')``, which
is the smaller work while 2 T^2 <= o d. Where every element has a weight of its own (Adam's preconditioner) or the sum
is not quadratic (the released code of CLUES), the gradient has to be formed, a few examples at a time, and is dropped.

Legend: D examples, T tokens (padded with zeros), d inputs, o outputs, V vocabulary. Float32 at least.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hf_datasel.functional.ghost import at_least_float32

GRADIENT_ELEMENTS = 2**24  # of the per-example gradients formed at a time

Elementwise = Callable[[Tensor], Tensor]


def linear_squared_norm(inputs: Tensor, grads: Tensor) -> Tensor:
    """``|sum_t b_t a_t^T|^2`` of every example, by whichever of the two ways is less work.

    Args:
        inputs: ``[D, T, d]``.
        grads: ``[D, T, o]``.

    Returns:
        ``[D]``.

    Example:
        >>> a, b = torch.randn(2, 3, 8), torch.randn(2, 3, 9)
        >>> whole = torch.einsum("nto,ntd->nod", b, a).square().sum((1, 2))
        >>> torch.allclose(linear_squared_norm(a, b), whole, rtol=1e-4)
        True
    """
    if 2 * inputs.shape[1] ** 2 <= inputs.shape[2] * grads.shape[2]:
        first, second = _gram(inputs), _gram(grads)
        return (first * second).sum((1, 2)).clamp_min(0.0)
    return linear_functional(inputs, grads, torch.square)


def linear_functional(inputs: Tensor, grads: Tensor, elementwise: Elementwise) -> Tensor:
    """``sum of elementwise(g_i)`` over the elements of each example's gradient ``[o, d]``, a few examples at a time.

    Args:
        inputs: ``[D, T, d]``.
        grads: ``[D, T, o]``.
        elementwise: of ``[n, o, d]``, to the same shape.

    Returns:
        ``[D]``.
    """
    inputs, grads = at_least_float32(inputs), at_least_float32(grads)
    size = max(1, GRADIENT_ELEMENTS // (inputs.shape[2] * grads.shape[2]))
    parts = [
        elementwise(torch.bmm(grads[start : start + size].transpose(1, 2), inputs[start : start + size])).sum((1, 2))
        for start in range(0, len(inputs), size)
    ]
    return torch.cat(parts)


def vector_functional(grads: Tensor, elementwise: Elementwise) -> Tensor:
    """The same for a bias or a norm's weight.

    Args:
        grads: ``[D, T, ..., o]``: b for a bias, ``b * x_hat`` for a norm's weight.
        elementwise: of ``[D, o]``, to the same shape.
    """
    grads = at_least_float32(grads)
    return elementwise(grads.flatten(1, -2).sum(1)).sum(1)


def embedding_functional(
    tokens: Tensor, grads: Tensor, elementwise: Callable[[Tensor, Tensor], Tensor], untouched: Tensor | float = 0.0
) -> Tensor:
    """The same for an embedding, of which an example touches a few rows.

    Args:
        tokens: int64 ``[D, T]``.
        grads: ``[D, T, d]``, zero where the token is padding.
        elementwise: of gradients of rows ``[k, d]`` and their tokens ``[k]``, to ``[k, d]``, less what an untouched
            row gives.
        untouched: what all rows together give where no gradient reaches them.

    Returns:
        ``[D]``.
    """
    num_examples, num_tokens = tokens.shape
    span = int(tokens.max()) + 1
    owner = torch.arange(num_examples, device=tokens.device)[:, None]
    pairs, where = torch.unique((owner * span + tokens).flatten(), return_inverse=True)
    rows = at_least_float32(grads).new_zeros(len(pairs), grads.shape[-1])
    rows.index_add_(0, where, at_least_float32(grads).reshape(num_examples * num_tokens, -1))
    totals = rows.new_zeros(num_examples)
    totals.index_add_(0, pairs // span, elementwise(rows, pairs % span).sum(1))
    return totals + untouched


def tied_cross_product(tokens: Tensor, grads: Tensor, hidden: Tensor, residuals: Tensor) -> Tensor:
    """``<g_embedding, g_head>`` of every example where both share one weight: ``sum_{t,t'} r_{t'}[x_t] (b_t . h_t')``.

    Args:
        tokens: int64 ``[D, T]``.
        grads: ``[D, T, d]``, of the embedding's outputs, zero where the token is padding.
        hidden: ``[D, S, d]``, the head's inputs.
        residuals: ``[D, S, T]``, gradients of the head's outputs at the tokens: ``r[i, s, t] = r_is[x_it]``.

    Returns:
        ``[D]``.
    """
    overlap = torch.bmm(at_least_float32(hidden), at_least_float32(grads).transpose(1, 2))
    return (overlap * at_least_float32(residuals)).sum((1, 2))


def by_example(values: Tensor, examples: Tensor, num_examples: int) -> Tensor:
    """Tokens of packed rows arranged by example and padded with zeros.

    Args:
        values: ``[B, T, ...]``.
        examples: int64 ``[B, T]``: the example each token belongs to, or -1; an example's tokens stand together.
        num_examples: D.

    Returns:
        ``[D, S, ...]``, S the longest example.

    Example:
        >>> by_example(torch.tensor([[1., 2., 3.]]), torch.tensor([[0, 1, 1]]), 2).tolist()
        [[1.0, 0.0], [2.0, 3.0]]
    """
    flat = examples.flatten()
    inside = flat >= 0
    owner = flat[inside]
    counts = torch.bincount(owner, minlength=num_examples)
    first = torch.cumsum(counts, 0) - counts
    order = torch.argsort(owner, stable=True)
    place = torch.empty_like(owner)
    place[order] = torch.arange(len(owner), device=owner.device) - first[owner[order]]
    arranged = values.new_zeros(num_examples, int(counts.max()) if len(counts) else 0, *values.shape[2:])
    arranged[owner, place] = values.flatten(0, 1)[inside]
    return arranged


def _gram(values: Tensor) -> Tensor:
    values = at_least_float32(values)
    return torch.bmm(values, values.transpose(1, 2))

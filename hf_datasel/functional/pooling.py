"""From one vector a token to one vector a text: mean over some tokens, and scaling to unit length.

Legend: B texts, T tokens, d dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that count, float32 ``[B, d]``; NaN where none does.

    Args:
        hidden: ``[B, T, d]``, any floating dtype; what stands where ``mask`` is False does not matter, not even NaN.
        mask: bool ``[B, T]``.

    Example:
        >>> hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
        >>> masked_mean(hidden, torch.tensor([[True, True, False]])).tolist()
        [[2.0, 3.0]]
    """
    kept = hidden.float().masked_fill(~mask[..., None], 0.0)
    return kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)


def unit_length(vectors: Tensor) -> Tensor:
    """Each row divided by its Euclidean norm, ``[B, d]``; a row of zeros has no direction and becomes NaN.

    Example:
        >>> unit_length(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [   nan,    nan]])
    """
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)

"""Several LoRA adapters on one frozen layer, in one product.

LoRA (Hu et al., ICLR 2022, section 4.1) adds ``(alpha / r) B A x`` to a frozen layer's output. Here a batch holds the
rows of several adapters, and two batched products serve all of them.

Shapes
    G  adapters, or rows where adapters have different numbers of rows        n  rows of the batch, G divides n
    r  rank        d  features that enter the layer        o  features that leave it
"""

from __future__ import annotations

import torch
from torch import Tensor


def add_stacked_lora(outputs: Tensor, inputs: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tensor:
    """``outputs + scaling * B_g A_g inputs`` for each row of the batch, ``g`` its adapter.

    As in PEFT the product is taken in the adapters' dtype (or autocast's) and the sum returned in that of ``outputs``.

    Args:
        outputs: ``[n, ..., o]`` of the frozen layer.
        inputs: ``[n, ..., d]`` of it; rows 0 to n/G - 1 belong to the first adapter, the next n/G to the second, and
            so on.
        a: ``[G, r, d]``.
        b: ``[G, o, r]``.
        scaling: ``alpha / r``, or ``alpha / sqrt(r)`` for rank-stabilised LoRA.

    Returns:
        ``[n, ..., o]``.

    Raises:
        ValueError: G does not divide n.

    Example:
        >>> a, b = torch.ones(2, 1, 1), torch.tensor([1.0, 2.0]).view(2, 1, 1)
        >>> add_stacked_lora(torch.zeros(4, 1), torch.ones(4, 1), a, b, 10.0).flatten().tolist()
        [10.0, 10.0, 20.0, 20.0]
    """
    groups = a.shape[0]
    if inputs.shape[0] % groups:
        raise ValueError(
            f"{inputs.shape[0]} rows cannot be shared evenly by {groups} adapters: give one adapter a row."
        )
    hidden = torch.bmm(inputs.reshape(groups, -1, inputs.shape[-1]).to(a.dtype), a.mT)
    base = outputs.reshape(groups, -1, outputs.shape[-1]).to(hidden.dtype)
    return torch.baddbmm(base, hidden, b.mT, alpha=scaling).to(outputs.dtype).reshape(outputs.shape)

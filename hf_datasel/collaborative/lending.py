"""Several trainings from one model in memory: each gets modules of its own around the same weights."""

from __future__ import annotations

import copy

from torch import nn
from transformers import PreTrainedModel


def lend(model: PreTrainedModel) -> PreTrainedModel:
    """A twin with its own modules, hooks, flags and gradients, around the storage of the model's weights.

    Adapters put into the twin leave the model as it was, and cost no second copy of the weights. What writes into the
    weights themselves would be seen by both: train adapters only.

    Args:
        model: not wrapped by PEFT.
    """
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        # A quantised parameter is more than its data; it is never trained, so that the object itself can be shared.
        plain = type(parameter) is nn.Parameter
        memo[id(parameter)] = nn.Parameter(parameter.data, parameter.requires_grad) if plain else parameter
    twin = copy.deepcopy(model, memo)
    # A trainer that had the model before may have left a forward that calls the model itself, not the twin.
    twin.__dict__.pop("forward", None)
    return twin

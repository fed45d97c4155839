"""Several trainings from one model in memory: each gets modules of its own around the same weights."""

from __future__ import annotations

import copy
from typing import Any

from peft import LoraConfig
from torch import nn
from transformers import PreTrainedModel

from hf_datasel.training.proxy import warm_up_copy

PLAIN_INITS = (True, False, "gaussian", "orthogonal")  # of LoRA; the others write into the model's own weights


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


def lend_or_copy(model: PreTrainedModel, peft_config: Any | None) -> PreTrainedModel:
    """A twin to train: around the model's own weights where only an adapter is trained, else with weights of its own.

    Args:
        model: left as it is.
        peft_config: of the adapter that will be put into the twin; None to train the weights.
    """
    if (
        isinstance(peft_config, LoraConfig)
        and peft_config.bias == "none"
        and peft_config.init_lora_weights in PLAIN_INITS
    ):
        return lend(model)
    return warm_up_copy(model)

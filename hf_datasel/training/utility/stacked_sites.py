"""Where PEFT would put a LoRA on a model, asked of PEFT itself on a twin of the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear, LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer
from transformers.pytorch_utils import Conv1D

from hf_datasel.training.lending import lend
from hf_datasel.training.state import preserved_rng

PREFIX = "base_model.model."  # PEFT's, before a module's own name


@dataclass(frozen=True)
class LoraSite:
    """One adapted layer.

    Args:
        name: of the module in the base model.
        rank: r.
        in_features: d.
        out_features: o.
        scaling: of the product, ``alpha / r`` or ``alpha / sqrt(r)``.
        decays: whether the Trainer applies weight decay to A and to B.
    """

    name: str
    rank: int
    in_features: int
    out_features: int
    scaling: float
    decays: tuple[bool, bool]

    @property
    def keys(self) -> tuple[str, str]:
        """Of A and B in an adapter's state dict."""
        return f"{PREFIX}{self.name}.lora_A.weight", f"{PREFIX}{self.name}.lora_B.weight"

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of A ``[r, d]`` and B ``[o, r]``."""
        return (self.rank, self.in_features), (self.out_features, self.rank)


def lora_sites(model: PreTrainedModel, peft_config: LoraConfig) -> list[LoraSite]:
    """The layers that ``get_peft_model(model, peft_config)`` would adapt, in the order of the model's modules.

    Args:
        model: without adapters; it is not changed.
        peft_config: it is not changed.

    Raises:
        ValueError: PEFT would adapt a layer that is not a plain Linear or Conv1D, or the LM head; names the module.
    """
    config = copy.deepcopy(peft_config)
    config.init_lora_weights = True  # the cheapest: only names and shapes are wanted
    with preserved_rng():
        adapted = get_peft_model(lend(model), config, low_cpu_mem_usage=True)
    decaying = set(Trainer.get_decay_parameter_names(None, adapted))  # which asks nothing of a trainer
    head = adapted.get_base_model().get_output_embeddings()
    sites = []
    for path, layer in adapted.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        name = path.removeprefix(PREFIX)
        if layer is head:
            raise ValueError(
                f"target_modules names the LM head ({name}), whose weight TRL's loss multiplies by directly, so that "
                "an adapter there is never trained: leave it out."
            )
        base = layer.get_base_layer()
        if type(layer) is not Linear or not isinstance(base, nn.Linear | Conv1D):
            raise ValueError(
                f"Module {name} is a {type(base).__name__}, which PEFT adapts by {type(layer).__module__}."
                f"{type(layer).__name__}: only Linear and Conv1D layers can be trained several coalitions at once. "
                "Leave it out of target_modules, or train one by one."
            )
        decays = tuple(f"{path}.lora_{part}.default.weight" in decaying for part in "AB")
        sites.append(
            LoraSite(
                name,
                layer.r["default"],
                layer.in_features,
                layer.out_features,
                layer.scaling["default"],
                (decays[0], decays[1]),
            )
        )
    return sites


def require_adapter(sites: list[LoraSite], adapter: Mapping[str, Tensor], what: str) -> None:
    """Refuse a state dict that is not one of these sites' adapters.

    Args:
        sites: of the model and its LoraConfig.
        adapter: to be checked.
        what: it is, for the message.

    Raises:
        ValueError: a key is missing or too many, a shape is wrong, or a tensor is neither float32 nor float64.
    """
    wanted = {key: shape for site in sites for key, shape in zip(site.keys, site.shapes, strict=True)}
    missing, extra = wanted.keys() - adapter.keys(), adapter.keys() - wanted.keys()
    if missing or extra:
        raise ValueError(
            f"{what} is no adapter of this model and peft_config: "
            + "; ".join(
                f"{len(keys)} keys {how}, such as {min(keys)}"
                for how, keys in (("are missing", missing), ("are unknown", extra))
                if keys
            )
            + ". Take it from get_peft_model_state_dict(..., save_embedding_layers=False) of a model that "
            "get_peft_model has made with this peft_config."
        )
    for key, shape in wanted.items():
        tensor = adapter[key]
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{what}: {key} has shape {tuple(tensor.shape)}, but peft_config makes it {shape}.")
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{what}: {key} is {tensor.dtype}. Adapters are trained in float32, as get_peft_model makes them "
                "(autocast_adapter_dtype=True)."
            )

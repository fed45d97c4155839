"""Where the chosen parameters are used: one site a module, of a kind whose gradient rule is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

Kind = Literal["linear", "conv1d", "embedding", "rms_norm", "layer_norm"]


@dataclass(frozen=True, eq=False)
class Site:
    """A module, and which of its parameters count.

    Args:
        name: of the module.
        module: itself.
        kind: which rules hold.
        weight: name of its weight among the chosen parameters, None where that does not count.
        bias: the same of its bias.
        is_head: whether it is the LM head, or a part of it.
        scale: a constant that the module multiplies its output with.
        eps: of a norm.
    """

    name: str
    module: nn.Module
    kind: Kind
    weight: str | None
    bias: str | None
    is_head: bool = False
    scale: float = 1.0
    eps: float = 0.0


def find_sites(model: Any, chosen: Mapping[str, nn.Parameter]) -> list[Site]:
    """One site for every module that uses a chosen parameter; a weight tied between two modules has two.

    Args:
        model: of transformers, or a PEFT model around one.
        chosen: parameters by name.

    Raises:
        ValueError: a chosen parameter belongs to a module whose gradient rule is not known; named.
    """
    name_of = {id(parameter): name for name, parameter in chosen.items()}
    head = model.get_output_embeddings()
    of_head = set() if head is None else set(head.modules())  # an adapter's parts stand inside the head
    sites = []
    for name, module in model.named_modules():
        own = {key: name_of[id(p)] for key, p in module.named_parameters(recurse=False) if id(p) in name_of}
        # named_parameters() leaves out a parameter it met before, but only within one module: that is what is wanted
        if not own:
            continue
        kind = _kind(module)
        strange = sorted(own[key] for key in own if kind is None or key not in ("weight", "bias"))
        if strange:
            raise ValueError(
                f"The gradient of {strange[0]} has no rule for one example at a time: it belongs to a "
                f"{type(module).__name__}, not to a Linear, Conv1D, Embedding, RMSNorm or LayerNorm (LoRA: lora_A and "
                "lora_B). Choose parameters= that leave it out."
            )
        assert kind is not None
        sites.append(
            Site(
                name,
                module,
                kind,
                own.get("weight"),
                own.get("bias"),
                module in of_head,
                float(getattr(module, "scalar_embed_scale", getattr(module, "embed_scale", 1.0))),
                _eps(module),
            )
        )
    unused = sorted(set(chosen) - {part for site in sites for part in (site.weight, site.bias)})
    if unused:
        raise ValueError(
            f"Parameter {unused[0]} is not a weight or bias of a module of its own, so its gradient has no rule for "
            "one example at a time. Choose parameters= that leave it out."
        )
    return sites


def _kind(module: Any) -> Kind | None:
    forward = type(module).forward
    if forward is nn.Linear.forward:
        return "linear"
    if isinstance(module, Conv1D) and forward is Conv1D.forward:
        return "conv1d"
    scaled = hasattr(module, "embed_scale")
    if isinstance(module, nn.Embedding) and (forward is nn.Embedding.forward or scaled) and module.max_norm is None:
        return "embedding"
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return "layer_norm"
    is_rms = isinstance(module, nn.RMSNorm) or type(module).__name__.endswith("RMSNorm")
    if is_rms and isinstance(getattr(module, "weight", None), torch.Tensor) and module.weight.dim() == 1:
        return "rms_norm"
    return None


def _eps(module: Any) -> float:
    for name in ("variance_epsilon", "eps"):
        value = getattr(module, name, None)
        if value is not None:
            return float(value)
    return float(torch.finfo(torch.float32).eps) if isinstance(module, nn.RMSNorm) else 0.0

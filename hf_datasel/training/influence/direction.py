"""The direction that gradients are held against: a mean validation gradient, preconditioned, of low rank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hf_datasel.functional.directions import adam_preconditioner, low_rank
from hf_datasel.functional.ghost import SKINNY
from hf_datasel.training.influence.sites import Site

Precondition = Literal["none", "adam", "official"]


@dataclass(frozen=True, eq=False)
class Direction:
    """What an example's gradient is held against, by parameter name.

    Args:
        gradients: G: the mean validation gradient v, or ``P v``; float32.
        norm: ``|v|``, or ``|sqrt(P) v|``.
        preconditioner: P.
        moments: m and v of the optimizer, for the released formula.
        factors: ``(left, right)`` of matrices of low rank, in the orientation ``[o, d]`` of a Linear.
        energy: the share of ``|G|^2`` that each of those keeps.
    """

    gradients: dict[str, Tensor]
    norm: float
    preconditioner: dict[str, Tensor] = field(default_factory=dict)
    moments: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    factors: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    energy: dict[str, float] = field(default_factory=dict)

    @property
    def energy_used(self) -> float:
        """Share of ``|G|^2`` that is used: 1 unless matrices were cut to low rank."""
        squared = {name: float(gradient.double().square().sum()) for name, gradient in self.gradients.items()}
        return sum(self.energy.get(name, 1.0) * part for name, part in squared.items()) / sum(squared.values())


def make_direction(
    mean: Mapping[str, Tensor],
    parameters: Mapping[str, nn.Parameter],
    optimizer: Any,
    precondition: Precondition,
    rank: int | float | None,
    sites: Sequence[Site],
) -> Direction:
    """Precondition a mean gradient with the optimizer's state as it is now, and cut its matrices to low rank.

    Args:
        mean: v by parameter name.
        parameters: the same names' parameters.
        optimizer: whose second moments are read (``adam`` and ``official``).
        precondition: "none", "adam" or "official".
        rank: of Linears, or the share of energy to keep; None for exact.
        sites: where the parameters are used.

    Raises:
        ValueError: the gradient is not finite or zero everywhere, or the optimizer holds no second moments.
    """
    for name, gradient in mean.items():
        if not bool(torch.isfinite(gradient).all()):
            raise ValueError(
                f"The validation gradient of {name} is not finite: training has diverged, or a validation row is "
                "broken. Lower the learning rate, or train in float32 or bfloat16 instead of float16."
            )
    preconditioner: dict[str, Tensor] = {}
    moments: dict[str, tuple[Tensor, Tensor]] = {}
    gradients = dict(mean)
    if precondition == "adam":
        preconditioner = {name: _preconditioner(optimizer, name, parameters[name]) for name in mean}
        gradients = {name: preconditioner[name] * gradient for name, gradient in mean.items()}
    elif precondition == "official":
        moments = {name: _moments(optimizer, name, parameters[name])[:2] for name in mean}
    squared = sum(float((mean[name].double() * gradients[name].double()).sum()) for name in mean)
    if squared == 0.0:
        raise ValueError(
            "The validation gradient is zero on every chosen parameter, so every score would be 0: LoRA's A has no "
            "gradient before the first step (B is 0); choose other parameters=, or a later first checkpoint."
        )
    factors, energy = {}, {}
    if rank is not None:
        for site in sites:
            if site.kind in ("linear", "conv1d") and site.weight is not None:
                matrix = gradients[site.weight]
                if min(matrix.shape) <= SKINNY:  # as of an adapter: the exact product is skinny already
                    energy[site.weight] = 1.0
                    continue
                left, right, kept = low_rank(matrix.T if site.kind == "conv1d" else matrix, rank)
                energy[site.weight] = kept
                if len(left) * 2 < min(matrix.shape):  # else the exact product is no more work
                    factors[site.weight] = (left, right)
                else:
                    energy[site.weight] = 1.0
    return Direction(gradients, math.sqrt(squared), preconditioner, moments, factors, energy)


def _preconditioner(optimizer: Any, name: str, parameter: nn.Parameter) -> Tensor:
    _, second, step, group = _moments(optimizer, name, parameter)
    return adam_preconditioner(second, step, float(group["betas"][1]), float(group["eps"]))


def _moments(optimizer: Any, name: str, parameter: nn.Parameter) -> tuple[Tensor, Tensor, int, dict[str, Any]]:
    inner = getattr(optimizer, "optimizer", optimizer)
    kind = type(inner).__name__
    state = inner.state.get(parameter, {}) if inner is not None else {}
    groups = inner.param_groups if inner is not None else []
    group: dict[str, Any] = next((g for g in groups if any(p is parameter for p in g["params"])), {})
    if not state and group.get("betas") is not None:
        raise ValueError(
            f"The optimizer has made no step on {name} yet, so it holds no second moment to precondition with: "
            "use mode='probe' with checkpoints after the first step, or precondition='none'."
        )
    if "exp_avg_sq" not in state or state["exp_avg_sq"].shape != parameter.shape or group.get("betas") is None:
        raise ValueError(
            f"{kind} holds no second moment of {name}'s shape, which precondition='adam' and 'official' need: "
            "train with optim='adamw_torch', or use precondition='none'."
        )
    return state["exp_avg"].float(), state["exp_avg_sq"].float(), int(state["step"]), group

"""Sums of per-example gradients in which every example has a weight of its own for every parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hf_datasel.functional import ghost
from hf_datasel.training.influence.frame import Frame
from hf_datasel.training.influence.probe import GradientSweep
from hf_datasel.training.influence.rules import SiteRule
from hf_datasel.training.influence.sites import Site


class WeightedSum(SiteRule):
    """At every site, add ``sum_i w_i g_i``: the weights go onto the output gradients before the usual product.

    Args:
        parameters: by name, in the order of the weights' columns.

    Attributes:
        sums: by parameter name, float32.
        weights: ``[D, L]`` of the examples of the current batch.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.sums = {name: torch.zeros_like(part, dtype=torch.float32) for name, part in parameters.items()}
        self.weights: Tensor | None = None
        self._number = {name: number for number, name in enumerate(parameters)}

    def linear(self, site: Site, frame: Frame, name: str, inputs: Tensor, grads: Tensor) -> None:
        """``[o, d]``, or ``[d, o]`` for a Conv1D."""
        weighted = self._weigh(frame, name, grads).flatten(0, -2)
        product = weighted.T @ ghost.at_least_float32(inputs).flatten(0, -2)
        self.sums[name] += product.T if site.kind == "conv1d" else product

    def embedding(self, site: Site, frame: Frame, name: str, tokens: Tensor, grads: Tensor) -> None:
        """``[V, d]``."""
        self.sums[name].index_add_(0, tokens.flatten(), self._weigh(frame, name, grads).flatten(0, -2))

    def vector(self, frame: Frame, name: str, grads: Tensor) -> None:
        """``[d]``."""
        self.sums[name] += self._weigh(frame, name, grads).flatten(0, -2).sum(0)

    def _weigh(self, frame: Frame, name: str, grads: Tensor) -> Tensor:
        assert self.weights is not None
        layout = frame.layout
        owner = layout.at_labels if frame.is_at_labels(grads) else layout.examples
        weights = self.weights[:, self._number[name]]
        of_tokens = torch.where(owner >= 0, weights[owner.clamp_min(0)], 0.0)
        return ghost.at_least_float32(grads) * of_tokens.view(*owner.shape, *([1] * (grads.dim() - 2)))


def weighted_gradients(
    sweep: GradientSweep,
    sites: Sequence[Site],
    parameters: Mapping[str, nn.Parameter],
    weights: np.ndarray,
    description: str,
) -> dict[str, Tensor]:
    """``sum_i w_il g_il`` for every parameter l, float32, the same on every process.

    Args:
        sweep: over the examples.
        sites: where the parameters are used.
        parameters: by name.
        weights: ``[N, L]`` in the order of the sweep's ids.
        description: of the progress bar.
    """
    rule = WeightedSum(parameters)
    of_all = torch.from_numpy(weights).float()

    def prepare(positions: Tensor) -> None:
        rule.weights = of_all[positions.cpu()].to(positions.device)

    sweep.score(sites, rule, lambda frame: {}, description, prepare)
    return sweep.reduce(rule.sums)

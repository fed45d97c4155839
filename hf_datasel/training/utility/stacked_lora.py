"""K LoRA adapters on one frozen model: one forward serves the rows of all of them.

PEFT holds several adapters too, but trains one at a time (its ``adapter_names`` are for inference only). Here hooks
add each row's own adapter to the outputs of the frozen layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_datasel.functional.stacked_lora import add_stacked_lora
from hf_datasel.training.utility.stacked_sites import LoraSite, require_adapter


class StackedLora:
    """K adapters of one shape, all parameters of one in a row of a matrix.

    Args:
        model: a twin of the base (:func:`hf_datasel.training.lending.lend`), on its device. It is frozen, and hooks
            make its forward add the adapters.
        sites: where it is adapted (:func:`lora_sites`).
        adapters: K state dicts of PEFT.

    Attributes:
        parameters: ``[K, P]``.

    Raises:
        ValueError: a state dict does not belong to the sites.
    """

    def __init__(
        self, model: PreTrainedModel, sites: Sequence[LoraSite], adapters: Sequence[Mapping[str, Tensor]]
    ) -> None:
        self._sites = list(sites)
        self._keys = [key for site in sites for key in site.keys]
        self._shapes = [shape for site in sites for shape in site.shapes]
        for number, adapter in enumerate(adapters):
            require_adapter(self._sites, adapter, f"Adapter {number}")
        self.parameters = torch.stack(
            [
                torch.cat([adapter[key].detach().to(model.device).flatten() for key in self._keys])
                for adapter in adapters
            ]
        )
        self._rows: list[int] = []
        self._index: Tensor | None = None
        self.keep(len(adapters))
        model.requires_grad_(False)
        for number, site in enumerate(self._sites):
            model.get_submodule(site.name).register_forward_hook(partial(self._add, number))

    def weight_decay(self, share: float) -> Tensor:
        """``[P]``: ``share`` where the Trainer decays a parameter, else 0."""
        decays = [decays for site in self._sites for decays in site.decays]
        parts = [
            self.parameters.new_full((rows * columns,), share if decayed else 0.0)
            for (rows, columns), decayed in zip(self._shapes, decays, strict=True)
        ]
        return torch.cat(parts)

    def keep(self, num_adapters: int) -> None:
        """Let only the first ``num_adapters`` take part from here on; the others' parameters stay."""
        self._num_kept = num_adapters
        self._leaves = [part.requires_grad_() for part in self._parts(self.parameters[:num_adapters].detach())]

    def add_gradients(self, loss: Tensor, gradients: Tensor) -> None:
        """Add the gradient of ``loss`` at the adapters that take part, ``[k, P]``, to ``gradients``."""
        found = torch.autograd.grad(loss, self._leaves, allow_unused=True, materialize_grads=True)
        for part, gradient in zip(self._parts(gradients), found, strict=True):
            part.add_(gradient)

    def state_dicts(self) -> list[dict[str, Tensor]]:
        """Of all K adapters, with PEFT's keys, on the CPU."""
        parts = self._parts(self.parameters.detach().cpu())
        return [
            {key: part[number].clone() for key, part in zip(self._keys, parts, strict=True)}
            for number in range(len(self.parameters))
        ]

    def route(self, adapters: Sequence[int], num_rows: Sequence[int]) -> None:
        """Say whose the rows of the next batch are.

        Args:
            adapters: numbers of adapters that take part, each once, in the order of their rows.
            num_rows: consecutive rows of each.
        """
        self._rows = list(num_rows)
        if len(set(num_rows)) > 1:  # then every row is given its own adapter
            index = [adapter for adapter, count in zip(adapters, num_rows, strict=True) for _ in range(count)]
        elif list(adapters) == list(range(self._num_kept)):
            self._index = None
            return
        else:
            index = list(adapters)
        self._index = torch.tensor(index, device=self.parameters.device)

    def _add(self, number: int, module: nn.Module, inputs: tuple[Any, ...], outputs: Tensor) -> Tensor:
        site, (a, b) = self._sites[number], self._leaves[2 * number : 2 * number + 2]
        num_rows, shape = sum(self._rows), inputs[0].shape
        if shape[0] != num_rows and (len(shape) != 2 or shape[0] % num_rows):
            raise ValueError(
                f"Module {site.name} sees a tensor of shape {tuple(shape)} in a batch of {num_rows} rows, so "
                "its tokens cannot be assigned to adapters (a mixture of experts?): leave it out of "
                "target_modules, or train one by one."
            )
        if self._index is not None:
            a, b = a.index_select(0, self._index), b.index_select(0, self._index)
        return add_stacked_lora(outputs, inputs[0], a, b, site.scaling)

    def _parts(self, matrix: Tensor) -> list[Tensor]:
        """A and B of each site in turn, ``[k, rows, columns]``, as views of ``[k, P]``."""
        parts = matrix.split([rows * columns for rows, columns in self._shapes], dim=1)
        return [part.view(len(matrix), *shape) for part, shape in zip(parts, self._shapes, strict=True)]

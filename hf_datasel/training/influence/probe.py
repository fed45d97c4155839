"""Score-only sweeps: every example's inner product with a direction, and the mean gradient that makes one.

No parameter's gradient is computed in a scoring sweep (the parameters are frozen for its length, so the largest third
of a backward falls away), none is left behind, and neither random states nor train modes change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset, IterableDataset
from torch import Tensor, nn
from transformers import Trainer

from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.influence.capture import Capture
from hf_datasel.training.influence.frame import Frame
from hf_datasel.training.influence.layout import Layout, batch_layout
from hf_datasel.training.influence.rules import SiteRule
from hf_datasel.training.influence.sites import Site
from hf_datasel.training.rows import Batch
from hf_datasel.training.scoring import head_at_labels, require_finite
from hf_datasel.training.state import preserved_rng, scoring_mode
from hf_datasel.training.sweep import sweep_batches, sweep_losses

MAX_LOGITS = 2**27  # elements; logits of one batch and their gradient stay within 1 GiB of float32


@dataclass(frozen=True, eq=False)
class Scored:
    """A sweep's results, in the order of the sweep's ids.

    Args:
        columns: float32 ``[N]`` by name, NaN where an example has no label.
        losses: float32 ``[N]``, mean over label tokens.
        num_labels: int64 ``[N]``.
    """

    columns: dict[str, np.ndarray]
    losses: np.ndarray
    num_labels: np.ndarray


class GradientSweep:
    """Sweeps with gradients over the examples of a tokenised dataset, sharded over processes, bucketed by length.

    Args:
        trainer: whose model, collator and processes are used.
        dataset: tokenised rows with ``example_id``, one row an example.
        tokens_per_batch: padded tokens of a batch on one process.

    Attributes:
        ids: int64 ``[N]``, ascending.
    """

    def __init__(self, trainer: Trainer, dataset: Dataset | IterableDataset, tokens_per_batch: int) -> None:
        self._trainer = trainer
        self._rows = sweep_batches(trainer, dataset, tokens_per_batch, MAX_LOGITS)
        self.ids = self._rows.ids

    def score(
        self,
        sites: Sequence[Site],
        measure: SiteRule,
        read: Callable[[Frame], Mapping[str, Tensor]],
        description: str,
        prepare: Callable[[Tensor], None] | None = None,
    ) -> Scored:
        """Score every example once.

        Args:
            sites: where parameters are used.
            measure: what is computed there.
            read: from a finished frame to named values ``[D]``.
            description: of the progress bar.
            prepare: called with the positions of each batch before it is scored.

        Raises:
            ValueError: a loss or a score is not finite; names the example.
        """
        capture = Capture(list(sites), measure, score_only=True)
        values: dict[str, Tensor] = {}

        def one(positions: Tensor, layout: Layout, forward: Callable[[], Tensor]) -> Tensor:
            if prepare is not None:
                prepare(positions)
            frame = capture.open(layout)
            losses = forward()
            torch.autograd.backward(losses.nansum())
            frame.require_all()
            for name, part in read(frame).items():
                if name not in values:
                    values[name] = torch.zeros(len(self.ids), device=part.device)
                values[name][positions] = part
            return losses

        with ExitStack() as stack:
            stack.enter_context(_frozen(self._trainer.model))
            stack.enter_context(capture.attached())
            losses, num_labels = self._sweep(one, description)
        accelerator = self._trainer.accelerator
        if accelerator.num_processes > 1:
            names = sorted(read(_empty_frame(accelerator.device)))
            zeros = torch.zeros(len(self.ids), device=accelerator.device)
            values = {name: accelerator.reduce(values.get(name, zeros)) for name in names}
        columns = {name: part.cpu().numpy() for name, part in values.items()}
        for name, column in columns.items():
            column[num_labels == 0] = np.nan
            require_finite(self.ids, column, num_labels, "this checkpoint", f"{name} (of its gradient)")
        return Scored(columns, losses, num_labels)

    def mean_gradient(
        self, parameters: Mapping[str, nn.Parameter], weights: np.ndarray, description: str
    ) -> dict[str, Tensor]:
        """``sum_i w_i grad l_i`` of some parameters, float32, the same on every process.

        Args:
            parameters: by name.
            weights: float ``[N]`` in the order of :attr:`ids`.
            description: of the progress bar.
        """
        total = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in parameters.items()}
        wanted = list(parameters.values())

        def one(positions: Tensor, layout: Layout, forward: Callable[[], Tensor]) -> Tensor:
            losses = forward()
            share = torch.from_numpy(weights).to(losses.device, losses.dtype)[positions]
            weighted = (share * losses.nan_to_num(0.0)).sum()
            for name, gradient in zip(total, torch.autograd.grad(weighted, wanted, allow_unused=True), strict=True):
                if gradient is not None:
                    total[name] += gradient.float()
            return losses

        self._sweep(one, description)
        return self.reduce(total)

    def reduce(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sums over the processes, which all hold the same names."""
        accelerator = self._trainer.accelerator
        if accelerator.num_processes == 1:
            return parts
        return {name: accelerator.reduce(part) for name, part in parts.items()}

    def _sweep(
        self, one: Callable[[Tensor, Layout, Callable[[], Tensor]], Tensor], description: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Call ``one(positions, layout, forward)`` for this process's batches; all losses and numbers of labels."""
        model = self._trainer.model

        def score(positions: Tensor, inputs: Batch) -> tuple[Tensor, Tensor]:
            layout = batch_layout(inputs, len(positions))
            if bool(layout.first_is_labelled):
                raise ValueError(
                    "The collator leaves a label on the first token of a flattened example, which the example before "
                    "it predicts: set it to -100 (separator_id of DataCollatorWithFlattening)."
                )
            with torch.enable_grad():
                return one(positions, layout, lambda: _example_losses(model, inputs, layout)), layout.num_labels

        return sweep_losses(self._trainer, self._rows, score, description)


def score_batch(trainer: Trainer, sites: Sequence[Site], measure: SiteRule, inputs: Batch, num_examples: int) -> Frame:
    """Score one batch with the model as it is, changing nothing; the finished frame."""
    capture = Capture(list(sites), measure, score_only=True)
    layout = batch_layout(inputs, num_examples)
    model = trainer.model
    with ExitStack() as stack:
        stack.enter_context(preserved_rng(trainer.accelerator.device))
        stack.enter_context(scoring_mode(model))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(_frozen(model))
        stack.enter_context(capture.attached())
        frame = capture.open(layout)
        torch.autograd.backward(_example_losses(model, inputs, layout).nansum())
        frame.require_all()
    return frame


def _example_losses(model: Any, inputs: Batch, layout: Layout) -> Tensor:
    """Mean label-token loss of each example ``[D]`` with its graph; NaN where there is no label."""
    unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
    labels = inputs["labels"]
    with head_at_labels(model, labels):
        logits = model(**unlabelled, use_cache=False).logits
    targets = labels[:, 1:][layout.label_mask]
    if logits.shape[:-1] == labels.shape:  # a model that does not call its head as a module gives all of them
        logits = logits[:, :-1][layout.label_mask]
    nll = F.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), targets, reduction="none")
    totals = nll.new_zeros(layout.num_examples).index_add(0, layout.at_labels[0], nll)
    return totals / layout.num_labels


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No parameter needs a gradient within the body."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _empty_frame(device: torch.device) -> Frame:
    """A frame of no example: what a process that had no batch reads its names from."""
    nothing = torch.zeros(0, 2, dtype=torch.int64, device=device)
    batch = {"input_ids": nothing, "labels": torch.full_like(nothing, IGNORE_INDEX)}
    return Frame(batch_layout(batch, 0), set())

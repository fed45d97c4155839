"""Per-example gradients from the backward that training does anyway: the taps on a Trainer's loss and head.

The Trainer's own ``compute_loss`` runs unchanged. What a backward brings is scaled: by ``num_items_in_batch``, by the
number of processes or of accumulation steps, by a GradScaler. That scale is not worked out but read, as the gradient
that reaches the log-probabilities (TRL's fused head) or the model's loss, so every such setting comes out right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer
from trl import SFTTrainer

from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.training.in_run import Tap
from hf_datasel.training.influence.capture import Capture
from hf_datasel.training.influence.frame import Frame
from hf_datasel.training.influence.fused_head import FusedHead
from hf_datasel.training.influence.layout import Layout, batch_layout
from hf_datasel.training.influence.rules import Measure
from hf_datasel.training.influence.sites import Site
from hf_datasel.training.scoring import example_losses

TOLERANCE = 0.05  # of a loss computed again: far above bfloat16's error, far below any mistake's

FIRST_LABELLED, LOSS_DIFFERS, UNEVEN = "first_labelled", "loss", "uneven"
PROBLEMS = {
    FIRST_LABELLED: "the collator leaves a label on the first token of a flattened example, which the example before "
    "it predicts; set it to -100.",
    LOSS_DIFFERS: "the loss is not the mean negative log-likelihood of the labels (an auxiliary or custom loss?); use "
    "mode='probe'.",
    UNEVEN: "the loss weighs its tokens unevenly (a custom loss?), so a row's gradient is not that of its mean loss; "
    "use mode='probe'.",
}


@dataclass(eq=False)
class Pass:
    """One micro-batch: what its forward and its backward gave.

    Args:
        ids: int64 ``[D]``.
        frame: filled by the backward.
        when: epoch, optimizer step and learning rate.
        losses, num_labels: of the examples, ``[D]``.
        scale: the gradient that each label's negative log-likelihood received, a scalar; set by the backward.
        problems: bool ``[]`` by name, on the device.
    """

    ids: Tensor
    frame: Frame
    when: tuple[int, int, float]
    losses: Tensor | None = None
    num_labels: Tensor | None = None
    scale: Tensor | None = None
    problems: dict[str, Tensor] = field(default_factory=dict)

    @property
    def gradient_scale(self) -> Tensor:
        """``[D]``: by how much the loss's gradient is that of each example's own mean loss."""
        assert self.scale is not None
        assert self.num_labels is not None
        return self.scale * self.num_labels


class BackwardTap:
    """Watch the training forwards of a trainer and hand over each pass when its backward is done.

    Args:
        trainer: built, not yet training.
        sites: where the parameters are used.
        measure: what is computed there.
        when: epoch, optimizer step and learning rate of the forward about to run, or None if it is not to be scored.
        keep: called with each finished pass.
    """

    def __init__(
        self,
        trainer: Trainer,
        sites: list[Site],
        measure: Measure,
        when: Callable[[], tuple[int, int, float] | None],
        keep: Callable[[Pass], None],
    ) -> None:
        self._fused = isinstance(trainer, SFTTrainer)
        # TRL's fused head reads the weight of the output embeddings and calls no module.
        weight = trainer.model.get_output_embeddings().weight if self._fused else None
        head = next((site for site in sites if site.is_head and site.module.weight is weight), None)
        self._head = None if head is None else FusedHead(head, measure)
        self.capture = Capture([site for site in sites if site is not head], measure, score_only=False)
        self._when = when
        self._keep = keep
        self._pending: Pass | None = None
        self._install(trainer)

    def finish(self) -> None:
        """Hand over the last pass, whose backward is done.

        Raises:
            ValueError: a site was never called.
        """
        done, self._pending, self.capture.frame = self._pending, None, None
        if self._head is not None:
            self._head.stop()
        if done is not None and done.scale is not None:
            done.frame.settle()
            done.frame.require_all()
            self._keep(done)

    def remove(self) -> None:
        """Take the hooks away: training is over."""
        self.capture.detach()

    def _install(self, trainer: Trainer) -> None:
        self.capture.attach()
        compute_loss = trainer.compute_loss

        @functools.wraps(compute_loss)
        def compute_loss_with_gradients(model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            ids = inputs.pop(EXAMPLE_ID, None)
            self.finish()
            when = self._when() if ids is not None and torch.is_grad_enabled() and model.training else None
            if when is None:
                return compute_loss(model, inputs, *args, **kwargs)
            seen = dict(inputs)
            layout = batch_layout(seen, len(ids))
            current = Pass(ids, self.capture.open(layout), when, problems={FIRST_LABELLED: layout.first_is_labelled})

            def read(outputs: Any, given: dict[str, Any]) -> None:
                with torch.no_grad():
                    current.losses, current.num_labels = example_losses(outputs, seen, len(ids))
                if self._fused:
                    self._read_scale_of_tokens(current, outputs.log_probs, layout)
                else:
                    self._read_scale_of_loss(current, outputs.loss, given.get("num_items_in_batch"))

            result = compute_loss(Tap(model, read), inputs, *args, **kwargs)
            self._pending = current
            return result

        trainer.compute_loss = compute_loss_with_gradients

    def _read_scale_of_tokens(self, current: Pass, log_probs: Tensor, layout: Layout) -> None:
        def hook(grads: Tensor) -> None:
            if self._head is not None:
                self._head.listen()
                current.frame.before_first = functools.partial(self._head.finish, current.frame)
            scales = -grads.detach()[layout.label_mask].float()
            if not len(scales):
                current.scale = grads.new_ones(())
                return
            current.scale = scales[0]
            current.problems[UNEVEN] = (scales - scales[0]).abs().max() > 1e-3 * scales[0].abs()

        log_probs.register_hook(hook)

    def _read_scale_of_loss(self, current: Pass, loss: Tensor, num_items: Any) -> None:
        assert current.losses is not None
        assert current.num_labels is not None
        with torch.no_grad():
            total = (current.losses * current.num_labels).nansum()
            count = current.num_labels.sum() if num_items is None else torch.as_tensor(num_items, device=loss.device)
            count = count.clamp(min=1)
            mean = total / count
            current.problems[LOSS_DIFFERS] = (loss.detach().float() - mean).abs() > TOLERANCE * mean.abs() + 1e-6

        def hook(grads: Tensor) -> None:
            current.scale = grads.detach().float() / count

        loss.register_hook(hook)

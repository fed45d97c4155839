"""From a model's outputs to one loss per example id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hf_datasel.functional.losses import (
    IGNORE_INDEX,
    label_log_probs,
    mean_nll,
    predicted_segments,
    token_log_probs,
)


def has_token_losses(outputs: Any) -> bool:
    """Whether ``outputs`` carries what a per-token loss needs: log-probabilities (TRL's fused head) or logits."""
    return getattr(outputs, "log_probs", None) is not None or getattr(outputs, "logits", None) is not None


@contextmanager
def head_at_labels(model: Any, labels: torch.Tensor) -> Iterator[None]:
    """Within the body the LM head of ``model`` projects only the positions that predict a label.

    A prompt's logits are never looked at, and for a small model with a large vocabulary the head is most of the work.
    The model's own forward stays in charge of everything around the head (scaling, soft caps). Its logits come out as
    ``[1, n, V]``, in the order of the labels; a model that does not call its output embeddings gives all of them.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        labels: ``[B, T]`` int64, -100 where there is no label.
    """
    predicts = F.pad(labels[:, 1:] != IGNORE_INDEX, (0, 1))

    def pick(module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not inputs or inputs[0].shape[:-1] != predicts.shape:
            return None
        hidden = inputs[0]
        return (hidden[predicts.to(hidden.device)][None], *inputs[1:])

    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    handle = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()


def example_losses(outputs: Any, batch: dict[str, Any], num_examples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean label-token loss of each example of a batch, without gradient.

    Args:
        outputs: of the model, with ``log_probs`` and ``label_mask`` (TRL's fused head) or ``logits``, of all positions
            or as :func:`head_at_labels` leaves them.
        batch: what the model was given; ``labels`` for logits, ``position_ids`` where one row holds several examples.
        num_examples: how many ids the batch carries.

    Returns:
        ``losses`` float32 ``[num_examples]``, NaN where there is no label, and ``num_labels`` int64.

    Raises:
        ValueError: the outputs hold neither log-probabilities nor logits, or rows and ids do not match.
    """
    if getattr(outputs, "log_probs", None) is not None:
        log_probs, mask = outputs.log_probs.detach(), outputs.label_mask
    elif getattr(outputs, "logits", None) is not None:
        log_probs, mask = _from_logits(outputs.logits.detach(), batch["labels"])
    else:
        raise ValueError(
            "The model returned neither logits nor log-probabilities, so no per-example loss can be read. A fused "
            "loss (Liger's fused_linear_cross_entropy) does that: switch it off, or use trl.SFTTrainer."
        )
    if log_probs.shape[0] == num_examples:
        return mean_nll(log_probs, mask)
    position_ids = batch.get("position_ids")
    if log_probs.shape[0] != 1 or position_ids is None:
        raise ValueError(
            f"A batch of {log_probs.shape[0]} rows carries {num_examples} example ids and no position_ids that tell "
            "where an example begins; record with a collator that keeps one example a row or flattens the batch."
        )
    segments = predicted_segments(position_ids)
    if int((position_ids == 0).sum()) < num_examples:
        raise ValueError(
            f"The flattened batch holds {int((position_ids == 0).sum())} examples but {num_examples} ids: an empty "
            "row, or position_ids that do not restart where an example begins."
        )
    return mean_nll(log_probs, mask, segments=segments, num_examples=num_examples)


def _from_logits(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    labels = labels.to(logits.device)
    mask = labels[:, 1:] != IGNORE_INDEX
    # Never mistaken for logits of all positions: those count the last one too, which predicts nothing.
    if logits.shape[:-1] == labels.shape or logits.shape[:-1] != (1, int(mask.sum())):
        return label_log_probs(logits, labels)
    log_probs = torch.zeros(mask.shape, dtype=torch.float32, device=logits.device)
    log_probs[mask] = token_log_probs(logits[0], labels[:, 1:][mask])
    return log_probs, mask


def require_finite(
    ids: np.ndarray, losses: np.ndarray, num_labels: np.ndarray, where: str, name: str = "loss"
) -> None:
    """Refuse values, losses by default, that are not finite though the example has labels: the model has diverged.

    Raises:
        ValueError: names the first such example.
    """
    broken = ~np.isfinite(losses) & (num_labels > 0)
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        raise ValueError(
            f"The {name} of example id {int(ids[first])} is {losses[first]} at {where} ({int(broken.sum())} of "
            f"{len(ids)} examples are not finite): training has diverged. Lower the learning rate, clip gradients, or "
            "train in float32 or bfloat16 instead of float16."
        )

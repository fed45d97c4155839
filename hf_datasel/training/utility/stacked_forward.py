"""The forward that training and scoring share: the log-likelihood of each row's labels."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, TrainingArguments
from trl.trainer.utils import add_fused_lm_head

from hf_datasel.functional.losses import IGNORE_INDEX, token_log_probs
from hf_datasel.training.scoring import head_at_labels


def row_log_likelihoods(
    model: PreTrainedModel, inputs: dict[str, Tensor], *, fused: bool, autocast: AbstractContextManager | None = None
) -> Tensor:
    """Sum of the log-probabilities of each row's labels, in nats, with a graph unless gradients are off.

    Args:
        model: with TRL's fused head if ``fused`` (:func:`prepare_training`).
        inputs: ``input_ids``, ``attention_mask`` and ``labels``, ``[B, T]``.
        fused: by TRL's fused head, which needs little memory but on a CPU scores prompts too; else the head projects
            only positions that predict a label.
        autocast: context of the model's forward.

    Returns:
        float32 ``[B]``.
    """
    labels = inputs["labels"]
    if fused:
        with autocast or nullcontext():
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        return outputs.log_probs.sum(-1)
    mask = labels[:, 1:] != IGNORE_INDEX
    with autocast or nullcontext(), head_at_labels(model, labels):
        unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**unlabelled, use_cache=False).logits
    if logits.shape[:-1] == labels.shape:  # the model did not call its output embeddings
        logits = logits[F.pad(mask, (0, 1))]
    logits, targets = logits.flatten(0, -2), labels[:, 1:][mask]
    if torch.is_grad_enabled():  # in pieces, the backward of each would fill a gradient of all the logits
        values = -F.cross_entropy(logits.float(), targets, reduction="none")
    else:
        values = token_log_probs(logits, targets)
    return values.new_zeros(len(labels)).index_add(0, mask.nonzero()[:, 0], values)


def prepare_training(model: PreTrainedModel, args: TrainingArguments, *, fused: bool) -> None:
    """Make a twin of the base ready to train.

    How activations are checkpointed changes memory, not results: always without re-entrance, at every layer.

    Args:
        model: a twin, changed.
        args: of the training.
        fused: whether TRL's fused head makes the log-probabilities.
    """
    model.train()
    if args.gradient_checkpointing:
        kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"  # its name before
        getattr(model, f"{kind}_checkpointing_enable")()
    if fused:
        add_fused_lm_head(model)


def autocast_of(args: TrainingArguments, device: torch.device) -> AbstractContextManager:
    """What accelerate wraps a Trainer's forward in: bfloat16 if ``args`` say so."""
    return torch.autocast(device.type, torch.bfloat16) if args.bf16 else nullcontext()

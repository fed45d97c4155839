"""The slow oracle: one example at a time, its whole gradient by plain autograd, scored by definition.

Obviously correct, but slow: nothing is batched, padded, hooked or fused, and everything is float64 on a copy of the
model in eval mode. (Norms and rotary embeddings of transformers round to float32 within, whatever the weights are.)
A gradient is a dict of tensors by parameter name.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from tests.training.reference import tokens_and_labels

Gradient = dict[str, torch.Tensor]
Tokens = tuple[list[int], list[int]]  # input_ids and labels of one example


@dataclass(frozen=True)
class Example:
    """What the oracle knows of one example: mean loss over its label tokens, their number, and the loss's gradient."""

    loss: float
    num_labels: int
    gradient: Gradient


def examples_of(dataset: Iterable[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, **options: Any) -> list[Tokens]:
    """Raw rows as SFT trains on them; options as ``tokens_and_labels`` takes them."""
    return [tokens_and_labels(row, tokenizer, **options) for row in dataset]


def frozen_copy(model: torch.nn.Module, dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    """A copy in eval mode whose parameters require a gradient where the model's do; without patches and hooks."""
    twin = copy.deepcopy(model).to(dtype).eval()
    for module in twin.modules():
        module.__dict__.pop("forward", None)  # TRL's fused forward, which would call the model that was copied
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(model.get_parameter(name).requires_grad)
        parameter.grad = None
    return twin


def example(model: torch.nn.Module, tokens: Tokens) -> Example:
    """Loss and gradient of one example; zero gradient and NaN loss where no predicted token is a label."""
    ids, labels = tokens
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
    target = torch.tensor(labels[1:], dtype=torch.int64)
    kept = target != -100
    num_labels = int(kept.sum())
    if num_labels == 0:
        return Example(math.nan, 0, {name: torch.zeros_like(value).double() for name, value in named.items()})
    loss = F.cross_entropy(logits[kept], target[kept], reduction="sum") / num_labels
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    gradient = {
        name: (torch.zeros_like(value) if part is None else part).double()
        for (name, value), part in zip(named.items(), found, strict=True)
    }
    return Example(float(loss.detach()), num_labels, gradient)


def examples(model: torch.nn.Module, rows: Iterable[Tokens], dtype: torch.dtype = torch.float64) -> list[Example]:
    """Every example's loss and gradient under the model as it is now, which is left alone."""
    twin = frozen_copy(model, dtype)
    return [example(twin, row) for row in rows]


def only(gradient: Gradient, names: Iterable[str]) -> Gradient:
    """The part of a gradient that belongs to some parameters."""
    return {name: gradient[name] for name in names}


def dot(first: Gradient, second: Gradient) -> float:
    """Inner product over the parameters of ``second``."""
    return sum(float((first[name] * value).sum()) for name, value in second.items())


def norm(gradient: Gradient) -> float:
    """Euclidean length over all parameters."""
    return math.sqrt(dot(gradient, gradient))


def combine(gradients: Sequence[Gradient], weights: Sequence[float]) -> Gradient:
    """The weighted sum."""
    return {
        name: sum(weight * gradient[name] for gradient, weight in zip(gradients, weights, strict=True))
        for name in gradients[0]
    }


def mean(found: Sequence[Example]) -> Gradient:
    """Mean gradient of the examples that have a label."""
    labelled = [one.gradient for one in found if one.num_labels]
    return combine(labelled, [1 / len(labelled)] * len(labelled))


def group_direction(found: Sequence[Example], groups: Sequence[str], weights: dict[str, float] | None) -> Gradient:
    """Mean gradient of each group, summed with the groups' weights (1 each by default)."""
    names = sorted(set(groups))
    parts = [mean([one for one, group in zip(found, groups, strict=True) if group == name]) for name in names]
    return combine(parts, [1.0 if weights is None else weights[name] for name in names])


def precondition(gradient: Gradient, scale: Gradient, power: float = 1.0) -> Gradient:
    """``P^power * gradient``, elementwise."""
    return {name: value * scale[name] ** power for name, value in gradient.items()}


def cosine(gradient: Gradient, direction: Gradient, scale: Gradient | None = None) -> float:
    """Cosine with a raw direction, in the space preconditioned by sqrt(P) if ``scale`` = P is given."""
    ours, theirs = only(gradient, direction), direction
    if scale is not None:
        ours, theirs = precondition(ours, scale, 0.5), precondition(theirs, scale, 0.5)
    return dot(ours, theirs) / (norm(ours) * norm(theirs))


def moments(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, torch.Tensor]]:
    """Adam's state of every trainable parameter, by name, in float64."""
    optimizer = getattr(optimizer, "optimizer", optimizer)
    return {
        name: {
            key: value.detach().clone().double()
            for key, value in optimizer.state[parameter].items()
            if isinstance(value, torch.Tensor)
        }
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def adam_scale(state: dict[str, dict[str, torch.Tensor]], beta: float = 0.999, eps: float = 1e-8) -> Gradient:
    """P = 1 / (sqrt(v_hat) + eps) with the bias-corrected second moment v_hat = v / (1 - beta^step)."""
    return {
        name: 1 / ((part["exp_avg_sq"] / (1 - beta ** float(part["step"]))).sqrt() + eps)
        for name, part in state.items()
    }


def official(gradient: Gradient, direction: Gradient, state: dict[str, dict[str, torch.Tensor]]) -> float:
    """The released code of CLUES: <(0.9 m + 0.1 g) / sqrt(0.999 v + 0.001 g^2 + 1e-8), direction>."""
    update = {
        name: (0.9 * state[name]["exp_avg"] + 0.1 * gradient[name])
        / (0.999 * state[name]["exp_avg_sq"] + 0.001 * gradient[name] ** 2 + 1e-8).sqrt()
        for name in direction
    }
    return dot(update, direction)


def datainf(train: Sequence[Gradient], direction: Gradient) -> list[float]:
    """DataInf (Kwon et al., ICLR 2024, equation 5), a parameter tensor a layer; low is helpful.

    v is the direction, lambda = 0.1 mean(g^2), h = 1/(n lambda) sum_i [v - (v.g_i) / (lambda + |g_i|^2) g_i], and
    example k has -h.g_k.
    """
    scores = [0.0] * len(train)
    for name, v in direction.items():
        layer = [gradient[name] for gradient in train]
        damping = 0.1 * torch.stack([(g**2).mean() for g in layer]).mean()
        if damping == 0:
            continue
        terms = [v - (v * g).sum() / (damping + (g**2).sum()) * g for g in layer]
        h = sum(terms) / (len(layer) * damping)
        for k, g in enumerate(layer):
            scores[k] -= float((h * g).sum())
    return scores

"""From a site's inputs and output gradients to numbers: which rule of ``functional/ghost*.py`` holds where."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from hf_datasel.functional import ghost, ghost_norms
from hf_datasel.functional.directions import official_inner
from hf_datasel.training.influence.direction import Direction
from hf_datasel.training.influence.frame import ALL, Frame
from hf_datasel.training.influence.sites import Site

Norms = Literal["none", "plain", "preconditioned"]


class SiteRule(ABC):
    """What is made of a site's inputs and output gradients; a subclass says, by kind of parameter."""

    def at(self, site: Site, frame: Frame, inputs: Tensor, grads: Tensor) -> None:
        """Take what ``site`` saw.

        Args:
            site: which.
            frame: of this forward.
            inputs: ``[B, T, ...]`` of the module (token ids for an embedding).
            grads: of its outputs.

        Raises:
            ValueError: the tokens cannot be assigned to examples; names the module.
        """
        frame.reported(site.name)
        inputs, grads = _token_major(site, frame, inputs), _token_major(site, frame, grads)
        if site.weight is None:
            pass
        elif site.kind in ("linear", "conv1d"):
            self.linear(site, frame, site.weight, inputs.to(grads.dtype), grads)
        elif site.kind == "embedding":
            padding = getattr(site.module, "padding_idx", None)
            if padding is not None:
                grads = grads.masked_fill((inputs == padding)[..., None], 0.0)
            self.embedding(
                site, frame, site.weight, inputs, grads if site.scale == 1.0 else grads.float() * site.scale
            )
        else:
            normalised = ghost.normalise(inputs, site.eps, centred=site.kind == "layer_norm")
            self.vector(frame, site.weight, ghost.at_least_float32(grads) * normalised)
        if site.bias is not None:
            self.vector(frame, site.bias, grads)

    @abstractmethod
    def linear(self, site: Site, frame: Frame, name: str, inputs: Tensor, grads: Tensor) -> None:
        """The weight of a Linear or Conv1D: inputs ``[B, T, d]``, output gradients ``[B, T, o]``."""

    @abstractmethod
    def embedding(self, site: Site, frame: Frame, name: str, tokens: Tensor, grads: Tensor) -> None:
        """An embedding: tokens ``[B, T]``, output gradients ``[B, T, d]``, zero at padding."""

    @abstractmethod
    def vector(self, frame: Frame, name: str, grads: Tensor) -> None:
        """A bias or a norm's weight: its gradient at every token, ``[B, T, ..., d]``."""


class Measure(SiteRule):
    """Inner products with a direction, and squared norms if asked.

    Args:
        sites: all of them.
        norms: "plain", ``|g_i|^2``; "preconditioned", ``sum P g_i^2`` with the direction's P.
        official: the released code's sum in place of the inner product.
        per_parameter: keep each parameter's numbers apart, under its name; for one direction.

    Attributes:
        wants_norms: whether squared norms are computed.
        directions: what gradients are held against, by the key of their sums in a frame; ``ALL`` is the first.

    Raises:
        ValueError: norms of a weight that several modules share, where no rule is known.
    """

    def __init__(
        self, sites: Sequence[Site], *, norms: Norms = "none", official: bool = False, per_parameter: bool = False
    ) -> None:
        self.directions: dict[str, Direction] = {}
        self._norms = norms
        self.wants_norms = norms != "none"
        self._official = official
        self._per_parameter = per_parameter
        self._tied = _tied_weights(sites)
        for name, kinds in self._tied.items():
            plain_tie = kinds == ["embedding", "linear"] and norms != "preconditioned" and not official
            if not plain_tie and (norms != "none" or official):
                raise ValueError(
                    f"{name} is shared by several modules, and its gradient's "
                    f"{'preconditioned ' if norms == 'preconditioned' else ''}norm for one example would need the "
                    "whole gradient: choose parameters= that leave it out, or norms=False."
                )

    def linear(self, site: Site, frame: Frame, name: str, inputs: Tensor, grads: Tensor) -> None:
        """Inner products, and squared norms."""
        for key, direction in self._keyed(name):
            if self._official:
                elementwise = self._official_at(site, direction)
                values = ghost_norms.linear_functional(frame.arrange(inputs), frame.arrange(grads), elementwise)
                frame.add_examples(values, key)
            elif name in direction.factors:
                frame.add_tokens(ghost.linear_inner_low_rank(inputs, grads, *direction.factors[name]), key)
            else:
                frame.add_tokens(ghost.linear_inner(inputs, grads, _oriented(site, direction.gradients[name])), key)
        if self._norms != "none":
            arranged, their_grads = frame.arrange(inputs), frame.arrange(grads)
            if self._norms == "plain":
                squared = ghost_norms.linear_squared_norm(arranged, their_grads)
            else:
                weights = _oriented(site, self._preconditioner(name))
                squared = ghost_norms.linear_functional(arranged, their_grads, lambda g: g.square_().mul_(weights))
            frame.add_squared(squared, self._key(name))
            if name in self._tied:
                self._keep_residuals(frame, name, arranged, their_grads)

    def embedding(self, site: Site, frame: Frame, name: str, tokens: Tensor, grads: Tensor) -> None:
        """The same."""
        for key, direction in self._keyed(name):
            if self._official:
                untouched = self._official_at(site, direction)(torch.zeros_like(direction.gradients[name])).sum()
                values = ghost_norms.embedding_functional(
                    frame.arrange(tokens), frame.arrange(grads), _official_at_rows(direction, name), untouched
                )
                frame.add_examples(values, key)
            else:
                frame.add_tokens(ghost.embedding_inner(tokens, grads, direction.gradients[name]), key)
        if self._norms != "none":
            arranged, their_grads = frame.arrange(tokens), frame.arrange(grads)
            weights = self._preconditioner(name) if self._norms == "preconditioned" else None

            def squares(rows: Tensor, which: Tensor) -> Tensor:
                return rows.square() if weights is None else rows.square() * weights[which]

            squared = ghost_norms.embedding_functional(arranged, their_grads, squares)
            if name in frame.residuals:
                hidden, residuals = frame.residuals.pop(name)
                squared = squared + 2 * ghost_norms.tied_cross_product(arranged, their_grads, hidden, residuals)
            frame.add_squared(squared, self._key(name))

    def vector(self, frame: Frame, name: str, grads: Tensor) -> None:
        """The same."""
        for key, direction in self._keyed(name):
            if self._official:
                elementwise = official_inner(direction.gradients[name], *direction.moments[name])
                frame.add_examples(ghost_norms.vector_functional(frame.arrange(grads), elementwise), key)
            else:
                frame.add_tokens(ghost.bias_inner(grads, direction.gradients[name]), key)
        if self._norms != "none":
            weights = self._preconditioner(name) if self._norms == "preconditioned" else None
            squared = ghost_norms.vector_functional(
                frame.arrange(grads), lambda g: g.square() if weights is None else g.square() * weights
            )
            frame.add_squared(squared, self._key(name))

    def _keep_residuals(self, frame: Frame, name: str, hidden: Tensor, residuals: Tensor) -> None:
        tokens = frame.arrange(frame.layout.tokens)
        rows = residuals.gather(2, tokens[:, None, :].expand(-1, residuals.shape[1], -1))
        frame.residuals[name] = (hidden, rows)

    def _key(self, name: str) -> str:
        return name if self._per_parameter else ALL

    def _keyed(self, name: str) -> list[tuple[str, Direction]]:
        """The directions, each with the key of its sums at a parameter."""
        if self._per_parameter:
            return [(name, direction) for direction in self.directions.values()]
        return list(self.directions.items())

    def _preconditioner(self, name: str) -> Tensor:
        return self.directions[ALL].preconditioner[name]  # the same in every direction

    def _official_at(self, site: Site, direction: Direction) -> Callable[[Tensor], Tensor]:
        assert site.weight is not None
        parts = (direction.gradients[site.weight], *direction.moments[site.weight])
        return official_inner(*(_oriented(site, part) for part in parts))


def _official_at_rows(direction: Direction, name: str) -> Callable[[Tensor, Tensor], Tensor]:
    toward, (mean, square) = direction.gradients[name], direction.moments[name]

    def change(rows: Tensor, which: Tensor) -> Tensor:
        at = official_inner(toward[which], mean[which], square[which])
        return at(rows) - at(torch.zeros_like(rows))

    return change


def _oriented(site: Site, values: Tensor) -> Tensor:
    """``[o, d]``: a Conv1D of GPT-2 holds its weight the other way round."""
    return values.T if site.kind == "conv1d" else values


def _tied_weights(sites: Sequence[Site]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for site in sites:
        if site.weight is not None:
            kinds.setdefault(site.weight, []).append(site.kind)
    return {name: sorted(found) for name, found in kinds.items() if len(found) > 1}


def _token_major(site: Site, frame: Frame, values: Tensor) -> Tensor:
    """``[B, T, ...]``, where a norm of attention heads may see ``[B, heads, T, ...]``."""
    wanted = frame.layout.examples.shape
    is_heads_first = values.dim() == 4 and (values.shape[0], values.shape[2]) == wanted
    if values.shape[:2] == wanted:
        if is_heads_first and not frame.layout.one_per_row and values.shape[1] > 1:
            raise ValueError(
                f"Module {site.name} sees as many heads as tokens, which cannot be told apart in a packed row."
            )
        return values
    if is_heads_first:
        return values.transpose(1, 2)
    if site.is_head and frame.is_at_labels(values):
        return values
    raise ValueError(
        f"Module {site.name} sees a tensor of shape {tuple(values.shape)} in a batch of {tuple(wanted)} tokens, so "
        "its tokens cannot be assigned to examples (a mixture of experts?): choose parameters= that leave it out."
    )

"""The part of an LM head that TRL fuses with the loss: no module is called there, so no hook sees it.

TRL's backward forms the gradient of the logits tile by tile and adds ``tile^T hidden`` to the head's weight gradient.
That product is where we look: it has both factors, so nothing is computed again, and whatever lies between the product
and the loss (soft caps, scales) is in the tile already. ``tests`` hold TRL to it.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from trl.kernels import chunked_logprob

from hf_datasel.functional import ghost
from hf_datasel.training.influence.frame import Frame
from hf_datasel.training.influence.rules import Measure
from hf_datasel.training.influence.sites import Site

_listening: list[FusedHead] = []  # the one whose backward runs, if any


class FusedHead:
    """Inner products at the head, from the tiles of the fused backward.

    Args:
        site: the head.
        measure: whose directions the tiles are held against.
    """

    def __init__(self, site: Site, measure: Measure) -> None:
        self.site = site
        self._measure = measure
        module: Any = site.module
        self._vocabulary = int(module.weight.shape[0])
        self._inner: dict[str, list[Tensor]] = {}
        self._tiles: list[list[Tensor]] = []
        self._hidden: list[Tensor] = []
        _patch()

    def listen(self) -> None:
        """Take the tiles of the backward that is about to run."""
        self._inner, self._tiles, self._hidden = {}, [], []
        _listening[:] = [self]

    def stop(self) -> None:
        """Take no more."""
        _listening[:] = [head for head in _listening if head is not self]

    def meant(self, sums: Tensor, tile: Tensor) -> bool:
        """Whether ``sums += tile @ ...`` adds to this head's weight gradient, with ``tile`` turned: ``[v, n]``."""
        whole = sums if sums._base is None else sums._base
        return whole.shape[0] == self._vocabulary and tile.stride(0) == 1

    def take(self, tile: Tensor, hidden: Tensor, word: int) -> None:
        """One tile.

        Args:
            tile: ``[n, v]``, gradient of the logits.
            hidden: ``[n, d]``, the head's inputs.
            word: the tile's first word; a tile of word 0 begins a new block of tokens.
        """
        if self._measure.wants_norms:  # a norm needs whole rows, and the tile's memory is used again
            if word == 0:
                self._hidden.append(hidden)
                self._tiles.append([])
            self._tiles[-1].append(tile.clone())
            return
        words = slice(word, word + tile.shape[1])
        for key, direction in self._measure.directions.items():
            inner = torch.zeros(len(tile), device=tile.device)
            name, bias = self.site.weight, self.site.bias
            if name is not None and name in direction.factors:
                left, right = direction.factors[name]
                inner += ghost.linear_inner_low_rank(hidden, tile, left[:, words], right)
            elif name is not None:
                inner += ghost.linear_inner(hidden, tile, direction.gradients[name][words])
            if bias is not None:
                inner += ghost.at_least_float32(tile) @ direction.gradients[bias][words]
            blocks = self._inner.setdefault(key, [])
            if word == 0:
                blocks.append(inner)
            else:
                blocks[-1] += inner

    def finish(self, frame: Frame) -> None:
        """Add what was taken to ``frame``.

        Raises:
            RuntimeError: nothing was taken though the head has a gradient.
        """
        self.stop()
        if frame.layout.at_labels.shape[1] == 0:
            return
        if not self._inner and not self._tiles:
            raise RuntimeError(
                "TRL's fused head did not form its weight gradient where this version of hf_datasel looks: install a "
                "trl that it supports, or choose parameters= without the head."
            )
        for key, blocks in self._inner.items():
            frame.add_tokens(_at_labels(torch.cat(blocks), frame)[None], key)
        if self._tiles:
            residuals = _at_labels(torch.cat([torch.cat(tiles, dim=1) for tiles in self._tiles]), frame)[None]
            hidden = _at_labels(torch.cat(self._hidden), frame)[None]
            if self.site.weight is not None:
                self._measure.linear(self.site, frame, self.site.weight, hidden.to(residuals.dtype), residuals)
            if self.site.bias is not None:
                self._measure.vector(frame, self.site.bias, residuals)
        self._inner, self._tiles, self._hidden = {}, [], []


def _at_labels(rows: Tensor, frame: Frame) -> Tensor:
    """Rows of the labels only: TRL gives those, or (where it has no Triton) all positions that predict a token."""
    mask = frame.layout.label_mask
    return rows if len(rows) == frame.layout.at_labels.shape[1] else rows[mask.flatten()]


def _patch() -> None:
    """Put the listener into TRL's accumulation of products, once a process."""
    original = chunked_logprob._addmm_fp32
    if getattr(original, "is_heard", False):
        return

    @functools.wraps(original)
    def addmm(sums: Tensor, first: Tensor, second: Tensor) -> None:
        original(sums, first, second)
        if _listening and _listening[0].meant(sums, first):
            start = 0 if sums._base is None else sums._base.storage_offset()
            word = int(sums.storage_offset() - start) // sums.stride(0)
            _listening[0].take(first.detach().T, second.detach(), word)

    heard: Any = addmm
    heard.is_heard = True
    chunked_logprob._addmm_fp32 = heard

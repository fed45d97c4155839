"""Hooks that turn a backward pass into inner products, example by example.

At every site an identity function on the module's output keeps the module's input; its backward sees the output's
gradient, adds what the site's rule gives to the current frame, and passes the gradient on. The input is one that
autograd keeps anyway, and under gradient checkpointing it is dropped and recomputed like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hf_datasel.training.influence.frame import Frame
from hf_datasel.training.influence.layout import Layout
from hf_datasel.training.influence.rules import SiteRule
from hf_datasel.training.influence.sites import Site

Report = Callable[[Tensor, Tensor], None]


class Capture:
    """Collect, from the backward passes of a model, what ``measure`` makes of each site.

    Args:
        sites: where.
        measure: what is computed; its direction may be replaced between frames.
        score_only: the parameters are frozen, so the outputs are made to need gradients here.
    """

    def __init__(self, sites: list[Site], measure: SiteRule, *, score_only: bool) -> None:
        self.sites = sites
        self.measure = measure
        self.frame: Frame | None = None
        self._anchor = torch.zeros((), requires_grad=True) if score_only else None
        self._handles: list[Any] = []

    def attach(self) -> None:
        """Put the hooks in place."""
        for site in self.sites:
            self._handles.append(site.module.register_forward_hook(self._hook(site)))

    def detach(self) -> None:
        """Take them away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Hooks within the body only."""
        self.attach()
        try:
            yield
        finally:
            self.frame = None
            self.detach()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is captured within the body."""
        frame, self.frame = self.frame, None
        try:
            yield
        finally:
            self.frame = frame

    def open(self, layout: Layout) -> Frame:
        """A new frame: the next forward and its backward go into it."""
        self.frame = Frame(layout, {site.name for site in self.sites})
        return self.frame

    def _hook(self, site: Site) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
            frame = self.frame
            if frame is None or not torch.is_grad_enabled():
                return None
            value = inputs[0].detach()
            num_rows = frame.layout.examples.shape[0]
            if output.shape[0] == 1 < num_rows and not (site.is_head and frame.is_at_labels(output)):
                # Learned positions are looked up once for all rows, which would sum their gradients over the rows.
                output = output.expand(num_rows, *output.shape[1:])
                value = value.expand(num_rows, *value.shape[1:])

            def report(kept: Tensor, grads: Tensor) -> None:
                self.measure.at(site, frame, kept, grads)

            return _Watched.apply(output, value, self._anchor, report)

        return hook


class _Watched(torch.autograd.Function):
    """The identity, whose backward reports ``(kept, gradient)``."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, kept: Tensor, anchor: Tensor | None, report: Report) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.report = report
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor, None, None, None]:
        with torch.no_grad():
            ctx.report(ctx.saved_tensors[0], grads)
        return grads, None, None, None

"""What one forward and its backward gave, site by site and then example by example."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hf_datasel.functional.ghost import sum_examples
from hf_datasel.functional.ghost_norms import by_example
from hf_datasel.training.influence.layout import Layout

ALL = ""  # the key under which contributions of all parameters are summed


class Frame:
    """Sums of one micro-batch.

    Args:
        layout: of the batch.
        expected: names of the sites that have to report.

    Attributes:
        residuals: of a tied head, kept until its embedding reports: ``{parameter: (hidden, rows)}``.
        before_first: called once, before the first site reports: a fused head is done by then.
    """

    def __init__(self, layout: Layout, expected: set[str]) -> None:
        self.layout = layout
        self.residuals: dict[str, tuple[Tensor, Tensor]] = {}
        self.before_first: Callable[[], None] | None = None
        self._missing = set(expected)
        self._tokens: dict[str, Tensor] = {}
        self._totals: dict[str, Tensor] = {}
        self._squared: dict[str, Tensor] = {}

    def reported(self, site: str) -> None:
        """A site is about to report."""
        self.settle()
        self._missing.discard(site)

    def settle(self) -> None:
        """Do what is to be done before the first report, if it is not done yet."""
        if self.before_first is not None:
            settle, self.before_first = self.before_first, None
            settle()

    def is_at_labels(self, values: Tensor) -> bool:
        """Whether ``values`` ``[1, n, ...]`` stand where labels are predicted, and nowhere else."""
        return values.shape[:2] == self.layout.at_labels.shape != self.layout.examples.shape

    def add_tokens(self, values: Tensor, key: str = ALL) -> None:
        """Add inner products of tokens ``[B, T]``, or ``[1, n]`` at labels."""
        if self.is_at_labels(values):
            self.add_examples(sum_examples(values, self.layout.at_labels, self.layout.num_examples), key)
        else:
            self._tokens[key] = self._tokens[key] + values if key in self._tokens else values

    def add_examples(self, values: Tensor, key: str = ALL) -> None:
        """Add inner products of examples ``[D]``."""
        self._totals[key] = self._totals[key] + values if key in self._totals else values

    def add_squared(self, values: Tensor, key: str = ALL) -> None:
        """Add squared norms ``[D]``."""
        self._squared[key] = self._squared[key] + values if key in self._squared else values

    def arrange(self, values: Tensor) -> Tensor:
        """Values of tokens by example, ``[D, S, ...]``, padded with zeros."""
        if self.is_at_labels(values):
            return by_example(values, self.layout.at_labels, self.layout.num_examples)
        if self.layout.one_per_row:
            return values
        return by_example(values, self.layout.examples, self.layout.num_examples)

    def require_all(self) -> None:
        """Every site has reported.

        Raises:
            ValueError: one has not; named.
        """
        if self._missing:
            raise ValueError(
                f"Module {sorted(self._missing)[0]} was not called with gradients in this forward, so what its "
                "parameters add to the inner products is not known: choose parameters= that leave it out."
            )

    def inner(self, key: str = ALL) -> Tensor:
        """Inner products ``[D]``."""
        total = self._zeros()
        if key in self._tokens:
            tokens = self._tokens[key]
            if self.layout.one_per_row:
                total = total + tokens.sum(1)
            else:
                total = total + sum_examples(tokens, self.layout.examples, self.layout.num_examples)
        return total + self._totals[key] if key in self._totals else total

    def squared(self, key: str = ALL) -> Tensor:
        """Squared norms ``[D]``."""
        # A tied weight's norm is a sum with a cross term, which rounding may leave below zero where it is tiny.
        return self._squared.get(key, self._zeros()).clamp_min(0.0)

    def _zeros(self) -> Tensor:
        return torch.zeros(self.layout.num_examples, device=self.layout.tokens.device)

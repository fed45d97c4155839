"""Random layers for the ghost rules, and the slow oracle: autograd, one example at a time."""

from __future__ import annotations

from dataclasses import dataclass

import hypothesis.strategies as st
import torch
from torch import Tensor

EXAMPLE_SHAPES = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=3)


@dataclass
class Batch:
    """Examples laid out in rows: lengths of each row's examples, padding at its end, anything in the padding."""

    lengths: list[list[int]]
    generator: torch.Generator
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.lengths), max(map(sum, self.lengths))

    @property
    def num_examples(self) -> int:
        return sum(map(len, self.lengths))

    @property
    def examples(self) -> Tensor:
        """``[B, T]``: which example each token belongs to, -1 for padding."""
        owner = torch.full(self.shape, -1)
        number = 0
        for row, lengths in enumerate(self.lengths):
            start = 0
            for length in lengths:
                owner[row, start : start + length] = number
                start, number = start + length, number + 1
        return owner

    def values(self, *features: int, zero_padding: bool = False) -> Tensor:
        """``[B, T, *features]`` of normal numbers."""
        drawn = torch.randn(*self.shape, *features, generator=self.generator, dtype=torch.float64).to(self.dtype)
        if zero_padding:
            drawn[self.examples < 0] = 0
        return drawn

    def weight(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def tokens(self, vocabulary: int) -> Tensor:
        return torch.randint(0, vocabulary, self.shape, generator=self.generator)

    def each(self, grads: Tensor) -> list[Tensor]:
        """``grads`` with the tokens of all examples but one set to zero, an example after another, in float64."""
        owner = self.examples
        return [
            torch.where((owner == number).view(*owner.shape, *[1] * (grads.dim() - 2)), grads.double(), 0.0)
            for number in range(self.num_examples)
        ]


@st.composite
def batches(draw: st.DrawFn, dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)) -> Batch:
    """Padded rows (one example each) and packed ones."""
    lengths = draw(EXAMPLE_SHAPES)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return Batch(lengths, generator, draw(st.sampled_from(dtypes)))


def gradients(layer: torch.nn.Module, inputs: Tensor, batch: Batch, grads: Tensor) -> list[dict[str, Tensor]]:
    """Each example's gradient of every parameter of ``layer``, in float64; ``grads`` pull the layer's output."""
    layer = layer.double()
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    names, parameters = zip(*layer.named_parameters(), strict=True)
    return [
        dict(zip(names, torch.autograd.grad((layer(inputs) * part).sum(), parameters), strict=True))
        for part in batch.each(grads)
    ]


def set_weights(layer: torch.nn.Module, batch: Batch) -> None:
    """Random parameters, as numbers that the batch's dtype has."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(batch.weight(*parameter.shape))


def close(found: Tensor, wanted: list[float], size: Tensor | float, num_terms: int, dtype: torch.dtype) -> None:
    """Hold sums to the bound of their rounding: each of ``num_terms`` roundings is relative to ``size``.

    Args:
        found: ``[D]``.
        wanted: D sums in float64.
        size: the sum of the absolute values of the terms.
        num_terms: roundings a term goes through, at most.
        dtype: whose rounding.
    """
    error = (found.double() - torch.tensor(wanted, dtype=torch.float64)).abs()
    bound = num_terms * torch.finfo(dtype).eps * torch.as_tensor(size, dtype=torch.float64)
    assert (error <= bound + 1e-300).all(), (error / bound).max()

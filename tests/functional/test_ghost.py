"""Every ghost rule equals autograd's inner product, example by example, in any shape, type and layout."""

import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from hf_datasel.functional import ghost
from tests.functional.ghost_cases import Batch, batches, close, gradients, set_weights

ALL_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
WIDTHS = st.sampled_from([1, 3, 8, 31, 33, 40])  # both sides of where the rules take another way round


def summed(tokens: torch.Tensor, batch: Batch) -> torch.Tensor:
    assert tokens.dtype == (torch.float64 if batch.dtype == torch.float64 else torch.float32)
    return ghost.sum_examples(tokens, batch.examples, batch.num_examples)


def magnitude(batch: Batch, terms: torch.Tensor) -> torch.Tensor:
    """The absolute terms ``[B, T, ...]`` of each example, summed."""
    return torch.stack([part.sum() for part in batch.each(terms.double().abs())])


@settings(max_examples=60)
@given(batches(ALL_DTYPES), WIDTHS, WIDTHS)
def test_linear(batch: Batch, num_inputs: int, num_outputs: int) -> None:
    layer = torch.nn.Linear(num_inputs, num_outputs)
    a, b = batch.values(num_inputs), batch.values(num_outputs)
    direction = batch.weight(num_outputs, num_inputs)
    found = summed(ghost.linear_inner(a, b, direction), batch)
    wanted = [float((g["weight"] * direction).sum()) for g in gradients(layer, a, batch, b)]
    size = magnitude(batch, torch.einsum("bto,od,btd->bt", *(x.double().abs() for x in (b, direction, a))))
    close(found, wanted, size, num_inputs + num_outputs + b.shape[1], batch.dtype)


@settings(max_examples=60)
@given(batches(ALL_DTYPES), WIDTHS, WIDTHS, st.integers(1, 5))
def test_low_rank_is_linear_with_the_product_as_direction(
    batch: Batch, num_inputs: int, num_outputs: int, rank: int
) -> None:
    a, b = batch.values(num_inputs), batch.values(num_outputs)
    left, right = batch.weight(rank, num_outputs), batch.weight(rank, num_inputs)
    found = summed(ghost.linear_inner_low_rank(a, b, left, right), batch)
    whole = ghost.linear_inner(a.double(), b.double(), left.double().T @ right.double())
    wanted = ghost.sum_examples(whole, batch.examples, batch.num_examples).tolist()
    terms = (b.double().abs() @ left.double().abs().T) * (a.double().abs() @ right.double().abs().T)
    close(found, wanted, magnitude(batch, terms), num_inputs + num_outputs + rank + b.shape[1], batch.dtype)


@given(batches(), st.sampled_from([(), (1,), (3,)]), WIDTHS)
def test_bias_and_scale(batch: Batch, between: tuple[int, ...], width: int) -> None:
    """Norms of heads see [B, T, heads, width]."""
    x, b, direction = batch.values(*between, width), batch.values(*between, width), batch.weight(width)
    for centred in (False, True):
        if centred and width < 2:
            continue  # a LayerNorm of one number is its bias
        layer = torch.nn.LayerNorm(width, eps=1e-5) if centred else torch.nn.RMSNorm(width, eps=1e-5)
        set_weights(layer, batch)
        wanted = gradients(layer, x, batch, b)
        normalised = ghost.normalise(x, 1e-5, centred=centred)
        found = summed(ghost.scale_inner(normalised, b, direction), batch)
        # The norm itself rounds some times, and centring loses what the mean is larger by than the spread.
        spread = 1 + (x.double().abs().amax(-1) / (x.double().std(-1, correction=0) + 1e-5**0.5)).amax()
        terms = (b.double() * direction.double()).abs().unflatten(-1, (-1, 1))[..., 0]
        size = magnitude(batch, terms * (normalised.double().abs() + spread * centred))
        num_terms = 8 * (width + b[0].numel())
        close(found, [float((g["weight"] * direction).sum()) for g in wanted], size, num_terms, batch.dtype)
        if centred:
            found = summed(ghost.bias_inner(b, direction), batch)
            size = magnitude(batch, b.double() * direction.double())
            close(found, [float((g["bias"] * direction).sum()) for g in wanted], size, b[0].numel(), batch.dtype)


@given(batches())
def test_sum_examples_leaves_padding_out(batch: Batch) -> None:
    values = batch.values()
    wanted = [float(part.sum()) for part in batch.each(values)]
    close(summed(values, batch), wanted, magnitude(batch, values), values.shape[1], batch.dtype)

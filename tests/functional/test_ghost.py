"""Every ghost rule equals autograd's inner product, example by example, in any shape, type and layout."""

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
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


@given(batches(), WIDTHS, st.booleans())
def test_embedding(batch: Batch, width: int, pads: bool) -> None:
    tokens, b, direction = batch.tokens(5), batch.values(width), batch.weight(5, width)
    layer = torch.nn.Embedding(5, width, padding_idx=2 if pads else None)
    found = summed(ghost.embedding_inner(tokens, b, direction, layer.padding_idx), batch)
    wanted = [float((g["weight"] * direction).sum()) for g in gradients(layer, tokens, batch, b)]
    size = magnitude(batch, b.double() * direction.double()[tokens])
    close(found, wanted, size, width + b.shape[1], batch.dtype)


@settings(max_examples=60)
@given(
    st.integers(0, 9),
    WIDTHS,
    st.integers(2, 9),
    st.booleans(),
    st.sampled_from([None, 2.0]),
    st.sampled_from(["weight", "bias", "both"]),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_head(
    num_tokens: int,
    width: int,
    vocabulary: int,
    biased: bool,
    softcap: float | None,
    counts: str,
    seed: int,
    few: bool,
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden, weight, bias = draw(num_tokens, width), draw(vocabulary, width), draw(vocabulary) if biased else None
    labels = torch.randint(0, vocabulary, (num_tokens,), generator=generator)
    direction = None if counts == "bias" else draw(vocabulary, width)
    bias_direction = draw(vocabulary) if biased and counts != "weight" else None
    with pytest.MonkeyPatch.context() as patch:
        if few:
            patch.setattr(ghost, "HEAD_ELEMENTS", 2 * vocabulary)  # chunks of two tokens
        found, log_probs = ghost.head_inner(hidden, labels, weight, bias, direction, bias_direction, softcap)
    parameters = [part.requires_grad_() for part in (weight, bias) if part is not None]
    for t in range(num_tokens):
        logits = F.linear(hidden[t], weight, bias)
        loss = F.cross_entropy(logits if softcap is None else softcap * torch.tanh(logits / softcap), labels[t])
        grads = torch.autograd.grad(loss, parameters)
        wanted = 0.0 if direction is None else float((grads[0] * direction).sum())
        wanted += 0.0 if bias_direction is None else float((grads[1] * bias_direction).sum())
        assert float(found[t]) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        assert float(log_probs[t]) == pytest.approx(-float(loss.detach()), rel=1e-9, abs=1e-12)
    assert found.shape == log_probs.shape == (num_tokens,)


@given(batches())
def test_sum_examples_leaves_padding_out(batch: Batch) -> None:
    values = batch.values()
    wanted = [float(part.sum()) for part in batch.each(values)]
    close(summed(values, batch), wanted, magnitude(batch, values), values.shape[1], batch.dtype)

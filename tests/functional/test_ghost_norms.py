"""Sums over the elements of per-example gradients, held against gradients that are formed one by one."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from hf_datasel.functional import ghost, ghost_norms
from tests.functional.ghost_cases import Batch, batches, gradients

WIDTHS = st.sampled_from([1, 2, 7, 12])
DOUBLE = (torch.float64,)
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
# What a sum may be over: squares, squares with weights (Adam's), and something neither even nor homogeneous.
MAPS = {
    "square": lambda g, w: g.square(),
    "weighted": lambda g, w: g.square() * w.abs(),
    "official": lambda g, w: (g + 0.5 * w) / torch.sqrt(g.square() + w.square() + 0.01) * w,
}


def arranged(batch: Batch, values: torch.Tensor) -> torch.Tensor:
    return ghost_norms.by_example(values, batch.examples, batch.num_examples)


def same(found: torch.Tensor, wanted: list[torch.Tensor]) -> None:
    torch.testing.assert_close(found, torch.stack(wanted), **CLOSE)


@settings(max_examples=60)
@given(batches(DOUBLE), WIDTHS, WIDTHS, st.sampled_from(list(MAPS)), st.booleans())
def test_linear(batch: Batch, num_inputs: int, num_outputs: int, name: str, few: bool) -> None:
    layer = torch.nn.Linear(num_inputs, num_outputs)
    a, b = batch.values(num_inputs), batch.values(num_outputs)
    weights = batch.weight(num_outputs, num_inputs)
    formed = [g["weight"] for g in gradients(layer, a, batch, b)]
    inputs, grads = arranged(batch, a), arranged(batch, b)
    with pytest.MonkeyPatch.context() as patch:
        if few:
            patch.setattr(ghost_norms, "GRADIENT_ELEMENTS", 1)  # one example at a time
        found = ghost_norms.linear_functional(inputs, grads, lambda g: MAPS[name](g, weights))
        same(found, [MAPS[name](g, weights).sum() for g in formed])
        same(ghost_norms.linear_squared_norm(inputs, grads), [g.square().sum() for g in formed])


@pytest.mark.parametrize(("num_tokens", "forms"), [(3, False), (4, True)])
def test_squared_norm_takes_the_smaller_work(num_tokens: int, forms: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gram matrices while 2 T^2 <= o d, here 20."""
    calls = []
    inner = ghost_norms.linear_functional
    monkeypatch.setattr(ghost_norms, "linear_functional", lambda *args: calls.append(args) or inner(*args))
    ghost_norms.linear_squared_norm(torch.ones(1, num_tokens, 4), torch.ones(1, num_tokens, 5))
    assert bool(calls) == forms


@given(batches(DOUBLE), st.sampled_from([(), (3,)]), WIDTHS, st.sampled_from(list(MAPS)))
def test_bias_and_scale(batch: Batch, between: tuple[int, ...], width: int, name: str) -> None:
    x, b, weights = batch.values(*between, width), batch.values(*between, width), batch.weight(width)
    layer = torch.nn.LayerNorm(width)
    formed = gradients(layer, x, batch, b)
    normalised = ghost.normalise(x, layer.eps, centred=True)
    for parameter, grads in (("bias", b), ("weight", b * normalised)):
        found = ghost_norms.vector_functional(arranged(batch, grads), lambda g: MAPS[name](g, weights))
        same(found, [MAPS[name](g[parameter], weights).sum() for g in formed])


@given(batches(DOUBLE), WIDTHS, st.sampled_from(list(MAPS)), st.booleans())
def test_embedding(batch: Batch, width: int, name: str, pads: bool) -> None:
    tokens, b, weights = batch.tokens(5), batch.values(width), batch.weight(5, width)
    layer = torch.nn.Embedding(5, width, padding_idx=2 if pads else None)
    formed = [g["weight"] for g in gradients(layer, tokens, batch, b)]
    if pads:
        b = b.masked_fill((tokens == 2)[..., None], 0.0)
    nothing = MAPS[name](torch.zeros(5, width, dtype=torch.float64), weights)
    found = ghost_norms.embedding_functional(
        arranged(batch, tokens),
        arranged(batch, b),
        lambda rows, of: MAPS[name](rows, weights[of]) - nothing[of],
        float(nothing.sum()),
    )
    same(found, [MAPS[name](g, weights).sum() for g in formed])


@given(batches(DOUBLE), WIDTHS)
def test_tied_cross_product(batch: Batch, width: int) -> None:
    """|g_embedding + g_head|^2 has a cross term; an embedding and a head of one weight are pulled apart by hand."""
    tokens, b, hidden, r = batch.tokens(5), batch.values(width), batch.values(width), batch.values(5)
    first = gradients(torch.nn.Embedding(5, width), tokens, batch, b)
    second = gradients(torch.nn.Linear(width, 5, bias=False), hidden, batch, r)
    of_tokens, residuals = arranged(batch, tokens), arranged(batch, r)
    picked = residuals.gather(2, of_tokens[:, None, :].expand(-1, residuals.shape[1], -1))
    found = ghost_norms.tied_cross_product(of_tokens, arranged(batch, b), arranged(batch, hidden), picked)
    same(found, [(e["weight"] * h["weight"]).sum() for e, h in zip(first, second, strict=True)])


@given(batches(), st.sampled_from([(), (2,), (2, 3)]))
def test_by_example_keeps_every_token_and_pads_with_zeros(batch: Batch, features: tuple[int, ...]) -> None:
    values = batch.values(*features)
    found = arranged(batch, values)
    lengths = [length for row in batch.lengths for length in row]
    assert found.shape == (batch.num_examples, max(lengths), *features)
    for number, length in enumerate(lengths):
        assert torch.equal(found[number, :length], values[batch.examples == number])
        assert not found[number, length:].any()

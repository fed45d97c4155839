"""Pooling over tokens is a plain loop, and what is masked out cannot be seen in it."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.pooling import masked_mean, unit_length


@given(
    rows=st.integers(1, 5),
    tokens=st.integers(1, 9),
    dimension=st.integers(1, 6),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
    seed=st.integers(0, 99),
)
def test_means_are_those_of_a_loop(rows: int, tokens: int, dimension: int, dtype: torch.dtype, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, tokens, dimension, generator=generator).to(dtype)
    mask = torch.rand(rows, tokens, generator=generator) < 0.5
    expected = np.full((rows, dimension), np.nan)
    for row in range(rows):
        kept = [hidden[row, token].double().numpy() for token in range(tokens) if mask[row, token]]
        if kept:
            expected[row] = sum(kept) / len(kept)
    found = masked_mean(hidden, mask)
    assert found.dtype == torch.float32
    # At most nine additions and a division in float32, of numbers below 6, whatever the dtype before.
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=10 * 6 * torch.finfo(torch.float32).eps)


def test_what_is_masked_does_not_matter() -> None:
    hidden, mask = torch.ones(1, 3, 2), torch.tensor([[True, False, False]])
    hidden[0, 1], hidden[0, 2] = torch.nan, torch.inf
    assert masked_mean(hidden, mask).tolist() == [[1.0, 1.0]]


@given(st.lists(st.floats(-1e3, 1e3, width=32).filter(lambda value: abs(value) > 1e-3), min_size=1, max_size=8))
def test_unit_length(values: list[float]) -> None:
    wide = np.array(values, np.float64)
    found = unit_length(torch.tensor([values], dtype=torch.float32))[0].numpy()
    # A square, seven additions, a root and a division.
    np.testing.assert_allclose(found, wide / np.linalg.norm(wide), rtol=12 * np.finfo(np.float32).eps)

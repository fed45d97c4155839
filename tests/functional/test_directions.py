"""Directions: what AdamW divides by, the released formula, and low rank with its share of energy."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from hf_datasel.functional import directions


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("beta2", "eps", "num_steps"), [(0.999, 1e-8, 1), (0.95, 1e-3, 4)])
def test_adam_preconditioner_is_what_adam_divides_by(beta2: float, eps: float, num_steps: int) -> None:
    """With beta1 = 0 the step is lr * P * g, so P can be read off what the optimizer did."""
    weight = torch.nn.Parameter(torch.zeros(5, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=1.0, betas=(0.0, beta2), eps=eps, weight_decay=0.0)
    for step in range(num_steps):
        before, weight.grad = weight.detach().clone(), drawn(step, 5).double()
        optimizer.step()
    state = optimizer.state[weight]
    found = directions.adam_preconditioner(state["exp_avg_sq"], int(state["step"]), beta2, eps)
    torch.testing.assert_close(found.double() * weight.grad, before - weight.detach(), rtol=1e-6, atol=0)


@given(st.integers(0, 2**32), st.floats(1e-6, 1e3))
def test_official_update_is_the_released_formula(seed: int, size: float) -> None:
    g, m, v = (drawn(seed + k, 4).double() * size for k in range(3))
    v = v.square()
    for k, found in enumerate(directions.official_inner(torch.full((4,), 2.0), m, v)(g).tolist()):
        wanted = (0.9 * float(m[k]) + 0.1 * float(g[k])) / math.sqrt(
            0.999 * float(v[k]) + 0.001 * float(g[k]) ** 2 + 1e-8
        )
        assert found == pytest.approx(2 * wanted, rel=1e-9)


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 12), st.integers(1, 14))
def test_low_rank_is_the_best_of_its_rank(seed: int, rows: int, columns: int, rank: int) -> None:
    matrix = drawn(seed, rows, columns)
    left, right, kept = directions.low_rank(matrix, rank)
    energy = torch.linalg.svdvals(matrix.double()).square()
    rank = min(rank, rows, columns)
    assert left.shape == (rank, rows)
    assert right.shape == (rank, columns)
    lost = (matrix.double() - left.double().T @ right.double()).square().sum()
    assert float(lost) == pytest.approx(float(energy[rank:].sum()), abs=1e-5 * float(energy.sum()))
    assert kept == pytest.approx(float(energy[:rank].sum() / energy.sum()), abs=1e-5)


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 0.999))
def test_a_share_takes_the_least_rank_that_keeps_it(seed: int, rows: int, columns: int, share: float) -> None:
    matrix = drawn(seed, rows, columns)
    left, _, kept = directions.low_rank(matrix, share)
    energy = torch.linalg.svdvals(matrix.double()).square().cumsum(0)
    energy = energy / energy[-1]
    assert kept >= share - 1e-5
    assert len(left) == 1 or float(energy[len(left) - 2]) < share + 1e-5


def test_a_zero_direction_has_rank_one_and_loses_nothing() -> None:
    left, right, kept = directions.low_rank(torch.zeros(3, 4), 0.5)
    assert (left.shape, right.shape, kept) == ((1, 3), (1, 4), 1.0)
    assert not left.any()
    assert not right.any()


@pytest.mark.parametrize("rank", [4, 0.99, 0.5])
def test_large_matrices_go_through_a_range_finder_that_finds_the_same(
    rank: int | float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spectrum that falls, as gradients have; and no draw from the global generator."""
    matrix = drawn(0, 150, 90) * 0.8 ** torch.arange(90.0)
    exact = directions.low_rank(matrix, rank)
    monkeypatch.setattr(directions, "LARGEST_EXACT_SVD", 16)
    state = torch.random.get_rng_state()
    found = directions.low_rank(matrix, rank)
    again = directions.low_rank(matrix, rank)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(found[0], again[0])
    assert len(found[0]) == len(exact[0])
    assert found[2] == pytest.approx(exact[2], abs=1e-4)
    error = found[0].T @ found[1] - exact[0].T @ exact[1]
    assert float(error.norm() / matrix.norm()) < 1e-3


@pytest.mark.parametrize("rank", [0, -1, True, 0.0, 1.0, 1.5, math.nan, math.inf, "8", None])
def test_a_rank_that_is_none_is_refused(rank: object) -> None:
    with pytest.raises(ValueError, match="low_rank="):
        directions.is_share(rank)


def test_shares_and_ranks_are_told_apart() -> None:
    assert directions.is_share(0.5)
    assert not directions.is_share(8)

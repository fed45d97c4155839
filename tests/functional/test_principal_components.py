"""Principal components against the eigenvectors of the covariance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.principal_components import principal_components


@given(num_rows=st.integers(1, 30), dimension=st.integers(1, 8), rank=st.integers(0, 8), seed=st.integers(0, 99))
def test_components_are_the_leading_eigenvectors(num_rows: int, dimension: int, rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rank = min(rank, dimension)
    rows = rng.normal(size=(num_rows, rank)) @ rng.normal(size=(rank, dimension)) + 3
    found = principal_components(rows)
    centred = rows - rows.mean(axis=0)
    eigenvalues = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1][:2].clip(0)
    total = max(float((centred**2).sum()), 1e-30)
    places = found.project(rows)
    expected = np.pad(eigenvalues, (0, 2 - len(eigenvalues)))
    assert np.allclose((places**2).sum(axis=0), expected, rtol=1e-9, atol=1e-12 * total + 1e-24)
    assert np.allclose(found.shares, expected / total if total > 1e-20 else 0, atol=1e-9)
    used = found.directions[:, (found.directions**2).sum(axis=0) > 0]
    assert np.allclose(used.T @ used, np.eye(used.shape[1]), atol=1e-12)
    assert (used[np.abs(used).argmax(axis=0), range(used.shape[1])] > 0).all()


def test_rows_that_do_not_differ_lie_on_one_point() -> None:
    found = principal_components(np.full((4, 3), 1e30, np.float32))
    assert found.shares.tolist() == [0.0, 0.0]
    assert not found.project(np.full((2, 3), 1e30)).any()


def test_the_answer_does_not_turn_with_the_order_of_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4))
    assert principal_components(rows).directions == pytest.approx(principal_components(rows[::-1]).directions)

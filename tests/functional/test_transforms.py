"""Transforms of trajectories, beside loops that are obviously right."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hf_datasel.functional.transforms import SMALLEST_LOSS, transform_trajectories

losses = arrays(
    np.float32, st.tuples(st.integers(1, 8), st.integers(1, 6)), elements=st.floats(0, 1e6, width=32, allow_nan=False)
)


@given(losses)
def test_none_changes_nothing(table):
    assert transform_trajectories(table, "none") is table


@given(losses)
def test_log_is_the_logarithm_of_every_loss_and_finite_at_zero(table):
    expected = [[math.log(max(float(loss), SMALLEST_LOSS)) for loss in row] for row in table]
    np.testing.assert_allclose(transform_trajectories(table, "log"), expected, rtol=1e-6, atol=1e-6)


@given(losses)
def test_zscore_has_mean_zero_and_spread_one_and_constant_rows_are_zero(table):
    scaled = transform_trajectories(table, "zscore").astype(np.float64)
    assert scaled.shape == table.shape
    for before, after in zip(table.astype(np.float64), scaled, strict=True):
        if len(set(before.tolist())) == 1:
            assert after.tolist() == [0.0] * len(after)
        elif before.std() > 0:
            np.testing.assert_allclose([after.mean(), after.std()], [0, 1], atol=1e-5)


@given(losses, st.sampled_from(["log", "zscore"]))
def test_every_row_is_transformed_by_itself(table, name):
    rows = [transform_trajectories(row[None], name)[0] for row in table]
    assert np.array_equal(transform_trajectories(table, name), np.stack(rows))


def test_zscore_does_not_lose_a_small_change_on_a_large_loss():
    table = np.array([[1000.0, 1000.0001, 1000.0002]], np.float32)
    expected = (table.astype(np.float64) - table.astype(np.float64).mean()) / table.astype(np.float64).std()
    np.testing.assert_allclose(transform_trajectories(table, "zscore"), expected, rtol=1e-6)


def test_results_are_float32():
    table = np.ones((2, 3), np.float32)
    assert {transform_trajectories(table, name).dtype for name in ("none", "log", "zscore")} == {np.dtype(np.float32)}


def test_a_negative_value_has_no_logarithm():
    logarithms = transform_trajectories(np.array([[1.0, -0.5]], np.float32), "log")
    assert np.isnan(logarithms).tolist() == [[False, True]]


def test_an_unknown_transform_is_named():
    with pytest.raises(ValueError, match="'sqrt'"):
        transform_trajectories(np.ones((1, 1), np.float32), "sqrt")

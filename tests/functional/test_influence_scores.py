"""Scores from trajectories, against loops over rows and checkpoints."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hf_datasel.functional.influence_scores import (
    checkpoint_weights,
    ecdf,
    length_normalised,
    moments,
    standardise,
    weighted_sum,
)

numbers = st.floats(-100, 100, width=32)
tables = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=numbers)


@given(table=tables, data=st.data())
def test_a_score_is_the_weighted_sum_to_the_last_bit_however_the_rows_lie(table, data):
    weights = data.draw(hnp.arrays(np.float64, table.shape[1], elements=st.floats(0, 1)))
    expected = []
    for row in table:
        total = 0.0
        for weight, value in zip(weights.tolist(), row.tolist(), strict=True):
            total += weight * value
        expected.append(total)
    assert weighted_sum(table, weights).tolist() == expected
    assert weighted_sum(np.asfortranarray(table), weights).tolist() == expected
    assert weighted_sum(table[-1:], weights).tolist() == expected[-1:]


def test_weights_are_learning_rates_or_equal():
    rates = np.array([3e-4, 1e-4, 0.0])
    assert checkpoint_weights(rates, "learning_rate").tolist() == rates.tolist()
    assert checkpoint_weights(np.array([math.nan, 1.0]), "uniform").tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("rates", "weighting", "message"),
    [
        ([1e-3, math.nan], "learning_rate", "checkpoint 1 is nan: pass weighting='uniform'"),
        ([-1e-3], "learning_rate", "checkpoint 0 is -0.001"),
        ([0.0, 0.0], "learning_rate", "Every checkpoint has a learning rate of 0"),
        ([1.0], "linear", "not 'linear'"),
    ],
)
def test_weights_that_say_nothing_are_refused(rates, weighting, message):
    with pytest.raises(ValueError, match=message):
        checkpoint_weights(np.array(rates), weighting)


@given(data=st.data(), num_rows=st.integers(1, 20), num_columns=st.integers(1, 4))
def test_moments_do_not_depend_on_the_blocks(data, num_rows, num_columns):
    table = data.draw(hnp.arrays(np.float32, (num_rows, num_columns), elements=numbers)) + np.float32(1000)
    cuts = sorted(data.draw(st.lists(st.integers(0, num_rows), max_size=4)))
    mean, deviation, count = moments(np.split(table, cuts))
    assert count == num_rows
    np.testing.assert_allclose(mean, table.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, table.astype(np.float64).std(axis=0), rtol=1e-6, atol=1e-9)


@given(value=numbers, num_rows=st.integers(1, 50), block=st.integers(1, 9))
def test_equal_values_deviate_by_nothing_at_all(value, num_rows, block):
    column = np.full((num_rows, 1), value, np.float32)
    mean, deviation, _ = moments(column[start : start + block] for start in range(0, num_rows, block))
    assert (mean.tolist(), deviation.tolist()) == ([np.float32(value)], [0.0])


def test_length_normalisation_gives_noise_of_any_length_the_same_spread():
    generator = np.random.default_rng(0)
    spreads = []
    for num_tokens in (1, 4, 64):
        mean_gradients = generator.normal(size=(20_000, num_tokens)).mean(axis=1)
        labels = np.full(20_000, num_tokens, np.float32)
        spreads.append(length_normalised(mean_gradients, labels).std())
    np.testing.assert_allclose(spreads, 1.0, atol=0.02)


@pytest.mark.parametrize("few", [0, -1, math.nan])
def test_a_row_without_labels_is_named(few):
    with pytest.raises(ValueError, match="Row 1 has"):
        length_normalised(np.ones(2), np.float32([3, few]))


@given(sample=st.lists(st.integers(-4, 4), min_size=1, max_size=20), at=st.lists(st.integers(-6, 6), max_size=9))
def test_ecdf_counts_ties_half(sample, at):
    expected = [sum((one < x) + (one == x) / 2 for one in sample) / len(sample) for x in at]
    assert ecdf(np.array(sample, float), np.array(at, float)).tolist() == pytest.approx(expected)


def test_standardise():
    assert standardise(np.array([1.0, 5.0]), 3.0, 2.0).tolist() == [-1.0, 1.0]
    with pytest.raises(ValueError, match="all equal"):
        standardise(np.array([1.0]), 1.0, 0.0)

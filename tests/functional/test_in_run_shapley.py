"""The sum of first-order terms is what training did to the validation loss, and a cluster's value is a mean."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.functional.in_run_shapley import cluster_means
from hf_datasel.functional.influence_scores import weighted_sum


def test_the_values_of_an_epoch_of_sgd_add_up_to_the_fall_of_the_validation_loss_and_bad_rows_lower_it():
    """Least squares, one row a step, gradients by hand: an error of second order in the learning rate remains."""
    generator = np.random.default_rng(0)
    truth = np.array([1.0, -2.0, 0.5])
    inputs = generator.normal(size=(40, 3))
    targets = inputs @ truth
    targets[::4] *= -1  # mislabelled
    held_out = generator.normal(size=(30, 3))
    answers = held_out @ truth
    weights, rate = np.zeros(3), 1e-4

    def loss():
        return 0.5 * np.square(held_out @ weights - answers).mean()

    before, products = loss(), np.zeros((40, 1), np.float32)
    for row in range(40):
        direction = held_out.T @ (held_out @ weights - answers) / 30
        gradient = (inputs[row] @ weights - targets[row]) * inputs[row]
        products[row] = gradient @ direction
        weights = weights - rate * gradient
    values = weighted_sum(products, np.array([rate]))
    np.testing.assert_allclose(values.sum(), before - loss(), rtol=1e-2)
    assert values[::4].mean() < 0 < np.delete(values, np.arange(0, 40, 4)).mean()


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_means_and_their_errors_are_those_of_numpy(sizes, seed):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    values = generator.normal(10.0, size=len(labels))
    means, errors = cluster_means(values, labels, len(sizes))
    for cluster, size in enumerate(sizes):
        members = values[labels == cluster]
        np.testing.assert_allclose(means[cluster], members.mean(), rtol=1e-13)
        expected = members.std(ddof=1) / np.sqrt(size) if size > 1 else np.nan
        np.testing.assert_allclose(errors[cluster], expected, rtol=1e-10, atol=1e-14)

"""FedAvg's two means, against dense matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.collaborative.averaging import average_factors, average_products, nearest_of_rank
from tests.collaborative.random_adapters import distance, mean_update, random_adapter, updates
from tests.training.tiny import tiny_model

PARTIES = ("north", "east", "south", "west")
UNIFORM = dict.fromkeys(PARTIES, 0.25)


@pytest.fixture(scope="module")
def adapters():
    model = tiny_model()
    return {party: random_adapter(model, seed) for seed, party in enumerate(PARTIES)}


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**31))
def test_nearest_of_rank_is_the_truncated_svd(num_out, num_in, inner, rank, seed):
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((inner, num_in)).astype(np.float32)
    b = generator.standard_normal((num_out, inner)).astype(np.float32)
    new_a, new_b, energy = nearest_of_rank(a, b, rank)
    dense = b.astype(np.float64) @ a.astype(np.float64)
    left, values, right = np.linalg.svd(dense, full_matrices=False)
    assert new_a.shape == (rank, num_in)
    assert new_b.shape == (num_out, rank)
    np.testing.assert_allclose(new_b @ new_a, left[:, :rank] * values[:rank] @ right[:rank], atol=1e-4)
    assert energy.sum() == pytest.approx(np.square(dense).sum(), rel=1e-6)
    found = min(rank, len(energy))
    np.testing.assert_allclose(new_a[:found] @ new_a[:found].T, np.eye(found), atol=1e-5)


def test_the_mean_of_factors_is_not_the_mean_of_products(adapters):
    averaged = average_factors(adapters, UNIFORM)
    for key, value in averaged.weights.items():
        expected = np.mean([adapter.weights[key] for adapter in adapters.values()], axis=0)
        np.testing.assert_allclose(value, expected, atol=1e-6)
    assert 0.7 < distance(updates(averaged), mean_update(adapters, UNIFORM)) < 1.0


def test_the_mean_of_products_is_as_near_as_its_rank_allows(adapters):
    mean = mean_update(adapters, UNIFORM)
    averaged, lost = average_products(adapters, UNIFORM)
    best = {}
    for module, update in mean.items():
        left, values, right = np.linalg.svd(update)
        best[module] = left[:, :4] * values[:4] @ right[:4]
    assert distance(updates(averaged), best) < 1e-5
    assert lost == pytest.approx(distance(best, mean) ** 2, rel=1e-4)
    assert 0.4 < distance(updates(averaged), mean) < 0.7


@pytest.mark.parametrize("average", ["factors", "products"])
def test_the_mean_of_equals_is_the_same(adapters, average):
    same = dict.fromkeys(PARTIES, adapters["north"])
    averaged = average_factors(same, UNIFORM) if average == "factors" else average_products(same, UNIFORM)[0]
    assert distance(updates(averaged), updates(adapters["north"])) < 1e-5
    assert averaged.config == adapters["north"].config


def test_weights_count_in_both(adapters):
    weights = {"north": 0.7, "east": 0.1, "south": 0.1, "west": 0.1}
    factors = average_factors(adapters, weights)
    for key, value in factors.weights.items():
        expected = sum(weights[party] * adapters[party].weights[key] for party in PARTIES)
        np.testing.assert_allclose(value, expected, atol=1e-5)
    only_north = {party: float(party == "north") for party in PARTIES}
    averaged, lost = average_products(adapters, only_north)
    assert distance(updates(averaged), updates(adapters["north"])) < 1e-5
    assert lost == pytest.approx(0, abs=1e-9)


def test_adapters_that_add_nothing_lose_nothing(adapters):
    blank = {
        party: type(adapter)(adapter.config, {k: v * ("lora_A" in k) for k, v in adapter.weights.items()})
        for party, adapter in adapters.items()
    }
    averaged, lost = average_products(blank, UNIFORM)
    assert lost == 0
    assert all(np.abs(update).max() == 0 for update in updates(averaged).values())


@pytest.mark.parametrize("average", [average_factors, average_products])
def test_other_configurations_are_refused_by_name(adapters, average):
    odd = {**adapters, "south": random_adapter(tiny_model(), 0, r=2)}
    with pytest.raises(ValueError, match=r"party 'south' \(rank 2\) is not that of party 'north' \(rank 4\)"):
        average(odd, UNIFORM)

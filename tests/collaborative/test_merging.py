"""Every merge against the weighted mean of the products BA, computed apart from PEFT."""

import numpy as np
import pytest
import torch
from peft import PeftModel, get_peft_model

from hf_datasel.collaborative.adapters import make_config, save_adapter, write_adapter
from hf_datasel.collaborative.merging import METHODS, NEEDS_EQUAL_RANKS, Merge, merge_adapters
from hf_datasel.training.lending import lend
from tests.collaborative.random_adapters import distance, mean_update, random_adapter, updates
from tests.training.tiny import tiny_model

PARTIES = ("north", "east", "south", "west")
UNIFORM = dict.fromkeys(PARTIES, 0.25)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def four(model, **options):
    return {party: random_adapter(model, seed, **options) for seed, party in enumerate(PARTIES)}


@pytest.mark.parametrize(
    ("merge", "options", "low", "high"),
    [
        (Merge(method="cat"), {}, 0, 1e-6),
        (Merge(method="svd", svd_rank=16), {}, 0, 1e-5),
        (Merge(method="cat"), {"use_rslora": True, "lora_alpha": 3}, 0, 1e-6),
        (Merge(method="svd", svd_rank=16), {"use_rslora": True, "alpha_pattern": {"v_proj": 5}}, 0, 1e-5),
        (Merge(method="cat"), {"target_modules": ["embed_tokens", "q_proj"]}, 0, 1e-6),
        (Merge(method="cat"), {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 3}}, 0, 1e-6),
        (Merge(method="svd"), {}, 0.4, 0.7),
        (Merge(method="ties"), {}, 3.0, 4.5),
        (Merge(method="ties", weights=UNIFORM), {}, 1.0, 1.3),
        (Merge(method="linear"), {}, 1.5, 2.0),
    ],
    ids=str,
)
def test_merges_against_the_mean_of_products(model, merge, options, low, high):
    adapters = four(model, **options)
    merged = merge_adapters(model, adapters, merge)
    assert low <= distance(updates(merged), mean_update(adapters, UNIFORM)) <= high


@pytest.mark.parametrize("method", ["cat", "svd"])
def test_unequal_ranks_where_they_are_allowed(model, method):
    adapters = {"north": random_adapter(model, 0, r=2), "south": random_adapter(model, 1, r=6)}
    merged = merge_adapters(model, adapters, Merge(method=method, svd_rank=8 if method == "svd" else None))
    assert merged.config["r"] == 8
    assert distance(updates(merged), mean_update(adapters, {"north": 0.5, "south": 0.5})) < 1e-5


@pytest.mark.parametrize("method", NEEDS_EQUAL_RANKS)
@pytest.mark.parametrize("other", [{"r": 6}, {"rank_pattern": {"v_proj": 2}}])
def test_unequal_ranks_are_refused_by_name(model, method, other):
    adapters = {"north": random_adapter(model, 0), "south": random_adapter(model, 1, **other)}
    with pytest.raises(ValueError, match=f"'{method}' needs equal LoRA ranks, but party 'north' has rank 4 and party"):
        merge_adapters(model, adapters, Merge(method=method))


def test_parties_that_adapt_different_modules(model):
    adapters = {
        "north": random_adapter(model, 0, target_modules=["q_proj"]),
        "south": random_adapter(model, 1, target_modules=["q_proj", "o_proj"]),
    }
    merged = merge_adapters(model, adapters, Merge(method="cat"))
    assert distance(updates(merged), mean_update(adapters, {"north": 0.5, "south": 0.5})) < 1e-6


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("uniform", UNIFORM),
        ("num_kept", {"north": 0.1, "east": 0.2, "south": 0.3, "west": 0.4}),
        ({"north": 1.0, "east": -1.0, "south": 0.5, "west": 0.0}, None),
    ],
)
def test_weights(model, weights, expected):
    adapters, num_kept = four(model), {"north": 10, "east": 20, "south": 30, "west": 40}
    merged = merge_adapters(model, adapters, Merge(method="cat", weights=weights), num_kept=num_kept)
    assert distance(updates(merged), mean_update(adapters, expected or weights)) < 1e-6


def test_equal_adapters_merge_into_themselves_under_ties(model):
    same = random_adapter(model, 0)
    merged = merge_adapters(model, dict.fromkeys(PARTIES, same), Merge(method="ties", density=0.999))
    assert distance(updates(merged), updates(same)) < 0.02


@pytest.mark.parametrize(
    ("weights", "theirs"), [("uniform", [1.0] * 4), ("num_kept", [0.4, 0.8, 1.2, 1.6])], ids=["uniform", "num_kept"]
)
def test_ties_has_the_published_density_and_weights_of_mean_1(model, weights, theirs):
    adapters = four(model)
    host = get_peft_model(lend(model), make_config(adapters["north"]), adapter_name="north")
    for party, adapter in adapters.items():
        if party != "north":
            host.add_adapter(party, make_config(adapter))
        write_adapter(host, adapter, party)
    host.add_weighted_adapter(list(PARTIES), theirs, "ties", combination_type="ties", density=0.2)
    expected = {
        module: layer.get_delta_weight("ties").detach().numpy()
        for module, layer in host.named_modules()
        if hasattr(layer, "lora_A") and hasattr(layer, "get_delta_weight")
    }
    num_kept = {"north": 10, "east": 20, "south": 30, "west": 40}
    ours = updates(merge_adapters(model, adapters, Merge(method="ties", weights=weights), num_kept=num_kept))
    assert distance(ours, {key: value.astype(np.float64) for key, value in expected.items()}) < 1e-6


@pytest.mark.parametrize(("method", "limit"), [("cat", 1e-6), ("svd", 1e-5)])
def test_transposed_weights_as_in_gpt2(method, limit):
    gpt2 = tiny_model("gpt2")
    adapters = four(gpt2, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    merged = merge_adapters(gpt2, adapters, Merge(method=method, svd_rank=16 if method == "svd" else None))
    assert distance(updates(merged), mean_update(adapters, UNIFORM)) < limit
    assert merged.config["fan_in_fan_out"] is True


@pytest.mark.parametrize("method", METHODS)
def test_a_merged_adapter_is_saved_and_loaded(model, method, tmp_path):
    adapters = four(model, r=12, rank_pattern={"v_proj": 3})  # more ranks together than a weight has
    merge = Merge(method=method, svd_rank=20 if method == "svd" else None)
    merged = merge_adapters(model, adapters, merge)
    save_adapter(merged, tmp_path / "merged", None)
    host = PeftModel.from_pretrained(lend(model), tmp_path / "merged")
    layers = {
        name: layer.get_delta_weight("default").detach().numpy().astype(np.float64)
        for name, layer in host.named_modules()
        if hasattr(layer, "lora_A") and hasattr(layer, "get_delta_weight")
    }
    assert distance(layers, updates(merged)) < 1e-5


def test_random_pruning_is_seeded_and_moves_no_generator(model):
    adapters, before = four(model), torch.get_rng_state()
    merge = Merge(method="dare_linear", density=0.5)
    first, same, other = (merge_adapters(model, adapters, merge, seed=seed) for seed in (0, 0, 1))
    assert first.to_bytes() == same.to_bytes() != other.to_bytes()
    assert torch.equal(before, torch.get_rng_state())


def test_the_model_stays_as_it_was(model):
    names, before = [n for n, _ in model.named_modules()], {k: v.clone() for k, v in model.state_dict().items()}
    merge_adapters(model, four(model), Merge())
    assert names == [n for n, _ in model.named_modules()]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_parties_may_have_the_names_of_peft(model):
    adapters = {"merged": random_adapter(model, 0), "default": random_adapter(model, 1)}
    merged = merge_adapters(model, adapters, Merge(method="cat"))
    assert distance(updates(merged), mean_update(adapters, {"merged": 0.5, "default": 0.5})) < 1e-6


def test_one_party_alone(model):
    adapter = random_adapter(model, 0)
    for method in METHODS:
        merged = merge_adapters(model, {"north": adapter}, Merge(method=method))
        assert distance(updates(merged), updates(adapter)) < 1e-5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "mean"}, "merge method 'mean' is not known; choose one of"),
        ({"method": "cat", "density": 0.2}, "'cat' prunes nothing, so density=0.2 has no meaning"),
        ({"density": 1.5}, "density=1.5 must lie between 0 and 1"),
        ({"density": 0}, "density=0 must lie between 0 and 1"),
        ({"majority_sign_method": "median"}, "majority_sign_method='median'"),
        ({"svd_rank": 4}, "svd_rank=4 is for methods with svd"),
        ({"method": "svd", "svd_rank": 0}, "svd_rank=0 is for methods with svd, and at least 1"),
        ({"weights": "adaptive"}, "weights='adaptive' must be 'uniform', 'num_kept'"),
        ({"weights": {"north": float("nan")}}, "the weight of party 'north' is nan"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words):
        Merge(**options).check()


def test_a_party_without_a_weight(model):
    with pytest.raises(ValueError, match="weights has no number for party 'west'"):
        merge_adapters(model, four(model), Merge(weights={"north": 1.0, "east": 1.0, "south": 1.0}))


def test_an_adapter_that_diverged_is_refused(model):
    adapters = four(model)
    next(iter(adapters["south"].weights.values()))[0, 0] = np.inf
    with pytest.raises(ValueError, match="adapter of party 'south' is not finite"):
        merge_adapters(model, adapters, Merge())

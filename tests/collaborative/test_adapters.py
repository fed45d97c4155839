"""Adapters: the same matrices through model, message and directory, and a model that stays as it was."""

import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from hf_datasel.collaborative.adapters import (
    check_config,
    draw_adapter,
    make_config,
    read_adapter,
    require_finite,
    save_adapter,
    write_adapter,
)
from hf_datasel.collaborative.messages import Adapter
from hf_datasel.training.lending import lend
from tests.collaborative.random_adapters import random_adapter, updates
from tests.training.tiny import tiny_model

TOKENS = torch.arange(8).reshape(2, 4) + 6


def logits(model):
    with torch.no_grad():
        return model.eval()(TOKENS).logits


@pytest.mark.parametrize(
    "options",
    [{}, {"target_modules": None}, {"target_modules": "all-linear"}, {"target_modules": ["embed_tokens", "q_proj"]},
     {"target_modules": r".*layers\.1.*proj"}, {"rank_pattern": {"v_proj": 2}, "use_rslora": True}],
)  # fmt: skip
def test_a_model_takes_back_what_was_read_from_it(options):
    model = tiny_model()
    adapter = random_adapter(model, 0, **options)
    twin = get_peft_model(lend(model), make_config(adapter))
    write_adapter(twin, adapter)
    assert read_adapter(twin).to_bytes() == adapter.to_bytes()


def test_drawing_is_seeded_and_moves_no_generator():
    model, config = tiny_model(), LoraConfig(r=4)
    before = torch.get_rng_state()
    first, same, other = (draw_adapter(model, config, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert first.to_bytes() == same.to_bytes() != other.to_bytes()
    assert config.target_modules is None
    assert all(np.abs(update).max() == 0 for update in updates(first).values())


def test_a_lent_model_shares_weights_but_nothing_else():
    model = tiny_model()
    before, names = logits(model), [name for name, _ in model.named_modules()]
    twin = lend(model)
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    twin = get_peft_model(twin, LoraConfig(r=4))
    write_adapter(twin, random_adapter(model, 0, target_modules=None))
    twin(TOKENS, labels=TOKENS).loss.backward()
    assert not torch.equal(logits(twin), before)
    assert torch.equal(logits(model), before)
    assert [name for name, _ in model.named_modules()] == names
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_tied_weights_stay_tied_in_a_lent_model():
    model = tiny_model("gemma")
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    twin = lend(model)
    assert twin.get_input_embeddings().weight is twin.get_output_embeddings().weight


def test_a_saved_adapter_is_one_that_peft_loads(tmp_path):
    model = tiny_model()
    adapter = random_adapter(model, 0)
    host = get_peft_model(lend(model), make_config(adapter))
    write_adapter(host, adapter)
    save_adapter(adapter, tmp_path / "adapter", "some/model")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        "some/model"
    )
    assert torch.equal(logits(PeftModel.from_pretrained(lend(model), tmp_path / "adapter")), logits(host))
    with pytest.raises(FileExistsError, match="already holds"):
        save_adapter(adapter, tmp_path / "adapter", None)


def test_an_adapter_carries_no_name_of_the_model_or_its_place():
    model = tiny_model()
    model.config._name_or_path = "/home/secret/model"
    assert b"secret" not in draw_adapter(model, LoraConfig(r=4), 0).to_bytes()


def test_half_precision_travels_as_float32():
    model = get_peft_model(tiny_model(), LoraConfig(r=4)).bfloat16()
    assert {value.dtype for value in read_adapter(model).weights.values()} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"use_dora": True}, r"party 'north': LoraConfig\(use_dora=True\) cannot be shared"),
        ({"bias": "all"}, r"LoraConfig\(bias='all'\) cannot be shared.*Leave bias at 'none'"),
        ({"modules_to_save": ["lm_head"]}, r"LoraConfig\(modules_to_save=\['lm_head'\]\)"),
        ({"target_parameters": ["w"]}, r"LoraConfig\(target_parameters="),
        ({"init_lora_weights": "pissa"}, r"init_lora_weights='pissa'\) changes the model's own weights"),
    ],
)
def test_configurations_that_cannot_be_shared_are_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words):
        check_config(LoraConfig(**options), "party 'north'")


def test_no_lora_configuration_at_all():
    with pytest.raises(TypeError, match=r"party 'north': peft_config must be a peft.LoraConfig, not NoneType"):
        check_config(None, "party 'north'")


def test_an_adapter_of_other_shapes_is_refused_by_name():
    model = tiny_model()
    host = get_peft_model(lend(model), make_config(random_adapter(model, 0)))
    with pytest.raises(
        ValueError, match=r"q_proj.lora_A.weight is \[2, 32\] in the adapter and \[4, 32\] in the model"
    ):
        write_adapter(host, random_adapter(model, 0, r=2))
    with pytest.raises(ValueError, match=r"v_proj.lora_A.weight is missing in the adapter"):
        write_adapter(host, random_adapter(model, 0, target_modules=["q_proj"]))


def test_an_unknown_field_of_a_configuration_is_refused():
    with pytest.raises(ValueError, match="configuration holds 'use_dora'"):
        make_config(Adapter({"r": 2, "use_dora": True}, {}))


def test_an_adapter_that_is_not_finite_names_party_and_matrix():
    adapter = random_adapter(tiny_model(), 0)
    name = next(key for key in adapter.weights if "v_proj.lora_B" in key)
    adapter.weights[name][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"adapter of party 'north' is not finite in .*v_proj.lora_B"):
        require_finite(adapter, "north")

"""The card that SelectingSFTTrainer writes beside a model, and that it never stands in the way of saving one."""

from __future__ import annotations

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from hf_datasel import RandomSelector
from hf_datasel.training.published_args import WithoutSecrets
from hf_datasel.training.trained_model import changed_settings, describe_proxy
from tests.cards.rendered import TAGS, Page, read
from tests.training.selecting import config, lora, selecting, validation_rows, weights
from tests.training.tiny import make_dataset, tiny_model, word_tokenizer


def card_of(folder: Path) -> tuple[dict[str, Any], Page]:
    card = ModelCard((folder / "README.md").read_text())
    return card.data.to_dict(), read(card.text)


def told(args: Any) -> dict[str, Any]:
    """All fields; the state of the process is no field, and compares by identity."""
    return {name: value for name, value in vars(args).items() if name != "distributed_state"}


def local_model(folder: Path, name: str) -> str:
    tiny_model(seed=3).save_pretrained(folder / name)
    word_tokenizer().save_pretrained(folder / name)
    return str(folder / name)


def test_a_model_from_a_configuration(tmp_path: Path) -> None:
    proxy = local_model(tmp_path, "small")
    options = {"selection_strata_column": "source", "proxy_training_args": {"num_train_epochs": 1}}
    trainer = selecting(tmp_path / "big", proxy_model=proxy, save_strategy="steps", save_steps=3, **options)
    trainer.train()
    trainer.save_model(str(tmp_path / "final"))
    for folder in (tmp_path / "big", tmp_path / "final"):
        data, seen = card_of(folder)
        assert seen.tags <= TAGS
        assert data["model_name"] == seen.headings[0] == "big"
        assert "base_model" not in data
        assert data["hf_datasel"]["counts"] == {"source": 24, "kept": 12}
        num_parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
        assert f"Trained from scratch: a LlamaForCausalLM of {num_parameters:,} parameters" in seen.text
        assert "chosen by what was recorded of small." in seen.text
        assert "in selection/" in seen.text
        assert ["selection_strata_column", "source"] in seen.tables[0]
        assert ["proxy_training_args num_train_epochs", "1"] in seen.tables[0]
        assert ["num_clusters", "4"] in seen.tables[1]
        assert ["learning_rate", "0.01"] in seen.tables[2]
        assert str(tmp_path) not in seen.text
    assert ["steps", "6"] in seen.tables[3]
    assert ["train_loss", f"{round(trainer.state.log_history[-1]['train_loss'], 4)}"] in seen.tables[3]


def test_an_adapter_on_a_local_model(tmp_path: Path) -> None:
    trainer = selecting(
        tmp_path / "out", model=local_model(tmp_path, "base"), peft_config=lora(), selection_method="random",
        selection_online_every=2, validation_dataset=validation_rows(),
    )  # fmt: skip
    trainer.train()
    trainer.save_model()
    data, seen = card_of(tmp_path / "out")
    trained = sum(one.numel() for one in trainer.model.parameters() if one.requires_grad)
    assert f"An adapter (LORA, {trained:,} parameters) for base, a local checkpoint" in seen.text
    assert data["library_name"] == "peft"
    assert "base_model" not in data  # PEFT writes the path, which the Hub would take for a repo's name
    assert "Every 2 steps only a share of 0.5" in seen.text
    assert "recorded of" not in seen.text


def test_a_selection_that_was_given(tmp_path: Path) -> None:
    given = RandomSelector(budget=5).select(make_dataset())
    trainer = selecting(tmp_path, selection=given)
    trainer.create_model_card(dataset_name="lab/rows", tags="mine")
    before = card_of(tmp_path)
    trainer.train()
    trainer.create_model_card("name", "lab/rows", ["mine", "theirs"])
    data, seen = card_of(tmp_path)
    assert "Rows had not been chosen yet" in before[1].text
    assert data["tags"] == ["generated_from_trainer", "trl", "sft", "hf-datasel", "mine", "theirs", "random"]
    assert data["datasets"] == ["lab/rows"]
    assert "5 of 24 rows (20.8%), chosen by Random" in seen.text
    assert "in selection/" not in seen.text  # it was saved by whoever made it
    assert "recorded of" not in seen.text


def test_rows_that_were_chosen_again(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, proxy=tiny_model(seed=3), selection_every=1)
    trainer.train()
    trainer.save_model()
    seen = card_of(tmp_path)[1]
    assert "chosen again in training: this tells of the last choice" in seen.text
    assert "of a LlamaForCausalLM that was built from a configuration" in seen.text


@pytest.mark.parametrize("why", ["disk", "provenance"])
def test_a_card_that_fails_does_not_stop_the_saving(
    tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = selecting(tmp_path, selection_method="random", save_strategy="steps", save_steps=2)
    if why == "disk":
        (tmp_path / "README.md").mkdir()
    else:
        monkeypatch.setattr(type(trainer), "_tag_names", 3)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("hf_datasel"), "propagate", True)
    trainer.train()
    trainer.save_model()
    saved = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(torch.cat([one.detach().flatten() for one in saved.parameters()]), weights(trainer))
    assert (tmp_path / "checkpoint-6" / "trainer_state.json").exists()
    said = [record.getMessage() for record in caplog.records if "No model card was written" in record.getMessage()]
    assert len(said) >= 3
    assert all(("IsADirectoryError" if why == "disk" else "TypeError") in one for one in said)


def test_secrets_leave_with_copies_and_not_with_pickles(tmp_path: Path) -> None:
    args = config(tmp_path, hub_token="hf_mine", model_init_kwargs={"token": "hf_mine", "dtype": "float32"})
    assert isinstance(args, WithoutSecrets)
    saved = pickle.loads(pickle.dumps(args))
    assert b"hf_mine" not in pickle.dumps(args)
    assert saved.hub_token is None
    assert saved.model_init_kwargs == {"dtype": "float32"}
    for twin in (copy.copy(args), copy.deepcopy(args)):
        assert told(twin) == told(args)
        assert type(twin) is type(args)
    assert copy.deepcopy(args).model_init_kwargs is not args.model_init_kwargs
    assert {**told(args), "hub_token": None, "model_init_kwargs": {"dtype": "float32"}} == told(saved)


@pytest.mark.parametrize(
    ("options", "proxy", "expected"),
    [
        ({}, None, "a copy of the model itself"),
        ({}, "EleutherAI/pythia-70m", "[EleutherAI/pythia-70m](https://huggingface.co/EleutherAI/pythia-70m)"),
        ({"selection_method": "clues"}, "/models/mine/", "`mine`"),
        ({"selection_method": "shed"}, None, "a copy of the model itself"),
        ({"selection_method": "dataset_quantization"}, None, ""),
        ({"selection_method": "dsir"}, None, ""),
        ({"selection_method": "random"}, "EleutherAI/pythia-70m", ""),
    ],
    ids=str,
)
def test_the_model_that_chose(tmp_path: Path, options: dict[str, Any], proxy: str | None, expected: str) -> None:
    assert describe_proxy(config(tmp_path, **options), proxy) == expected


def test_settings_that_are_not_told(tmp_path: Path) -> None:
    args = config(
        tmp_path, selection_path="/home/ann/selection", hub_token="hf_mine", hub_model_id="me/x", seed=7,
        proxy_model_init_kwargs={"token": "hf_mine", "dtype": "float32"}, selection_method="s2l",
    )  # fmt: skip
    told = changed_settings(args)
    assert told["seed"] == 7
    assert told["proxy_model_init_kwargs"] == {"dtype": "float32"}
    assert "selection_method" not in told  # as it is by default
    assert not {"selection_path", "hub_token", "hub_model_id", "output_dir", "push_to_hub"} & told.keys()
    assert "ann" not in str(told)

"""The card of a trained model, rendered from facts."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.cards.model_card import TrainedModel, model_card
from hf_datasel.cards.text import visible
from tests.cards.manifests import EVIL, step
from tests.cards.rendered import TAGS, Page, read


def facts(**changes: Any) -> TrainedModel:
    known: dict[str, Any] = {
        "name": "math-8b",
        "repo_id": "me/math-8b",
        "base": "Qwen/Qwen3-8B",
        "architecture": "Qwen3ForCausalLM",
        "num_parameters": 8_000_000_000,
        "num_trained": 8_000_000_000,
        "steps": [step("s2l", {"num_clusters": 100})],
        "num_rows": 100,
        "num_kept": 11,
        "proxy": "[EleutherAI/pythia-70m](https://huggingface.co/EleutherAI/pythia-70m)",
        "training_settings": {"learning_rate": 2e-5, "completion_only_loss": None},
        "progress": {"steps": 30, "train_loss": 1.25},
        "versions": {"hf_datasel": "0.1.0", "trl": "1.16.0"},
        "tags": ["trl", "sft", "hf-datasel"],
    }
    return TrainedModel(**{**known, **changes})


def page(**changes: Any) -> Page:
    return read(model_card(facts(**changes)).text)


def metadata(**changes: Any) -> dict[str, Any]:
    return dict(ModelCard(str(model_card(facts(**changes)))).data.to_dict())


def test_a_fine_tuned_model() -> None:
    seen, data = page(), metadata()
    assert seen.text.startswith(
        "math-8b Fine-tuned from Qwen/Qwen3-8B, a Qwen3ForCausalLM of 8,000,000,000 parameters. It was trained on 11 "
        "of 100 rows (11.0%), chosen by S2L, with SelectingSFTTrainer of hf_datasel."
    )
    assert "https://huggingface.co/Qwen/Qwen3-8B" in seen.links
    assert "https://huggingface.co/EleutherAI/pythia-70m" in seen.links
    assert (data["base_model"], data["base_model_relation"]) == ("Qwen/Qwen3-8B", "finetune")
    assert (data["library_name"], data["pipeline_tag"]) == ("transformers", "text-generation")
    assert data["tags"] == ["generated_from_trainer", "trl", "sft", "hf-datasel", "s2l"]
    assert data["hf_datasel"] == {"chain": ["s2l"], "counts": {"source": 100, "kept": 11}, "version": "0.1.0"}
    assert "datasets" not in data
    assert seen.headings == [
        *("math-8b", "How to use it", "What it was trained on", "How it was trained", "What it does not promise"),
        *("Versions", "Citation"),
    ]
    assert seen.tables[-2:] == [
        [["setting", "value"], ["learning_rate", "2e-05"]],
        [["outcome", "value"], ["steps", "30"], ["train_loss", "1.25"]],
    ]
    assert len(seen.code["bibtex"]) == 2


def test_a_model_from_a_configuration_has_no_base() -> None:
    seen, data = page(base=None), metadata(base=None)
    assert "Trained from scratch: a Qwen3ForCausalLM" in seen.text
    assert "there is no base model" in seen.text
    assert "None" not in seen.text
    assert not {"base_model", "base_model_relation"} & data.keys()


def test_a_local_base_is_named_and_not_linked() -> None:
    changes = {"base": "/home/ann/checkpoints/warm", "num_kept": None, "proxy": ""}
    seen, data = page(**changes), metadata(**changes)
    assert "Fine-tuned from warm, a local checkpoint that is not on the Hub" in seen.text
    assert "ann" not in seen.text
    assert not [link for link in seen.links if "huggingface.co" in link]
    assert "base_model" not in data


def test_an_adapter_names_its_base() -> None:
    changes = {"adapter": "LORA", "num_trained": 1_000_000}
    seen, data = page(**changes), metadata(**changes)
    assert "An adapter (LORA, 1,000,000 parameters) for Qwen/Qwen3-8B" in seen.text
    assert (data["library_name"], data["base_model_relation"]) == ("peft", "adapter")
    assert 'AutoPeftModelForCausalLM.from_pretrained("me/math-8b")' in seen.code["python"][0]
    local = page(**changes, base="./warm")
    assert "It needs the weights of warm, which are not on the Hub." in local.text
    scratch = page(**changes, base=None)
    assert "python" not in scratch.code
    assert "load it with PeftModel.from_pretrained onto that very model" in scratch.text


@pytest.mark.parametrize("is_chat", [True, False])
@pytest.mark.parametrize("adapter", [None, "LORA"])
@pytest.mark.parametrize("repo_id", ["me/math-8b", None])
def test_the_snippet_is_python(is_chat: bool, adapter: str | None, repo_id: str | None) -> None:
    seen = page(is_chat=is_chat, adapter=adapter, repo_id=repo_id)
    tree = ast.parse(seen.code["python"][0])
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert (repo_id or "math-8b") in strings
    assert ("role" in strings) == (is_chat and adapter is None)
    assert ("stands for the folder" in seen.text) == (repo_id is None)


def test_the_datasets_are_linked() -> None:
    seen, data = page(curated="me/math-8b-selected", source="lab/math"), metadata(curated="me/a", source="lab/math")
    links = [link for link in seen.links if "/datasets/" in link]
    assert links == [f"https://huggingface.co/datasets/{name}" for name in ("me/math-8b-selected", "lab/math")]
    assert data["datasets"] == ["me/a", "lab/math"]
    local = page(source="/data/rows.jsonl")
    assert "The rows come from rows.jsonl." in local.text
    assert "datasets" not in metadata(source="/data/rows.jsonl")


def test_what_happened_in_training_is_told() -> None:
    assert "chosen again in training" in page(reselected=True, is_choice_saved=True).text
    assert "in selection/" in page(is_choice_saved=True).text
    seen = page(online={"every": 4, "share": 0.5})
    assert "Every 4 steps only a share of 0.5" in seen.text
    assert any("GREATS" in entry for entry in seen.code["bibtex"])
    assert "https://wandb.example/run" in page(links={"W&B": "https://wandb.example/run"}).links
    assert "Rows had not been chosen yet" in page(steps=(), num_rows=None, num_kept=None).text


def test_evil_values_stay_text_everywhere() -> None:
    evil = step(EVIL, {EVIL: EVIL})
    changes = {
        **dict.fromkeys(("name", "base", "architecture", "source", "adapter"), EVIL),
        "steps": [evil],
        "versions": {EVIL: EVIL},
        "tags": [EVIL],
        **{key: {EVIL: [EVIL]} for key in ("training_settings", "progress", "selection_settings")},
        "links": {EVIL: "https://wandb.example/run"},
    }
    seen, data = page(**changes), metadata(**changes)
    assert seen.tags <= TAGS
    assert all(link.startswith("https://") for link in seen.links)
    assert "owned" not in seen.headings
    assert visible(EVIL) in seen.text
    assert EVIL in data["tags"]


@settings(max_examples=30)
@given(st.text(max_size=20), st.text(max_size=20))
def test_names_stay_text(name: str, base: str) -> None:
    seen = page(name=name, base=base)
    assert seen.tags <= TAGS
    assert seen.headings[0] == visible(name)

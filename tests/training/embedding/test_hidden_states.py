"""The training model's hidden states, over the tokens that SFTTrainer trains on, and the model is left as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from trl import SFTTrainer

from hf_datasel import HiddenStateEmbedder, embed
from tests.training.embedding.encoders import TOLERANCE, rows_of, texts
from tests.training.tiny import CONFIGS, make_dataset, sft_args, tiny_model, word_tokenizer

FORMATS: dict[str, dict[str, Any]] = {
    "text": {},
    "prompt_completion": {},
    "messages": {},
    "messages, assistant only": {"assistant_only_loss": True},
    "prompt_completion, cut": {"max_length": 9},
    "text, cut at the start": {"max_length": 5},
    "prompt_completion, whole": {"completion_only_loss": False},
}


def one_by_one(model: torch.nn.Module, rows: Any, pooled: str = "labels") -> np.ndarray:
    """Obviously correct, but slow: the last of all hidden states, one tokenised row at a time."""
    vectors = []
    model.eval()
    for row in rows:
        with torch.no_grad():
            outputs = model(torch.tensor([row["input_ids"]]), output_hidden_states=True)
        chosen = [place for place, label in enumerate(row["labels"]) if pooled == "all" or label != -100]
        vector = outputs.hidden_states[-1][0, chosen].double().mean(0)
        vectors.append((vector / vector.square().sum().sqrt()).numpy())
    return np.array(vectors)


@pytest.mark.parametrize("pooled", ["labels", "all"])
@pytest.mark.parametrize("name", list(FORMATS))
def test_rows_are_read_as_training_reads_them(tmp_path: Path, name: str, pooled: str) -> None:
    rows, tokenizer = make_dataset(name.split(",")[0], num_rows=9), word_tokenizer()
    args = sft_args(tmp_path, shuffle_dataset=True, **FORMATS[name])
    if "at the start" in name:
        args.truncation_mode = "keep_end"  # TRL 1 warns of it where it is constructed
    embedder = HiddenStateEmbedder(tiny_model("llama"), tokenizer, args=args, pooled=pooled)
    trainer = SFTTrainer(tiny_model("llama"), args=args, train_dataset=rows, processing_class=tokenizer)
    trained = trainer.train_dataset.select(np.argsort(trainer.train_dataset["example_id"]))
    found = embed(rows.select(trained["example_id"]), embedder, batch_size=4)
    assert found.ids.tolist() == trained["example_id"][:]
    expected = one_by_one(tiny_model("llama"), trained, pooled)
    np.testing.assert_allclose(found.vectors, expected, rtol=0, atol=TOLERANCE)
    if "cut" in name:
        assert max(map(len, trained["input_ids"])) == args.max_length


@pytest.mark.parametrize("architecture", list(CONFIGS))
def test_every_architecture(tmp_path: Path, architecture: str) -> None:
    rows, tokenizer, model = make_dataset(num_rows=6), word_tokenizer(), tiny_model(architecture)
    trained = SFTTrainer(
        tiny_model("llama"), args=sft_args(tmp_path), train_dataset=rows, processing_class=tokenizer
    ).train_dataset
    found = embed(rows, HiddenStateEmbedder(model, tokenizer))
    np.testing.assert_allclose(found.vectors, one_by_one(model, trained), rtol=0, atol=TOLERANCE)
    assert found.vectors.shape == (6, 32)


def test_an_adapter_counts(tmp_path: Path) -> None:
    rows, tokenizer = make_dataset(num_rows=6), word_tokenizer()
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, lora_dropout=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(tiny_model("llama"), config)
    base = HiddenStateEmbedder(tiny_model("llama"), tokenizer)
    found = embed(rows, HiddenStateEmbedder(model, tokenizer))
    assert found.embedder["hash"] != base.hash
    assert np.abs(found.vectors - embed(rows, base).vectors).max() > 1000 * TOLERANCE
    trained = SFTTrainer(
        tiny_model("llama"), args=sft_args(tmp_path), train_dataset=rows, processing_class=tokenizer
    ).train_dataset
    np.testing.assert_allclose(found.vectors, one_by_one(model, trained), rtol=0, atol=TOLERANCE)


def test_a_trainers_model_is_left_as_it_was(tmp_path: Path) -> None:
    rows, tokenizer = make_dataset(num_rows=6), word_tokenizer()
    trainer = SFTTrainer(
        tiny_model("llama"), args=sft_args(tmp_path, max_steps=2), train_dataset=rows, processing_class=tokenizer
    )
    embedder = HiddenStateEmbedder(trainer.model, trainer.processing_class, args=trainer.args)
    trainer.model.train()
    trainer.model.model.norm.eval()
    modes = [module.training for module in trainer.model.modules()]
    random, attributes = torch.random.get_rng_state(), set(vars(trainer.model))
    before = embed(rows, embedder)
    assert [module.training for module in trainer.model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), random)
    assert set(vars(trainer.model)) == attributes
    assert all(parameter.grad is None and parameter.requires_grad for parameter in trainer.model.parameters())
    trainer.train()
    after = embed(rows, embedder)
    assert after.embedder["hash"] != before.embedder["hash"], "the weights as they are now"
    assert np.abs(after.vectors - before.vectors).max() > 1000 * TOLERANCE


def test_by_path_it_brings_its_tokenizer(tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path)
    tokenizer = word_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    rows = make_dataset(num_rows=6)
    by_path = embed(rows, HiddenStateEmbedder(str(tmp_path)))
    by_object = embed(rows, HiddenStateEmbedder(tiny_model("llama"), tokenizer))
    assert by_path.embedder["hash"] == by_object.embedder["hash"]
    assert by_path.embedder["name"] == str(tmp_path)
    np.testing.assert_array_equal(by_path.vectors, by_object.vectors)


def test_a_function_makes_the_text() -> None:
    rows = make_dataset(num_rows=5)
    questions = rows.rename_column("prompt", "question").remove_columns("completion")
    embedder = HiddenStateEmbedder(tiny_model("llama"), word_tokenizer(), formatting_func=lambda row: row["question"])
    plain = HiddenStateEmbedder(tiny_model("llama"), word_tokenizer())
    expected = embed(rows_of(rows["prompt"][:]), plain)
    np.testing.assert_array_equal(embed(questions, embedder).vectors, expected.vectors)


def virtual_tokens() -> torch.nn.Module:
    return get_peft_model(tiny_model("llama"), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HiddenStateEmbedder(tiny_model("llama")), "brings no tokenizer: pass processing_class"),
        (lambda: HiddenStateEmbedder(tiny_model("llama"), word_tokenizer(), pooled="last"), "pooled='last' must be"),
        (lambda: HiddenStateEmbedder(tiny_model("llama"), word_tokenizer(), device="cpu"), "move this one with"),
        (lambda: HiddenStateEmbedder(tiny_model("llama").model, word_tokenizer()), "is no causal language model"),
        (lambda: HiddenStateEmbedder(virtual_tokens(), word_tokenizer()), "puts virtual tokens before each"),
    ],
)
def test_what_cannot_be_embedded_with(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(make_dataset(num_rows=3), make())


def test_a_row_that_loses_its_labels_is_named(tmp_path: Path) -> None:
    rows = make_dataset(num_rows=9)
    lengths = [len(prompt.split()) for prompt in rows["prompt"]]
    limit = max(lengths)
    first = lengths.index(limit)
    args = sft_args(tmp_path, max_length=limit)
    embedder = HiddenStateEmbedder(tiny_model("llama"), word_tokenizer(), args=args)
    with pytest.raises(ValueError, match=f"Example {first} has no label token within max_length={limit}"):
        embed(rows, embedder)
    everything = HiddenStateEmbedder(tiny_model("llama"), word_tokenizer(), args=args, pooled="all")
    assert embed(rows, everything).ids.tolist() == list(range(9))


def test_text_is_not_its_business() -> None:
    with pytest.raises(ValueError, match="reads rows as training tokenises them: leave text= out"):
        embed(rows_of(texts(3)), HiddenStateEmbedder(tiny_model("llama"), word_tokenizer()), text="text")

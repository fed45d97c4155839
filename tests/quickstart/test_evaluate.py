"""Exact match from one forward pass is what greedy generation gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_datasel.quickstart.evaluate import exact_match, per_skill
from hf_datasel.quickstart.finetune import make_trainer
from hf_datasel.quickstart.models import make_model, tokenize, train_tokenizer
from hf_datasel.quickstart.plan import ModelSize, Recipe


def test_exact_match_is_that_of_greedy_generation(tmp_path: Path) -> None:
    """Oracle, obviously correct but slow: generate each answer token by token, a row at a time."""
    rng = np.random.default_rng(0)
    questions = [list(rng.choice(list("abc"), size=rng.integers(1, 4))) for _ in range(36)]
    rows = Dataset.from_dict(
        {
            "prompt": [" ".join(["reverse", *question, "="]) for question in questions],
            "completion": [" " + " ".join(question[::-1]) for question in questions],
        }
    )
    tokenizer = train_tokenizer([*rows["prompt"], *rows["completion"]])
    tokens = tokenize(rows, tokenizer)
    model = make_model(ModelSize(hidden_size=32, num_layers=1, num_heads=2), tokenizer, seed=0)
    recipe = Recipe(num_steps=60, batch_size=16, learning_rate=1e-2)
    make_trainer(model, tokens, tokenizer, recipe, seed=0, output_dir=tmp_path, on_step=lambda: None).train()

    model.train()
    correct = exact_match(model, tokens, batch_size=7)
    assert model.training
    model.eval()
    expected = []
    for row in rows:
        prompt = tokenizer(row["prompt"], return_tensors="pt")
        with torch.no_grad():
            made = model.generate(
                input_ids=prompt["input_ids"],
                attention_mask=prompt["attention_mask"],
                max_new_tokens=8,
                do_sample=False,
            )
        answer = tokenizer.decode(made[0, prompt["input_ids"].shape[1] :], skip_special_tokens=False)
        expected.append(answer == row["completion"].strip() + " <eos>")
    assert correct.tolist() == expected
    assert 0 < sum(expected) < len(expected), "the comparison needs right and wrong answers"


def test_scores_of_each_skill() -> None:
    correct = np.array([True, True, False, False, True])
    assert per_skill(correct, list("aabbb"), ["b", "a"]) == {"b": pytest.approx(1 / 3), "a": 1.0}
    with pytest.raises(ValueError, match="No test row of skill 'c'"):
        per_skill(correct, list("aabbb"), ["a", "c"])

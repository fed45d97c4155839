"""Scores of several adapters in one forward are those of each alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import get_peft_model, set_peft_model_state_dict

from hf_datasel.training.utility.stacked_scoring import score_stacked
from tests.training.utility.stacked_oracle import COLLATOR, base_model, lora, start_of, token_rows

ROWS = token_rows(7, seed=5)


@pytest.mark.parametrize("name", ["llama_tied", "gpt_neox_untied", "gpt2_tied"])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_scores_are_mean_log_probabilities_one_by_one(name, batch_size) -> None:
    model, config = base_model(name), lora(name)
    adapters = [start_of(model, config, seed) for seed in range(3)]
    found = score_stacked(model, config, adapters, ROWS, COLLATOR, batch_size=batch_size)
    adapted = get_peft_model(model, config)
    for number, adapter in enumerate(adapters):
        set_peft_model_state_dict(adapted, adapter)
        for place, row in enumerate(ROWS):
            labels = torch.tensor(row["labels"])
            with torch.no_grad():
                log_probs = adapted(input_ids=torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
            values = [float(log_probs[t - 1, label]) for t, label in enumerate(labels) if t and label != -100]
            # A log-probability is taken in float32, and so is the sum over a row.
            tolerance = 4 * len(values) * torch.finfo(torch.float32).eps * max(map(abs, values))
            assert abs(found[number, place] - np.mean(values)) <= tolerance
    assert len({round(value, 3) for value in found[:, 0]}) == 3  # the adapters do differ


def test_scores_under_autocast_are_near() -> None:
    model, config = base_model(dtype=torch.float32), lora()
    adapters = [start_of(model, config)]
    exact, rounded = (
        score_stacked(model, config, adapters, ROWS, COLLATOR, batch_size=4, bf16=bf16) for bf16 in (False, True)
    )
    assert 0 < np.abs(exact - rounded).max() < 32 * torch.finfo(torch.bfloat16).eps


def test_no_adapters_and_no_rows_have_no_scores() -> None:
    model, config = base_model(), lora()
    assert score_stacked(model, config, [], ROWS, COLLATOR, batch_size=2).shape == (0, 7)
    assert score_stacked(model, config, [start_of(model, config)], [], COLLATOR, batch_size=2).shape == (1, 0)


def test_what_cannot_be_scored_is_refused() -> None:
    model, config = base_model(), lora()
    start = start_of(model, config)
    with pytest.raises(ValueError, match="Dev rows, row 1 has no label"):
        score_stacked(
            model, config, [start], [ROWS[0], {"input_ids": [1, 2], "labels": [-100, -100]}], COLLATOR, batch_size=2
        )
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        score_stacked(model, config, [start], ROWS, COLLATOR, batch_size=0)
    broken = {key: value * float("nan") for key, value in start.items()}
    with pytest.raises(ValueError, match="Adapter 1 gives dev row 0 the log-probability nan"):
        score_stacked(model, config, [start, broken], ROWS, COLLATOR, batch_size=2)

"""The number of coalitions that fit is measured, and does fit."""

from __future__ import annotations

import pytest
import torch

from hf_datasel.training.utility.stacked_memory import PeakBytes, choose_num_stacked, step_bytes
from hf_datasel.training.utility.stacked_sites import lora_sites
from tests.training.tiny import sft_args
from tests.training.utility.stacked_oracle import base_model, lora


def test_bytes_are_counted_while_a_tensor_or_a_graph_holds_them() -> None:
    weights = torch.ones(100, requires_grad=True)  # made outside
    with PeakBytes() as peak:
        first = torch.zeros(100)
        view = first.view(10, 10)
        del first
        assert peak.now == 400  # the view holds them
        del view
        assert peak.now == 0
        loss = (weights * 2).exp().sum()
        assert peak.now == 404  # the exponential is kept for the backward, its argument is not
        loss.backward()
        assert peak.now == 404  # the loss, and the gradient in place of the exponential
        del loss
        assert peak.now == 400
        assert peak.most >= 800


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_number_chosen_fits_and_one_more_does_not(tmp_path, checkpointing) -> None:
    model, config = base_model(dtype=torch.float32), lora()
    args = sft_args(tmp_path, gradient_checkpointing=checkpointing)
    sites = lora_sites(model, config)
    for budget in (2_000_000, 5_000_000):
        chosen = choose_num_stacked(model, config, args, budget, num_tokens=24)
        assert chosen > 1
        assert step_bytes(model, sites, args, chosen, 24) <= budget
        assert step_bytes(model, sites, args, chosen + 1, 24) > budget


def test_an_adapter_costs_its_states_and_its_activations(tmp_path) -> None:
    model, config = base_model(dtype=torch.float32), lora()
    sites = lora_sites(model, config)
    states = 4 * 4 * sum(rows * columns for site in sites for rows, columns in site.shapes)
    args = sft_args(tmp_path)

    def each(num_tokens: int) -> int:
        one, two = (step_bytes(model, sites, args, num_stacked, num_tokens) for num_stacked in (1, 2))
        return two - one

    short, long = each(16), each(64)
    assert short > states  # weights, gradients and two moments
    # Activations grow with the tokens, and attention's faster; states do not.
    assert long > 3 * (short - 2 * states)


def test_every_further_adapter_costs_what_the_second_did(tmp_path, monkeypatch) -> None:
    # Losses taken in pieces would cost more from the third adapter on: a piece here holds the tokens of two.
    monkeypatch.setattr("hf_datasel.functional.losses.CACHED_LOGITS", 2 * 4 * 24 * 70)
    model, args = base_model(dtype=torch.float32), sft_args(tmp_path)
    sites = lora_sites(model, lora(target_modules=["q_proj"]))
    one, two, six = (step_bytes(model, sites, args, num_stacked, 24) for num_stacked in (1, 2, 6))
    assert abs(six - (one + 5 * (two - one))) <= 0.01 * six


def test_limits(tmp_path) -> None:
    model, config, args = base_model(dtype=torch.float32), lora(), sft_args(tmp_path)
    assert choose_num_stacked(model, config, args, 10**9, num_tokens=8, most=5) == 5
    with pytest.raises(ValueError, match=r"memory_budget=1000 bytes hold not even one.* 4 rows of 8 tokens takes \d+"):
        choose_num_stacked(model, config, args, 1000, num_tokens=8)
    with pytest.raises(ValueError, match="num_tokens=1: a row needs 2 tokens"):
        choose_num_stacked(model, config, args, 10**9, num_tokens=1)
    assert all(parameter.requires_grad for parameter in model.parameters())

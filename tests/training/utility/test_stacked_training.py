"""Coalitions trained at once are those that SFTTrainer trains one by one, for every family, option and size."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import pytest
import torch
from transformers import DataCollatorForSeq2Seq

from hf_datasel.training.utility.stacked_training import train_stacked
from tests.training.tiny import sft_args, word_tokenizer
from tests.training.utility.stacked_oracle import (
    COLLATOR,
    Adapter,
    base_model,
    largest_difference,
    lora,
    one_by_one,
    start_of,
    token_rows,
)

ROWS = token_rows(24)
COALITIONS = [[0, 1, 2, 3, 4, 5, 6], list(range(23, 7, -1)), [], [5]]
# AdamW divides by sqrt(v) + epsilon: an error e of a gradient moves a step by at most lr / epsilon * e, and the
# smallest of gradients make a step of any length where epsilon is 1e-8. So here it is 1e-3, and the bound is 10 e.
RATES = {"learning_rate": 1e-2, "adam_epsilon": 1e-3}
# Gradients are float64, but TRL takes the log-probabilities in float32: a logit may be rounded the other way, which
# moves the gradient, a mean over some ten tokens, by a tenth of that rounding.
ONE_ROUNDING = 10 * 0.1 * torch.finfo(torch.float32).eps
# Some thousand float32 roundings make a gradient, whose norm is clipped to 1; twelve steps.
SINGLE = 10 * 1000**0.5 * torch.finfo(torch.float32).eps * 12
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("llama_untied", {}, {}),
    (
        "gpt_neox_tied",
        {"use_rslora": True},
        {
            "gradient_accumulation_steps": 3,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 2,
            "weight_decay": 0.3,
            "max_grad_norm": 0.05,
        },
    ),
    (
        "gpt2_tied",
        {"rank_pattern": {"c_attn": 5}, "alpha_pattern": {"c_fc": 1}},
        {"max_steps": 5, "data_seed": 3, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"},
    ),
    (
        "llama_tied",
        {"layers_to_transform": [1], "target_modules": ["q_proj", "down_proj"]},
        {
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 4,
            "num_train_epochs": 1.5,
            "dataloader_drop_last": True,
            "train_sampling_strategy": "sequential",
            "optim": "adamw_torch",
        },
    ),
]


def at_once(tmp_path: Any, model: Any, config: Any, start: Adapter, fused: bool | None = None, **options: Any) -> Any:
    args = sft_args(tmp_path, **{**RATES, **options})
    return train_stacked(model, config, args, ROWS, COALITIONS, COLLATOR, start=start, fused_head=fused)


@pytest.mark.parametrize(("name", "adapter", "options"), CASES, ids=[case[0] for case in CASES])
def test_each_coalition_is_as_sft_trainer_trains_it_alone(tmp_path, name, adapter, options) -> None:
    model, config = base_model(name), lora(name, **adapter)
    start = start_of(model, config)
    wanted = [
        one_by_one(model, config, tmp_path, ROWS, coalition, start, **RATES, **options)[0] if coalition else start
        for coalition in COALITIONS
    ]
    found = at_once(tmp_path, model, config, start, fused=True, **options)
    apart = min(largest_difference(one, other) for one, other in itertools.combinations(wanted, 2))
    assert apart > 1e-3  # so that the right adapter in the wrong place would be seen
    for one, other in zip(found, wanted, strict=True):
        assert largest_difference(one, other) <= ONE_ROUNDING
    for one, other in zip(at_once(tmp_path, model, config, start, fused=False, **options), wanted, strict=True):
        assert largest_difference(one, other) <= SINGLE


def test_float32_agrees_within_its_roundings(tmp_path) -> None:
    model, config = base_model(dtype=torch.float32), lora()
    start = start_of(model, config)
    found = at_once(tmp_path, model, config, start)
    for one, coalition in zip(found, COALITIONS, strict=True):
        if coalition:
            wanted, _ = one_by_one(model, config, tmp_path, ROWS, coalition, start, **RATES)
            assert largest_difference(wanted, start) > 10 * SINGLE
            assert largest_difference(one, wanted) <= SINGLE
        else:
            assert largest_difference(one, start) == 0


def test_nothing_of_the_model_or_of_the_generators_changes(tmp_path) -> None:
    model, config = base_model(), lora()
    start = start_of(model, config)
    model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    model.model.layers[1].eval()
    before = {
        "weights": copy.deepcopy(model.state_dict()),
        "modes": [module.training for module in model.modules()],
        "frozen": [parameter.requires_grad for parameter in model.parameters()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "forward": model.__dict__.get("forward"),
    }
    kept, targets = {key: value.clone() for key, value in start.items()}, config.target_modules
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    at_once(tmp_path, model, config, start, fused=True, gradient_checkpointing=True)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert all(torch.equal(value, before["weights"][key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == before["modes"]
    assert [parameter.requires_grad for parameter in model.parameters()] == before["frozen"]
    assert all(parameter.grad is None for parameter in model.parameters())
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    assert hooks == before["hooks"]
    assert model.__dict__.get("forward") is before["forward"]
    assert not model.is_activation_checkpointing
    assert largest_difference(start, kept) == 0
    assert config.target_modules == targets


def test_who_trains_beside_a_coalition_does_not_matter(tmp_path) -> None:
    model, config = base_model(), lora()
    start, args = start_of(model, config), sft_args(tmp_path, **RATES)
    both = train_stacked(model, config, args, ROWS, COALITIONS, COLLATOR, start=start, fused_head=True)
    for coalition, adapter in zip(COALITIONS, both, strict=True):
        (alone,) = train_stacked(model, config, args, ROWS, [coalition], COLLATOR, start=start, fused_head=True)
        assert largest_difference(alone, adapter) <= ONE_ROUNDING


def test_checkpointed_activations_give_the_same_adapters(tmp_path) -> None:
    model, config = base_model(), lora()
    start = start_of(model, config)
    plain = at_once(tmp_path, model, config, start, fused=True)
    for one, other in zip(
        at_once(tmp_path, model, config, start, fused=True, gradient_checkpointing=True), plain, strict=True
    ):
        assert largest_difference(one, other) == 0


def test_a_collator_that_pads_on_the_left_sees_the_rows_it_would_see_alone(tmp_path) -> None:
    tokenizer = word_tokenizer()
    tokenizer.padding_side = "left"
    collator = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100)
    model, config = base_model("gpt2_tied"), lora("gpt2_tied")  # whose positions count from the padding
    start, args = start_of(model, config), sft_args(tmp_path, **RATES)
    both = train_stacked(model, config, args, ROWS, COALITIONS, collator, start=start, fused_head=True)
    for coalition, adapter in zip(COALITIONS, both, strict=True):
        (alone,) = train_stacked(model, config, args, ROWS, [coalition], collator, start=start, fused_head=True)
        assert largest_difference(alone, adapter) <= ONE_ROUNDING


def test_bfloat16_runs_under_autocast_and_agrees_within_its_roundings(tmp_path) -> None:
    model, config = base_model(dtype=torch.float32), lora()
    start, args = start_of(model, config), sft_args(tmp_path, bf16=True, max_steps=1, **RATES)
    coalitions = [[0, 1, 2, 3], [4, 5, 6, 7]]
    found = train_stacked(model, config, args, ROWS, coalitions, COLLATOR, start=start, fused_head=True)
    (exact,) = train_stacked(
        model, config, sft_args(tmp_path, max_steps=1, **RATES), ROWS, coalitions[:1], COLLATOR, start=start
    )
    assert largest_difference(found[0], exact) > 0  # it is not float32
    for coalition, adapter in zip(coalitions, found, strict=True):
        wanted, _ = one_by_one(model, config, tmp_path, ROWS, coalition, start, bf16=True, max_steps=1, **RATES)
        # The same matrix products of one row each, but a sum over rows may end on the neighbouring bfloat16: a
        # gradient of norm at most 1 is off by its last bit, and the step by ten times that.
        assert largest_difference(adapter, wanted) <= 10 * torch.finfo(torch.bfloat16).eps * 0.1


def test_the_seed_decides_the_order(tmp_path) -> None:
    model, config = base_model(), lora()
    start = start_of(model, config)

    def train(**options: Any) -> Adapter:
        seed = options.pop("order", None)
        args = sft_args(tmp_path, **RATES, **options)
        return train_stacked(model, config, args, ROWS, COALITIONS[:1], COLLATOR, start=start, seed=seed)[0]

    assert largest_difference(train(order=7), train(seed=7)) == 0
    assert largest_difference(train(order=7), train(seed=1, data_seed=7)) == 0
    assert largest_difference(train(order=7), train(order=8)) > 1e-3


def test_no_coalition_is_no_training(tmp_path) -> None:
    model, config = base_model(), lora()
    start, args = start_of(model, config), sft_args(tmp_path)
    assert train_stacked(model, config, args, ROWS, [], COLLATOR, start=start) == []
    (untrained,) = train_stacked(model, config, args, ROWS, [[]], COLLATOR, start=start)
    assert largest_difference(untrained, start) == 0


def test_a_training_that_breaks_is_refused_by_its_coalition(tmp_path) -> None:
    model, config = base_model(), lora()
    start = start_of(model, config)
    with pytest.raises(ValueError, match=r"2 of 2 coalitions came out .* first of coalition 0 \(2 rows\)"):
        train_stacked(
            model,
            config,
            sft_args(tmp_path, learning_rate=1e308, weight_decay=10.0),
            ROWS,
            [[0, 1], [2]],
            COLLATOR,
            start=start,
        )


def test_bad_rows_and_starts_are_refused_by_name(tmp_path) -> None:
    model, config = base_model(), lora()
    start, args = start_of(model, config), sft_args(tmp_path, max_length=8)

    def refused(match: str, rows: Any = None, coalition: Any = (0,), begin: Any = start, **options: Any) -> None:
        with pytest.raises(ValueError, match=match):
            train_stacked(
                model,
                config,
                options.get("args", args),
                rows or [{"input_ids": [7, 8], "labels": [-100, 8]}],
                [coalition],
                options.get("collator", COLLATOR),
                start=begin,
            )

    refused("Coalition 0 names row 3, but rows are 0 to 0", coalition=[3])
    refused("Coalition 0 names row -1", coalition=[-1])
    refused("row 0: 9 tokens, but max_length=8", rows=[{"input_ids": list(range(9))}])
    refused("row 0 has no label that is predicted", rows=[{"input_ids": [7, 8], "labels": [7, -100]}])
    refused("no full batch of 4", args=sft_args(tmp_path, dataloader_drop_last=True))
    first = min(start)
    refused(f"1 keys are missing, such as {first}", begin={k: v for k, v in start.items() if k != first})
    refused("1 keys are unknown, such as lm_head", begin={**start, "lm_head": start[first]})
    refused(r"has shape \(1, 1\)", begin={**start, first: torch.ones(1, 1)})
    refused(r"is torch.bfloat16\. Adapters are trained in float32", begin={k: v.bfloat16() for k, v in start.items()})
    flat = copy.copy(COLLATOR)
    flat.padding_free = True
    refused("The collator makes cu_seq_lens_k", collator=flat)

"""What cannot be stacked is refused by name, and what is allowed is not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import GPT2Config, MixtralConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_datasel.training.utility.stacked_lora import StackedLora
from hf_datasel.training.utility.stacked_refusals import refuse_unstackable
from hf_datasel.training.utility.stacked_sites import lora_sites
from tests.training.influence.zoo import MODELS
from tests.training.tiny import SIZES, sft_args
from tests.training.utility.stacked_oracle import base_model, lora, start_of


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_of_the_zoo_can_be_stacked(tmp_path, name) -> None:
    refuse_unstackable(base_model(name), lora(name), sft_args(tmp_path))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"lora_dropout": 0.1}, "lora_dropout=0.1"),
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "lora_only"}, "bias='lora_only'"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\]"),
        ({"trainable_token_indices": [1]}, r"trainable_token_indices=\[1\]"),
        ({"layer_replication": [(0, 1)]}, "layer_replication"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
    ],
)
def test_adapters_of_another_form(options, named) -> None:
    with pytest.raises(ValueError, match=named):
        refuse_unstackable(base_model(), lora(**options))


def test_another_adapter_than_lora() -> None:
    with pytest.raises(ValueError, match="peft_config is a IA3Config, not a LoraConfig"):
        refuse_unstackable(base_model(), IA3Config(target_modules=["q_proj"], feedforward_modules=[]))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"optim": "sgd"}, "optim='sgd'"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor=0.1"),
        ({"neftune_noise_alpha": 5.0}, "neftune_noise_alpha=5.0"),
        ({"loss_type": "dft"}, "loss_type='dft'"),
        ({"packing": True}, "packing=True"),
        ({"padding_free": True}, "padding_free=True"),
        ({"shuffle_dataset": True}, "shuffle_dataset=True"),
        ({"activation_offloading": True}, "activation_offloading=True"),
        ({"auto_find_batch_size": True}, "auto_find_batch_size=True"),
        ({"torch_compile": True}, "torch_compile=True"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps"}, "'reduce_lr_on_plateau'"),
        ({"train_sampling_strategy": "group_by_length"}, "train_sampling_strategy='group_by_length'"),
        ({"accelerator_config": {"use_seedable_sampler": False}}, "use_seedable_sampler=False"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"num_train_epochs": 0}, "num_train_epochs=0"),
    ],
)
def test_arguments(tmp_path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        refuse_unstackable(base_model(), lora(), sft_args(tmp_path, **options))


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("fp16", "fp16=True"),
        ("use_liger_kernel", "use_liger_kernel=True"),
        ("deepspeed_plugin", "deepspeed owns the optimizer"),
        ("fsdp", "fsdp shards the adapters"),
        ("parallelism_config", "parallelism_config splits"),
    ],
)
def test_arguments_that_not_every_machine_takes(tmp_path, option, named) -> None:
    args = sft_args(tmp_path)
    setattr(args, option, True)
    with pytest.raises(ValueError, match=named):
        refuse_unstackable(base_model(), lora(), args)


def test_models() -> None:
    def refused(model: Any, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            refuse_unstackable(model, lora())

    refused(get_peft_model(base_model(), lora()), "has adapters already")
    drops = AutoModelForCausalLM.from_config(GPT2Config(vocab_size=70, n_embd=8, n_layer=1, n_head=2))
    refused(drops, r"drops out \(transformer.drop.p=0.1\)")
    attention = base_model()
    attention.model.layers[1].self_attn.attention_dropout = 0.2
    refused(attention, r"model.layers.1.self_attn.attention_dropout=0.2")
    experts = AutoModelForCausalLM.from_config(
        MixtralConfig(**SIZES, intermediate_size=16, num_local_experts=2, num_key_value_heads=1)
    )
    refused(experts, "mixture of experts")
    split = base_model()
    split.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    refused(split, "split over devices")
    quantised = base_model()
    quantised.is_quantized = True
    refused(quantised, "quantised")
    averaging = base_model()
    averaging.accepts_loss_kwargs = False
    refused(averaging, "averages the loss of LlamaForCausalLM batch by batch")


def test_layers_that_are_no_plain_lora() -> None:
    with pytest.raises(ValueError, match=r"target_modules names the LM head \(lm_head\)"):
        lora_sites(base_model(), lora(target_modules=["lm_head"]))
    with pytest.raises(ValueError, match=r"Module model.embed_tokens is a Embedding.*Leave it out of target_modules"):
        lora_sites(base_model(), lora(target_modules=["embed_tokens"]))


def test_a_layer_that_sees_tokens_before_rows() -> None:
    base = base_model()
    config = LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM", layers_to_transform=[0])
    (site,) = lora_sites(base, config)
    start = start_of(base, config)
    stack = StackedLora(base, [site], [start, start])
    stack.route([0, 1], [1, 1])
    seen = torch.zeros(3, 2, 32, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"q_proj sees a tensor of shape \(3, 2, 32\) in a batch of 2 rows"):
        base.get_submodule(site.name)(seen)

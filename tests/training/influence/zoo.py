"""The models that the influence engine is tested on: every kind of layer and tie, biases, and adapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from tests.training.tiny import CONFIGS, SIZES


def _with(config: Any, **options: Any) -> Any:
    for name, value in options.items():
        setattr(config, name, value)
    return config


MODELS: dict[str, Callable[[], Any]] = {
    **{f"{name}_untied": lambda make=make: _with(make(), tie_word_embeddings=False) for name, make in CONFIGS.items()},
    **{f"{name}_tied": lambda make=make: _with(make(), tie_word_embeddings=True) for name, make in CONFIGS.items()},
    "llama_biased": lambda: LlamaConfig(
        **SIZES,
        intermediate_size=48,
        num_key_value_heads=1,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=False,
    ),
    "llama_padding_idx": lambda: LlamaConfig(
        # a word of the sentences: its embedding gets no gradient
        **SIZES,
        intermediate_size=48,
        num_key_value_heads=1,
        pad_token_id=10,
        tie_word_embeddings=False,
    ),
}
LINEARS = {
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "gpt_neox": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
}
QUERY_VALUE = {"llama": ["q_proj", "v_proj"], "gpt_neox": ["query_key_value"], "gpt2": ["c_attn"]}


def build(name: str, seed: int = 0, adapter: str | None = None, **lora: Any) -> Any:
    """A seeded tiny model whose every parameter matters; ``adapter`` is None, "qv" or "linears".

    Norm weights start at 1, biases and lora_B at 0, where some mistakes cannot be seen: all are moved.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(MODELS[name]())
        if adapter is not None:
            family = name.rsplit("_", 1)[0] if name.startswith(("gpt2", "gpt_neox")) else "llama"
            targets = (QUERY_VALUE if adapter == "qv" else LINEARS)[family]
            options = {"r": 4, "lora_alpha": 8, "target_modules": targets, "task_type": "CAUSAL_LM", **lora}
            model = get_peft_model(model, LoraConfig(**options, fan_in_fan_out=family == "gpt2"))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model

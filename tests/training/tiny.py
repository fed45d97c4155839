"""Tiny models, a tokenizer and datasets for the Trainer tests: everything is built here, nothing is downloaded."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from trl import SFTConfig

from hf_datasel import add_example_ids

WORDS = [f"w{number}" for number in range(60)]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<' + message['role'] + '>' }} "
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + ' <eos>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %} {% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant> ' }}{% endif %}"
)
SIZES: dict[str, Any] = {"vocab_size": 70, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaConfig(**SIZES, intermediate_size=48, num_key_value_heads=1),
    "qwen3": lambda: Qwen3Config(**SIZES, intermediate_size=48, num_key_value_heads=1, head_dim=16),
    "gemma": lambda: GemmaConfig(**SIZES, intermediate_size=48, num_key_value_heads=1, head_dim=16),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES, intermediate_size=48),
    "gpt2": lambda: GPT2Config(
        vocab_size=70, n_embd=32, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    ),
}


def tiny_model(architecture: str = "llama", seed: int = 0) -> PreTrainedModel:
    """A seeded causal language model of some thousand parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(CONFIGS[architecture]())


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, with padding, end of sequence and a chat template that marks the assistant's turns."""
    special = ["<pad>", "<eos>", "<unk>", "<user>", "<assistant>", "<system>"]
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(special + WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=special[3:],
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def sentences(num_rows: int, seed: int, low: int = 2, high: int = 9) -> list[str]:
    """Seeded word sequences of uneven length, each ending in a blank so that prompt and completion do not merge."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(low, high))) + " " for _ in range(num_rows)]


def make_dataset(kind: str = "prompt_completion", num_rows: int = 24, seed: int = 0) -> Dataset:
    """A dataset with ids in one of TRL's formats."""
    prompts, completions = sentences(num_rows, seed), sentences(num_rows, seed + 1)
    if kind == "text":
        columns: dict[str, Any] = {"text": [p + c for p, c in zip(prompts, completions, strict=True)]}
    elif kind == "prompt_completion":
        columns = {"prompt": prompts, "completion": completions}
    elif kind == "messages":
        columns = {
            "messages": [
                [{"role": "user", "content": p.strip()}, {"role": "assistant", "content": c.strip()}]
                for p, c in zip(prompts, completions, strict=True)
            ]
        }
    else:
        raise ValueError(kind)
    columns["source"] = ["even" if row % 2 == 0 else "odd" for row in range(num_rows)]
    return add_example_ids(Dataset.from_dict(columns))


def sft_args(output_dir: Any, **options: Any) -> SFTConfig:
    """SFTConfig for tests: small, quiet, on the CPU in float32."""
    return SFTConfig(**{**base_options(output_dir), **options})


def base_options(output_dir: Any) -> dict[str, Any]:
    return {
        "output_dir": str(output_dir),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "learning_rate": 1e-2,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 2,
        "disable_tqdm": True,
        "max_length": 64,
    }

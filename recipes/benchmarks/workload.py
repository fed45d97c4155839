"""What the training benchmarks train: a small Llama and prompt-completion rows of very uneven length.

Rows are made of words that are one token each; nothing is downloaded. A prompt has a median of 40 words and a
completion of 30, log-normal, as instruction data are: a few long rows, many short ones.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; threads made later start with it

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    DataCollatorForSeq2Seq,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from hf_datasel import add_example_ids
from recipes.benchmarks.common import common_arguments

PACKAGES = ("torch", "transformers", "trl", "datasets", "numpy")
SPECIAL = ["<pad>", "<eos>", "<unk>"]
LAYERS = {64: 2, 128: 4, 256: 6, 448: 7}  # by hidden size


def quiet() -> None:
    """One thread, and nothing printed but results."""
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    disable_progress_bars()


def llama(hidden_size: int, vocabulary: int, seed: int = 0) -> LlamaForCausalLM:
    """A seeded Llama of one of the hidden sizes in `LAYERS`, which says how many layers it has."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=vocabulary,
                hidden_size=hidden_size,
                intermediate_size=hidden_size * 8 // 3 // 8 * 8,
                num_hidden_layers=LAYERS[hidden_size],
                num_attention_heads=hidden_size // 32,
                pad_token_id=0,
                bos_token_id=None,
                eos_token_id=1,
            )
        )


def tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """One token a word."""
    words = [*SPECIAL, *(f"w{number}" for number in range(vocabulary - len(SPECIAL)))]
    table = {word: index for index, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", model_max_length=4096
    )


def rows(num_rows: int, vocabulary: int, seed: int = 0, longest: int = 400) -> Dataset:
    """Prompts and completions with ids; no more than `longest` words each."""
    rng = np.random.default_rng(seed)

    def texts(median: int) -> list[str]:
        lengths = np.clip(np.exp(rng.normal(np.log(median), 0.7, num_rows)), 2, longest).astype(int)
        return [
            "".join(f"w{word} " for word in rng.integers(0, vocabulary - len(SPECIAL), length)) for length in lengths
        ]

    return add_example_ids(Dataset.from_dict({"prompt": texts(40), "completion": texts(30)}))


def sft_trainer(folder: Path, hidden_size: int, vocabulary: int, num_rows: int, **options: Any) -> SFTTrainer:
    """An SFTTrainer of a Llama on those rows."""
    return SFTTrainer(
        llama(hidden_size, vocabulary),
        args=SFTConfig(**common_arguments(folder, max_length=1024, **options)),
        train_dataset=rows(num_rows, vocabulary),
        processing_class=tokenizer(vocabulary),
    )


def plain_trainer(folder: Path, hidden_size: int, vocabulary: int, num_rows: int, **options: Any) -> Trainer:
    """A plain Trainer of a Llama on the same rows, whose model materialises its logits."""
    words = tokenizer(vocabulary)

    def tokens(row: dict[str, Any]) -> dict[str, Any]:
        prompt, completion = (words(row[name])["input_ids"] for name in ("prompt", "completion"))
        return {
            "input_ids": [*prompt, *completion, words.eos_token_id],
            "labels": [-100] * len(prompt) + [*completion, words.eos_token_id],
        }

    return Trainer(
        llama(hidden_size, vocabulary),
        args=TrainingArguments(**common_arguments(folder, **options)),
        train_dataset=rows(num_rows, vocabulary).map(tokens, remove_columns=["prompt", "completion"]),
        data_collator=DataCollatorForSeq2Seq(words, label_pad_token_id=-100),
    )

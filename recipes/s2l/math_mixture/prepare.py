"""What the run needs on the disk: the mixture, a tokenizer trained on it, the models as folders to load by path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SOURCES = ("gsm8k_train", "mawps_asdiv", "svamp")
TEST = "gsm8k_test"
VOCAB_SIZE = 2048
SIZES = {
    "proxy": {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3, "num_attention_heads": 4},
    "target": {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4, "num_attention_heads": 4},
}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSON Lines file."""
    with open(path, encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def write_rows(path: Path, source_files: list[Path]) -> int:
    """Join prompt-completion files into one, each row with the `source` it came from; returns the number of rows.

    A completion starts with the newline that separates it from its prompt, so that tokens never span the border.
    """
    num_rows = 0
    with open(path, "w", encoding="utf-8") as out:
        for file in source_files:
            for row in read_rows(file):
                joined = {"prompt": row["prompt"], "completion": "\n" + row["completion"], "source": file.stem}
                out.write(json.dumps(joined, ensure_ascii=False) + "\n")
                num_rows += 1
    return num_rows


def train_tokenizer(rows: Path) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `VOCAB_SIZE` tokens, trained on the mixture's own text; digits are tokens of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((row["prompt"] + row["completion"] for row in read_rows(rows)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


def save_model(path: Path, size: str, seed: int, tokenizer: PreTrainedTokenizerFast) -> int:
    """Save a seeded Llama of one of `SIZES` with its tokenizer; returns its number of parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                **SIZES[size],
                vocab_size=len(tokenizer),
                max_position_embeddings=512,
                tie_word_embeddings=True,
                pad_token_id=tokenizer.pad_token_id,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return int(model.num_parameters())

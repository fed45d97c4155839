"""Shared by all tests: nothing reaches a network, and small files a command line can be tried on."""

import gc
import json
import os
from pathlib import Path
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest

# Read when the libraries are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any_machine")

WORDS = ("red", "green", "blue", "one", "two", "three", "plus", "is", "so", "then")


@pytest.fixture(scope="session", autouse=True)
def collect_only_what_tests_make() -> None:
    """Every Trainer collects garbage; what the imports left behind need not be searched each time."""
    gc.collect()
    gc.freeze()


class TinyFiles(NamedTuple):
    """What `tiny_files` made: a JSON Lines dataset and a model with its tokenizer, both on the disk."""

    data: Path
    model: Path
    num_rows: int


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> TinyFiles:
    """40 prompt-completion rows of two uneven sources, and a seeded Llama of some thousand parameters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    rows = [
        {
            "prompt": " ".join(rng.choice(WORDS, size=rng.integers(2, 6))),
            "completion": " " + " ".join(rng.choice(WORDS, size=rng.integers(1, 6))),
            "source": "common" if row % 4 else "rare",
        }
        for row in range(40)
    ]
    data = root / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    vocabulary = {word: index for index, word in enumerate(("<pad>", "<eos>", "<unk>", *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(vocabulary),
                hidden_size=16,
                intermediate_size=24,
                num_hidden_layers=1,
                num_attention_heads=2,
                pad_token_id=0,
                bos_token_id=None,
                eos_token_id=1,
            )
        )
    model.save_pretrained(root / "model")
    tokenizer.save_pretrained(root / "model")
    return TinyFiles(data, root / "model", len(rows))

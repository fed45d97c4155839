"""Tiny BERT-like encoders and their tokenizer, built here and saved to a folder, and the slow way to use them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from hf_datasel import add_example_ids
from tests.training.tiny import sentences

# A component of a unit vector is the end of some sixty roundings in a row (two layers of matmul, norm, softmax, then a
# mean), each relative to numbers near 1; batching and padding change their order and nothing else.
TOLERANCE = 64 * torch.finfo(torch.float32).eps
MAX_LENGTH = 40


@cache
def tokenizer_on_the_fly() -> PreTrainedTokenizerFast:
    """WordPiece trained on the tests' sentences, with the special tokens of BERT around every text.

    Once: how training breaks ties differs from time to time.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(sentences(200, seed=0), trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_LENGTH, **names)


def save_encoder(folder: Path, seed: int = 0, **options: Any) -> Path:
    """A seeded encoder of some thousand parameters, with its tokenizer."""
    tokenizer = tokenizer_on_the_fly()
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=MAX_LENGTH, initializer_range=0.5, **{**sizes, **options}
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def say_conventions(folder: Path, *modules: str, limit: int | None = None, **pooling: Any) -> None:
    """Write the files of sentence-transformers into a model's folder."""
    parts = [
        {"type": f"sentence_transformers.models.{name}", "path": name * (name != "Transformer")} for name in modules
    ]
    (folder / "modules.json").write_text(json.dumps(parts))
    (folder / "sentence_bert_config.json").write_text(json.dumps({} if limit is None else {"max_seq_length": limit}))
    (folder / "Pooling").mkdir(exist_ok=True)
    (folder / "Pooling" / "config.json").write_text(json.dumps(pooling))


def texts(num_rows: int, seed: int = 0, low: int = 1, high: int = 9) -> list[str]:
    """Seeded texts of uneven length."""
    return [text.strip() for text in sentences(num_rows, seed, low, high)]


def rows_of(written: list[str]) -> Dataset:
    """A dataset of texts with ids."""
    return add_example_ids(Dataset.from_dict({"text": written}))


def one_by_one(folder: Path, written: list[str], max_length: int = MAX_LENGTH, *, cls: bool = False) -> np.ndarray:
    """Obviously correct, but slow: one text at a time, unpadded, from the definitions."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    vectors = []
    for text in written:
        tokens = tokenizer(text)["input_ids"]
        if len(tokens) > max_length:
            tokens = [*tokens[: max_length - 1], tokens[-1]]
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor([tokens])).last_hidden_state[0].double()
        vector = hidden[0] if cls else sum(hidden) / len(tokens)
        vectors.append((vector / vector.square().sum().sqrt()).numpy())
    return np.array(vectors)

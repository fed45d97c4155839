"""Texts as passages: checked before anything is embedded, tokenised, and cut to the longest an embedder reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from hf_datasel.example_ids import read_example_ids
from hf_datasel.texts import TextOf, Texts
from hf_datasel.training.embedding.base import Passage, ReadPassages

CHECKED_ROWS = 4096  # texts looked at together


def text_reader(dataset: Dataset, text: TextOf, tokenise: Callable[[list[str]], list[Passage]]) -> ReadPassages:
    """Passages of a dataset's texts.

    Args:
        dataset: with ``example_id``.
        text: which text; as in :class:`hf_datasel.texts.Texts`.
        tokenise: texts to passages.

    Raises:
        ValueError: a row without text, or with an empty one (its example id is named): found now, not after hours.
    """
    texts, ids = Texts(dataset, text), read_example_ids(dataset)
    for start in range(0, len(ids), CHECKED_ROWS):
        for number, found in enumerate(texts.read(slice(start, start + CHECKED_ROWS)), start):
            if not found.strip():
                raise ValueError(
                    f"The text of example {ids[number]} is empty, so it has no embedding: drop the row, or say where "
                    f"its text is with text=, a column or a function of a row. It was read from {where(texts)}."
                )
    return lambda rows: tokenise(texts.read(rows))


def where(texts: Texts) -> str:
    """Where texts are read from, for people."""
    return "a function" if texts.columns is None else ", ".join(map(repr, texts.columns))


def passages_of(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int | None, *, first_only: bool = False
) -> list[Passage]:
    """Texts with the tokenizer's special tokens, at most ``max_length`` in all; each is pooled, or the first alone."""
    passages = []
    for text, tokens in zip(texts, tokenizer(texts, verbose=False)["input_ids"], strict=True):
        num_tokens = len(tokens)
        if max_length is not None and num_tokens > max_length:  # the tokenizer cuts, and keeps what ends a text
            tokens = tokenizer(text, truncation=True, max_length=max_length)["input_ids"]
        array: NDArray[np.int64] = np.asarray(tokens, dtype=np.int64)
        pooled = np.arange(len(array)) == 0 if first_only else np.ones(len(array), dtype=bool)
        passages.append(Passage(array, pooled, num_tokens - len(array)))
    return passages

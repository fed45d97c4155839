"""What an embedder is: examples in, one float32 vector an example out.

Legend: n passages, T tokens, d dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor

from hf_datasel.texts import TextOf


@dataclass(frozen=True, eq=False)
class Passage:
    """One example as an embedder reads it.

    Args:
        tokens: int64 ``[T]``.
        pooled: bool ``[T]``, the tokens that the vector is made of.
        num_cut: tokens that ``max_length`` left out.
        text: for an embedder that tokenises by itself, else "".
    """

    tokens: NDArray[np.int64]
    pooled: NDArray[np.bool_]
    num_cut: int = 0
    text: str = ""


ReadPassages = Callable[[NDArray[np.int64]], list[Passage]]


class Embedder(Protocol):
    """What :func:`~hf_datasel.embed` asks of an embedder.

    The vector of a passage depends on that passage alone, not on those beside it in a batch. ``embed`` leaves train
    modes and random states as they were.
    """

    @property
    def name(self) -> str:
        """Name or path, for people."""

    @property
    def hash(self) -> str:
        """Hexadecimal digest of everything that decides the vectors of a text: weights, configuration, tokenizer."""

    @property
    def dimension(self) -> int:
        """d."""

    def describe(self) -> dict[str, Any]:
        """Name, hash and options, as JSON can hold them: what :class:`~hf_datasel.Embeddings` keep of the embedder."""

    def reader(self, dataset: Dataset, text: TextOf) -> ReadPassages:
        """A function from row numbers, int64 ``[n]``, to these rows as passages.

        Raises:
            ValueError: rows that cannot be read, before any of them is embedded.
        """

    def embed(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """Vectors of a batch, float32 ``[n, d]``."""


def padded(passages: Sequence[Passage], pad_token_id: int, device: torch.device) -> tuple[dict[str, Tensor], Tensor]:
    """Right-padded model inputs ``[n, T]``, and the bool mask ``[n, T]`` of the tokens to pool."""
    length = max(len(passage.tokens) for passage in passages)
    tokens = np.full((len(passages), length), pad_token_id, dtype=np.int64)
    attended, pooled = np.zeros((2, *tokens.shape), dtype=np.int64)
    for row, passage in enumerate(passages):
        size = len(passage.tokens)
        tokens[row, :size], attended[row, :size], pooled[row, :size] = passage.tokens, 1, passage.pooled
    inputs = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(attended)}
    return {name: part.to(device) for name, part in inputs.items()}, torch.from_numpy(pooled).bool().to(device)

"""Bags of static vectors: the mean of one fixed vector a token, without any forward pass.

For tests and for sets too large for an encoder. The vectors are seeded random ones for hashed words, where inner
products of texts approximate those of their word counts (a random projection, after Johnson and Lindenstrauss, 1984),
or the rows of a model's input embedding matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel, PreTrainedTokenizerBase

from hf_datasel.functional.importance_resampling import NgramBuckets, hash_texts
from hf_datasel.functional.pooling import unit_length
from hf_datasel.texts import TextOf
from hf_datasel.training.embedding.base import Passage, ReadPassages
from hf_datasel.training.embedding.loading import load_model, load_tokenizer
from hf_datasel.training.embedding.tokens import text_reader
from hf_datasel.training.identity import digest_of, tokenizer_text


@dataclass(frozen=True)
class BagEmbedder:
    """Hashed lower-case words and punctuation, each a random vector; nothing is loaded, and it runs on the CPU.

    Args:
        dimension: d. The cosine of two texts differs from that of their word counts by about ``1 / sqrt(dimension)``.
        seed: of the vectors.
        num_buckets: that words are hashed into; words that share a bucket share a vector.
        normalize: scale vectors to unit length.

    Raises:
        ValueError: an option out of range.
    """

    dimension: int = 256
    seed: int = 0
    num_buckets: int = 1 << 16
    normalize: bool = True

    @property
    def name(self) -> str:
        """A name for people."""
        return "bag of hashed words"

    @cached_property
    def hash(self) -> str:
        """Digest of the vectors."""
        return digest_of(tensors={"table": self._table})

    def describe(self) -> dict[str, Any]:
        """Name, hash and options."""
        return {"kind": "bag", "name": self.name, "hash": self.hash, **asdict(self)}

    def reader(self, dataset: Dataset, text: TextOf) -> ReadPassages:
        """Texts as buckets of words."""
        return text_reader(dataset, text, self._hashed)

    def embed(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """Vectors float32 ``[n, d]``."""
        return bag_means(passages, self._table, self.normalize)

    def _hashed(self, texts: list[str]) -> list[Passage]:
        hashed = hash_texts(texts, self._buckets, ngrams=1)
        ends = np.cumsum(hashed.num_tokens, dtype=np.int64)
        return [_passage(words) for words in np.split(hashed.buckets, ends[:-1])]

    @cached_property
    def _buckets(self) -> NgramBuckets:
        return NgramBuckets(self.num_buckets)

    @cached_property
    def _table(self) -> Tensor:
        for option in ("dimension", "num_buckets"):
            if getattr(self, option) < 1:
                raise ValueError(f"{option}={getattr(self, option)} must be at least 1.")
        generator = np.random.default_rng(self.seed)
        return torch.from_numpy(generator.standard_normal((self.num_buckets, self.dimension), dtype=np.float32))


@dataclass(frozen=True)
class TokenBagEmbedder:
    """A model's tokens, each its row of the model's input embedding matrix; runs on the CPU.

    Args:
        name: of a repository on the Hub, or a path.
        normalize: scale vectors to unit length.
        revision: of the repository.

    Raises:
        FileNotFoundError: files are missing here and cannot be fetched; says which, and how to get them.
    """

    name: str
    normalize: bool = True
    revision: str | None = None

    @cached_property
    def hash(self) -> str:
        """Digest of the matrix and the tokenizer."""
        return digest_of(tokenizer_text(self._tokenizer), tensors={"table": self._table})

    @property
    def dimension(self) -> int:
        """d, the matrix's width."""
        return int(self._table.shape[1])

    def describe(self) -> dict[str, Any]:
        """Name, hash and options."""
        return {"kind": "token_bag", "hash": self.hash, "dimension": self.dimension, **asdict(self)}

    def reader(self, dataset: Dataset, text: TextOf) -> ReadPassages:
        """Texts as tokens, without special ones."""
        return text_reader(dataset, text, self._tokenised)

    def embed(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """Vectors float32 ``[n, d]``."""
        return bag_means(passages, self._table, self.normalize)

    def _tokenised(self, texts: list[str]) -> list[Passage]:
        tokens = self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return [_passage(np.asarray(one)) for one in tokens]

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.name, self.revision)

    @cached_property
    def _table(self) -> Tensor:
        model, _ = load_model(AutoModel, self.name, self.revision, torch.float32)
        return model.get_input_embeddings().weight.detach().clone()


def bag_means(passages: Sequence[Passage], table: Tensor, normalize: bool) -> NDArray[np.float32]:
    """Mean row of each passage's tokens, float32 ``[n, d]``.

    Args:
        passages: n of them, none without tokens.
        table: float32 ``[num_tokens, d]``.
        normalize: scale to unit length.
    """
    sizes = [len(passage.tokens) for passage in passages]
    tokens = torch.from_numpy(np.concatenate([passage.tokens for passage in passages]))
    means = F.embedding_bag(tokens, table, torch.tensor([0, *np.cumsum(sizes[:-1])]), mode="mean")
    return (unit_length(means) if normalize else means).numpy()


def _passage(tokens: NDArray[Any]) -> Passage:
    return Passage(tokens.astype(np.int64), np.ones(len(tokens), dtype=bool))

"""Any encoder by name or path through plain transformers: pooled last hidden states, scaled to unit length.

Mean pooling over all tokens and L2 norm is what sentence-transformers does for the model that SHED embeds with (He et
al., NeurIPS 2024), and for most others, so that library is not needed for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from hf_datasel.functional.pooling import masked_mean, unit_length
from hf_datasel.texts import TextOf
from hf_datasel.training.embedding.base import Passage, ReadPassages, padded
from hf_datasel.training.embedding.conventions import POOLINGS, Conventions, read_conventions
from hf_datasel.training.embedding.loading import load_model, load_tokenizer
from hf_datasel.training.embedding.tokens import passages_of, text_reader
from hf_datasel.training.identity import config_text, digest_of, tokenizer_text
from hf_datasel.training.state import scoring_mode

DTYPES = ("float32", "bfloat16", "float16")
NO_LIMIT = 10**9  # tokenizers say 10**30 where they mean none


@dataclass(frozen=True)
class EncoderEmbedder:
    """An encoder of transformers; loaded when it is first asked for something.

    Args:
        name: of a repository on the Hub, or a path.
        max_length: tokens of a text that are read; by default what the model's own files say if ``pooling`` is left
            to them, too, and else as many as it can read.
        pooling: "mean" over all tokens, or "cls", the first one; by default what the model's own files say, which is
            the mean for a model that says nothing.
        normalize: scale vectors to unit length.
        prefix: put before every text, as some models want ("query: ").
        revision: of the repository.
        dtype: "float32", "bfloat16" or "float16".
        device: where it runs; by default that of the process.

    Raises:
        FileNotFoundError: files are missing here and cannot be fetched; says which, and how to get them.
        ValueError: an option out of range, a model that is no encoder, or one that plain transformers would not embed
            as its authors do.
    """

    name: str
    _: KW_ONLY
    max_length: int | None = None
    pooling: str | None = None
    normalize: bool = True
    prefix: str = ""
    revision: str | None = None
    dtype: str = "float32"
    device: str | None = None

    @cached_property
    def hash(self) -> str:
        """Digest of weights, configuration and tokenizer."""
        model, lacking = self._loaded
        state = {name: value for name, value in model.state_dict().items() if name not in lacking}
        return digest_of(config_text(model.config), tokenizer_text(self._tokenizer), tensors=state)

    @property
    def dimension(self) -> int:
        """d, the model's hidden size."""
        return int(self._loaded[0].config.get_text_config().hidden_size)

    def describe(self) -> dict[str, Any]:
        """Name, hash, and the options that decide the vectors."""
        options = {key: value for key, value in asdict(self).items() if key != "device"}
        limits = {"max_length": self._limit, "pooling": self._pooling}
        return {"kind": "encoder", **options, **limits, "hash": self.hash, "dimension": self.dimension}

    def reader(self, dataset: Dataset, text: TextOf) -> ReadPassages:
        """Texts with the tokenizer's special tokens."""

        def tokenise(texts: list[str]) -> list[Passage]:
            with_prefix = [self.prefix + found for found in texts]
            return passages_of(self._tokenizer, with_prefix, self._limit, first_only=self._pooling == "cls")

        return text_reader(dataset, text, tokenise)

    def embed(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """Vectors float32 ``[n, d]``."""
        model = self._loaded[0]
        inputs, pooled = padded(passages, self._tokenizer.pad_token_id or 0, model.device)
        with scoring_mode(model):
            hidden = model(**inputs).last_hidden_state
            vectors = masked_mean(hidden, pooled)
            vectors = unit_length(vectors) if self.normalize else vectors
        return vectors.cpu().numpy()

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.name, self.revision)

    @cached_property
    def _conventions(self) -> Conventions:
        return read_conventions(self.name, self.revision) if self.pooling is None else Conventions(self.pooling)

    @property
    def _pooling(self) -> str:
        return self.pooling or self._conventions.pooling

    @cached_property
    def _loaded(self) -> tuple[PreTrainedModel, frozenset[str]]:
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise ValueError(f"pooling={self.pooling!r} must be one of {sorted(POOLINGS)}, or None.")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype={self.dtype!r} must be one of {DTYPES}.")
        model, lacking = load_model(AutoModel, self.name, self.revision, getattr(torch, self.dtype))
        if model.config.is_encoder_decoder:
            raise ValueError(
                f"The embedder '{self.name}' is an encoder-decoder, whose pooling plain transformers does not know: "
                f"pass hf_datasel.SentenceTransformersEmbedder('{self.name}'), or an encoder."
            )
        return model.to(self.device or PartialState().device), lacking

    @cached_property
    def _limit(self) -> int | None:
        """Most tokens of a text: ``max_length``, else what the model's files say, within what it can read."""
        config, tokenizer = self._loaded[0].config.get_text_config(), self._tokenizer
        readable = (tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
        most = min((limit for limit in readable if limit is not None and limit < NO_LIMIT), default=None)
        if self.max_length is None:
            return min((limit for limit in (self._conventions.max_length, most) if limit is not None), default=None)
        least = tokenizer.num_special_tokens_to_add() + 1
        if self.max_length < least or (most is not None and self.max_length > most):
            raise ValueError(
                f"max_length={self.max_length} must be between {least} (one token beside the special ones) and the "
                f"{most} tokens that '{self.name}' reads."
            )
        return self.max_length

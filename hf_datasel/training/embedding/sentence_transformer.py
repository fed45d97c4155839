"""Models of sentence-transformers with whatever poolings and layers they end in; the library is an optional extra."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from hf_datasel.texts import TextOf
from hf_datasel.training.embedding.base import Passage, ReadPassages
from hf_datasel.training.embedding.loading import missing, optional_json
from hf_datasel.training.embedding.tokens import passages_of, text_reader
from hf_datasel.training.identity import digest_of, tokenizer_text
from hf_datasel.training.state import preserved_rng, scoring_mode

LIBRARY = "sentence_transformers"


@dataclass(frozen=True)
class SentenceTransformersEmbedder:
    """A model of sentence-transformers, as that library embeds with it.

    Args:
        name: of a repository on the Hub, or a path.
        max_length: tokens of a text that are read; the model's own by default.
        normalize: scale vectors to unit length, if the model does not.
        prompt: put before every text, as some models want ("query: ").
        revision: of the repository.
        device: where it runs; by default that of the process.

    Raises:
        ImportError: sentence-transformers is not installed; says how to.
        FileNotFoundError: the model's files are missing here and cannot be fetched; says how to get them.
        ValueError: the files are no model of sentence-transformers.
    """

    name: str
    _: KW_ONLY
    max_length: int | None = None
    normalize: bool = True
    prompt: str = ""
    revision: str | None = None
    device: str | None = None

    @cached_property
    def hash(self) -> str:
        """Digest of weights, modules and tokenizer."""
        tokenizer = "" if self._tokenizer is None else tokenizer_text(self._tokenizer)
        return digest_of(repr(self._model), tokenizer, tensors=self._model.state_dict())

    @cached_property
    def dimension(self) -> int:
        """d, as the first text shows it."""
        return int(self.embed(self._read(["text"])).shape[1])

    def describe(self) -> dict[str, Any]:
        """Name, hash, and the options that decide the vectors."""
        options = {key: value for key, value in asdict(self).items() if key != "device"}
        own = {"max_length": self._model.max_seq_length, "hash": self.hash, "dimension": self.dimension}
        return {"kind": LIBRARY, **options, **own}

    def reader(self, dataset: Dataset, text: TextOf) -> ReadPassages:
        """Texts, and as many tokens as the library will make of them."""
        return text_reader(dataset, text, self._read)

    def embed(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """Vectors float32 ``[n, d]``."""
        with scoring_mode(self._model):
            vectors: NDArray[np.float32] = self._model.encode(
                [passage.text for passage in passages],
                prompt=self.prompt or None,
                batch_size=len(passages),
                normalize_embeddings=self.normalize,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return vectors

    def _read(self, texts: list[str]) -> list[Passage]:
        if self._tokenizer is None:  # models of static vectors: no longest text, and characters tell long from short
            tokens = [Passage(np.frombuffer(text.encode(), np.uint8), np.ones(1, bool)) for text in texts]
        else:
            tokens = passages_of(self._tokenizer, [self.prompt + text for text in texts], self._model.max_seq_length)
        return [Passage(one.tokens, one.pooled, one.num_cut, text) for one, text in zip(tokens, texts, strict=True)]

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase | None:
        tokenizer = self._model.tokenizer
        return tokenizer if isinstance(tokenizer, PreTrainedTokenizerBase) else None

    @cached_property
    def _model(self) -> Any:
        try:
            library = importlib.import_module(LIBRARY)
        except ModuleNotFoundError as error:
            if error.name != LIBRARY:
                raise
            raise ImportError(
                "SentenceTransformersEmbedder needs sentence-transformers: pip install "
                "'hf-datasel[sentence-transformers]'. Most models need it not: pass hf_datasel.EncoderEmbedder."
            ) from error
        if optional_json(self.name, "modules.json", self.revision) is None:
            raise ValueError(
                f"'{self.name}' has no modules.json, so it is no model of sentence-transformers, which would make one "
                "of it by guessing: pass hf_datasel.EncoderEmbedder."
            )
        device = str(self.device or PartialState().device)
        try:
            with preserved_rng():
                model = library.SentenceTransformer(self.name, revision=self.revision, device=device)
        except OSError as error:
            raise missing(self.name, self.revision, error) from error
        if self.max_length is not None:
            model.max_seq_length = self.max_length
        return model

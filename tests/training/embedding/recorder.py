"""A made-up embedder that counts what it is asked for, and can be made to fail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_datasel.texts import TextOf
from hf_datasel.training.embedding import Passage
from hf_datasel.training.embedding.base import ReadPassages
from hf_datasel.training.embedding.tokens import text_reader


class RecordingEmbedder:
    """Every character a token, every vector the mean of its characters' codes and their squares.

    Args:
        hash: anything.
        fail_after: batches after which it is interrupted.
        log: a file that is told the texts of every batch.
    """

    name, dimension = "recorder", 2

    def __init__(self, hash: str = "0", fail_after: int | None = None, log: Path | None = None) -> None:
        self.hash, self.fail_after, self.log = hash, fail_after, log
        self.batches: list[list[str]] = []

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "hash": self.hash}

    def reader(self, dataset: Dataset, text: TextOf) -> ReadPassages:
        return text_reader(dataset, text, lambda texts: [as_passage(text) for text in texts])

    def embed(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        if self.fail_after is not None and len(self.batches) == self.fail_after:
            raise KeyboardInterrupt
        self.batches.append([passage.text for passage in passages])
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(json.dumps(self.batches[-1]) + "\n")
        return np.array([vector_of(passage.text) for passage in passages], dtype=np.float32)

    @property
    def seen(self) -> list[str]:
        """All texts it was given, sorted."""
        return sorted(text for batch in self.batches for text in batch)


def as_passage(text: str) -> Passage:
    return Passage(np.array([ord(letter) for letter in text]), np.ones(len(text), dtype=bool), text=text)


def vector_of(text: str) -> list[float]:
    codes = np.array([ord(letter) for letter in text], dtype=np.float64)
    return [codes.mean(), np.square(codes).mean()]

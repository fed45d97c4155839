"""Vectors on the disk by content: what an embedder made of some passages is found again by what they say.

A folder of an embedder's holds ``<digest of the passages>.npy`` with the vectors and ``<digest>.json`` with their
checksum, renamed into place last: vectors without it do not exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.utils import logging

from hf_datasel.content import DIGEST_BYTES
from hf_datasel.storage import crc32, read_array, read_json, write_array, write_json
from hf_datasel.training.embedding.base import Passage
from hf_datasel.training.identity import digest_of

logger = logging.get_logger(__name__)


class VectorCache:
    """The vectors of one embedder.

    Args:
        cache_dir: of all embedders; one run at a time may write there.
        embedder: what :meth:`Embedder.describe` says.
    """

    def __init__(self, cache_dir: Path, embedder: dict[str, Any]) -> None:
        self._folder = cache_dir / digest_of(json.dumps(embedder, sort_keys=True))

    def get(self, digest: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
        """The vectors of passages, float32 ``shape``; None where they are not here.

        Damaged ones are reported in the log, and count as not here.
        """
        record = self._folder / f"{digest}.json"
        if not record.exists():
            return None
        try:
            checksum = read_json(record, "cached block of vectors").get("crc32")
            vectors = read_array(record.with_suffix(".npy"), "Cached vectors", "float32", shape)
            if crc32(vectors) != checksum:
                raise ValueError(f"{record.with_suffix('.npy')} does not hold what was written.")
        except ValueError as error:
            logger.warning(f"The cache is damaged, so {shape[0]} examples are embedded again. {error}")
            return None
        return np.array(vectors)

    def put(self, digest: str, vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of passages; raises OSError, with nothing half-written, if it cannot."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_array(self._folder / f"{digest}.npy", vectors)
        write_json(self._folder / f"{digest}.json", {"crc32": crc32(vectors)})


def passages_digest(passages: Sequence[Passage]) -> str:
    """Hexadecimal digest of what an embedder reads in passages, in their order."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for passage in passages:
        text = passage.text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(passage.tokens)} {len(text)};".encode())
        digest.update(passage.tokens.astype("<i8").tobytes() + passage.pooled.tobytes() + text)
    return digest.hexdigest()

"""The hashed n-grams of a dataset's rows, read as often as is needed and hashed once.

With a folder every chunk of rows becomes a file in it, uint32: the tokens of each row, then the buckets of all their
n-grams. A chunk whose file is there is not hashed again, which is how a killed run goes on.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.importance_resampling import HashedTexts, NgramBuckets, hash_texts
from hf_datasel.storage import atomic_directory, read_json, write_array, write_json
from hf_datasel.texts import Texts

CHUNK_ROWS = 4096
KEY = "key.json"


@dataclass(frozen=True, eq=False)
class HashedRows:
    """Rows as buckets of n-grams, in the order of `order`.

    Args:
        texts: of the rows.
        order: int64 [N], row numbers.
        buckets: of n-grams; several datasets may share it.
        ngrams: longest n-gram, in tokens.
        folder: where chunks are kept; without it every reading hashes anew.
    """

    texts: Texts
    order: NDArray[np.int64]
    buckets: NgramBuckets
    ngrams: int
    folder: Path | None = None

    def chunks(self) -> Iterator[HashedTexts]:
        """The rows, 4096 at a time."""
        for number, start in enumerate(range(0, len(self.order), CHUNK_ROWS)):
            rows = self.order[start : start + CHUNK_ROWS]
            file = None if self.folder is None else self.folder / f"{number:06d}.npy"
            if file is not None and file.exists():
                stored = np.load(file, allow_pickle=False)
                hashed = HashedTexts(stored[: len(rows)], stored[len(rows) :], self.ngrams)
            else:
                hashed = hash_texts(self.texts.read(rows), self.buckets, self.ngrams)
                if file is not None:
                    write_array(file, np.concatenate([hashed.num_tokens, hashed.buckets]))
            yield hashed

    def counts(self, advance: Callable[[int], Any]) -> NDArray[np.int64]:
        """How many n-grams of all rows fall into each bucket, int64 [num_buckets]; `advance` hears of rows done."""
        counts = np.zeros(self.buckets.num_buckets, np.int64)
        for chunk in self.chunks():
            counts += chunk.counts(len(counts))
            advance(len(chunk.num_tokens))
        return counts

    def log_weights(self, log_ratio: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
        """log w of each row, float64 [N], and its number of tokens, uint32 [N]."""
        weighed = [(chunk.log_weights(log_ratio), chunk.num_tokens) for chunk in self.chunks()]
        weights, num_tokens = zip(*weighed, strict=True)
        return np.concatenate(weights), np.concatenate(num_tokens)


@contextlib.contextmanager
def kept_folder(path: Path | None, key: dict[str, Any]) -> Iterator[Path]:
    """A folder that is deleted when the block ends well, and found again where it was killed or failed.

    Args:
        path: where it stands; None for a temporary one, which is deleted in any case.
        key: what its content depends on, as JSON gives it back; a folder with another key is emptied first.

    Raises:
        FileExistsError: something else is at `path`. OSError: it cannot be written.
    """
    if path is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    key = {**key, "chunk_rows": CHUNK_ROWS}
    if not (path / KEY).is_file() or read_json(path / KEY, "folder of hashed n-grams") != key:
        with atomic_directory(path, what="folder of hashed n-grams", marker=KEY, overwrite=True) as building:
            write_json(building / KEY, key)
    yield path
    shutil.rmtree(path)

"""Embedding a dataset: in length-sorted batches, spread over the processes, a block at a time kept on the disk.

Legend: N examples, d dimensions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast, reduce
from datasets import Dataset
from numpy.typing import NDArray
from tqdm.auto import tqdm
from transformers.utils import logging

from hf_datasel.embeddings import Embeddings
from hf_datasel.example_ids import is_streaming, read_example_ids, require_one_table, stamped_fingerprint
from hf_datasel.texts import TextOf
from hf_datasel.training.embedding.base import Embedder, Passage
from hf_datasel.training.embedding.cache import VectorCache, passages_digest
from hf_datasel.training.embedding.encoder import EncoderEmbedder
from hf_datasel.training.state import preserved_rng

logger = logging.get_logger(__name__)

BLOCK_ROWS = 1024  # a process's share between two meetings, and what a killed run loses at most


def embed(
    dataset: Dataset,
    embedder: str | Embedder,
    *,
    text: TextOf = None,
    batch_size: int = 64,
    max_length: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    device: str | None = None,
) -> Embeddings:
    """A vector for every example.

    Under ``accelerate launch`` the rows are spread over the processes, and each of them returns all vectors, which it
    holds in memory: N x d x 4 bytes. They depend on the text and the embedder: not on the order of the rows, on
    ``batch_size`` or on the number of processes, beyond the rounding of floating-point sums.

    Args:
        dataset: a `datasets.Dataset` with ``example_id``.
        embedder: an embedder, or the name or path of an encoder, which becomes an
            :class:`~hf_datasel.EncoderEmbedder`.
        text: of a row: a column of strings or messages, or a function from a row (a dictionary) to its text. Without
            it `messages`, `prompt` and `completion`, or `text`, whichever the dataset has.
        batch_size: examples in a batch on one process.
        max_length: tokens of a text that are read, for an embedder given by name; what is beyond is cut off and
            reported once.
        cache_dir: where vectors are kept by what was embedded and by what, so that a killed run goes on, and a second
            run takes no time. None keeps nothing.
        device: where an embedder given by name runs; by default that of the process.

    Raises:
        TypeError: a stream, a dictionary of splits, no dataset, or no embedder.
        ValueError: no ids, a row that cannot be embedded (its example id is named), a vector that is not finite, or an
            option out of range.
        FileNotFoundError: the embedder is not here and cannot be fetched; says what to fetch, and how.
        OSError: the cache cannot be written (a full disk); nothing is left half-written.

    Example:
        >>> from datasets import Dataset
        >>> from hf_datasel import BagEmbedder, add_example_ids
        >>> rows = add_example_ids(Dataset.from_dict({"text": ["one plus one", "two plus one", "a blue sky"]}))
        >>> embeddings = embed(rows, BagEmbedder(dimension=128))
        >>> one, two, sky = embeddings.vectors
        >>> bool(one @ two > one @ sky)
        True
    """
    require_one_table(dataset, "embed")
    if is_streaming(dataset):
        raise TypeError("embed needs a datasets.Dataset: a stream has no length and no order that could be resumed.")
    ids = read_example_ids(dataset)
    if not len(ids):
        raise ValueError("embed: the dataset has no rows. Check how it was loaded or filtered.")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    if isinstance(embedder, str):
        embedder = EncoderEmbedder(embedder, max_length=max_length, device=device)
    elif not hasattr(embedder, "reader"):
        raise TypeError(
            "embedder must be the name or path of an encoder, or an embedder such as HiddenStateEmbedder(model, "
            f"tokenizer), not a {type(embedder).__name__}."
        )
    elif max_length is not None or device is not None:
        raise ValueError(f"max_length= and device= are for an embedder given by name: set them in {embedder.name}.")
    with preserved_rng(PartialState().device):
        sweep = _Sweep(dataset, ids, embedder, text, batch_size, None if cache_dir is None else Path(cache_dir))
        vectors = sweep.run()
    about = {**sweep.about, "text": text if text is None or isinstance(text, str) else _name_of(text)}
    return Embeddings.from_arrays(sweep.ids, vectors, embedder=about, fingerprint=stamped_fingerprint(dataset))


class _Sweep:
    """One pass over the rows in the order of their ids."""

    def __init__(
        self,
        dataset: Dataset,
        ids: NDArray[np.int64],
        embedder: Embedder,
        text: TextOf,
        batch_size: int,
        cache_dir: Path | None,
    ) -> None:
        self._order = np.argsort(ids, kind="stable")
        self.ids = ids[self._order]
        self.about = embedder.describe()
        self._embedder, self._batch_size = embedder, batch_size
        self._dimension = embedder.dimension
        self._read = embedder.reader(dataset, text)
        self._cache = None if cache_dir is None else VectorCache(cache_dir, self.about)
        self._num_cut = 0

    def run(self) -> NDArray[np.float32]:
        """All vectors, float32 ``[N, d]`` in the order of :attr:`ids`, the same on every process.

        The processes take a block each and meet: none waits for another longer than a block takes.
        """
        state, num_examples = PartialState(), len(self.ids)
        rank, world = state.process_index, state.num_processes
        vectors = np.empty((num_examples, self._dimension), dtype=np.float32)
        blocks = [slice(start, min(start + BLOCK_ROWS, num_examples)) for start in range(0, num_examples, BLOCK_ROWS)]
        show = None if state.is_local_main_process else True  # None: where stderr is a terminal
        with tqdm(total=num_examples, desc="Embedding", unit="example", leave=False, disable=show) as bar:
            for start in range(0, len(blocks), world):
                together = blocks[start : start + world]
                own = None
                if rank < len(together):
                    own = self._block(together[rank], lambda done: bar.update(min(done * world, bar.total - bar.n)))
                for owner, block in enumerate(together):
                    vectors[block] = _shared(own if owner == rank else None, owner, vectors[block].shape, state)
        self._report_cut(state)
        return vectors

    def _block(self, block: slice, advance: Callable[[int], object]) -> NDArray[np.float32]:
        """Vectors of a block, from the cache or made and kept there."""
        ids, passages = self.ids[block], self._read(self._order[block])
        self._num_cut += sum(passage.num_cut > 0 for passage in passages)
        digest = passages_digest(passages) if self._cache is not None else ""
        shape = (len(passages), self._dimension)
        if self._cache is not None and (cached := self._cache.get(digest, shape)) is not None:
            advance(len(passages))
            return cached
        vectors = self._embed(ids, passages, advance)
        if self._cache is not None:
            self._cache.put(digest, vectors)
        return vectors

    def _embed(
        self, ids: NDArray[np.int64], passages: Sequence[Passage], advance: Callable[[int], object]
    ) -> NDArray[np.float32]:
        empty = np.array([not passage.pooled.any() for passage in passages])
        if empty.any():
            raise ValueError(
                f"The embedder {self.about['name']} finds no token in the text of example {ids[np.argmax(empty)]}: "
                "drop the row, or say where its text is with text=."
            )
        vectors = np.empty((len(passages), self._dimension), dtype=np.float32)
        # The longest first, so that too large a batch shows at once.
        order = np.argsort([-len(passage.tokens) for passage in passages], kind="stable")
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            made = self._embedder.embed([passages[number] for number in chosen])
            if made.dtype != np.float32 or made.shape != (len(chosen), self._dimension):
                raise ValueError(
                    f"The embedder {self.about['name']} gave {made.dtype}{list(made.shape)} for a batch of "
                    f"{len(chosen)} passages; float32{[len(chosen), self._dimension]} was expected."
                )
            finite = np.isfinite(made).all(axis=1)
            if not finite.all():
                raise ValueError(
                    f"The embedder {self.about['name']} gives example {ids[chosen[np.argmin(finite)]]} a vector that "
                    f"is not finite, or zero, which has no direction ({np.count_nonzero(~finite)} of {len(chosen)} in "
                    "its batch are so). Embed in float32, check the embedder's weights, or drop the row."
                )
            vectors[chosen] = made
            advance(len(chosen))
        return vectors

    def _report_cut(self, state: PartialState) -> None:
        num_cut = int(reduce(torch.tensor(self._num_cut, device=state.device), reduction="sum"))
        if num_cut and state.is_main_process:
            logger.warning(
                f"{num_cut} of {len(self.ids)} examples are longer than the {self.about.get('max_length')} tokens "
                f"that the embedder {self.about['name']} reads; what is beyond was cut off."
            )


def _shared(
    own: NDArray[np.float32] | None, owner: int, shape: tuple[int, ...], state: PartialState
) -> NDArray[np.float32]:
    """What process ``owner`` holds, on all of them."""
    if own is not None and state.num_processes == 1:
        return own
    held = torch.empty(shape) if own is None else torch.from_numpy(own)
    shared: NDArray[np.float32] = broadcast(held.to(state.device), from_process=owner).cpu().numpy()
    return shared


def _name_of(function: Any) -> str:
    return f"function {getattr(function, '__qualname__', type(function).__name__)}"

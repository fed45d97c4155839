"""Records BM25 scores: how well every row, as a document, answers a search for the rows of a target.

The formula stands in `functional/bm25.py`, the choice in `selectors/bm25.py`. No model is needed. Texts are split into
words and runs of punctuation, in lower case, as for DSIR. Rows are read once; their words that some query has, 4 bytes
a token, are on the disk until the scores are known.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_datasel.content import content_digest
from hf_datasel.example_ids import read_example_ids, stamped_fingerprint
from hf_datasel.functional.bm25 import BM25, K1, B, TermCounts, inverse_document_frequencies
from hf_datasel.functional.importance_resampling import NgramBuckets, tokenize
from hf_datasel.hashed_rows import CHUNK_ROWS, HashedRows, kept_folder
from hf_datasel.row_trace import free_path, require_table, write_row_trace
from hf_datasel.selectors.bm25 import METRIC
from hf_datasel.texts import TextOf, Texts
from hf_datasel.trace import Trace
from hf_datasel.version import __version__

NOTHING_SHARED = (
    "No row of the dataset has a word of the target: every BM25 score is 0, and a selection by them is a uniform "
    "draw. Look whether text= names the right columns in both."
)


class Vocabulary(NgramBuckets):
    """The number of each of V words; any other has the number V."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(len(words))
        self.update((word, number) for number, word in enumerate(words))

    def __missing__(self, word: str) -> int:
        return self.num_buckets


def record_bm25(
    dataset: Any,
    target_dataset: Any,
    *,
    text: TextOf = None,
    combine: Literal["mean", "max"] = "mean",
    k1: float = K1,
    b: float = B,
    output_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Trace:
    """The BM25 score of every row for the rows of a target as queries, for `BM25Selector`.

    Args:
        dataset: a `datasets.Dataset` with `example_id`: the documents.
        target_dataset: rows such as the model is wanted for: the queries; they need no ids.
        text: of a row, in both datasets: a column of strings or messages, or a function from a row (a dictionary) to
            its text. Without it `messages`, `prompt` and `completion`, or `text`, whichever the dataset has.
        combine: "mean" of the scores for all queries, or "max", the largest, whose cost grows with the queries.
        k1: how soon more of the same word stops to count, at least 0; 1.5.
        b: how much the length of a row counts against it, 0 .. 1; 0.75.
        output_dir: directory of the Trace; without it the Trace is in memory. `<output_dir>.ngrams` stands beside it
            while it is made: a killed run, called again, goes on from there, unless its texts or the words of its
            queries are others now, or `text` is a function, of which nobody can tell.
        overwrite: replace a Trace at `output_dir`.

    Returns:
        A Trace of the metric "bm25" with one column; high is good. Rows without a word are unmeasurable.

    Raises:
        TypeError: a stream, or a dictionary of splits.
        ValueError: an option out of range, a row without text, no word in one of the datasets, or no ids.
        FileExistsError: `output_dir` is taken. OSError: it cannot be written.

    A UserWarning says so where every score is 0, because no row has a word of the target.

    Example:
        >>> from datasets import Dataset
        >>> from hf_datasel import add_example_ids
        >>> dataset = add_example_ids(Dataset.from_dict({"text": ["two plus two", "a red door", "two plus one"]}))
        >>> trace = record_bm25(dataset, Dataset.from_dict({"text": ["one plus one"]}))
        >>> trace.metric, int(trace.column(0).argmax())
        ('bm25', 2)
    """
    _require_options(combine, k1, b)
    for what, rows in (("dataset", dataset), ("target_dataset", target_dataset)):
        require_table(rows, f"record_bm25: {what}")
    path = free_path(output_dir, overwrite)
    ids = read_example_ids(dataset)
    texts, target_texts = Texts(dataset, text, "dataset"), Texts(target_dataset, text, "target_dataset")
    words = _words(target_texts, len(target_dataset))
    digest = None if texts.columns is None else content_digest(dataset, ids, texts.columns)
    keep_at = None if path is None or digest is None else path.with_name(f"{path.name}.ngrams")
    key = {"text": texts.description, "digest": digest, "words": _digest(words)}
    with kept_folder(keep_at, key) as folder:
        vocabulary = Vocabulary(words)
        queries = _queries(HashedRows(target_texts, np.arange(len(target_dataset)), vocabulary, 1))
        rows = HashedRows(texts, np.argsort(ids, kind="stable"), vocabulary, 1, folder)
        scores, num_tokens = _score(rows, queries, combine, float(k1), float(b))
        trace = write_row_trace(
            path,
            np.sort(ids),
            scores,
            metric=METRIC,
            unmeasurable={"no word": num_tokens == 0},
            fingerprint=stamped_fingerprint(dataset),
            info={
                "combine": combine,
                "k1": float(k1),
                "b": float(b),
                "text": texts.description,
                "num_target_rows": len(target_dataset),
                "hf_datasel": __version__,
            },
            overwrite=overwrite,
        )
    if not scores.any():
        warnings.warn(NOTHING_SHARED, UserWarning, stacklevel=2)
    return trace


def _require_options(combine: Any, k1: Any, b: Any) -> None:
    if combine not in ("mean", "max"):
        raise ValueError(f"record_bm25: combine={combine!r} must be 'mean' or 'max'.")
    for option, value, most in (("k1", k1, float("inf")), ("b", b, 1.0)):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value <= most or value == float("inf"):
            span = "of at least 0" if option == "k1" else "from 0 to 1"
            raise ValueError(f"record_bm25: {option}={value!r} must be a number {span}.")


def _words(texts: Texts, num_rows: int) -> list[str]:
    """Every word of the target, sorted."""
    words: set[str] = set()
    for start in range(0, num_rows, CHUNK_ROWS):
        for text in texts.read(slice(start, start + CHUNK_ROWS)):
            words.update(tokenize(text))
    if not words:
        raise ValueError(f"record_bm25: target_dataset has not one word in its {num_rows:,} rows.")
    return sorted(words)


def _digest(words: list[str]) -> str:
    return hashlib.blake2b("\n".join(words).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _queries(rows: HashedRows) -> TermCounts:
    chunks = list(rows.chunks())
    num_tokens, tokens = (
        np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in ("num_tokens", "buckets")
    )
    return TermCounts.of(num_tokens, tokens, rows.buckets.num_buckets)


def _score(
    rows: HashedRows, queries: TermCounts, combine: str, k1: float, b: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores float64 [N] and numbers of tokens int64 [N], in the order of `rows`."""
    num_rows, num_terms = len(rows.order), queries.num_terms
    num_tokens, scores = np.empty(num_rows, np.int64), np.empty(num_rows, np.float64)
    num_containing = np.zeros(num_terms, np.int64)
    with tqdm(total=2 * num_rows, desc="BM25", unit="row", leave=False, disable=not sys.stderr.isatty()) as bar:
        done = 0
        for chunk in rows.chunks():
            num_tokens[done : done + len(chunk.num_tokens)] = chunk.num_tokens
            num_containing += TermCounts.of(chunk.num_tokens, chunk.buckets, num_terms).num_containing()
            done += len(chunk.num_tokens)
            bar.update(len(chunk.num_tokens))
        if not num_tokens.any():
            raise ValueError(f"record_bm25: dataset has not one word in its {num_rows:,} rows.")
        idf = inverse_document_frequencies(num_containing, num_rows)
        bm25 = BM25(queries, idf, float(num_tokens.mean()), k1, b)
        score = bm25.mean_scores if combine == "mean" else bm25.largest_scores
        done = 0
        for chunk in rows.chunks():
            counts = TermCounts.of(chunk.num_tokens, chunk.buckets, num_terms)
            scores[done : done + counts.num_documents] = score(counts, chunk.num_tokens)
            done += counts.num_documents
            bar.update(counts.num_documents)
    return scores, num_tokens

"""Records DSIR's log importance weights: how much likelier a row's n-grams are in a target than in the dataset.

Xie, Santurkar, Ma, Liang, NeurIPS 2023, arXiv 2302.03169; the formula stands in `functional/importance_resampling.py`,
the draw in `selectors/dsir.py`. No model is needed. Rows are hashed once; their hashes, 4 bytes an n-gram, are on the
disk until the weights are known.

Where we differ from the released code: texts of fewer than 100 tokens are not dropped unless `min_tokens` says so; one
without any token has no weight and is never selected (there its log weight is 0, above that of most rows); and all of
the dataset's n-grams are counted, where the released code stops at 100,000 a bucket.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_datasel.content import content_digest
from hf_datasel.example_ids import read_example_ids, stamped_fingerprint
from hf_datasel.functional.importance_resampling import NgramBuckets, log_ratios
from hf_datasel.hashed_rows import HashedRows, kept_folder
from hf_datasel.row_trace import free_path, require_table, write_row_trace
from hf_datasel.selectors.dsir import METRIC
from hf_datasel.texts import TextOf, Texts
from hf_datasel.trace import Trace
from hf_datasel.version import __version__

EQUAL = (
    "The target and the dataset have the same shares of n-grams, as a dataset has with itself: every log weight is 0, "
    "and DSIR is a uniform draw. Pass the rows that the model is wanted for as target_dataset."
)


def record_dsir(
    dataset: Any,
    target_dataset: Any,
    *,
    text: TextOf = None,
    num_buckets: int = 10_000,
    ngrams: int = 2,
    min_tokens: int = 0,
    output_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Trace:
    """The log importance weight of every row, for `DSIRSelector`.

    Args:
        dataset: a `datasets.Dataset` with `example_id`.
        target_dataset: rows such as the model is wanted for; they need no ids.
        text: of a row, in both datasets: a column of strings or messages, or a function from a row (a dictionary) to
            its text. Without it `messages`, `prompt` and `completion`, or `text`, whichever the dataset has.
        num_buckets: that n-grams are hashed into.
        ngrams: the longest n-gram, in tokens.
        min_tokens: shorter rows are never selected; they count in the dataset's n-grams all the same.
        output_dir: directory of the Trace; without it the Trace is in memory. `<output_dir>.ngrams` stands beside it
            while it is made: a killed run, called again, goes on from there, unless its texts or options are others
            now, or `text` is a function, of which nobody can tell.
        overwrite: replace a Trace at `output_dir`.

    Returns:
        A Trace of the metric "dsir" with one column, the log weights in nats; high is good.

    Raises:
        TypeError: a stream, or a dictionary of splits.
        ValueError: an option out of range, a row without text, no word in one of the datasets, or no ids.
        FileExistsError: `output_dir` is taken. OSError: it cannot be written.

    A UserWarning says so where every weight is 0, as with the dataset for its own target: DSIR is then a uniform draw.

    Example:
        >>> from datasets import Dataset
        >>> from hf_datasel import add_example_ids
        >>> dataset = add_example_ids(Dataset.from_dict({"text": ["two plus two", "a red door", "two plus one"]}))
        >>> trace = record_dsir(dataset, Dataset.from_dict({"text": ["one plus one"]}))
        >>> trace.metric, int(trace.column(0).argmax())
        ('dsir', 2)
    """
    _require_options(num_buckets=(num_buckets, 1), ngrams=(ngrams, 1), min_tokens=(min_tokens, 0))
    for what, rows in (("dataset", dataset), ("target_dataset", target_dataset)):
        require_table(rows, f"record_dsir: {what}")
    path = free_path(output_dir, overwrite)
    ids = read_example_ids(dataset)
    texts, target_texts = Texts(dataset, text, "dataset"), Texts(target_dataset, text, "target_dataset")
    info = {"num_buckets": num_buckets, "ngrams": ngrams, "text": texts.description}
    digest = None if texts.columns is None else content_digest(dataset, ids, texts.columns)
    keep_at = None if path is None or digest is None else path.with_name(f"{path.name}.ngrams")
    with kept_folder(keep_at, {**info, "digest": digest}) as folder:
        buckets = NgramBuckets(num_buckets)
        target = HashedRows(target_texts, np.arange(len(target_dataset)), buckets, ngrams)
        raw = HashedRows(texts, np.argsort(ids, kind="stable"), buckets, ngrams, folder)
        ratios = log_ratios(*_counts(target, raw))
        weights, num_tokens = raw.log_weights(ratios)
        info |= {"min_tokens": min_tokens, "num_target_rows": len(target_dataset), "hf_datasel": __version__}
        short = {"no word": num_tokens == 0}
        if min_tokens > 1:
            short[f"fewer than {min_tokens} words"] = num_tokens < min_tokens
        trace = write_row_trace(
            path,
            np.sort(ids),
            weights,
            metric=METRIC,
            unmeasurable=short,
            fingerprint=stamped_fingerprint(dataset),
            info=info,
            overwrite=overwrite,
        )
    if not ratios.any():
        warnings.warn(EQUAL, UserWarning, stacklevel=2)
    return trace


def _require_options(**options: tuple[Any, int]) -> None:
    for option, (value, least) in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**32:
            raise ValueError(f"record_dsir: {option}={value!r} must be an int from {least} to 2**32 - 1.")


def _counts(target: HashedRows, raw: HashedRows) -> list[NDArray[np.int64]]:
    counts = []
    total = len(target.order) + len(raw.order)
    with tqdm(total=total, desc="DSIR", unit="row", leave=False, disable=not sys.stderr.isatty()) as bar:
        for rows, what in ((target, "target_dataset"), (raw, "dataset")):
            counts.append(rows.counts(bar.update))
            if not counts[-1].any():
                raise ValueError(f"record_dsir: {what} has not one word in its {len(rows.order):,} rows.")
    return counts

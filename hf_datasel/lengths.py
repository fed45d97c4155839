"""Records how long every row's answer is, for `LongestSelector`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hf_datasel.example_ids import read_example_ids, stamped_fingerprint
from hf_datasel.row_trace import free_path, require_table, write_row_trace
from hf_datasel.selectors.longest import METRIC
from hf_datasel.texts import Answers, TextOf
from hf_datasel.trace import Trace
from hf_datasel.version import __version__

CHUNK_ROWS = 4096


def record_lengths(
    dataset: Any,
    *,
    answer: TextOf = None,
    tokenizer: Callable[..., Any] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Trace:
    """The length of every row's answer; an answer that is empty has the length 0.

    Args:
        dataset: a `datasets.Dataset` with `example_id`.
        answer: of a row: a column of strings or messages, or a function from a row (a dictionary) to its answer.
            Without it what the assistant says in `messages`, `completion`, or `text`, whichever the dataset has.
        tokenizer: of Transformers, to count tokens, without special ones; characters are counted without it.
        output_dir: directory of the Trace; without it the Trace is in memory.
        overwrite: replace a Trace at `output_dir`.

    Returns:
        A Trace of the metric "length" with one column; `info["unit"]` is "characters" or "tokens".

    Raises:
        TypeError: a stream, or a dictionary of splits.
        ValueError: a row without an answer's column or text (named), or no ids.
        FileExistsError: `output_dir` is taken. OSError: it cannot be written.

    Example:
        >>> from datasets import Dataset
        >>> from hf_datasel import add_example_ids
        >>> rows = {"prompt": ["sky?", "2+2="], "completion": ["blue, mostly", "4"]}
        >>> record_lengths(add_example_ids(Dataset.from_dict(rows))).column(0).tolist()
        [12.0, 1.0]
    """
    require_table(dataset, "record_lengths: dataset")
    path = free_path(output_dir, overwrite)
    ids = read_example_ids(dataset)
    answers = Answers(dataset, answer, "dataset")
    order = np.argsort(ids, kind="stable")
    lengths = np.empty(len(ids), np.float64)
    with tqdm(total=len(ids), desc="Lengths", unit="row", leave=False, disable=not sys.stderr.isatty()) as bar:
        for start in range(0, len(ids), CHUNK_ROWS):
            block = slice(start, start + CHUNK_ROWS)
            texts = answers.read(order[block])
            counted = texts if tokenizer is None else tokenizer(texts, add_special_tokens=False)["input_ids"]
            lengths[block] = [len(one) for one in counted]
            bar.update(len(texts))
    return write_row_trace(
        path,
        ids[order],
        lengths,
        metric=METRIC,
        unmeasurable={},
        fingerprint=stamped_fingerprint(dataset),
        info={
            "unit": "characters" if tokenizer is None else "tokens",
            "answer": answers.description,
            "tokenizer": None if tokenizer is None else getattr(tokenizer, "name_or_path", type(tokenizer).__name__),
            "hf_datasel": __version__,
        },
        overwrite=overwrite,
    )

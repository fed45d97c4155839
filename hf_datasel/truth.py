"""Reads which rows are good from a column that says so, for `OracleSelector`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from hf_datasel.data import strata
from hf_datasel.example_ids import read_example_ids, stamped_fingerprint
from hf_datasel.row_trace import free_path, require_table, write_row_trace
from hf_datasel.selectors.oracle import METRIC
from hf_datasel.trace import Trace
from hf_datasel.version import __version__

SHOWN_VALUES = 8


def record_truth(
    dataset: Any,
    column: str,
    *,
    good: bool | int | str = True,
    output_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Trace:
    """Which rows are good, where a column says it.

    Args:
        dataset: a `datasets.Dataset` with `example_id`.
        column: of booleans; or of labels, where `good` names one.
        good: the value that good rows have in the column: True, or False where it marks the bad ones; of a column of
            labels one of them, of class labels its name.
        output_dir: directory of the Trace; without it the Trace is in memory.
        overwrite: replace a Trace at `output_dir`.

    Returns:
        A Trace of the metric "clean" with one column: 1 for a good row, 0 for another one.

    Raises:
        TypeError: a stream, or a dictionary of splits.
        ValueError: no such column, a row without a value in it (named), a column of another type than `good`, or no
            row that is good; or no ids.
        FileExistsError: `output_dir` is taken. OSError: it cannot be written.

    Example:
        >>> from datasets import Dataset
        >>> from hf_datasel import add_example_ids
        >>> rows = add_example_ids(Dataset.from_dict({"kind": ["clean", "shuffled", "clean"]}))
        >>> record_truth(rows, "kind", good="clean").column(0).tolist()
        [1.0, 0.0, 1.0]
    """
    require_table(dataset, "record_truth: dataset")
    path = free_path(output_dir, overwrite)
    ids, labels = read_example_ids(dataset), strata(dataset, column).labels
    kind = getattr(dataset.features[column], "dtype", "lists")
    if isinstance(good, bool) != (kind == "bool"):
        raise ValueError(
            f"The truth: column {column!r} is of {kind}, and good={good!r} is no value of it: name a column of "
            "booleans, or say which of its values good rows have, as in good='clean'."
        )
    is_good = np.array([label == str(good) for label in labels])
    if not is_good.any():
        values = sorted(set(labels))
        more = f" and {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else ""
        raise ValueError(
            f"The truth: no row has good={good!r} in column {column!r}, only {values[:SHOWN_VALUES]}{more}."
        )
    order = np.argsort(ids, kind="stable")
    return write_row_trace(
        path,
        ids[order],
        is_good[order].astype(np.float64),
        metric=METRIC,
        unmeasurable={},
        fingerprint=stamped_fingerprint(dataset),
        info={"column": column, "good": good, "hf_datasel": __version__},
        overwrite=overwrite,
    )

"""What hf_datasel does to a `datasets.Dataset`: ids, fingerprints, strata, annotations.

Every function returns a new dataset and leaves the one it was given, its `info` included, as it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.content import content_digest
from hf_datasel.example_ids import is_streaming, member_mask, read_example_ids, require_one_table, stamped_fingerprint
from hf_datasel.fingerprint import EXAMPLE_ID, DatasetFingerprint
from hf_datasel.selection import Selection
from hf_datasel.selectors.pool import Strata


@dataclass(frozen=True, eq=False)
class Rows:
    """Evidence for a selector that reads no values: `ids` int64 [N], ascending, and the dataset they number."""

    ids: NDArray[np.int64]
    fingerprint: DatasetFingerprint | None


def add_example_ids(dataset: Any) -> Any:
    """Give every row an int64 column `example_id`, its number in this dataset, and stamp the dataset's description.

    A valid column that is there already stays, and so does its stamp. Do this once, on the source, before rows are
    shuffled, filtered or split.

    Args:
        dataset: a `datasets.Dataset`. An `IterableDataset` of one shard also gets ids, but no stamp, as nobody has
            seen its content.

    Returns:
        A new dataset of the same kind.

    Raises:
        TypeError: a dictionary of splits, or no dataset.
        ValueError: no rows; an `example_id` column of another type, with a null or a repeated id (row named); or a
            stream of several shards, whose workers would each count from 0.
    """
    require_one_table(dataset, "add_example_ids")
    if is_streaming(dataset):
        return _number_stream(dataset)
    if not len(dataset):
        raise ValueError("add_example_ids: the dataset has no rows. Check how it was loaded or filtered.")
    if EXAMPLE_ID in dataset.column_names:
        read_example_ids(dataset)
        if stamped_fingerprint(dataset) is not None:
            return dataset
    else:
        dataset = dataset.add_column(EXAMPLE_ID, np.arange(len(dataset), dtype=np.int64))
    return _stamp(dataset, _compute_fingerprint(dataset))


def dataset_fingerprint(dataset: Any) -> DatasetFingerprint:
    """The stamp of a dataset, or where it has none, the fingerprint of its content; does not depend on row order.

    Raises:
        TypeError: a stream without a stamp, a dictionary of splits, or no dataset.
        ValueError: bad or missing example ids.
    """
    require_one_table(dataset, "dataset_fingerprint")
    stamped = stamped_fingerprint(dataset)
    if stamped is None and is_streaming(dataset):
        raise TypeError("dataset_fingerprint: the content of a stream is not known before it has flowed by.")
    return stamped or _compute_fingerprint(dataset)


def rows(dataset: Any) -> Rows:
    """The ids and the stamp of a dataset, as evidence for `RandomSelector`; raises as `read_example_ids` does."""
    require_one_table(dataset, "rows")
    return Rows(np.sort(read_example_ids(dataset)), stamped_fingerprint(dataset))


def strata(dataset: Any, column: str) -> Strata:
    """The labels in a column, by example id; class labels become their names.

    Raises:
        ValueError: no such column, or a row without a label (row and example id named).
    """
    require_one_table(dataset, "strata")
    _require_column(dataset, column)
    ids = read_example_ids(dataset)
    values = dataset.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()
    if None in values:
        row = values.index(None)
        raise ValueError(f"Row {row} (example {ids[row]}) has no label in column {column!r}. Fill it or drop the row.")
    name_of = getattr(dataset.features[column], "int2str", None)
    return Strata(ids, [name_of(value) if name_of else str(value) for value in values])


def annotate(dataset: Any, selection: Selection, prefix: str = "selection") -> Any:
    """Add what a Selection says of each row, aligned by example id.

    The columns are `<prefix>_kept`, `<prefix>_score` and `<prefix>_cluster`. Where a row was no candidate they say
    False, NaN and -1. A column that the Selection does not have is not added.

    Raises:
        TypeError: a stream, a dictionary of splits, or no dataset.
        ValueError: bad or missing ids, a Selection of another dataset, or a column name that is taken.
    """
    require_one_table(dataset, "annotate")
    if is_streaming(dataset):
        raise TypeError("annotate needs a datasets.Dataset; for a stream keep the Selection beside it, or use apply.")
    ids = read_example_ids(dataset)
    stamped = stamped_fingerprint(dataset)
    if stamped is not None and selection.fingerprint is not None:
        stamped.require_same(selection.fingerprint, "This Selection")
    candidates = member_mask(selection.candidate_ids, ids)
    where = np.searchsorted(selection.candidate_ids, ids[candidates])
    for name, values, missing in (
        ("kept", selection.kept, False),
        ("score", selection.scores, math.nan),
        ("cluster", selection.clusters, -1),
    ):
        if values is None:
            continue
        column = f"{prefix}_{name}"
        if column in dataset.column_names:
            raise ValueError(f"annotate: the dataset already has a column {column!r}. Choose another prefix.")
        aligned = np.full(len(ids), missing, values.dtype)
        aligned[candidates] = values[where]
        dataset = dataset.add_column(column, aligned)
    return dataset


def _compute_fingerprint(dataset: Any) -> DatasetFingerprint:
    columns = tuple(sorted(name for name in dataset.column_names if name != EXAMPLE_ID))
    return DatasetFingerprint(content_digest(dataset, read_example_ids(dataset), columns), len(dataset), columns)


def _stamp(dataset: Any, fingerprint: DatasetFingerprint) -> Any:
    stamped = dataset.select_columns(dataset.column_names)  # a new dataset object with an info of its own
    stamped.info.description = fingerprint.stamp_into(stamped.info.description)
    return stamped


def _number_stream(dataset: Any) -> Any:
    if dataset.column_names is not None and EXAMPLE_ID in dataset.column_names:
        dtype = getattr((dataset.features or {}).get(EXAMPLE_ID), "dtype", "int64")
        if dtype != "int64":
            raise ValueError(f"add_example_ids: column {EXAMPLE_ID!r} is of {dtype}, not of int64. Cast or rename it.")
        return dataset
    if dataset.num_shards > 1:
        raise ValueError(
            f"add_example_ids: this stream has {dataset.num_shards} shards, and each worker would number its own "
            f"from 0. Store an int64 column {EXAMPLE_ID!r} with the data, or load it without streaming."
        )
    return dataset.map(_number_row, with_indices=True)


def _number_row(row: dict[str, Any], index: int) -> dict[str, int]:
    if EXAMPLE_ID in row:
        raise ValueError(f"add_example_ids: row {index} of the stream already has an {EXAMPLE_ID!r}; use it as it is.")
    return {EXAMPLE_ID: index}


def _require_column(dataset: Any, column: str) -> None:
    if column not in dataset.column_names:
        raise ValueError(f"The dataset has no column {column!r}, only {list(dataset.column_names)}.")

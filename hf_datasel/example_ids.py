"""Example ids: checking them, reading them off a dataset, and finding rows by them.

An example id is the row's number in the source dataset, an int64 that stays with the row through shuffling,
filtering and packing. Datasets are recognised by what they can do (`datasets` is never imported here).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_datasel.fingerprint import EXAMPLE_ID, DatasetFingerprint

_GIVE_IDS = "Give every row one with hf_datasel.add_example_ids(dataset)"


def check_ids(ids: ArrayLike, what: str) -> NDArray[np.int64]:
    """The ids as int64 [N], in the order given.

    Raises:
        ValueError: they are not one row of non-negative integers, or one is there twice; names the id and its rows.
    """
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(
            f"{what}: example ids must be a one-dimensional array of integers, not {array.dtype}{list(array.shape)}."
        )
    array = array.astype(np.int64, copy=False)
    if array.size and array.min() < 0:
        row = int(np.argmax(array < 0))
        raise ValueError(
            f"{what}: row {row} has the negative example id {array[row]}; ids are row numbers of the source dataset."
        )
    if not is_ascending(array):
        order = np.argsort(array, kind="stable")
        twice = np.flatnonzero(np.diff(array[order]) == 0)
        if twice.size:
            first, second = order[twice[0]], order[twice[0] + 1]
            raise ValueError(
                f"{what}: rows {first} and {second} have the same example id {array[first]}. Ids must be unique: drop "
                f"the repeated rows, or remove the column {EXAMPLE_ID!r} and call hf_datasel.add_example_ids(dataset)."
            )
    return array


def is_ascending(ids: NDArray[np.int64]) -> bool:
    """Whether every id is larger than the one before it."""
    return bool(np.all(ids[1:] > ids[:-1]))


def locate(ids: NDArray[np.int64], wanted: NDArray[np.int64], message: str) -> NDArray[np.int64]:
    """Positions of `wanted` in the ascending `ids`, int64, in the order of `wanted`.

    Raises:
        ValueError: an id is not there; `message` with `{id}` filled in.
    """
    positions = np.searchsorted(ids, wanted)
    found = member_mask(ids, wanted, positions)
    if not found.all():
        raise ValueError(message.format(id=wanted[np.argmin(found)]))
    return positions


def member_mask(
    ids: NDArray[np.int64], wanted: NDArray[np.int64], positions: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Which of `wanted` are in the ascending `ids`."""
    if not ids.size:
        return np.zeros(wanted.shape, bool)
    positions = np.searchsorted(ids, wanted) if positions is None else positions
    return ids[np.minimum(positions, ids.size - 1)] == wanted


def is_streaming(dataset: Any) -> bool:
    """Whether rows can only be read one after another, as in `datasets.IterableDataset`."""
    return not hasattr(dataset, "__len__")


def require_one_table(dataset: Any, name: str) -> None:
    """Refuse a dictionary of splits; raises TypeError with the way out."""
    if isinstance(dataset, dict):
        splits = list(dataset)
        raise TypeError(
            f"{name} works on one dataset, not on a dictionary of splits {splits}: example ids number the rows of one "
            f"source. Pass one split, as in dataset[{splits[0] if splits else 'train'!r}]."
        )
    if not hasattr(dataset, "column_names"):
        raise TypeError(f"{name} needs a datasets.Dataset or datasets.IterableDataset, not {type(dataset).__name__}.")


def read_example_ids(dataset: Any) -> NDArray[np.int64]:
    """The ids of a map-style dataset, int64 [N], in the order of its rows.

    Raises:
        ValueError: there is no such column, it is not of int64, a row has none, or an id is there twice.
    """
    if EXAMPLE_ID not in dataset.column_names:
        raise ValueError(f"The dataset has no column {EXAMPLE_ID!r}, only {list(dataset.column_names)}. {_GIVE_IDS}.")
    column = dataset.select_columns([EXAMPLE_ID]).with_format("arrow")[:].column(EXAMPLE_ID)
    if str(column.type) != "int64":
        raise ValueError(
            f"Column {EXAMPLE_ID!r} is of {column.type}, not of int64. If it holds the rows' numbers, cast it with "
            f"dataset.cast_column({EXAMPLE_ID!r}, datasets.Value('int64')); if not, rename it and add ids."
        )
    if str(column.type) != "int64":
        raise ValueError(
            f"Column {EXAMPLE_ID!r} is of {column.type}, not of int64. If it holds the rows' numbers, cast it with "
            f"dataset.cast_column({EXAMPLE_ID!r}, datasets.Value('int64')); if not, rename it and add ids."
        )
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise ValueError(f"Row {row} has no example id (null in {EXAMPLE_ID!r}). Remove the column. {_GIVE_IDS}.")
    return check_ids(column.to_numpy(), f"Column {EXAMPLE_ID!r}")


def stamped_fingerprint(dataset: Any) -> DatasetFingerprint | None:
    """The fingerprint that `add_example_ids` stamped on the dataset, if it is still there."""
    return DatasetFingerprint.from_stamp(getattr(getattr(dataset, "info", None), "description", None))

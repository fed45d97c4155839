"""The rows of a published selection as Arrow tables, a batch at a time: those kept, and what is said of every row.

Legend: N rows of the source, M candidates.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Value
from datasets.features.features import require_storage_embed
from datasets.table import embed_table_storage, table_cast
from numpy.typing import NDArray

from hf_datasel.content import row_digests
from hf_datasel.example_ids import member_mask, read_example_ids
from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.selection import Selection

FIRST_ROWS, MOST_ROWS, BATCH_BYTES = 16, 8192, 1 << 26
Advance = Callable[[int], object]


def require_parquet(features: Features) -> None:
    """Raise ValueError, naming the column, for one of a type that parquet cannot hold."""
    empty = features.arrow_schema.empty_table()
    for name in empty.column_names:
        try:
            pq.write_table(empty.select([name]), io.BytesIO())
        except pa.ArrowException as error:
            raise ValueError(
                f"Column {name!r} is of {empty.schema.field(name).type}, which parquet cannot hold ({error}). Leave "
                f"it out with dataset.remove_columns({name!r}), or cast it with dataset.cast_column."
            ) from error


def embedded(table: pa.Table) -> pa.Table:
    """The table with the content of images, audio and other files in it, where it held only their paths.

    Raises:
        ValueError: a file cannot be read; names the columns that hold files.
    """
    features = Features.from_arrow_schema(table.schema)
    columns = [name for name, feature in features.items() if require_storage_embed(feature)]
    if not columns:
        return table
    try:
        return embed_table_storage(table)
    except OSError as error:
        raise ValueError(f"A file of the columns {columns} cannot be read and published: {error}") from error


def stored_features(features: Features) -> Features:
    """The features as parquet gives them back: it counts milliseconds, and no seconds.

    Example:
        >>> stored_features(Features({"time": Value("timestamp[s]"), "text": Value("large_string")}))
        {'time': Value('timestamp[ms]'), 'text': Value('large_string')}
    """
    file = io.BytesIO()
    pq.write_table(features.arrow_schema.empty_table(), file)
    return Features.from_arrow_schema(pq.read_schema(file))


def read_batches(dataset: Dataset, order: NDArray[np.int64]) -> Iterator[pa.Table]:
    """The rows at the positions `order` as they are published, files embedded, some 64 MiB at a time."""
    source, schema = dataset.with_format("arrow"), stored_features(dataset.features).arrow_schema
    start, num_rows = 0, FIRST_ROWS
    while start < len(order):
        where = order[start : start + num_rows]
        consecutive = bool(np.all(np.diff(where) == 1))
        # Gathered rows are a chunk each, which every later step would have to walk over.
        table = source[slice(where[0], where[-1] + 1) if consecutive else where].combine_chunks()
        table = table_cast(embedded(table), schema)
        yield table
        start += len(where)
        num_rows = max(1, min(MOST_ROWS, BATCH_BYTES * len(where) // max(1, table.nbytes)))


def selected_tables(dataset: Dataset, selection: Selection, advance: Advance) -> Iterator[pa.Table]:
    """The kept rows in the dataset's order; `advance` hears of every batch."""
    kept = member_mask(selection.ids, read_example_ids(dataset))
    for table in read_batches(dataset, np.flatnonzero(kept)):
        yield table
        advance(table.num_rows)


def scores_features(selection: Selection) -> Features:
    """The columns of the config `scores`."""
    columns = {EXAMPLE_ID: "int64", "content_hash": "string", "candidate": "bool", "kept": "bool"}
    optional = {"score": "float32", "cluster": "int32", "stratum": "string"}
    given = (selection.scores, selection.clusters, selection.strata)
    columns |= {name: kind for (name, kind), array in zip(optional.items(), given, strict=True) if array is not None}
    return Features({name: Value(kind) for name, kind in columns.items()})


def hashed_columns(names: list[str]) -> tuple[str, ...]:
    """The columns that a row's content hash covers, in order: all but the ids, sorted."""
    return tuple(sorted(name for name in names if name != EXAMPLE_ID))


def scores_tables(dataset: Dataset, selection: Selection, advance: Advance) -> Iterator[pa.Table]:
    """What is said of every row, in the order of the ids; `advance` hears of every batch."""
    ids, features = read_example_ids(dataset), scores_features(selection)
    order = np.argsort(ids, kind="stable")
    columns = hashed_columns(dataset.column_names)
    for table in read_batches(dataset, order):
        here, order = ids[order[: len(table)]], order[len(table) :]
        rows = Dataset(table, fingerprint="rows of a batch")  # without one it would be hashed
        values: dict[str, Any] = {EXAMPLE_ID: here, "content_hash": row_digests(rows, columns).tolist()}
        yield _scores_table(values, here, selection, features)
        advance(len(table))


def _scores_table(
    values: dict[str, Any], ids: NDArray[np.int64], selection: Selection, features: Features
) -> pa.Table:
    """One batch of `scores`; a row that was no candidate has no score, no stratum, and the cluster -1."""
    candidate = member_mask(selection.candidate_ids, ids)
    where = np.searchsorted(selection.candidate_ids, ids[candidate])

    def aligned(array: NDArray[Any], missing: Any) -> NDArray[Any]:
        out = np.full(len(ids), missing, array.dtype)
        out[candidate] = array[where]
        return out

    values |= {"candidate": candidate, "kept": aligned(selection.kept, False)}
    if selection.scores is not None:
        values["score"] = pa.array(aligned(selection.scores, 0), mask=~candidate)
    if selection.clusters is not None:
        values["cluster"] = aligned(selection.clusters, -1)
    if selection.strata is not None:
        names = np.asarray(selection.stratum_names, object)
        values["stratum"] = pa.array(aligned(names[selection.strata], None), pa.string())
    return pa.table(values, schema=features.arrow_schema)

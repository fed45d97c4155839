"""Public rows between a dataset and a message, as an Arrow stream."""

from __future__ import annotations

import pyarrow as pa
from datasets import Dataset

from hf_datasel.collaborative.messages import PublicRows


def pack_rows(dataset: Dataset) -> PublicRows:
    """All rows and columns of a dataset; equal content gives equal bytes."""
    table = dataset.with_format("arrow")[:].combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return PublicRows(sink.getvalue().to_pybytes())


def unpack_rows(rows: PublicRows) -> Dataset:
    """The inverse of :func:`pack_rows`.

    Raises:
        ValueError: the bytes are no Arrow stream.
    """
    try:
        return Dataset(pa.ipc.open_stream(rows.table).read_all())
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"The rows that were sent are no Arrow stream ({error}).") from error

"""A digest of what a dataset says, that does not depend on how Arrow happens to hold it.

Rows are taken in the order of their ids and a fixed number at a time; of each batch every column is written down as
kind, validity, lengths and values. Chunks, offsets, bytes behind a null, dictionaries, and the choice between `string`
and `large_string` leave no trace, and neither does the order of rows or columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.example_ids import is_ascending

BATCH_ROWS = 8192
DIGEST_BYTES = 16


def content_digest(dataset: Any, ids: NDArray[np.int64], columns: tuple[str, ...]) -> str:
    """Hexadecimal BLAKE2b digest of ids and columns.

    Args:
        dataset: a `datasets.Dataset` of N rows.
        ids: int64 [N], unique, in the order of the rows.
        columns: names of the columns to read, in the order in which they go into the digest.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    order = None if is_ascending(ids) else np.argsort(ids, kind="stable")
    digest.update(np.sort(ids).astype("<i8").tobytes())
    by_column = {name: hashlib.blake2b(digest_size=DIGEST_BYTES) for name in columns}
    table = dataset.select_columns(list(columns)).with_format("arrow")
    for start in range(0, len(ids) if columns else 0, BATCH_ROWS):
        where = slice(start, start + BATCH_ROWS) if order is None else order[start : start + BATCH_ROWS]
        batch = table[where]
        for name, column in by_column.items():
            _write(batch.column(name).combine_chunks(), column.update)
    for name, column in by_column.items():
        digest.update(f"column {name!r} {column.hexdigest()}".encode())
    return digest.hexdigest()


def _write(array: Any, update: Callable[[bytes], object]) -> None:
    """Write down one Arrow array: kind, length, validity, then lengths and values of what is valid."""
    import pyarrow as pa

    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _write(array.storage, update)
    if pa.types.is_dictionary(kind):
        return _write(array.dictionary_decode(), update)
    nested = pa.types.is_struct(kind) or _is_list(kind)
    update(f"{_kind_name(kind)} {len(array)};".encode())
    update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_struct(kind):
        for field in sorted(range(kind.num_fields), key=lambda number: str(kind.field(number).name)):
            update(f"field {kind.field(field).name!r}".encode())
            _write(array.flatten()[field], update)
        return None
    if array.null_count:
        array = array.drop_null()
    if nested:
        update(_lengths(array))
        return _write(array.flatten(), update)
    if _is_text(kind):
        update(_lengths(array))
        update(_text_bytes(array))
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        update(np.ascontiguousarray(array.to_numpy(zero_copy_only=False)).tobytes())
    else:  # dates, decimals and the like: rare, small, and exact as text
        update(repr(array.to_pylist()).encode())
    return None


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _kind_name(kind: Any) -> str:
    """The name of a type, the same for its small, large and fixed-size forms."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "struct"
    return "list" if _is_list(kind) else str(kind).removeprefix("large_")


def _lengths(array: Any) -> bytes:
    import pyarrow.compute as pc

    count = pc.binary_length if _is_text(array.type) else pc.list_value_length
    return count(array).to_numpy(zero_copy_only=False).astype("<i8").tobytes()


def _text_bytes(array: Any) -> bytes:
    """The characters of an array without nulls, one after another."""
    wide = "i8" if str(array.type).startswith("large_") else "i4"
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return b""
    bounds = np.frombuffer(offsets, f"<{wide}")[[array.offset, array.offset + len(array)]]
    return bytes(memoryview(data)[bounds[0] : bounds[1]])

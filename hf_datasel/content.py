"""A digest of what a dataset says, that does not depend on how Arrow happens to hold it.

Rows are taken in the order of their ids and a fixed number at a time; of each batch every column is written down as
kind, validity, lengths and values. Chunks, offsets, bytes behind a null, dictionaries, and the choice between `string`
and `large_string` leave no trace, and neither does the order of rows or columns.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.example_ids import is_ascending

BATCH_ROWS = 8192
DIGEST_BYTES = 16
FIRST_ROWS, BATCH_BYTES = 64, 1 << 26  # of single rows, which may be large


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
            array = batch.column(name).combine_chunks()
            for (piece,) in _pieces(array, np.array([0, len(array)])):
                column.update(piece)
    for name, column in by_column.items():
        digest.update(f"column {name!r} {column.hexdigest()}".encode())
    return digest.hexdigest()


def row_digests(dataset: Any, columns: tuple[str, ...]) -> NDArray[np.str_]:
    """Hexadecimal BLAKE2b digest of every row: the `content_digest` of that row alone, under the id 0.

    Rows that say the same have the same digest, whatever their ids, their order and Arrow's layout. The work is done a
    batch at a time, of at most some 64 MiB beyond the first.

    Args:
        dataset: a `datasets.Dataset` of N rows.
        columns: names of the columns to read, in the order in which they go into the digest.

    Returns:
        Strings of 32 digits, [N], in the order of the rows.

    Example:
        >>> from datasets import Dataset
        >>> digests = row_digests(Dataset.from_dict({"text": ["a", "b", "a"]}), ("text",))
        >>> bool(digests[0] == digests[2]), bool(digests[0] == digests[1])
        (True, False)
    """
    digests = np.empty(len(dataset), f"<U{2 * DIGEST_BYTES}")
    table = dataset.select_columns(list(columns)).with_format("arrow")
    alone = np.zeros(1, "<i8").tobytes()
    start, num_rows = 0, FIRST_ROWS
    while start < len(digests):
        batch = table[start : start + num_rows]
        rows = [hashlib.blake2b(alone, digest_size=DIGEST_BYTES) for _ in range(min(num_rows, len(digests) - start))]
        for name in columns:
            pieces = _pieces(batch.column(name).combine_chunks(), np.arange(len(rows) + 1))
            for row, said in zip(rows, zip(*pieces, strict=True), strict=True):
                column = hashlib.blake2b(b"".join(said), digest_size=DIGEST_BYTES)
                row.update(f"column {name!r} {column.hexdigest()}".encode())
        digests[start : start + len(rows)] = [row.hexdigest() for row in rows]
        start += len(rows)
        num_rows = max(1, min(BATCH_ROWS, BATCH_BYTES * len(rows) // max(1, batch.nbytes)))
    return digests


def _pieces(array: Any, bounds: NDArray[np.int64]) -> Iterator[list[bytes]]:
    """Write down m parts of an Arrow array, of the rows bounds[i] to bounds[i + 1], piece after piece.

    Every list that comes holds one piece of each part, and a part is its pieces one after another: kind, length,
    validity, then lengths and values of what is valid.

    Args:
        array: of n rows.
        bounds: int64 [m + 1], ascending from 0 to n.
    """
    import pyarrow as pa

    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return (yield from _pieces(array.storage, bounds))
    if pa.types.is_dictionary(kind):
        return (yield from _pieces(array.dictionary_decode(), bounds))
    name = _kind_name(kind)
    yield [f"{name} {length};".encode() for length in np.diff(bounds).tolist()]
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    yield _bits(valid, bounds)
    if pa.types.is_struct(kind):
        fields = array.flatten()
        for field in sorted(range(kind.num_fields), key=lambda number: str(kind.field(number).name)):
            yield [f"field {kind.field(field).name!r}".encode()] * (len(bounds) - 1)
            yield from _pieces(fields[field], bounds)
        return None
    if array.null_count:
        array, bounds = array.drop_null(), _ends(valid)[bounds]
    if _is_list(kind) or _is_text(kind):
        lengths = _lengths(array)
        ends = _ends(lengths)[bounds]
        yield _cut(lengths.tobytes(), lengths.itemsize * bounds)
        if _is_list(kind):
            return (yield from _pieces(array.flatten(), ends))
        yield _cut(_text_bytes(array), ends)
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = np.ascontiguousarray(array.to_numpy(zero_copy_only=False))
        yield _cut(values.tobytes(), values.itemsize * bounds)
    else:  # dates, decimals and the like: rare, small, and exact as text
        content = array.to_pylist()
        yield [repr(content[start:end]).encode() for start, end in itertools.pairwise(bounds.tolist())]
    return None


def _ends(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """0, and where each of n neighbours ends, int64 [n + 1]."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _cut(content: bytes, bounds: NDArray[np.int64]) -> list[bytes]:
    return [content[start:end] for start, end in itertools.pairwise(bounds.tolist())]


def _bits(valid: NDArray[np.bool_], bounds: NDArray[np.int64]) -> list[bytes]:
    """Each part's flags, eight to a byte, the first in the highest place."""
    lengths = np.diff(bounds)
    ends = _ends(-(-lengths // 8))
    bits = np.zeros(8 * int(ends[-1]), bool)
    bits[np.arange(len(valid)) + np.repeat(8 * ends[:-1] - bounds[:-1], lengths)] = valid
    return _cut(np.packbits(bits).tobytes(), ends)


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


def _lengths(array: Any) -> NDArray[np.int64]:
    """Of texts and lists without nulls, int64 [n]."""
    import pyarrow.compute as pc

    count = pc.binary_length if _is_text(array.type) else pc.list_value_length
    return count(array).to_numpy(zero_copy_only=False).astype("<i8")


def _text_bytes(array: Any) -> bytes:
    """The characters of an array without nulls, one after another."""
    wide = "i8" if str(array.type).startswith("large_") else "i4"
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return b""
    bounds = np.frombuffer(offsets, f"<{wide}")[[array.offset, array.offset + len(array)]]
    return bytes(memoryview(data)[bounds[0] : bounds[1]])

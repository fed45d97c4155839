"""Parquet files of bounded size, written from a stream of Arrow tables.

Equal tables give equal bytes, so that a push which was interrupted finds what it had uploaded, and one that changes
nothing uploads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_BYTES = 1 << 25


def write_shards(
    tables: Iterable[pa.Table], schema: pa.Schema, folder: Path, stem: str, max_bytes: int
) -> dict[str, Path]:
    """Write `<stem>-00000-of-0000K.parquet` and its like.

    Args:
        tables: all with `schema`; one is in memory at a time, and a row group of at most 32 MiB or one row.
        schema: with the metadata from which `datasets` knows images, class labels and the like.
        folder: where the files are written, as the repo will hold them.
        stem: where in the repo, as "data/selected".
        max_bytes: bound of the Arrow data in one file; a single row that is larger has a file to itself.

    Returns:
        The files by their paths in the repo. There is at least one, with no rows where there are no tables.
    """
    place = folder / stem
    place.parent.mkdir(parents=True, exist_ok=True)
    written = [_write(pieces, schema, place, number) for number, pieces in enumerate(_shards(tables, max_bytes))]
    written = written or [_write(iter(()), schema, place, 0)]
    paths = {}
    for number, path in enumerate(written):
        name = f"{stem}-{number:05d}-of-{len(written):05d}.parquet"
        paths[name] = path.rename(folder / name)
    return paths


def _write(pieces: Iterator[pa.Table], schema: pa.Schema, place: Path, number: int) -> Path:
    path = place.with_name(f"{place.name}-{number:05d}.parquet")
    with pq.ParquetWriter(path, schema, write_page_index=True) as writer:
        for group in _row_groups(pieces):
            writer.write_table(group)
    return path


def _shards(tables: Iterable[pa.Table], max_bytes: int) -> Iterator[Iterator[pa.Table]]:
    """Streams of pieces, a stream a file; each must be read to its end before the next is asked for."""
    pieces = _pieces(tables, min(max_bytes, ROW_GROUP_BYTES))
    waiting = next(pieces, None)

    def shard() -> Iterator[pa.Table]:
        nonlocal waiting
        size = 0
        while waiting is not None and (not size or size + waiting.nbytes <= max_bytes):
            size += waiting.nbytes
            yield waiting
            waiting = next(pieces, None)

    while waiting is not None:
        yield shard()


def _pieces(tables: Iterable[pa.Table], max_bytes: int) -> Iterator[pa.Table]:
    """The tables, cut in halves until each piece is within the bound or a single row; none is empty."""
    for table in tables:
        if table.num_rows > 1 and table.nbytes > max_bytes:
            half = table.num_rows // 2
            yield from _pieces((table[:half], table[half:]), max_bytes)
        elif table.num_rows:
            yield table


def _row_groups(pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Pieces put together while they are within a row group's bound."""
    group: list[pa.Table] = []
    size = 0
    for piece in pieces:
        if group and size + piece.nbytes > ROW_GROUP_BYTES:
            yield pa.concat_tables(group)
            group, size = [], 0
        group.append(piece)
        size += piece.nbytes
    if group:
        yield pa.concat_tables(group)

"""The config `scores` of a published selection, read and judged as a table.

Legend: N rows of the source, M candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_datasel.example_ids import is_ascending
from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.selectors import Strata
from hf_datasel.selectors.rederive import Published

_NEEDED = {EXAMPLE_ID: "int64", "content_hash": "string", "candidate": "bool", "kept": "bool"}
_OPTIONAL = {"score": "float", "cluster": "int32", "stratum": "string"}  # as Arrow calls them


@dataclass(frozen=True, eq=False)
class Scores:
    """What is published of every row.

    Args:
        ids: int64 [N], strictly ascending.
        digests: content hashes, bytes of 32 hexadecimal digits [N].
        candidate: bool [N].
        kept: bool [N].
        published: of the M candidates.
    """

    ids: NDArray[np.int64]
    digests: NDArray[np.bytes_]
    candidate: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    published: Published

    @classmethod
    def from_table(cls, table: pa.Table, details: dict[str, Any]) -> Scores:
        """Read the table.

        Args:
            table: of the config `scores`.
            details: of the last step of the provenance.

        Raises:
            ValueError: a column is missing or of another type, or says what no selection can say; names the example.
        """
        _require_columns(table)
        ids = table.column(EXAMPLE_ID).to_numpy()
        if not is_ascending(ids):
            row = int(np.argmin(ids[1:] > ids[:-1])) + 1
            raise ValueError(f"example {ids[row]} comes after example {ids[row - 1]}, but ids must ascend")
        candidate, kept = (table.column(name).to_numpy() for name in ("candidate", "kept"))
        if (kept & ~candidate).any():
            raise ValueError(f"example {ids[np.argmax(kept & ~candidate)]} is kept, but was no candidate")
        hashes = table.column("content_hash")
        if not pc.all(pc.equal(pc.binary_length(hashes), 32)).as_py():
            raise ValueError("a content_hash is not of 32 digits")
        chosen_from = table.filter(pa.array(candidate))
        published = _published(chosen_from, ids[candidate], details)
        return cls(ids, hashes.to_numpy().astype("S32"), candidate, kept, published)


def _require_columns(table: pa.Table) -> None:
    for name, kind in {**_NEEDED, **_OPTIONAL}.items():
        found = str(table.schema.field(name).type).removeprefix("large_") if name in table.column_names else None
        if found != kind and not (found is None and name in _OPTIONAL):
            raise ValueError(f"the column {name!r} must be of {kind}, not {found or 'missing'}")
    for name in _NEEDED:
        if table.column(name).null_count:
            raise ValueError(f"the column {name!r} has {table.column(name).null_count} nulls")


def _published(table: pa.Table, ids: NDArray[np.int64], details: dict[str, Any]) -> Published:
    """What is told of the candidates, every one of which must have it."""
    columns: dict[str, NDArray[Any]] = {}
    for name in _OPTIONAL:
        if name in table.column_names:
            column = table.column(name)
            if column.null_count:
                row = int(np.argmax(column.is_null().to_numpy()))
                raise ValueError(f"the candidate {ids[row]} has no {name}")
            columns[name] = column.to_numpy()
    codes: NDArray[np.int32] | None = None
    names: tuple[str, ...] = ()
    if "stratum" in columns:
        codes, names = Strata(ids, columns["stratum"].tolist()).codes(ids)
    return Published(ids, columns.get("score"), columns.get("cluster"), codes, names, details)

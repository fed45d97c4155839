"""Traces of one column that no training makes: a number for every row of a dataset, from what the row says.

Legend: N rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel import trace_manifest
from hf_datasel.example_ids import is_streaming, require_one_table
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.trace import Trace


def require_table(rows: Any, what: str) -> None:
    """Raise TypeError for a stream or a dictionary of splits, whose rows cannot be read by number."""
    require_one_table(rows, what)
    if is_streaming(rows):
        raise TypeError(f"{what} is a stream, whose rows cannot be read by number: load it whole.")


def free_path(output_dir: str | os.PathLike[str] | None, overwrite: bool) -> Path | None:
    """Where the Trace goes, None for memory; raises FileExistsError where something is there already."""
    path = None if output_dir is None else Path(output_dir)
    if path is not None and not overwrite and path.exists() and (path.is_file() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists: pass overwrite=True to replace a Trace there, or choose another path.")
    return path


def write_row_trace(
    path: Path | None,
    ids: NDArray[np.int64],
    values: NDArray[np.floating],
    *,
    metric: str,
    unmeasurable: Mapping[str, NDArray[np.bool_]],
    fingerprint: DatasetFingerprint | None,
    info: dict[str, Any],
    overwrite: bool,
) -> Trace:
    """A finished Trace of one column.

    Args:
        path: directory to make; None for memory.
        ids: int64 [N], strictly ascending.
        values: numbers [N].
        metric: their name.
        unmeasurable: by reason, bool [N]: rows that are marked and have no value; the first reason counts.
        fingerprint: of the dataset.
        info: how the values were made, as JSON can hold it.
        overwrite: replace a Trace at `path`.

    Raises:
        ValueError: a value is infinite. FileExistsError: `path` is taken. OSError: it cannot be written.
    """
    if path is None:
        trace = Trace(None, trace_manifest.new_manifest(ids, metric, "probe", fingerprint, 1, info), ids, {}, [])
    else:
        trace = Trace.create(
            path, ids, metric=metric, fingerprint=fingerprint, num_checkpoints=1, info=info, overwrite=overwrite
        )
    left_out = np.zeros(len(ids), bool)
    for reason, rows in unmeasurable.items():
        trace.mark_unmeasurable(ids[rows], reason)
        left_out |= rows
    trace.write_column(np.where(left_out, np.nan, values), step=0)
    trace.finish()
    return trace

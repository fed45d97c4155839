"""One checkpoint's column of a Trace: N float32 values, on disk or in memory.

On disk a column is two files, `NNNN-step<step>.npy` with the values and `NNNN-step<step>.json` with what they are. The
`.json` is renamed into place last: it commits the column, and values without it do not exist.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.storage import crc32, read_array, read_json, sweep_temporary, write_array, write_json

_NAME = re.compile(r"^(\d{4,})-step(\d+)\.json$")


@dataclass(frozen=True)
class Column:
    """What one checkpoint recorded, and where its values are.

    Args:
        step: optimiser step of the checkpoint.
        epoch: epoch as the trainer counts it, NaN where unknown.
        learning_rate: learning rate at the checkpoint, NaN where unknown.
        num_unmeasured: how many of the values are NaN.
        crc32: checksum of the values' bytes.
        source: the `.npy` file, or the values themselves.
        offset: where the values begin in the file, in bytes.
    """

    step: int
    epoch: float
    learning_rate: float
    num_unmeasured: int
    crc32: int
    source: Path | NDArray[np.float32]
    offset: int = 0

    def open(self, num_examples: int) -> NDArray[np.float32]:
        """The values, float32 [N]; a fresh memory map each time, so that its pages are let go with it."""
        if isinstance(self.source, Path):
            return read_array(self.source, f"Column of step {self.step}", "float32", (num_examples,))
        return self.source

    def read(self, start: int, out: NDArray[np.float32]) -> None:
        """Fill `out`, float32 [m], with the values from row `start` on; plain reading costs less than a memory map."""
        if not isinstance(self.source, Path):
            out[:] = self.source[start : start + len(out)]
            return
        with open(self.source, "rb", buffering=0) as file:
            file.seek(self.offset + start * out.itemsize)
            if file.readinto(out.data.cast("B")) != out.nbytes:
                raise ValueError(f"Column of step {self.step}: {self.source} was cut off while it was in use.")

    def checked(self, num_examples: int) -> Column:
        """The same column, its file found to be whole; raises ValueError, naming the file, where it is not."""
        return replace(self, offset=getattr(self.open(num_examples), "offset", 0))

    def require_intact(self, num_examples: int) -> None:
        """Raise ValueError, naming the column and the file, unless the values are those that were written."""
        if crc32(self.open(num_examples)) != self.crc32:
            raise ValueError(
                f"Column of step {self.step}: {self.source} is damaged, its checksum differs from the one written. "
                f"Record it again: Trace.open(path).drop_after({self.step - 1}), then resume the run from a "
                "checkpoint at or before that step."
            )


def describe(values: NDArray[np.float32], step: int, epoch: float, learning_rate: float) -> Column:
    """A column in memory."""
    return Column(step, epoch, learning_rate, int(np.isnan(values).sum()), crc32(values), values)


def commit(directory: Path, index: int, column: Column) -> Column:
    """Write a column that is in memory as number `index`; raises OSError, and leaves nothing behind, if it cannot."""
    stem = f"{index:04d}-step{column.step}"
    values = directory / f"{stem}.npy"
    assert not isinstance(column.source, Path)
    write_array(values, column.source)
    try:
        write_json(directory / f"{stem}.json", _to_json(column))
    except OSError:
        values.unlink(missing_ok=True)
        raise
    return replace(column, source=values).checked(len(column.source))


def scan(directory: Path, num_examples: int) -> list[Column]:
    """The committed columns in order.

    Raises:
        ValueError: a column is missing between others, steps do not increase, or a file is cut off or damaged (named).
    """
    found = sorted(
        (int(match[1]), int(match[2]), path) for path in directory.iterdir() if (match := _NAME.match(path.name))
    )
    columns: list[Column] = []
    for position, (index, step, path) in enumerate(found):
        if index != position or (columns and step <= columns[-1].step):
            raise ValueError(
                f"{directory}: {path.name} does not follow {len(columns)} columns with smaller steps; a file is "
                "missing or was added."
            )
        content = read_json(path, "column")
        try:
            columns.append(_from_json(content, path.with_suffix(".npy")).checked(num_examples))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}.") from error
    return columns


def discard(directory: Path, columns: Iterable[tuple[int, Column]]) -> None:
    """Delete columns, the last first, so that a run killed halfway still leaves a whole beginning."""
    for index, column in sorted(columns, key=lambda item: item[0], reverse=True):
        stem = f"{index:04d}-step{column.step}"
        (directory / f"{stem}.json").unlink()
        (directory / f"{stem}.npy").unlink(missing_ok=True)


def sweep_uncommitted(directory: Path) -> None:
    """Delete what a killed run left: temporary files, and values without a description."""
    sweep_temporary(directory)
    for path in directory.glob("*.npy"):
        if not path.with_suffix(".json").exists():
            path.unlink()


def _fields(column: Column) -> dict[str, Any]:
    return {name: getattr(column, name) for name in Column.__dataclass_fields__}


def _to_json(column: Column) -> dict[str, Any]:
    content = {name: value for name, value in _fields(column).items() if name not in ("source", "offset")}
    for name in ("epoch", "learning_rate"):  # JSON has no NaN
        content[name] = None if math.isnan(content[name]) else content[name]
    return content


def _from_json(content: dict[str, Any], source: Path) -> Column:
    def number(name: str) -> float:
        return math.nan if content[name] is None else float(content[name])

    return Column(
        step=int(content["step"]),
        epoch=number("epoch"),
        learning_rate=number("learning_rate"),
        num_unmeasured=int(content["num_unmeasured"]),
        crc32=int(content["crc32"]),
        source=source,
    )

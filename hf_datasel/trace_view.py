"""Reading a Trace: what every one of them answers, on disk or in memory.

Legend: N examples, T checkpoints (columns present), M selectable examples.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_datasel.columns import Column
from hf_datasel.example_ids import check_ids
from hf_datasel.fingerprint import DatasetFingerprint


class TraceView:
    """N x T values by example and checkpoint. Columns are mapped for the time of one read, so memory stays flat.

    Args:
        path: its directory, None in memory.
        manifest: content of `manifest.json`.
        ids: int64 [N], strictly ascending.
        unmeasurable: reason to int64 ids, ascending.
        columns: T columns in the order of their steps.
    """

    def __init__(
        self,
        path: Path | None,
        manifest: dict[str, Any],
        ids: NDArray[np.int64],
        unmeasurable: dict[str, NDArray[np.int64]],
        columns: list[Column],
    ) -> None:
        ids.flags.writeable = False
        self.path, self.ids, self.unmeasurable = path, ids, unmeasurable
        self._manifest, self._columns = manifest, columns
        self._table: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        state = "complete" if self.complete else "incomplete"
        shape = f"{self.num_examples:,} examples x {self.num_checkpoints} checkpoints"
        return f"Trace({self.metric!r}, {shape}, {state}, {'in memory' if self.path is None else f'at {self.path}'})"

    @property
    def metric(self) -> str:
        """Name of what was recorded, as in "loss"."""
        return str(self._manifest["metric"])

    @property
    def mode(self) -> str:
        """ "probe" or "in_run"."""
        return str(self._manifest["mode"])

    @property
    def info(self) -> dict[str, Any]:
        """What the recorder noted: model, tokenizer, versions."""
        return dict(self._manifest["info"])

    @property
    def fingerprint(self) -> DatasetFingerprint | None:
        """The dataset whose rows the ids number, where known."""
        content = self._manifest["fingerprint"]
        return None if content is None else DatasetFingerprint.from_dict(content)

    @property
    def num_examples(self) -> int:
        """N."""
        return len(self.ids)

    @property
    def num_checkpoints(self) -> int:
        """T, the columns that are there."""
        return len(self._columns)

    @property
    def num_planned(self) -> int | None:
        """How many columns the recorder meant to write, None where it did not say."""
        planned = self._manifest["num_checkpoints"]
        return None if planned is None else int(planned)

    @property
    def finished(self) -> bool:
        """Whether the run that recorded it came to its end."""
        return bool(self._manifest["finished"])

    @property
    def complete(self) -> bool:
        """Whether it is finished and has every column that was planned."""
        return self.finished and self.num_planned in (None, self.num_checkpoints)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Optimiser steps of the checkpoints, int64 [T]."""
        return np.array([column.step for column in self._columns], np.int64)

    @property
    def epochs(self) -> NDArray[np.float64]:
        """Epochs of the checkpoints, float64 [T], NaN where unknown."""
        return np.array([column.epoch for column in self._columns], np.float64)

    @property
    def learning_rates(self) -> NDArray[np.float64]:
        """Learning rates at the checkpoints, float64 [T], NaN where unknown."""
        return np.array([column.learning_rate for column in self._columns], np.float64)

    @property
    def selectable(self) -> NDArray[np.int64]:
        """Positions of the rows not marked unmeasurable, int64 [M], ascending."""
        keep = np.ones(self.num_examples, bool)
        keep[np.searchsorted(self.ids, self.marked_ids())] = False
        return np.flatnonzero(keep)

    @property
    def values(self) -> NDArray[np.float32]:
        """Everything at once, float32 [N, T]; NaN where unmeasured."""
        return self.rows(0, self.num_examples)

    def describe(self) -> dict[str, Any]:
        """What a provenance says of it: metric, mode, steps, whether it is complete, and what is unmeasurable."""
        return {
            "metric": self.metric,
            "mode": self.mode,
            "steps": self.steps.tolist(),
            "complete": self.complete,
            "unmeasurable": {reason: len(marked) for reason, marked in sorted(self.unmeasurable.items())},
        }

    def marked_ids(self) -> NDArray[np.int64]:
        """Every unmeasurable id, int64, ascending."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *self.unmeasurable.values()]))

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop`, float32 [stop - start, T]; bounds as in a slice."""
        return self.take(slice(start, stop))

    def take(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """The rows at a slice of step 1 or at positions, float32 [m, T], in that order; perhaps read-only."""
        if self._table is not None:
            return self._table[index]
        start, stop, _ = index.indices(self.num_examples) if isinstance(index, slice) else (0, len(index), 1)
        values = np.empty(max(0, stop - start), np.float32)
        block = np.empty((len(values), self.num_checkpoints), np.float32)
        for t, column in enumerate(self._columns):
            if isinstance(index, slice):
                column.read(start, values)
            else:
                np.take(column.open(self.num_examples), index, out=values)
            block[:, t] = values
        return block

    def keep_rows_together(self) -> None:
        """In memory: lay the values out row by row, so that reading rows copies nothing."""
        table = self.values
        table.flags.writeable = False
        self._columns = [replace(column, source=table[:, t]) for t, column in enumerate(self._columns)]
        self._table = table

    def column(self, t: int) -> NDArray[np.float32]:
        """Values of checkpoint number `t`, float32 [N]."""
        return np.array(self._columns[t].open(self.num_examples))

    def require_measured(self, positions: NDArray[np.int64] | None = None) -> None:
        """Refuse to be read where something was not measured; reads one column at a time.

        Args:
            positions: the rows that matter, `selectable` if not given.

        Raises:
            ValueError: there is no column, or a value is NaN; names the first such example id and its checkpoint.
        """
        if not self._columns:
            raise ValueError(f"{self!r} has no checkpoint yet: record at least one before selecting.")
        num_marked = len(self.marked_ids())
        for t, column in enumerate(self._columns):
            if column.num_unmeasured == num_marked and positions is None:
                continue  # marked rows are always NaN, so no other row is
            where = self.selectable if positions is None else positions
            unmeasured = np.isnan(self.column(t)[where])
            if unmeasured.any():
                example = self.ids[where[unmeasured.argmax()]]
                raise ValueError(
                    f"{self.metric} of example {example} was not measured at step {column.step} (one of "
                    f"{int(unmeasured.sum()):,} such examples). Record it, mark it with "
                    "trace.mark_unmeasurable(ids, reason), or leave it out with within=."
                )

    def require_same_examples(self, ids: ArrayLike, fingerprint: DatasetFingerprint | None = None) -> None:
        """Refuse to go on with other examples.

        Raises:
            ValueError: the ids, or the fingerprints where both are known, are not those of this Trace.
        """
        if fingerprint is not None and self.fingerprint is not None:
            fingerprint.require_same(self.fingerprint, f"The Trace at {self.path}")
        if not np.array_equal(np.sort(check_ids(ids, "require_same_examples")), self.ids):
            raise ValueError(
                f"The Trace at {self.path} was recorded for other example ids ({self.num_examples:,} of them). Use "
                "the dataset that it was recorded on, or record anew with overwrite=True."
            )

    def _require_nan(self, values: NDArray[np.float32], step: int, ids: NDArray[np.int64], reason: str) -> None:
        measured = ~np.isnan(values[np.searchsorted(self.ids, ids)])
        if measured.any():
            raise ValueError(
                f"Example {ids[measured.argmax()]} has a {self.metric} at step {step}, but is marked unmeasurable "
                f"({reason}). Record NaN for it, or do not mark it."
            )

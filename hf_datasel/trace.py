"""Trace: what was recorded in training, N examples x T checkpoints.

On disk a Trace is a directory:

    manifest.json               format, metric, mode, fingerprint, what is unmeasurable, whether the run finished
    ids.npy                     int64 [N], strictly ascending
    columns/NNNN-step<s>.npy    float32 [N], the values of checkpoint s; NaN where unmeasured
    columns/NNNN-step<s>.json   what that column is; renaming this file into place commits the column
    unmeasurable-NNNN.npy       int64, ids that can never be measured
    companion-<name>/           a Trace of what else was recorded in the same run

Legend: N examples, T checkpoints (columns present). Columns are mapped into memory for the time of one read, so
resident memory does not grow with T.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hf_datasel import columns as column_store
from hf_datasel import trace_companions, trace_manifest
from hf_datasel.example_ids import check_ids, is_ascending, locate
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.storage import sweep_temporary
from hf_datasel.trace_companions import TraceWithCompanions


class Trace(TraceWithCompanions):
    """Values recorded for every example at every checkpoint; made by `create`, `open`, `load` or `from_arrays`.

    Example:
        >>> trace = Trace.from_arrays(ids=[2, 0], values=[[0.5, 0.25], [3.0, 1.0]])
        >>> trace.ids.tolist(), trace.rows(0, 1).tolist()
        ([0, 2], [[3.0, 1.0]])
    """

    @classmethod
    def create(
        cls,
        path: str | Path,
        ids: ArrayLike,
        *,
        metric: str = "loss",
        mode: Literal["probe", "in_run"] = "probe",
        fingerprint: DatasetFingerprint | None = None,
        num_checkpoints: int | None = None,
        info: dict[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Trace:
        """Make an empty Trace on disk.

        Args:
            path: directory to make.
            ids: integers [N], strictly ascending.
            metric: name of what is recorded, as in "loss".
            mode: "probe" (a sweep at a checkpoint) or "in_run" (values of the training forward).
            fingerprint: the dataset whose rows the ids number.
            num_checkpoints: how many columns are planned; with fewer the Trace stays incomplete.
            info: anything JSON can hold: model, tokenizer, versions.
            overwrite: replace a Trace that is at `path`; anything else there is never replaced.

        Raises:
            ValueError: bad ids or mode. FileExistsError: `path` is taken. OSError: it cannot be written.
        """
        checked = check_ids(ids, "Trace.create")
        if not is_ascending(checked):
            raise ValueError(
                "Trace.create: ids must ascend, because every column is aligned with them; pass np.sort(ids)."
            )
        manifest = trace_manifest.new_manifest(checked, metric, mode, fingerprint, num_checkpoints, info)
        trace_manifest.create(Path(path), checked, manifest, overwrite=overwrite)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Trace:
        """Open a Trace to write or resume, deleting what a killed run left uncommitted; it need not be complete.

        Raises:
            FileNotFoundError: no Trace at `path`. ValueError: it is damaged, or of another format version.
        """
        trace = cls._read(Path(path))
        sweep_temporary(Path(path))
        column_store.sweep_uncommitted(Path(path) / "columns")
        trace_companions.sweep_uncommitted(Path(path))
        return trace

    @classmethod
    def load(cls, path: str | Path, *, partial: bool = False) -> Trace:
        """Open a Trace to read, checking every byte of its columns against their checksums.

        Companions are looked at when they are asked for, under the same rules.

        Args:
            path: its directory.
            partial: accept a Trace whose run was killed or ended before the planned number of checkpoints.

        Raises:
            FileNotFoundError: no Trace at `path`.
            ValueError: a file is cut off or damaged (named), the format version differs, or the Trace is incomplete.
        """
        trace = cls._read(Path(path))
        trace._reads_partial = partial
        for column in trace._columns:
            column.require_intact(trace.num_examples)
        if not trace.complete and not partial:
            planned = "" if trace.num_planned is None else f" of {trace.num_planned} planned"
            ended = "ended early" if trace.finished else "did not finish"
            raise ValueError(
                f"The Trace at {path} is incomplete: {trace.num_checkpoints} checkpoints{planned}, and the run that "
                f"records it {ended}. Resume it with trainer.train(resume_from_checkpoint=True), or read what is "
                "there with Trace.load(path, partial=True)."
            )
        return trace

    @classmethod
    def from_arrays(
        cls,
        ids: ArrayLike,
        values: ArrayLike,
        *,
        steps: Sequence[int] | None = None,
        learning_rates: Sequence[float] | None = None,
        metric: str = "loss",
        fingerprint: DatasetFingerprint | None = None,
        companions: Mapping[str, Trace] | None = None,
    ) -> Trace:
        """A Trace in memory, its rows put in the order of their ids.

        Args:
            ids: integers [N], unique, in any order.
            values: numbers [N, T], NaN where unmeasured; copied as float32.
            steps: T increasing steps; 1..T if not given.
            learning_rates: T numbers; NaN if not given.
            companions: Traces by name, such as the losses beside an influence Trace.

        Raises:
            ValueError: shapes disagree, ids are bad, or a value is infinite (its example id and step are named).
        """
        checked, table = check_ids(ids, "Trace.from_arrays"), np.asarray(values)
        if table.ndim != 2 or len(table) != len(checked):
            raise ValueError(f"values must be [{len(checked)}, T] to fit the ids, not {list(table.shape)}.")
        num_columns = table.shape[1]
        steps = range(1, num_columns + 1) if steps is None else steps
        rates = [math.nan] * num_columns if learning_rates is None else learning_rates
        if not len(steps) == len(rates) == num_columns:
            raise ValueError(
                f"{num_columns} columns of values came with {len(steps)} steps and {len(rates)} learning rates."
            )
        order = np.argsort(checked, kind="stable")
        manifest = trace_manifest.new_manifest(checked[order], metric, "probe", fingerprint, None, None)
        trace = cls(None, manifest, checked[order], {}, [])
        for t in range(num_columns):
            trace.write_column(table[order, t], step=steps[t], learning_rate=rates[t])
        trace.finish()
        trace.keep_rows_together()
        trace.adopt(companions or {})
        return trace

    @classmethod
    def _read(cls, path: Path) -> Trace:
        manifest, ids, unmeasurable = trace_manifest.read(path)
        return cls(path, manifest, ids, unmeasurable, column_store.scan(path / "columns", len(ids)))

    def write_column(
        self, values: ArrayLike, *, step: int, epoch: float = math.nan, learning_rate: float = math.nan
    ) -> None:
        """Commit one checkpoint's values, whole or not at all.

        Args:
            values: numbers [N] aligned with `ids`; NaN where unmeasured, and on every unmeasurable id.
            step: optimiser step, larger than those before.
            epoch, learning_rate: at that step; NaN where unknown.

        Raises:
            ValueError: wrong shape or step, an infinite value, or a value on an unmeasurable id (example id named).
            RuntimeError: the Trace is finished. OSError: it cannot be written; the Trace is as it was before.
        """
        if self._manifest["finished"]:
            raise RuntimeError(
                f"{self!r} is finished: call drop_after(step) to go on, or create it anew with overwrite=True."
            )
        if isinstance(step, bool) or int(step) != step or step < 0:
            raise ValueError(f"step must be a non-negative integer, not {step!r}.")
        if self._columns and step <= self._columns[-1].step:
            raise ValueError(
                f"step must grow: {step} comes after {self._columns[-1].step}. Call drop_after(step) when resuming."
            )
        array = np.asarray(values)
        if array.shape != (self.num_examples,) or array.dtype.kind not in "fiu":
            raise ValueError(
                f"A column needs {self.num_examples} numbers, one for each id, not {array.dtype}{list(array.shape)}."
            )
        with np.errstate(over="ignore"):  # what does not fit into float32 is reported as infinite below
            array = np.array(array, dtype=np.float32)
        infinite = np.isinf(array)
        if infinite.any():
            row = int(infinite.argmax())
            raise ValueError(
                f"{self.metric} of example {self.ids[row]} at step {step} is {array[row]}: an infinite value cannot "
                "be compared with others. Mend the model or the row (an overflow in half precision?), or record NaN."
            )
        for reason, ids in self.unmeasurable.items():
            self._require_nan(array, step, ids, reason)
        column = column_store.describe(array, int(step), float(epoch), float(learning_rate))
        if self.path is not None:
            column = column_store.commit(self.path / "columns", len(self._columns), column)
        self._columns.append(column)
        self._table = None

    def mark_unmeasurable(self, ids: ArrayLike, reason: str) -> None:
        """Note that examples can never be measured and why; selectors leave them out, and say so.

        Args:
            ids: ids of this Trace; those already marked keep their reason.
            reason: as in "every label is masked".

        Raises:
            ValueError: an id is not in this Trace, or has a value already. OSError: it cannot be written.
        """
        marked = np.unique(np.asarray(ids, dtype=np.int64))
        locate(self.ids, marked, "mark_unmeasurable: this Trace has no example {id}.")
        new = np.setdiff1d(marked, self.marked_ids(), assume_unique=True)
        if not new.size:
            return
        for t, column in enumerate(self._columns):
            self._require_nan(self.column(t), column.step, new, reason)
        if self.path is not None:
            self._manifest = trace_manifest.add_unmeasurable(self.path, self._manifest, new, reason)
        self.unmeasurable[reason] = np.union1d(self.unmeasurable.get(reason, new[:0]), new)

    def drop_after(self, step: int) -> None:
        """Reopen the Trace and delete the columns with a step larger than `step`, as a resumed run needs."""
        self._set_finished(False)
        num_kept = int(np.searchsorted(self.steps, step, side="right"))
        if self.path is not None:
            column_store.discard(self.path / "columns", list(enumerate(self._columns))[num_kept:])
        del self._columns[num_kept:]
        self._table = None

    def finish(self) -> None:
        """Note that the run came to its end; the Trace is `complete` if it has every column that was planned."""
        self._set_finished(True)

    def _set_finished(self, finished: bool) -> None:
        if finished != self.finished:
            manifest = {**self._manifest, "finished": finished}
            if self.path is not None:
                trace_manifest.write(self.path, manifest)
            self._manifest = manifest

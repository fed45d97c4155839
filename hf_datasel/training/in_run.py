"""The nearly free way to see a run: keep the per-example losses of the forward that training does anyway.

This is other evidence than S2L's: one point a visit, each at a step of its own, weights moving underneath, dropout on.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import Trainer

from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.training.scoring import example_losses, has_token_losses, require_finite

RECORD = np.dtype([("epoch", "<i4"), ("step", "<i4"), ("id", "<i8"), ("loss", "<f4"), ("learning_rate", "<f4")])


class Tap:
    """Stands in for a model, passes every call through, and keeps the last outputs with per-token losses.

    Args:
        model: that is called.
        read: called with such outputs and the call's keyword arguments before anyone else has them: under DDP the
            Trainer multiplies the loss in place.
    """

    def __init__(self, model: Any, read: Callable[[Any, dict[str, Any]], None] | None = None) -> None:
        self._model = model
        self._read = read
        self.outputs: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outputs = self._model(*args, **kwargs)
        if has_token_losses(outputs):
            self.outputs = outputs
            if self._read is not None:
                self._read(outputs, kwargs)
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def tap_losses(trainer: Trainer, keep: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]) -> None:
    """Call ``keep(ids, losses, num_labels)`` with device tensors ``[D]`` at every training forward of ``trainer``.

    The trainer's own ``compute_loss`` runs unchanged on a model that is tapped; nothing is computed twice and nothing
    is copied to the host here.
    """
    compute_loss = trainer.compute_loss

    @functools.wraps(compute_loss)
    def compute_loss_with_tap(model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        ids = inputs.pop(EXAMPLE_ID, None)
        if ids is None:
            return compute_loss(model, inputs, *args, **kwargs)
        seen = dict(inputs)  # label smoothing pops the labels
        tap = Tap(model)
        result = compute_loss(tap, inputs, *args, **kwargs)
        with torch.no_grad():
            keep(ids, *example_losses(tap.outputs, seen, len(ids)))
        return result

    trainer.compute_loss = compute_loss_with_tap


class RecordLog:
    """Append-only file of one process's records, ``record`` each, durable after :meth:`flush`.

    Args:
        folder: shared by all processes; each writes ``rank00000.bin`` of its own.
        rank: of this process.
    """

    record: ClassVar[np.dtype[Any]] = RECORD

    def __init__(self, folder: str | os.PathLike[str], rank: int) -> None:
        self.folder = Path(folder)
        self.path = self.folder / f"rank{rank:05d}.bin"
        self._pending: list[tuple[int, int, float, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]] = []

    def add(
        self,
        epoch: int,
        step: int,
        learning_rate: float,
        ids: torch.Tensor,
        num_labels: torch.Tensor,
        **values: torch.Tensor,
    ) -> None:
        """Keep one forward's records on their device until the next flush; ``values`` by field, each ``[D]``."""
        self._pending.append((epoch, step, learning_rate, ids, num_labels, values))

    def flush(self) -> None:
        """Write what is pending and make it durable.

        Raises:
            ValueError: a value is not finite; names the example and the step.
        """
        if not self._pending:
            return
        blocks = []
        for epoch, step, learning_rate, ids, num_labels, values in self._pending:
            block = np.zeros(len(ids), dtype=self.record)
            block["epoch"], block["step"], block["learning_rate"] = epoch, step, learning_rate
            block["id"] = ids.cpu().numpy()
            counts = num_labels.cpu().numpy()
            for name, value in values.items():
                block[name] = value.cpu().numpy()
                require_finite(block["id"], block[name], counts, f"step {step}", name)
            blocks.append(block)
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.write(np.concatenate(blocks).tobytes())
            file.flush()
            os.fsync(file.fileno())
        self._pending = []

    @classmethod
    def read(cls, path: Path) -> np.ndarray:
        """Whole records of a file; a record cut short by a killed run is left out."""
        raw = path.read_bytes() if path.exists() else b""
        size = cls.record.itemsize
        return np.frombuffer(raw[: len(raw) // size * size], dtype=cls.record)

    @classmethod
    def read_all(cls, folder: str | os.PathLike[str]) -> np.ndarray:
        """Records of every process, in the order of the files."""
        return np.concatenate(
            [np.empty(0, cls.record), *(cls.read(path) for path in sorted(Path(folder).glob("rank*.bin")))]
        )

    @classmethod
    def drop_from(cls, folder: str | os.PathLike[str], step: int) -> None:
        """Forget, in every process's file, what was recorded at ``step`` or later: those steps are trained again."""
        for path in sorted(Path(folder).glob("rank*.bin")):
            records = cls.read(path)
            kept = records[records["step"] < step]
            partial = path.with_suffix(".tmp")
            with open(partial, "wb") as file:
                file.write(kept.tobytes())
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)


def visits(records: np.ndarray, ids: np.ndarray, field: str = "loss") -> tuple[np.ndarray, list[dict[str, float]]]:
    """Arrange records as loss trajectories: column v holds each example's value at its v-th visit.

    Args:
        records: array of all processes' records, any order.
        ids: int64 ``[N]`` ascending: the examples wanted.
        field: of the records, whose values are arranged.

    Returns:
        ``values`` float32 ``[N, T]``, T the number of visits every one of ``ids`` has had, and for each column its
        ``step`` (of the last visit in it), ``epoch`` and mean ``learning_rate``. A second visit within an epoch (rows
        repeated to even out the processes' batches) is left out.
    """
    order = np.lexsort((records["step"], records["epoch"], records["id"]))
    records = records[order]
    first = np.ones(len(records), dtype=bool)
    first[1:] = (records["id"][1:] != records["id"][:-1]) | (records["epoch"][1:] != records["epoch"][:-1])
    records = records[first]
    records = records[np.isin(records["id"], ids)]
    rows = np.searchsorted(ids, records["id"])
    counts = np.bincount(rows, minlength=len(ids))
    visit = np.arange(len(records)) - np.repeat(np.cumsum(counts) - counts, counts)
    num_columns = int(counts.min()) if len(ids) else 0
    values = np.full((len(ids), num_columns), np.nan, dtype=np.float32)
    inside = visit < num_columns
    values[rows[inside], visit[inside]] = records[field][inside]
    columns = []
    for number in range(num_columns):
        taken = records[visit == number]
        columns.append(
            {
                "step": int(taken["step"].max()) + 1,
                "epoch": float(number + 1),
                "learning_rate": float(taken["learning_rate"].astype(np.float64).mean()),
            }
        )
    return values, columns

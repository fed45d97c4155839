"""Recording from training's own forward: records by step, arranged as trajectories when training ends."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerControl, TrainerState
from transformers.utils import logging

from hf_datasel.example_ids import read_example_ids
from hf_datasel.trace import Trace
from hf_datasel.training.batch_ids import carry_ids
from hf_datasel.training.describe import describe_run
from hf_datasel.training.in_run import RecordLog, tap_losses, visits
from hf_datasel.training.packing import packed_with_ids
from hf_datasel.training.recording import UNLABELLED, Recording
from hf_datasel.training.recording_callback import Recorder

logger = logging.get_logger(__name__)

NEVER_VISITED = (
    "Some examples were never visited, so the in_run trajectories have no point: train at least one whole epoch, "
    "without dataloader_drop_last."
)


class InRunRecorder(Recorder, ABC):
    """Keep what training itself shows; each process appends to a file of its own, beside the Trace to be made.

    What is watched, a subclass says.

    Attributes:
        records_dir: where the records are until training ends.
    """

    log_type: type[RecordLog] = RecordLog

    def __init__(self, recording: Recording) -> None:
        trainer = recording.trainer
        if getattr(trainer, "_hf_datasel_tapped", False):
            raise ValueError("This trainer has an in_run recorder already: add one per trainer.")
        self._recording = recording
        self._next_epoch = self._epoch = 0
        self._is_finished = False
        self.records_dir = Path(f"{recording.output_dir}.records")
        self._log = self.log_type(self.records_dir, trainer.accelerator.process_index)
        if getattr(trainer.args, "packing", False):
            trainer.train_dataset = packed_with_ids(trainer, recording.source)
        carry_ids(trainer)
        self._watch(trainer)
        trainer._hf_datasel_tapped = True

    @abstractmethod
    def _watch(self, trainer: Trainer) -> None:
        """Put the taps in place."""

    @abstractmethod
    def _write(self, trace: Trace, ids: np.ndarray, records: np.ndarray) -> None:
        """Arrange the records of ``ids`` (int64 ascending) as columns of ``trace``."""

    def _flush(self) -> None:
        """Make what was kept durable."""
        self._log.flush()

    def _describe(self) -> dict[str, Any]:
        """What else distinguishes this recording from another, as plain JSON values."""
        return {}

    def begin(self, state: TrainerState, train_dataloader: Any) -> None:
        """Forget what was recorded past the weight checkpoint the run starts from."""
        self._next_epoch = int(state.epoch or 0)
        if not self._recording.trainer.is_world_process_zero():
            return
        has_records = any(self.records_dir.glob("rank*.bin"))
        if self._recording.exists:
            trace = self._own_trace(state.global_step)
            if trace.finished and not has_records:
                self._is_finished = True  # killed after it wrote the Trace: training goes on, nothing is missing
                return
            self._recording.overwrite = True  # killed while it wrote the Trace: written anew from the records
        if state.global_step > 0 and not has_records:
            raise ValueError(
                f"The run resumes at step {state.global_step}, but {self.records_dir} holds no records of the steps "
                "before: start training again, or give the output_dir of the run that was killed."
            )
        self.log_type.drop_from(self.records_dir, state.global_step)

    def epoch_begin(self) -> None:
        """Count epochs, by which the visits of an example are told apart."""
        self._epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1

    def step_end(self, state: TrainerState, control: TrainerControl) -> None:
        """Make records durable before a weight checkpoint that relies on them is saved."""
        if control.should_log or control.should_save:
            self._flush()

    def epoch_end(self) -> None:
        """Make records durable before an end-of-epoch checkpoint is saved."""
        self._flush()

    def end(self) -> None:
        """Arrange all processes' records as trajectories and write the Trace."""
        trainer = self._recording.trainer
        self._flush()
        trainer.accelerator.wait_for_everyone()
        if not trainer.is_world_process_zero():
            return
        if self._is_finished:
            self._remove_records()
            return
        records = self.log_type.read_all(self.records_dir)
        examples = self._recording.examples
        ids = np.unique(records["id"]) if self._recording.streaming else np.sort(read_example_ids(examples))
        trace = self._recording.create(ids, "in_run", None, self._describe())
        self._write(trace, ids, records)
        trace.finish()
        self._remove_records()

    def _own_trace(self, global_step: int) -> Trace:
        """The Trace at ``output_dir``, if the run that is taken up wrote it or was killed while it did."""
        trace = Trace.open(self._recording.output_dir)
        info = {**describe_run(self._recording.trainer), **self._describe()}
        same_run = trace.mode == "in_run" and trace.info == info
        if not same_run or (trace.finished and global_step == 0):
            raise FileExistsError(
                f"{self._recording.output_dir} holds a Trace: choose another output_dir, or pass overwrite=True."
            )
        return trace

    def _remove_records(self) -> None:
        # Renamed first: a run killed in between leaves all records or none, never some.
        removed = self.records_dir.with_name(f"{self.records_dir.name}.removed")
        shutil.rmtree(removed, ignore_errors=True)
        if self.records_dir.exists():
            self.records_dir.rename(removed)
            shutil.rmtree(removed)

    @property
    def _learning_rate(self) -> float:
        return float(self._recording.trainer.optimizer.param_groups[0]["lr"])


class LossInRunRecorder(InRunRecorder):
    """Losses of the training forward."""

    def _watch(self, trainer: Trainer) -> None:
        tap_losses(trainer, self._keep)

    def _keep(self, ids: torch.Tensor, losses: torch.Tensor, num_labels: torch.Tensor) -> None:
        step = self._recording.trainer.state.global_step
        self._log.add(self._epoch, step, self._learning_rate, ids, num_labels, loss=losses)

    def _write(self, trace: Trace, ids: np.ndarray, records: np.ndarray) -> None:
        values, columns = visits(records, ids)
        if not columns:
            logger.warning(NEVER_VISITED)
            return
        self._recording.mark(trace, ids[np.isnan(values).all(axis=1)], UNLABELLED)
        for number, column in enumerate(columns):
            self._recording.write(trace, ids, values[:, number], **column)

"""Recording from training's own forward: records by step, arranged as trajectories when training ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerControl, TrainerState
from transformers.utils import logging

from hf_datasel.example_ids import read_example_ids
from hf_datasel.trace import Trace
from hf_datasel.training.batch_ids import carry_ids
from hf_datasel.training.describe import describe_run
from hf_datasel.training.in_run import RecordLog, tap_losses, visits
from hf_datasel.training.packing import packed_with_ids
from hf_datasel.training.recording import UNLABELLED, Recording

logger = logging.get_logger(__name__)


class InRunRecorder:
    """Keep every training forward's losses; each process appends to a file of its own, beside the Trace to be made.

    Attributes:
        records_dir: where the records are until training ends.
    """

    def __init__(self, recording: Recording) -> None:
        trainer = recording.trainer
        if getattr(trainer, "_hf_datasel_tapped", False):
            raise ValueError("This trainer has an in_run recorder already: add one per trainer.")
        self._recording = recording
        self._next_epoch = self._epoch = 0
        self._is_finished = False
        self.records_dir = Path(f"{recording.output_dir}.records")
        self._log = RecordLog(self.records_dir, trainer.accelerator.process_index)
        if getattr(trainer.args, "packing", False):
            trainer.train_dataset = packed_with_ids(trainer, recording.source)
        carry_ids(trainer)
        tap_losses(trainer, self._keep)
        trainer._hf_datasel_tapped = True

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
        RecordLog.drop_from(self.records_dir, state.global_step)

    def epoch_begin(self) -> None:
        """Count epochs, by which the visits of an example are told apart."""
        self._epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1

    def before_optimizer_step(self) -> None:
        """Nothing: the learning rate is read at the forward."""

    def step_end(self, state: TrainerState, control: TrainerControl) -> None:
        """Make records durable before a weight checkpoint that relies on them is saved."""
        if control.should_log or control.should_save:
            self._log.flush()

    def epoch_end(self) -> None:
        """Make records durable before an end-of-epoch checkpoint is saved."""
        self._log.flush()

    def end(self) -> None:
        """Arrange all processes' records as trajectories and write the Trace."""
        trainer = self._recording.trainer
        self._log.flush()
        trainer.accelerator.wait_for_everyone()
        if not trainer.is_world_process_zero():
            return
        if self._is_finished:
            self._remove_records()
            return
        records = RecordLog.read_all(self.records_dir)
        examples = self._recording.examples
        ids = np.unique(records["id"]) if self._recording.streaming else np.sort(read_example_ids(examples))
        values, columns = visits(records, ids)
        if not columns:
            logger.warning(
                "Some examples were never visited, so the in_run trajectories have no point: train at least one whole "
                "epoch, without dataloader_drop_last."
            )
        trace = self._recording.create(ids, "in_run", None, {})
        if columns:
            self._recording.mark(trace, ids[np.isnan(values).all(axis=1)], UNLABELLED)
        for number, column in enumerate(columns):
            self._recording.write(trace, ids, values[:, number], **column)
        trace.finish()
        self._remove_records()

    def _own_trace(self, global_step: int) -> Trace:
        """The Trace at ``output_dir``, if the run that is taken up wrote it or was killed while it did."""
        trace = Trace.open(self._recording.output_dir)
        same_run = trace.mode == "in_run" and trace.info == describe_run(self._recording.trainer)
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

    def _keep(self, ids: torch.Tensor, losses: torch.Tensor, num_labels: torch.Tensor) -> None:
        trainer = self._recording.trainer
        learning_rate = float(trainer.optimizer.param_groups[0]["lr"])
        self._log.add(self._epoch, trainer.state.global_step, learning_rate, ids, losses, num_labels)

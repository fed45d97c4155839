"""Recording by sweeps: at each planned step, one column of a Trace."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from transformers import TrainerControl, TrainerState

from hf_datasel.trace import Trace
from hf_datasel.training.describe import describe_run
from hf_datasel.training.probe import Probe
from hf_datasel.training.recording import UNLABELLED, Recording
from hf_datasel.training.recording_callback import Recorder
from hf_datasel.training.schedule import CheckpointSchedule


class ProbeRecorder(Recorder, ABC):
    """Sweep all examples at the steps of a schedule; only the main process holds the Trace.

    A run that was killed is continued: columns past the weight checkpoint it resumes from are dropped and recorded
    again, so that the Trace comes out the same, bit for bit. What is swept, a subclass says.

    Args:
        recording: where to.
        schedule: when.
        ids: int64 ``[N]`` ascending, the examples swept.
    """

    earliest_step: ClassVar[int] = 1  # 0 where a schedule may ask for the model before training

    def __init__(self, recording: Recording, schedule: CheckpointSchedule, ids: np.ndarray) -> None:
        self._recording = recording
        self._schedule = schedule
        self._ids = ids
        self._steps: list[int] = []
        self._trace: Trace | None = None
        self._beside: list[Trace] = []
        self._learning_rate = math.nan

    @abstractmethod
    def _measure(self, checkpoint: str) -> Any:
        """Sweep, on every process; ``checkpoint`` says which it is for a progress bar."""

    @abstractmethod
    def _commit(self, trace: Trace, measured: Any, column: dict[str, Any]) -> None:
        """Write what was measured; the column of ``trace`` itself last."""

    def _describe(self) -> dict[str, Any]:
        """What else distinguishes this recording from another, as plain JSON values."""
        return {}

    def _open_beside(self, trace: Trace) -> list[Trace]:
        """Make or find the Traces that hold the same checkpoints as ``trace``."""
        return []

    def begin(self, state: TrainerState, train_dataloader: Any) -> None:
        """Plan the steps; make the Trace or continue it."""
        self._steps = self._planned_steps(state, train_dataloader)
        if self._recording.trainer.is_world_process_zero():
            info = {**self._describe(), "checkpoint_steps": self._steps}
            if self._recording.exists:
                self._trace = self._continued(state.global_step, info)
            else:
                self._require_start(state.global_step)
                self._trace = self._recording.create(self._ids, "probe", len(self._steps), info)
                self._beside = self._open_beside(self._trace)
        if state.global_step == 0:
            self._record(state)

    def before_optimizer_step(self) -> None:
        """Read the learning rate of the step about to be taken."""
        self._learning_rate = float(self._recording.trainer.optimizer.param_groups[0]["lr"])

    def step_end(self, state: TrainerState, control: TrainerControl) -> None:
        """Sweep if this step is planned."""
        self._record(state)

    def _record(self, state: TrainerState) -> None:
        if state.global_step not in self._steps:
            return
        number = self._steps.index(state.global_step) + 1
        measured = self._measure(f"{number}/{len(self._steps)}")
        if self._trace is not None:
            column = {
                "step": state.global_step,
                "epoch": float(state.epoch or math.nan) if state.global_step else 0.0,
                "learning_rate": self._learning_rate,
            }
            self._commit(self._trace, measured, column)
        self._recording.trainer.accelerator.wait_for_everyone()

    def end(self) -> None:
        """Mark the Trace as finished."""
        if self._trace is not None:
            for trace in (*self._beside, self._trace):
                trace.finish()

    def _planned_steps(self, state: TrainerState, dataloader: Any) -> list[int]:
        trainer = self._recording.trainer
        if not self._recording.streaming:
            per_epoch = math.ceil(len(dataloader) / trainer.args.gradient_accumulation_steps)
            return self._schedule.steps(state.max_steps, per_epoch, self.earliest_step)
        if self._schedule.checkpoint_epochs is not None:
            raise ValueError(
                "checkpoint_epochs needs an epoch's length, which a stream does not tell: use num_checkpoints, "
                "checkpoint_steps or checkpoint_fractions."
            )
        return self._schedule.steps(state.max_steps, state.max_steps, self.earliest_step)

    def _passed(self, global_step: int) -> list[int]:
        """Planned steps that a run which begins here cannot record; one that begins anew records step 0 again."""
        return [step for step in self._steps if step <= global_step] if global_step else []

    def _continued(self, global_step: int, info: dict[str, Any]) -> Trace:
        where = self._recording.output_dir
        trace = Trace.open(where)
        if global_step == 0 and trace.complete:
            raise FileExistsError(
                f"{where} holds a finished Trace: choose another output_dir, or pass overwrite=True."
            )
        same_run = trace.info == {**describe_run(self._recording.trainer), **info}
        if not same_run or not np.array_equal(trace.ids, self._recording.source_ids(self._ids)):
            raise ValueError(
                f"{where} holds a Trace of another run (other examples, model, versions or checkpoint steps): choose "
                "another output_dir, or pass overwrite=True."
            )
        self._recording.mark_dropped(trace, self._ids)  # again: the run may have been killed before it did
        self._beside = self._open_beside(trace)
        passed = self._passed(global_step)
        traces = [*self._beside, trace]
        for one in traces:
            one.drop_after(global_step if passed else -1)
        if any(one.steps.tolist() != passed for one in traces):
            raise ValueError(
                f"The run resumes at step {global_step}, but the Trace in {where} has the steps "
                f"{trace.steps.tolist()} of {passed}: a missing point cannot be recorded any more. Start training "
                "again, or resume from an earlier checkpoint."
            )
        return trace

    def _require_start(self, global_step: int) -> None:
        passed = self._passed(global_step)
        if passed:
            raise ValueError(
                f"The run resumes at step {global_step}, past checkpoint step {passed[0]}, but "
                f"{self._recording.output_dir} holds no Trace to continue: start training again, or give the "
                "output_dir of the run that was killed."
            )


class LossProbeRecorder(ProbeRecorder):
    """Sweeps of losses."""

    earliest_step: ClassVar[int] = 0

    def __init__(self, recording: Recording, schedule: CheckpointSchedule, tokens_per_batch: int) -> None:
        self._probe = Probe(recording.trainer, recording.examples, tokens_per_batch)
        super().__init__(recording, schedule, self._probe.ids)

    def _measure(self, checkpoint: str) -> np.ndarray:
        return self._probe.sweep(f"Probing losses ({checkpoint})")

    def _commit(self, trace: Trace, measured: np.ndarray, column: dict[str, Any]) -> None:
        if trace.num_checkpoints == 0:
            self._recording.mark(trace, self._ids[self._probe.num_labels == 0], UNLABELLED)
        self._recording.write(trace, self._ids, measured, **column)

"""What every recording callback does: pass the Trainer's events to a recorder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_datasel.training.schedule import CheckpointSchedule, Mode


class Recorder:
    """What a recording callback passes the Trainer's events to; by default nothing is done."""

    def begin(self, state: TrainerState, train_dataloader: Any) -> None:
        """Training begins."""

    def epoch_begin(self) -> None:
        """An epoch begins."""

    def before_optimizer_step(self) -> None:
        """Gradients are there, and the step's learning rate still stands."""

    def step_end(self, state: TrainerState, control: TrainerControl) -> None:
        """An optimizer step was taken."""

    def epoch_end(self) -> None:
        """An epoch ends."""

    def end(self) -> None:
        """Training ends."""


class RecordingCallback(TrainerCallback):
    """Passes a Trainer's events to a recorder.

    Args:
        trainer: whose run is recorded.
        recorder: which records it.
        output_dir: directory of the Trace.
        mode: "probe" or "in_run".
    """

    def __init__(self, trainer: Trainer, recorder: Recorder, output_dir: Path, mode: Mode) -> None:
        self.trainer = trainer
        self.recorder = recorder
        self.output_dir = output_dir
        self.mode = mode

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the Trace, or continue that of a run that was killed."""
        self.recorder.begin(state, kwargs.get("train_dataloader"))
        self.trainer.accelerator.wait_for_everyone()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell the recorder."""
        self.recorder.epoch_begin()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell the recorder, while the step's learning rate still stands."""
        self.recorder.before_optimizer_step()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record, if this step is a checkpoint."""
        self.recorder.step_end(state, control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell the recorder."""
        self.recorder.epoch_end()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Finish the Trace."""
        self.recorder.end()
        self.trainer.accelerator.wait_for_everyone()


def make_schedule(
    default: int,
    num_checkpoints: int | None,
    checkpoint_steps: int | Sequence[int] | None,
    checkpoint_epochs: float | None,
    checkpoint_fractions: Sequence[float] | None,
) -> CheckpointSchedule:
    """The schedule of a callback's four options, ``default`` checkpoints if none is given."""
    points = (num_checkpoints, checkpoint_steps, checkpoint_epochs, checkpoint_fractions)
    return CheckpointSchedule(default) if all(point is None for point in points) else CheckpointSchedule(*points)

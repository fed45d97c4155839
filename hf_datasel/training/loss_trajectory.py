"""LossTrajectoryCallback: record every example's loss while a Trainer trains.

The callback only passes the Trainer's events on. What is recorded stands in ``functional/losses.py``, how it is seen
in ``probe.py`` (exact sweeps) and ``in_run.py`` (training's own forward), when in ``schedule.py``, what is refused
in ``refusals.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from hf_datasel.training.in_run_recorder import LossInRunRecorder
from hf_datasel.training.probe_recorder import LossProbeRecorder
from hf_datasel.training.recording import Recording
from hf_datasel.training.recording_callback import Recorder, RecordingCallback, make_schedule
from hf_datasel.training.refusals import refuse_unrecordable
from hf_datasel.training.schedule import Mode
from hf_datasel.training.seen_trainer import ADD_IT, SeenTrainer, refuse_unseen

DEFAULT_CHECKPOINTS = 8


class LossTrajectoryCallback(RecordingCallback):
    """Record the loss of every training example at several points of a training run, as a :class:`~hf_datasel.Trace`.

    Training itself is unchanged, bit for bit. Works with any ``transformers.Trainer`` of a causal language model and
    with ``trl.SFTTrainer``, on one process or several (DDP).

    Args:
        trainer: built, not yet training; its ``train_dataset`` carries ``example_id``
            (:func:`hf_datasel.add_example_ids`). May be left out in ``callbacks=[...]`` of a plain
            ``transformers.Trainer``, for ``mode="probe"``; then give ``dataset``, the very ``train_dataset``.
        output_dir: directory of the Trace. A run that was killed continues it when the trainer resumes.
        num_checkpoints: points of a trajectory, evenly spaced to the end of training. 8 if nothing else is given.
        checkpoint_steps: instead: every so many optimiser steps, or a list of steps, 0 for before training.
        checkpoint_epochs: instead: every so many epochs.
        checkpoint_fractions: instead: fractions of training in [0, 1], 0 for before training.
        mode: ``"probe"`` scores all examples at each point, without dropout, as S2L does; a sweep costs about a fifth
            to a third of an epoch. ``"in_run"`` keeps the losses of training's own forward: nearly free, but other
            evidence (one point a visit, each at its own step, dropout on), so no checkpoint option applies.
        dataset: what the trainer was built from, with ids. Needed with packing, which drops them, and without
            ``trainer``; otherwise it lets the Trace name the rows the trainer dropped because truncation left them
            without a label.
        tokens_per_batch: padded tokens of a probe's batch on one process.
        overwrite: replace a finished Trace at ``output_dir``.

    Raises:
        ValueError: losses could not be recorded rightly (packing that splits examples, FSDP, a fused loss without
            logits, ...), or options that do not fit; named, with the way out. Without ``trainer`` some of this
            shows only when training begins.
        FileExistsError: at the start of training, when ``output_dir`` holds a finished Trace.

    Example::

        trainer = SFTTrainer(model=proxy, args=args, train_dataset=add_example_ids(dataset))
        trainer.add_callback(LossTrajectoryCallback(trainer, output_dir="trace", num_checkpoints=8))
        trainer.train()
        trace = Trace.load("trace")

        recorder = LossTrajectoryCallback(output_dir="trace", dataset=dataset)  # dataset: tokenised, with ids
        Trainer(model=proxy, args=args, train_dataset=dataset, callbacks=[recorder]).train()
    """

    def __init__(
        self,
        trainer: Trainer | None = None,
        output_dir: str | os.PathLike[str] = "trace",
        *,
        num_checkpoints: int | None = None,
        checkpoint_steps: int | Sequence[int] | None = None,
        checkpoint_epochs: float | None = None,
        checkpoint_fractions: Sequence[float] | None = None,
        mode: Mode = "probe",
        dataset: Dataset | IterableDataset | None = None,
        tokens_per_batch: int = 8192,
        overwrite: bool = False,
    ) -> None:
        points = (num_checkpoints, checkpoint_steps, checkpoint_epochs, checkpoint_fractions)
        if mode == "in_run" and any(point is not None for point in points):
            raise ValueError(
                "mode='in_run' records one point at every visit of an example, so num_checkpoints, checkpoint_steps, "
                "checkpoint_epochs and checkpoint_fractions do not apply: leave them out, or use mode='probe'."
            )
        if mode == "in_run" and trainer is None:
            raise ValueError(f"mode='in_run' reads what the trainer computes, which no callback is shown: {ADD_IT}.")
        schedule = make_schedule(DEFAULT_CHECKPOINTS, *points)

        def record(trainer: Any) -> Recorder:
            refuse_unrecordable(trainer, mode, has_source=dataset is not None)
            recording = Recording(trainer, Path(output_dir), dataset, overwrite)
            if mode == "probe":
                return LossProbeRecorder(recording, schedule, tokens_per_batch)
            return LossInRunRecorder(recording)

        self._record: Callable[[Any], Recorder] | None = None
        if trainer is None:
            self._record, trainer = record, SeenTrainer(dataset)
        recorder = Recorder() if self._record is not None else record(trainer)
        super().__init__(trainer, recorder, Path(output_dir), mode)

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse a trainer, while it is being built, that does not show its callbacks what it trains on."""
        if self._record is not None:
            refuse_unseen(args)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at what is trained on, if no trainer was given; then make the Trace or continue it."""
        if isinstance(self.trainer, SeenTrainer):
            self.trainer.see(args, **kwargs)
        if self._record is not None:
            self.recorder, self._record = self._record(self.trainer), None
        super().on_train_begin(args, state, control, **kwargs)

"""Recording influence from training's own backward: records by step, arranged as visits when training ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerControl, TrainerState
from transformers.utils import logging

from hf_datasel.trace import Trace
from hf_datasel.training.in_run import RecordLog, visits
from hf_datasel.training.in_run_recorder import NEVER_VISITED, InRunRecorder
from hf_datasel.training.influence.backward import PROBLEMS, BackwardTap, Pass
from hf_datasel.training.influence.bundle import InfluenceTraces
from hf_datasel.training.influence.engine import Influence
from hf_datasel.training.influence.probe import Scored
from hf_datasel.training.influence.saved_direction import SavedDirections, anchors_of_epoch
from hf_datasel.training.recording import UNLABELLED, Recording
from hf_datasel.training.schedule import CheckpointSchedule

logger = logging.get_logger(__name__)

UNSCORED = "never among the steps that were scored (score_every)"


def influence_log(names: Sequence[str]) -> type[RecordLog]:
    """A log whose records hold the values ``names`` beside loss and number of labels."""
    fields = [("epoch", "<i4"), ("step", "<i4"), ("id", "<i8"), ("learning_rate", "<f4")]
    record = np.dtype([*fields, *((name, "<f4") for name in ("loss", "labels", *names))])
    return type("InfluenceLog", (RecordLog,), {"record": record})


class GradientInRunRecorder(InRunRecorder):
    """Every visit's inner product with a direction that is renewed at the steps of a schedule.

    Args:
        recording: where to.
        schedule: when the direction is renewed, besides at the beginning.
        influence: what is measured.
        score_every: steps from one that is scored to the next.
    """

    def __init__(
        self, recording: Recording, schedule: CheckpointSchedule, influence: Influence, score_every: int
    ) -> None:
        self.log_type = influence_log(influence.names)
        self._schedule = schedule
        self._influence = influence
        self._score_every = score_every
        self._measure = influence.make_measure()
        self._renew_at: set[int] = set()
        self._problems: list[tuple[int, dict[str, Any]]] = []
        super().__init__(recording)
        self._saved = SavedDirections(self.records_dir)

    def begin(self, state: TrainerState, train_dataloader: Any) -> None:
        """Make the first direction, or take up that of a run that was killed."""
        super().begin(state, train_dataloader)
        trainer = self._recording.trainer
        accelerator = trainer.accelerator
        # The main process alone has looked; all must agree on whether the sweeps below, which wait for all, are due.
        finished = accelerator.reduce(torch.tensor(float(self._is_finished), device=accelerator.device))
        self._is_finished = bool(finished > 0)
        if self._is_finished:
            return
        per_epoch = state.max_steps
        if not self._recording.streaming:
            per_epoch = math.ceil(len(train_dataloader) / trainer.args.gradient_accumulation_steps)
        self._renew_at = set(self._schedule.steps(state.max_steps, per_epoch)) - {state.max_steps}
        self._saved.begin(trainer, state.global_step)
        if state.global_step == 0:
            with self._tap.capture.paused():
                self._saved.save_fit(trainer, self._influence.measure_fit())
            self._renew(0)
        else:
            self._measure.directions = self._influence.make_directions(self._saved.load(trainer, state.global_step))

    def before_optimizer_step(self) -> None:
        """Take what the last backward gave: from here on other callbacks may run the model, as a probe does."""
        self._tap.finish()

    def step_end(self, state: TrainerState, control: TrainerControl) -> None:
        """Make records durable, and renew the direction where that is planned."""
        if control.should_save:
            self._saved.checkpoint(state.global_step)
        super().step_end(state, control)
        if state.global_step in self._renew_at:
            self._renew(state.global_step)

    def epoch_end(self) -> None:
        """Make records durable before an end-of-epoch checkpoint is saved."""
        self._tap.finish()
        super().epoch_end()

    def end(self) -> None:
        """Arrange the records as visits and write the Trace."""
        self._tap.finish()
        self._tap.remove()
        super().end()

    def _watch(self, trainer: Trainer) -> None:
        self._tap = BackwardTap(trainer, self._influence.sites, self._measure, self._when, self._keep)

    def _describe(self) -> dict[str, Any]:
        return {**self._influence.describe(), "score_every": self._score_every}

    def _when(self) -> tuple[int, int, float] | None:
        step = self._recording.trainer.state.global_step
        if self._is_finished or step % self._score_every:
            return None
        return self._epoch, step, self._learning_rate

    def _renew(self, step: int) -> None:
        influence = self._influence
        with self._tap.capture.paused():
            directions = influence.directions()
            anchors = influence.anchors
            scored = None if anchors is None else influence.score(anchors, directions, "Scoring anchors")
        self._measure.directions = directions
        self._saved.save(self._recording.trainer, step, self._epoch, directions, scored)

    def _keep(self, done: Pass) -> None:
        assert done.losses is not None
        assert done.num_labels is not None
        values = self._influence.read(done.frame, self._measure.directions, done.gradient_scale)
        epoch, step, learning_rate = done.when
        self._problems.append((step, done.problems))
        labels = done.num_labels.float()
        self._log.add(epoch, step, learning_rate, done.ids, done.num_labels, loss=done.losses, labels=labels, **values)

    def _flush(self) -> None:
        for step, problems in self._problems:
            for name, found in problems.items():
                if bool(found):
                    raise ValueError(f"Per-example gradients cannot be read at step {step}: {PROBLEMS[name]}")
        self._problems = []
        super()._flush()

    def _write(self, trace: Trace, ids: np.ndarray, records: np.ndarray) -> None:
        scored = np.intersect1d(ids, records["id"]) if self._score_every > 1 else ids
        values, columns = visits(records, scored, "influence")
        if not columns:
            logger.warning(NEVER_VISITED)
            return
        names = self._influence.names
        others = {name: visits(records, scored, name)[0] for name in ("loss", "labels", *names[1:])}
        self._recording.mark(trace, np.setdiff1d(ids, scored, assume_unique=True), UNSCORED)
        self._recording.mark(trace, scored[np.isnan(values).all(axis=1)], UNLABELLED)
        anchors = self._influence.anchors
        traces = InfluenceTraces(trace, None if anchors is None else anchors.ids, names)
        traces.write_fit(self._influence.train.ids, self._saved.load_fit())
        renewals = self._saved.renewals()
        for renewal in renewals:
            traces.write_direction(renewal["norm"], renewal["energy"], {"step": renewal["step"]})
        for number, column in enumerate(columns):
            counts = np.nan_to_num(others["labels"][:, number]).astype(np.int64)
            measured = {"influence": values[:, number], **{name: others[name][:, number] for name in names[1:]}}
            of_anchors = None if anchors is None else anchors_of_epoch(renewals, number)
            traces.write(scored, Scored(measured, others["loss"][:, number], counts), of_anchors, None, column)
        for companion in traces.all():
            companion.finish()

"""Recording influence by sweeps: at each planned step a direction, then every example's product with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import TrainerState

from hf_datasel.trace import Trace
from hf_datasel.training.influence.bundle import InfluenceTraces
from hf_datasel.training.influence.engine import Directions, Influence
from hf_datasel.training.influence.frame import ALL
from hf_datasel.training.influence.probe import Scored
from hf_datasel.training.probe_recorder import ProbeRecorder
from hf_datasel.training.recording import UNLABELLED, Recording
from hf_datasel.training.schedule import CheckpointSchedule


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was measured at one."""

    directions: Directions
    scored: Scored
    anchors: Scored | None


class GradientProbeRecorder(ProbeRecorder):
    """Sweeps of inner products with the validation gradient, by the model and the optimizer as they are."""

    def __init__(self, recording: Recording, schedule: CheckpointSchedule, influence: Influence) -> None:
        super().__init__(recording, schedule, influence.train.ids)
        self._influence = influence
        self._traces: InfluenceTraces | None = None
        self._fit: list[dict[str, np.ndarray]] | None = None

    def _describe(self) -> dict[str, Any]:
        return self._influence.describe()

    def _open_beside(self, trace: Trace) -> list[Trace]:
        anchors = self._influence.anchors
        ids = None if anchors is None else anchors.ids
        self._traces = InfluenceTraces(trace, ids, self._influence.names)
        if self._fit is not None:
            self._traces.write_fit(self._ids, self._fit)
        return self._traces.all()

    def begin(self, state: TrainerState, train_dataloader: Any) -> None:
        """Measure once what is measured before training, then plan and make or find the Trace."""
        self._fit = self._influence.measure_fit() if state.global_step == 0 else None
        super().begin(state, train_dataloader)

    def _measure(self, checkpoint: str) -> Checkpoint:
        influence = self._influence
        directions = influence.directions(f"Validation gradient ({checkpoint})")
        anchors = influence.anchors
        return Checkpoint(
            directions,
            influence.score(influence.train, directions, f"Scoring examples ({checkpoint})"),
            None if anchors is None else influence.score(anchors, directions, f"Scoring anchors ({checkpoint})"),
        )

    def _commit(self, trace: Trace, measured: Checkpoint, column: dict[str, Any]) -> None:
        assert self._traces is not None
        if trace.num_checkpoints == 0:
            unlabelled = self._ids[measured.scored.num_labels == 0]
            self._traces.mark(unlabelled, UNLABELLED)
            self._recording.mark(trace, unlabelled, UNLABELLED)
        self._traces.write(self._ids, measured.scored, measured.anchors, measured.directions[ALL], column)

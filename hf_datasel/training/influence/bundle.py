"""An influence Trace and what stands beside it: losses, cosines, numbers of labels, anchors, the direction's norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_datasel.trace import Trace
from hf_datasel.training.influence.direction import Direction
from hf_datasel.training.influence.probe import Scored

DIRECTION_IDS = (0, 1)  # rows of the companion "direction": its norm, and the share of its energy that is used


class InfluenceTraces:
    """Companions of an influence Trace, made or found.

    The columns of one checkpoint are written companions first: a column of the Trace itself says that all are there.

    Args:
        trace: the influence Trace.
        anchor_ids: int64 ``[n]`` ascending, or None.
        names: what is recorded, "influence" in the Trace itself.
    """

    def __init__(self, trace: Trace, anchor_ids: np.ndarray | None, names: Sequence[str]) -> None:
        self._trace = trace
        self._names = ["loss", "num_labels", *(name for name in names if name != "influence")]
        planned = trace.num_planned
        self._beside = self._measured(trace, planned)
        self._direction = _companion(trace, "direction", planned, np.array(DIRECTION_IDS), metric="direction")
        self._anchors = None
        self._anchors_beside: dict[str, Trace] = {}
        if anchor_ids is not None:
            self._anchors = _companion(trace, "anchors", planned, anchor_ids, metric="influence")
            self._anchors_beside = self._measured(self._anchors, planned)

    def all(self) -> list[Trace]:
        """Every companion that has as many columns as the Trace."""
        anchors = [] if self._anchors is None else [*self._anchors_beside.values(), self._anchors]
        return [*self._beside.values(), self._direction, *anchors]

    def mark(self, ids: np.ndarray, reason: str) -> None:
        """Mark examples of the Trace's companions; the Trace itself is marked by its recording."""
        if len(ids):
            for trace in self._beside.values():
                trace.mark_unmeasurable(ids, reason)

    def write(
        self,
        ids: np.ndarray,
        scored: Scored,
        anchors: Scored | None,
        direction: Direction | None,
        column: dict[str, Any],
    ) -> None:
        """One checkpoint: everything beside the Trace, then the Trace.

        Args:
            ids: int64 ``[N]``, of ``scored``.
            scored: of the examples.
            anchors: of the anchors, if there are any.
            direction: what they were held against, where a column has one of its own.
            column: step, epoch and learning rate.
        """
        if self._anchors is not None and anchors is not None:
            _write(self._anchors, self._anchors_beside, self._anchors.ids, anchors, column)
        if direction is not None:
            self.write_direction(direction.norm, direction.energy_used, column)
        _write(self._trace, self._beside, ids, scored, column)

    def write_direction(self, norm: float, energy: float, column: dict[str, Any]) -> None:
        """A direction's length, and the share of its energy that is used."""
        _column(self._direction, np.array(DIRECTION_IDS), np.array([norm, energy]), column)

    def write_fit(self, ids: np.ndarray, columns: Sequence[dict[str, np.ndarray]]) -> None:
        """What was measured once, when training began, of the examples and of the anchors; again is the same.

        Args:
            ids: int64 ``[N]``, of the examples' columns.
            columns: of the examples, and of the anchors.
        """
        for trace, numbers, named in ((self._trace, ids, columns[0]), (self._anchors, None, columns[1])):
            for name, values in named.items():
                assert trace is not None
                once = _companion(trace, name, 1, None, metric=name)
                if not once.num_checkpoints:
                    _column(once, once.ids if numbers is None else numbers, values, {"step": 0})
                    once.finish()

    def _measured(self, trace: Trace, planned: int | None) -> dict[str, Trace]:
        return {name: _companion(trace, name, planned, None, metric=name) for name in self._names}


def _companion(trace: Trace, name: str, planned: int | None, ids: np.ndarray | None, metric: str) -> Trace:
    if name in trace.companions:
        return trace.open_companion(name)
    made = trace.create_companion(name, ids=ids, metric=metric, num_checkpoints=planned)
    if ids is None:
        for reason, marked in trace.unmeasurable.items():
            made.mark_unmeasurable(marked, reason)
    return made


def _write(trace: Trace, beside: dict[str, Trace], ids: np.ndarray, scored: Scored, column: dict[str, Any]) -> None:
    labels = np.where(scored.num_labels > 0, scored.num_labels, np.nan)
    values = {"loss": scored.losses, "num_labels": labels, **scored.columns}
    for name, companion in beside.items():
        _column(companion, ids, values[name], column)
    _column(trace, ids, values["influence"], column)


def _column(trace: Trace, ids: np.ndarray, values: np.ndarray, column: dict[str, Any]) -> None:
    full = np.full(trace.num_examples, np.nan, dtype=np.float32)
    full[np.searchsorted(trace.ids, ids)] = values
    trace.write_column(full, **column)

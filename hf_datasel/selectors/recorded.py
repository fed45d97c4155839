"""What a scoring method reads: the rows of a Trace that matter, those of its companions, and those of its anchors.

Legend: n rows that matter (candidates or anchors), T checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.pool import Pool
from hf_datasel.trace_companions import TraceWithCompanions

Checkpoint = Literal["first", "last"]
CHECKPOINTS: tuple[Checkpoint, ...] = ("first", "last")
BLOCK = 1 << 16
ANCHORED = "record with GradientTraceCallback(..., anchor_dataset=...)"
OPTIONS = {"cosine": "norms=True", "ifd": "ifd=True", "pairing": "pairing=4"}


@dataclass(frozen=True, eq=False)
class Recorded:
    """Rows of a Trace, read in blocks.

    Args:
        trace: where they are.
        positions: int64 [n], their rows in the trace; None where they are all its rows.
        what: how messages call them: "the Trace" or "its anchors".
    """

    trace: TraceWithCompanions
    positions: NDArray[np.int64] | None = None
    what: str = "the Trace"

    @classmethod
    def candidates(cls, pool: Pool) -> Recorded:
        """The candidates of a pool that was gathered from a Trace."""
        return cls(pool.trace, pool.positions)

    def __len__(self) -> int:
        return self.trace.num_examples if self.positions is None else len(self.positions)

    @property
    def ids(self) -> NDArray[np.int64]:
        """int64 [n], ascending."""
        return self.trace.ids if self.positions is None else self.trace.ids[self.positions]

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Where a block of rows stands among the n, and its values, float32 [m, T]."""
        for start in range(0, len(self), BLOCK):
            where = slice(start, min(start + BLOCK, len(self)))
            yield where, self.trace.take(where if self.positions is None else self.positions[where])

    def first(self) -> NDArray[np.float32]:
        """Values at the first checkpoint, float32 [n]."""
        return self._column(0)

    def last(self) -> NDArray[np.float32]:
        """Values at the last checkpoint, float32 [n]."""
        return self._column(self.trace.num_checkpoints - 1)

    def at(self, checkpoint: Checkpoint) -> NDArray[np.float32]:
        """Values at the "first" or the "last" checkpoint, float32 [n]."""
        return self.first() if checkpoint == "first" else self.last()

    def losses(self, asker: str) -> Recorded:
        """The losses of the same rows: a Trace of losses itself, the companion "loss" of another."""
        return self if self.trace.metric == "loss" else self.companion("loss", asker)

    def _column(self, t: int) -> NDArray[np.float32]:
        column = self.trace.column(t)
        return column if self.positions is None else column[self.positions]

    def companion(self, name: str, asker: str, *, same_steps: bool = True, otherwise: str = "") -> Recorded:
        """The same rows of a companion.

        Args:
            name: of the companion.
            asker: who needs it.
            same_steps: whether it must be of the same checkpoints.
            otherwise: what can be done without it, for the message.

        Raises:
            ValueError: it was not recorded (says how it is), is of other examples or checkpoints, or a value in it was
                not measured.
        """
        if name not in self.trace.companions:
            there = ", ".join(map(repr, self.trace.companions)) or "none"
            kind = name.removeprefix("contrast_")
            option = OPTIONS.get(name) if kind == name else f"contrast_datasets={{{kind!r}: ...}}"
            how = (
                f"GradientTraceCallback records {name!r} in every run: record with it"
                if option is None
                else "record with GradientTraceCallback(..., for_selector=selector), which adds all that the selector "
                f"reads, or with {option}"
            )
            raise ValueError(
                f"{asker} needs the companion {name!r} of {self.what}, which was not recorded (there: {there}): "
                f"{how}{otherwise}."
            )
        trace = self.trace.companion(name)
        if not np.array_equal(trace.ids, self.trace.ids):
            raise ValueError(f"The companion {name!r} of {self.what} is of other examples: record them together.")
        if same_steps and not np.array_equal(trace.steps, self.trace.steps):
            raise ValueError(
                f"The companion {name!r} of {self.what} was recorded at the steps {trace.steps.tolist()}, {self.what} "
                f"at {self.trace.steps.tolist()}: resume the run that records them, or record anew."
            )
        trace.require_measured(np.arange(len(self)) if self.positions is None else self.positions)
        return replace(self, trace=trace)

    def anchors(self, asker: str) -> Recorded:
        """The anchors that were scored on the same checkpoints.

        Raises:
            ValueError: there are none (says how they are recorded), or they are of other checkpoints, another metric,
                or not measured.
        """
        if "anchors" not in self.trace.companions:
            raise ValueError(
                f"{asker} needs anchors, trusted examples that were scored on the same checkpoints, and the Trace has "
                f"none: {ANCHORED}, or pass budget=, or a number as threshold=."
            )
        trace = self.trace.companion("anchors")
        if trace.metric != self.trace.metric or not np.array_equal(trace.steps, self.trace.steps):
            raise ValueError(
                f"The anchors hold {trace.metric!r} at the steps {trace.steps.tolist()}, the Trace "
                f"{self.trace.metric!r} at {self.trace.steps.tolist()}: record them in one run."
            )
        positions = trace.selectable if trace.unmeasurable else None
        if positions is not None and not positions.size:
            raise ValueError("Not one anchor can be measured: give other anchors.")
        trace.require_measured(positions)
        return Recorded(trace, positions, "its anchors")

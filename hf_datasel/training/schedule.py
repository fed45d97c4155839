"""At which optimiser steps a trajectory gets a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Mode = Literal["probe", "in_run"]


@dataclass(frozen=True)
class CheckpointSchedule:
    """When to record, in units that do not depend on the number of processes.

    Exactly one of the four is set. The released code of S2L records at whatever weight checkpoints happen to be kept,
    so its number of points depends on the number of GPUs; here it does not.

    Args:
        num_checkpoints: T points, evenly spaced, the last at the end of training.
        checkpoint_steps: every so many optimiser steps (int), or exactly these steps.
        checkpoint_epochs: every so many epochs, e.g. 0.5.
        checkpoint_fractions: fractions of training in (0, 1].

    Where it is recorded before the first step, too, 0 is one of the steps and fractions that may be listed.
    """

    num_checkpoints: int | None = None
    checkpoint_steps: int | Sequence[int] | None = None
    checkpoint_epochs: float | None = None
    checkpoint_fractions: Sequence[float] | None = None

    def __post_init__(self) -> None:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"Set exactly one of num_checkpoints, checkpoint_steps, checkpoint_epochs, checkpoint_fractions; "
                f"got {', '.join(given) or 'none'}."
            )

    def steps(self, max_steps: int, steps_per_epoch: float, earliest: int = 1) -> list[int]:
        """The optimiser steps after which to record, ascending and unique.

        Args:
            max_steps: optimiser steps of the whole training.
            steps_per_epoch: optimiser steps of one epoch.
            earliest: 0 where a list may name the model before training, too.

        Raises:
            ValueError: more points than steps, or a point outside training; names the option.

        >>> CheckpointSchedule(num_checkpoints=4).steps(max_steps=10, steps_per_epoch=5)
        [3, 5, 8, 10]
        >>> CheckpointSchedule(checkpoint_epochs=1).steps(max_steps=12, steps_per_epoch=5)
        [5, 10]
        """
        if self.num_checkpoints is not None:
            count = _whole("num_checkpoints", self.num_checkpoints)
            if count > max_steps:
                raise ValueError(
                    f"num_checkpoints={count} does not fit into {max_steps} optimiser steps: "
                    "ask for fewer checkpoints or train longer."
                )
            return [_round_half_up(max_steps * (k + 1) / count) for k in range(count)]
        if self.checkpoint_steps is not None:
            if isinstance(self.checkpoint_steps, int):
                every = _whole("checkpoint_steps", self.checkpoint_steps)
                return _inside("checkpoint_steps", list(range(every, max_steps + 1, every)), max_steps)
            return _inside("checkpoint_steps", sorted(set(self.checkpoint_steps)), max_steps, earliest)
        if self.checkpoint_epochs is not None:
            if not (math.isfinite(self.checkpoint_epochs) and self.checkpoint_epochs > 0):
                raise ValueError(f"checkpoint_epochs={self.checkpoint_epochs} is no positive number of epochs.")
            spacing = self.checkpoint_epochs * steps_per_epoch
            points = [_round_half_up(spacing * k) for k in range(1, int(max_steps / spacing + 1e-9) + 1)]
            return _inside("checkpoint_epochs", sorted({max(1, point) for point in points}), max_steps)
        fractions = list(self.checkpoint_fractions or [])
        numbers = all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in fractions)
        if not numbers or (earliest > 0 and 0 in fractions):
            span = "[0, 1]" if earliest == 0 else "(0, 1]"
            raise ValueError(f"checkpoint_fractions={fractions}: every fraction of training must lie in {span}.")
        points = sorted({max(int(value > 0), _round_half_up(max_steps * value)) for value in fractions})
        return _inside("checkpoint_fractions", points, max_steps, earliest)


def _round_half_up(value: float) -> int:
    return math.floor(value + 0.5)


def _whole(option: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{option}={value!r} must be a whole number of at least 1.")
    return value


def _inside(option: str, points: list[int], max_steps: int, earliest: int = 1) -> list[int]:
    outside = [point for point in points if not earliest <= point <= max_steps]
    if outside or not points:
        raise ValueError(
            f"{option} gives {'no point' if not points else f'step {outside[0]}'}, but training has steps "
            f"{earliest} to {max_steps}: choose points inside training."
        )
    return points

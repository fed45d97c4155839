"""What is measured at a checkpoint: a direction from validation rows, and every example's product with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from torch import Tensor
from transformers import Trainer

from hf_datasel.example_ids import read_example_ids
from hf_datasel.functional.directions import is_share
from hf_datasel.training.influence.direction import Direction, Precondition, make_direction
from hf_datasel.training.influence.frame import Frame
from hf_datasel.training.influence.held_out import group_weights, prepare_held_out, refuse_leaks
from hf_datasel.training.influence.parameters import Parameters, choose_parameters
from hf_datasel.training.influence.probe import GradientSweep, Scored
from hf_datasel.training.influence.rules import Measure, Norms
from hf_datasel.training.influence.sites import find_sites

PRECONDITIONS = ("none", "adam", "official")


@dataclass(frozen=True)
class InfluenceOptions:
    """What to measure; see :class:`~hf_datasel.GradientTraceCallback` for each."""

    parameters: Parameters = "all"
    precondition: Precondition = "none"
    norms: bool = False
    low_rank: int | float | None = None
    group_column: str | None = None
    group_weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.precondition not in PRECONDITIONS:
            raise ValueError(f"precondition={self.precondition!r} must be one of {PRECONDITIONS}.")
        if self.low_rank is not None:
            is_share(self.low_rank)
        if self.precondition == "official" and (self.norms or self.low_rank is not None):
            raise ValueError(
                "precondition='official' is not linear in an example's gradient, so norms=True and low_rank do not "
                "apply to it: leave them out, or use precondition='adam'."
            )
        if self.group_weights is not None and self.group_column is None:
            raise ValueError("group_weights needs group_column, the column of validation_dataset that names groups.")


class Influence:
    """The measurement of one trainer's examples.

    Args:
        trainer: built, not yet training.
        examples: its tokenised rows with ids, one row an example.
        validation: rows whose mean gradient is the direction, in the trainer's format.
        contrast: rows whose mean gradient is taken off it, or None.
        anchors: trusted rows that are scored like the examples, or None.
        options: what to measure.
        tokens_per_batch: padded tokens of a sweep's batch on one process.

    Attributes:
        parameters: that count, by name.
        sites: where they are used.
        train, anchors: sweeps.

    Raises:
        TypeError, ValueError: rows or options that cannot be used; named.
    """

    def __init__(
        self,
        trainer: Trainer,
        examples: Dataset | IterableDataset,
        validation: Any,
        contrast: Any,
        anchors: Any,
        options: InfluenceOptions,
        tokens_per_batch: int,
    ) -> None:
        self.options = options
        self._trainer = trainer
        self.parameters = choose_parameters(trainer.model, options.parameters)
        self.sites = find_sites(trainer.model, self.parameters)
        self.make_measure()  # norms that have no rule are refused now
        held_out = {"validation_dataset": prepare_held_out(trainer, validation, "validation_dataset")}
        if anchors is not None:
            held_out["anchor_dataset"] = prepare_held_out(trainer, anchors, "anchor_dataset")
        refuse_leaks(examples, held_out)
        self._validation = GradientSweep(trainer, held_out["validation_dataset"], tokens_per_batch)
        self._weights = self._validation_weights(validation, held_out["validation_dataset"])
        self.train = GradientSweep(trainer, examples, tokens_per_batch)
        self._contrast = None
        if contrast is not None:
            bad = prepare_held_out(trainer, contrast, "contrast_dataset")
            self._contrast = GradientSweep(trainer, bad, tokens_per_batch)
        self.anchors = None
        if anchors is not None:
            self.anchors = GradientSweep(trainer, held_out["anchor_dataset"], tokens_per_batch)

    def make_measure(self, per_parameter: bool = False) -> Measure:
        """A fresh measure of these options, without a direction yet."""
        norms: Norms = "none"
        if self.options.norms:
            norms = "preconditioned" if self.options.precondition == "adam" else "plain"
        official = self.options.precondition == "official"
        return Measure(self.sites, norms=norms, official=official, per_parameter=per_parameter)

    def direction(self, description: str = "Validation gradient") -> Direction:
        """The direction under the model and the optimizer as they are now.

        Raises:
            ValueError: it is zero or not finite, or the optimizer holds no second moments.
        """
        mean = self._validation.mean_gradient(self.parameters, self._weights, description)
        if self._contrast is not None:
            num_rows = len(self._contrast.ids)
            weights = np.full(num_rows, self._weights.sum() / num_rows)
            bad = self._contrast.mean_gradient(self.parameters, weights, description)
            mean = {name: gradient - bad[name] for name, gradient in mean.items()}
        return self.make_direction(mean)

    def make_direction(self, mean: Mapping[str, Tensor]) -> Direction:
        """The direction of a mean gradient, by parameter name.

        Raises:
            ValueError: as :meth:`direction`.
        """
        options = self.options
        return make_direction(
            mean, self.parameters, self._trainer.optimizer, options.precondition, options.low_rank, self.sites
        )

    def score(self, sweep: GradientSweep, direction: Direction, description: str) -> Scored:
        """``influence``, and with norms ``cosine``, of a sweep's examples."""
        measure = self.make_measure()
        measure.direction = direction
        return sweep.score(self.sites, measure, lambda frame: self.read(frame, direction), description)

    def read(self, frame: Frame, direction: Direction) -> dict[str, Tensor]:
        """Named values ``[D]`` of a finished frame whose loss was the sum of the examples' losses."""
        inner = frame.inner()
        values = {"influence": inner}
        if self.options.norms:
            values["cosine"] = cosine(inner, frame.squared(), direction.norm)
        return values

    def describe(self) -> dict[str, Any]:
        """The options, as plain JSON values."""
        options = self.options
        return {
            "precondition": options.precondition,
            "parameters": options.parameters if isinstance(options.parameters, str) else list(options.parameters),
            "num_parameters_scored": sum(p.numel() for p in self.parameters.values()),
            "norms": options.norms,
            "low_rank": options.low_rank,
            "num_validation": len(self._validation.ids),
            "num_contrast": 0 if self._contrast is None else len(self._contrast.ids),
            "num_anchors": 0 if self.anchors is None else len(self.anchors.ids),
            "group_column": options.group_column,
            "group_weights": None if options.group_weights is None else dict(options.group_weights),
        }

    def _validation_weights(self, raw: Dataset, prepared: Dataset) -> np.ndarray:
        ids = np.sort(read_example_ids(prepared))
        column = self.options.group_column
        if column is None:
            return np.full(len(ids), 1 / len(ids))
        if column not in raw.column_names:
            raise ValueError(f"group_column='{column}' is not a column of validation_dataset ({raw.column_names}).")
        groups = [str(raw[int(row)][column]) for row in ids]
        return group_weights(groups, self.options.group_weights, column)


def cosine(inner: Tensor, squared: Tensor, direction_norm: float) -> Tensor:
    """``<g, v> / (|g| |v|)``; 0 where an example has no gradient at all."""
    return inner / (squared.sqrt() * direction_norm).clamp_min(torch.finfo(torch.float32).tiny)

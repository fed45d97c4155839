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
from hf_datasel.training.influence.answers import AnswerProbes
from hf_datasel.training.influence.direction import Direction, Precondition, make_direction
from hf_datasel.training.influence.frame import ALL, Frame
from hf_datasel.training.influence.held_out import group_weights, prepare_held_out, refuse_leaks
from hf_datasel.training.influence.parameters import Parameters, choose_parameters
from hf_datasel.training.influence.probe import GradientSweep, Scored
from hf_datasel.training.influence.rules import Measure, Norms
from hf_datasel.training.influence.sites import find_sites

Directions = dict[str, Direction]
CONTRAST = "contrast_"
PRECONDITIONS = ("none", "adam", "official")


@dataclass(frozen=True)
class InfluenceOptions:
    """What to measure; see :class:`~hf_datasel.GradientTraceCallback` for each."""

    parameters: Parameters = "all"
    precondition: Precondition = "none"
    norms: bool = False
    low_rank: int | float | None = None
    ifd: bool = False
    pairing: int = 0
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
        if isinstance(self.pairing, bool) or not isinstance(self.pairing, int) or self.pairing < 0:
            raise ValueError(f"pairing={self.pairing!r} must be a number of other questions for each example, or 0.")
        if self.group_weights is not None and self.group_column is None:
            raise ValueError("group_weights needs group_column, the column of validation_dataset that names groups.")

    @property
    def fit_names(self) -> list[str]:
        """What is recorded of how answers fit their questions."""
        return [*(["ifd"] if self.ifd else []), *(["pairing"] if self.pairing else [])]


class Influence:
    """The measurement of one trainer's examples.

    Args:
        trainer: built, not yet training.
        examples: its tokenised rows with ids, one row an example.
        validation: rows whose mean gradient is the direction, in the trainer's format.
        contrasts: sets of bad rows by name: each gives another direction, its mean gradient taken off the first.
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
        contrasts: Mapping[str, Any],
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
        self._contrasts = {
            f"{CONTRAST}{name}": GradientSweep(
                trainer, prepare_held_out(trainer, rows, f"contrast_datasets[{name!r}]"), tokens_per_batch
            )
            for name, rows in contrasts.items()
        }
        self.anchors = None
        if anchors is not None:
            self.anchors = GradientSweep(trainer, held_out["anchor_dataset"], tokens_per_batch)
        self._answers: list[AnswerProbes | None] = [None, None]
        if options.fit_names:
            rows = [examples, held_out.get("anchor_dataset")]
            self._answers = [
                None
                if part is None
                else AnswerProbes(trainer, part, examples, options.pairing, trainer.args.seed, tokens_per_batch)
                for part in rows
            ]

    def make_measure(self, per_parameter: bool = False) -> Measure:
        """A fresh measure of these options, without a direction yet."""
        norms: Norms = "none"
        if self.options.norms:
            norms = "preconditioned" if self.options.precondition == "adam" else "plain"
        official = self.options.precondition == "official"
        return Measure(self.sites, norms=norms, official=official, per_parameter=per_parameter)

    @property
    def names(self) -> list[str]:
        """What is recorded of every example, beside its loss."""
        return ["influence", *(["cosine"] if self.options.norms else []), *self._contrasts]

    def measure_fit(self) -> list[dict[str, np.ndarray]]:
        """How the answers of the examples and of the anchors fit their questions, of the model as it is."""
        names = self.options.fit_names
        return [
            {} if probes is None else {name: column for name, column in probes.measure().items() if name in names}
            for probes in self._answers
        ]

    def directions(self, description: str = "Validation gradient") -> Directions:
        """The directions under the model and the optimizer as they are now.

        Raises:
            ValueError: one is zero or not finite, or the optimizer holds no second moments.
        """
        good = self._validation.mean_gradient(self.parameters, self._weights, description)
        means = {ALL: good}
        for key, sweep in self._contrasts.items():
            weights = np.full(len(sweep.ids), self._weights.sum() / len(sweep.ids))
            bad = sweep.mean_gradient(self.parameters, weights, f"{description} ({key})")
            means[key] = {name: gradient - bad[name] for name, gradient in good.items()}
        return self.make_directions(means)

    def make_directions(self, means: Mapping[str, Mapping[str, Tensor]]) -> Directions:
        """The directions of mean gradients, by key and parameter name.

        Raises:
            ValueError: as :meth:`directions`.
        """
        options, optimizer = self.options, self._trainer.optimizer
        return {
            key: make_direction(mean, self.parameters, optimizer, options.precondition, options.low_rank, self.sites)
            for key, mean in means.items()
        }

    def score(self, sweep: GradientSweep, directions: Directions, description: str) -> Scored:
        """The values of :attr:`names` of a sweep's examples."""
        measure = self.make_measure()
        measure.directions = directions
        return sweep.score(self.sites, measure, lambda frame: self.read(frame, directions), description)

    def read(self, frame: Frame, directions: Directions, scale: Tensor | float = 1.0) -> dict[str, Tensor]:
        """The values ``[D]`` of :attr:`names` in a finished frame.

        Args:
            frame: of a loss whose gradient was ``scale`` times that of each example's mean loss.
            directions: that gradients were held against.
            scale: of each example, ``[D]``.
        """
        values = {"influence": frame.inner() / scale}
        norms = frame.squared().sqrt() / scale if self.options.norms else None
        if norms is not None:
            values["cosine"] = cosine(values["influence"], norms, directions[ALL].norm)
        for key in self._contrasts:
            inner = frame.inner(key) / scale
            values[key] = inner if norms is None else cosine(inner, norms, directions[key].norm)
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
            "ifd": options.ifd,
            "pairing": options.pairing,
            "num_validation": len(self._validation.ids),
            "num_contrasts": {name: len(sweep.ids) for name, sweep in self._contrasts.items()},
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


def cosine(inner: Tensor, norms: Tensor, direction_norm: float) -> Tensor:
    """``<g, v> / (|g| |v|)``; 0 where an example has no gradient at all."""
    return inner / (norms * direction_norm).clamp_min(torch.finfo(torch.float32).tiny)

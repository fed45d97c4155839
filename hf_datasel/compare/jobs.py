"""A cell of a comparison: select, train the target on what was selected, measure it on the test rows.

output_dir/
  selections/<label>-<budget>-<seed>/       the Selection, of a method that makes one
  cells/<label>-<budget>-<seed>.json        what came of it; there once all of it is done
"""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from peft import PeftConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging
from trl import SFTTrainer

from hf_datasel.compare.choosing import selectors_of
from hf_datasel.compare.curriculum import ConfidenceCurriculum, num_seen
from hf_datasel.compare.evidence import SharedEvidence
from hf_datasel.compare.plan import ALL, Cell, Plan
from hf_datasel.data import strata
from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.selection import Selection
from hf_datasel.selectors import Selector
from hf_datasel.selectors.chain import Chain
from hf_datasel.storage import write_json
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.utility.coalition_rows import CoalitionRows, Ids
from hf_datasel.training.utility.coalition_training import CoalitionTraining
from hf_datasel.training.utility.given_metrics import EvaluateMetric
from hf_datasel.training.utility.metrics import Metric, ValidationLoss

logger = logging.get_logger(__name__)

CELLS, SELECTIONS = "cells", "selections"


class RowsInOrder(CoalitionRows):
    """Training rows as a dataset holds them: what a trainer of it would read, without the rows it would drop."""

    def of(self, ids: Ids) -> Dataset:
        """The rows of these ids in the order of the dataset; not those of which truncation left no label."""
        return self.rows.select(np.flatnonzero(np.isin(self._row_ids, ids)))

    @cached_property
    def _row_ids(self) -> Ids:
        return np.asarray(self.rows[EXAMPLE_ID], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Target:
    """What is trained in every cell, always from the same start.

    Args:
        model: left as it is.
        tokenizer: of the model.
        args: of the comparison.
        peft_config: adapter to train; None to train the weights.
        rows: to train on.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    args: SelectingSFTConfig
    peft_config: PeftConfig | None
    rows: RowsInOrder

    def training(self, seed: int, max_steps: int | None = None) -> CoalitionTraining:
        """A training, local to its process, with a seed of its own; for so many steps, or as the arguments say."""
        args = copy.deepcopy(self.args)
        args.seed = seed
        if max_steps is not None:
            args.max_steps = max_steps
        return CoalitionTraining(self.model, self.tokenizer, args, self.peft_config, self.rows)

    def num_steps(self) -> int:
        """Optimiser steps of a training on everything."""
        if self.args.max_steps > 0:
            return int(self.args.max_steps)
        with self.training(self.args.seed).start(self.rows.ids) as trainer:
            return int(trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1])


@dataclass(frozen=True, eq=False)
class Measure:
    """Metrics of a trained model on test rows, of all of them and of their groups.

    Args:
        metrics: by the name under which they are reported.
        test: tokenised, with ``example_id`` 0 .. n - 1 in this order.
        groups: a label for each row; None for none.
    """

    metrics: Mapping[str, Metric]
    test: Dataset
    groups: Sequence[str] | None

    def names(self) -> list[str]:
        """ "all" and the groups."""
        return [ALL, *sorted(set(self.groups or ()))]

    def of_trainer(self, trainer: SFTTrainer) -> dict[str, dict[str, float]]:
        """By metric and group; losses and error rates as such, the less the better.

        Raises:
            ValueError: a value is not finite; names metric and group. What the metric raises.
        """
        return {name: self._one(name, metric, trainer) for name, metric in self.metrics.items()}

    def _one(self, name: str, metric: Metric, trainer: SFTTrainer) -> dict[str, float]:
        with trainer.accelerator.autocast():  # as in training
            values = metric.measure(trainer, self.test, self._rows())
        sign = -1.0 if is_better_low(metric) else 1.0  # metrics are high where a model is good
        found = {group: sign * float(value) for group, value in zip(self.names(), values, strict=True)}
        for group, value in found.items():
            if not math.isfinite(value):
                raise ValueError(f"metric {name!r} is {value} on {group!r}: it has to be a finite number.")
        return found

    def _rows(self) -> list[NDArray[np.int64]]:
        labels = np.array(self.groups if self.groups is not None else [])
        return [np.arange(len(self.test)), *(np.flatnonzero(labels == name) for name in self.names()[1:])]


def is_better_low(metric: Metric) -> bool:
    """Whether a metric is reported as it is usually told, the less the better."""
    is_error = isinstance(metric, EvaluateMetric) and not metric.greater_is_better
    return is_error or isinstance(metric, ValidationLoss)


@dataclass(frozen=True, eq=False)
class Bench:
    """Does cells.

    Args:
        plan: of the comparison.
        root: its folder.
        dataset: with example ids, not tokenised.
        evidence: of all methods.
        target: to be trained.
        measure: of the target.
    """

    plan: Plan
    root: Path
    dataset: Dataset
    evidence: SharedEvidence
    target: Target
    measure: Measure

    def place(self, cell: Cell) -> Path:
        """Where a cell's outcome goes."""
        return self.root / CELLS / f"{cell.name}.json"

    def do(self, cell: Cell) -> None:
        """Select, train, measure, and write the outcome down.

        Raises:
            RuntimeError: any of that failed; names the cell, and says why.
        """
        try:
            outcome = self._outcome(cell)
        except Exception as error:  # whatever a selector, a training or a metric raises, it is raised on
            raise RuntimeError(f"{cell}: {type(error).__name__}: {error}") from error
        self.place(cell).parent.mkdir(parents=True, exist_ok=True)
        write_json(self.place(cell), outcome)

    @cached_property
    def _max_steps(self) -> int | None:
        """Of every training; None where they take equal epochs."""
        return self.target.num_steps() if self.plan.equal == "steps" else None

    def _select(self, cell: Cell, selectors: Sequence[Selector]) -> Selection:
        column = None if cell.method.is_on_all else self.target.args.selection_strata_column
        labels = None if column is None else strata(self.dataset, column)
        with warnings.catch_warnings(record=True) as notices:
            warnings.simplefilter("always")
            selection = Chain(selectors).select([self.evidence.load(one) for one in selectors], strata=labels)
        for notice in notices:
            logger.warning(f"{cell}: {notice.message}")
        return selection

    def _selectors(self, cell: Cell) -> tuple[Selector, ...]:
        args = self.target.args
        return selectors_of(cell.method, args, cell.budget, args.selection_seed + cell.seed - self.plan.seed)

    def _order(self, last: Selector) -> Callable[[SFTTrainer], None] | None:
        """What makes a training visit its rows in another order than at random."""
        if not isinstance(last, ConfidenceCurriculum):
            return None
        return partial(last.attach, difficulty=self.evidence.load(last))

    def _outcome(self, cell: Cell) -> dict[str, Any]:
        begun = time.perf_counter()
        selectors = self._selectors(cell)
        selection, order = self._select(cell, selectors), self._order(selectors[-1])
        selected = time.perf_counter()
        if order is None:  # a run that was killed may have left one
            selection.save(self.root / SELECTIONS / cell.name, overwrite=True)
        training = self.target.training(cell.seed, self._max_steps)
        about_to_train = time.perf_counter()
        with training.trained(selection.ids, order) as trainer:
            trained = time.perf_counter()
            return {
                "method": cell.method.label,
                "budget": cell.budget,
                "seed": cell.seed,
                "num_kept": len(selection),
                **num_seen(trainer),
                "steps": trainer.state.global_step,
                "select_seconds": selected - begun,
                "train_seconds": trained - about_to_train,
                "metrics": self.measure.of_trainer(trainer),
            }

"""From a coalition's model to its record in the ledger."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from trl import SFTTrainer

from hf_datasel.training.utility.metrics import Metric, row_means
from hf_datasel.training.utility.objective import Groups

Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A metric on dev rows, in groups.

    Args:
        metric: high is good.
        dev: tokenised rows with ``example_id`` 0 .. n - 1, in this order.
        groups: of them.
    """

    metric: Metric
    dev: Dataset
    groups: Groups

    @property
    def group_rows(self) -> list[NDArray[np.int64]]:
        """Row numbers of each group."""
        return self.groups.rows(len(self.dev))

    def of_trainer(self, trainer: SFTTrainer) -> Record:
        """The record of the model that a trainer has; raises as :meth:`of_groups`, and what the metric raises."""
        with trainer.accelerator.autocast():  # as in training, also where there was none
            return self.of_groups(self.metric.measure(trainer, self.dev, self.group_rows))

    def of_rows(self, values: NDArray[np.float64]) -> Record:
        """The record of a model with these values of the rows ``[n]``; raises as :meth:`of_groups`."""
        return self.of_groups(row_means(values, self.group_rows))

    def of_groups(self, metrics: list[float]) -> Record:
        """The record of a model with these metrics of the groups.

        Raises:
            ValueError: one is not finite; names metric and group.
        """
        names = self.groups.names
        for number, value in enumerate(metrics):
            if not math.isfinite(value):
                where = f" in group {names[number]!r}" if names else ""
                raise ValueError(f"metric {self.metric.name!r} is {value}{where}: a value has to be a finite number.")
        record: Record = {"value": self.groups.combine(metrics)}
        if names:
            record["groups"] = dict(zip(names, metrics, strict=True))
        return record

"""What a coalition's model is measured by, on dev rows: a value for each group of them, high is good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from trl import SFTTrainer

from hf_datasel.training.probe import Probe
from hf_datasel.training.rows import Batch
from hf_datasel.training.sweep import sweep_batches, sweep_losses

Rows = NDArray[np.int64]


@runtime_checkable
class Metric(Protocol):
    """Of a model and tokenised dev rows."""

    @property
    def name(self) -> str:
        """For messages."""

    def describe(self) -> dict[str, Any]:
        """What decides its values, as JSON."""

    def measure(self, trainer: SFTTrainer, dev: Dataset, groups: Sequence[Rows]) -> list[float]:
        """A value for each group.

        Args:
            trainer: trained, and alone on its process.
            dev: tokenised rows with ``example_id`` 0 .. n - 1, in this order.
            groups: row numbers of each.
        """


@dataclass(frozen=True)
class _Sweep:
    """A metric of one pass over the dev rows.

    Args:
        tokens_per_batch: padded tokens of a batch; changes nothing but roundings.
    """

    name: ClassVar[str]
    tokens_per_batch: int = 8192

    def describe(self) -> dict[str, Any]:
        """The name."""
        return {"name": self.name}


class LogLikelihood(_Sweep):
    """Mean over the rows of each row's mean log-probability of its label tokens, in nats."""

    name = "log_likelihood"

    def measure(self, trainer: SFTTrainer, dev: Dataset, groups: Sequence[Rows]) -> list[float]:
        """As the protocol says; raises ValueError where a loss is not finite."""
        return row_means(-Probe(trainer, dev, self.tokens_per_batch).sweep().astype(np.float64), groups)


class ValidationLoss(_Sweep):
    """The loss a Trainer reports, with its sign changed: minus the mean over all label tokens of the rows, in nats.

    A row counts by its number of label tokens, where in :class:`LogLikelihood` all rows count alike.
    """

    name = "loss"

    def measure(self, trainer: SFTTrainer, dev: Dataset, groups: Sequence[Rows]) -> list[float]:
        """As the protocol says; raises ValueError where a loss is not finite."""
        probe = Probe(trainer, dev, self.tokens_per_batch)
        losses = probe.sweep().astype(np.float64)
        return [-float(np.average(losses[rows], weights=probe.num_labels[rows])) for rows in groups]


class ExactMatch(_Sweep):
    """Share of rows that greedy decoding answers exactly.

    Greedy decoding gives the reference exactly if every label token is the most likely one behind the reference's own
    tokens before it. One forward over batches of rows tells that; no text is generated. Where a row has several
    answers, each is given the reference's turns before it.
    """

    name = "exact_match"

    def measure(self, trainer: SFTTrainer, dev: Dataset, groups: Sequence[Rows]) -> list[float]:
        """As the protocol says."""
        batches = sweep_batches(trainer, dev, self.tokens_per_batch, None)

        def matches(positions: Tensor, inputs: Batch) -> tuple[Tensor, Tensor]:
            outputs = trainer.model(**inputs, use_cache=False, fused_lm_head=True)
            right = (outputs.is_top1 | ~outputs.label_mask).all(-1).float()
            right[~outputs.log_probs.isfinite().all(-1)] = math.nan  # no token is the most likely one: refused
            return right, outputs.label_mask.sum(-1)

        return row_means(sweep_losses(trainer, batches, matches, "Exact match")[0].astype(np.float64), groups)


def row_means(values: NDArray[np.float64], groups: Sequence[Rows]) -> list[float]:
    """Mean of the rows' values ``[n]`` in each group."""
    return [math.fsum(values[rows].tolist()) / len(rows) for rows in groups]

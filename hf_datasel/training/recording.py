"""What the two ways of recording share: where a recording goes, and which examples it is of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset
from transformers import Trainer
from transformers.utils import logging

from hf_datasel.example_ids import read_example_ids, stamped_fingerprint
from hf_datasel.trace import Trace
from hf_datasel.training.describe import describe_run
from hf_datasel.training.packing import tokenized
from hf_datasel.training.schedule import Mode

logger = logging.get_logger(__name__)

UNLABELLED = "no token that is predicted carries a label"


@dataclass
class Recording:
    """One Trace to be made of one trainer's run.

    Args:
        trainer: whose examples are recorded.
        output_dir: directory of the Trace.
        source: what the trainer was built from, if known.
        overwrite: replace a finished Trace.
        metric: what is recorded.
    """

    trainer: Trainer
    output_dir: Path
    source: Dataset | IterableDataset | None
    overwrite: bool
    metric: str = "loss"

    def __post_init__(self) -> None:
        packed = bool(getattr(self.trainer.args, "packing", False))
        self.examples: Any = tokenized(self.trainer, self.source) if packed else self.trainer.train_dataset
        self.streaming = isinstance(self.examples, IterableDataset)

    @property
    def exists(self) -> bool:
        """Whether a Trace stands at ``output_dir`` and is not to be replaced."""
        return (self.output_dir / "manifest.json").exists() and not self.overwrite

    def source_ids(self, ids: np.ndarray) -> np.ndarray:
        """All ids of the source, int64 ascending; those recorded where the source is not known."""
        if self.source is None or isinstance(self.source, IterableDataset):
            return ids
        return np.union1d(ids, read_example_ids(self.source))

    def create(self, ids: np.ndarray, mode: Mode, num_checkpoints: int | None, info: dict[str, Any]) -> Trace:
        """Make the Trace for the examples ``ids`` (int64 ascending), and name those the trainer dropped."""
        all_ids = self.source_ids(ids)
        trace = Trace.create(
            self.output_dir,
            all_ids,
            metric=self.metric,
            mode=mode,
            fingerprint=stamped_fingerprint(self.source if self.source is not None else self.examples),
            num_checkpoints=num_checkpoints,
            info={**describe_run(self.trainer), **info},
            overwrite=self.overwrite,
        )
        self.overwrite = False  # from here on a resumed train() continues this Trace
        self.mark_dropped(trace, ids)
        return trace

    def mark_dropped(self, trace: Trace, ids: np.ndarray) -> None:
        """Mark those examples of ``trace`` that the trainer does not hold; ``ids`` (int64 ascending) are held."""
        limit = getattr(self.trainer.args, "max_length", None)
        dropped = np.setdiff1d(trace.ids, ids, assume_unique=True)
        self.mark(trace, dropped, f"dropped by the trainer: no label is left within max_length={limit}")

    @staticmethod
    def write(trace: Trace, ids: np.ndarray, values: np.ndarray, **column: float) -> None:
        """Write a column given for ``ids`` only; the other examples of the Trace stay unmeasured."""
        full = np.full(trace.num_examples, np.nan, dtype=np.float32)
        full[np.searchsorted(trace.ids, ids)] = values
        trace.write_column(full, step=int(column.pop("step")), **column)

    @staticmethod
    def mark(trace: Trace, ids: np.ndarray, reason: str) -> None:
        """Say in the Trace and in the log which examples cannot have a loss."""
        if len(ids):
            trace.mark_unmeasurable(ids, reason)
            logger.warning(
                f"{len(ids)} of {trace.num_examples} examples have no {trace.metric} and stay unmeasured ({reason}); "
                f"the first has example id {int(ids[0])}. No selection will contain them."
            )

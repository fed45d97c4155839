"""Select again every few epochs, from the losses of the model that is being trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_datasel.data import rows, strata
from hf_datasel.example_ids import read_example_ids, stamped_fingerprint
from hf_datasel.selection import Selection
from hf_datasel.trace import Trace
from hf_datasel.training.broadcast import select_once
from hf_datasel.training.describe import describe_run
from hf_datasel.training.links import make_selector
from hf_datasel.training.probe import Probe
from hf_datasel.training.selection_metrics import selection_metrics


class SelectionSampler(Sampler[int]):
    """Visit the chosen rows of a dataset in a seeded order that depends on the epoch alone.

    Args:
        rows: int64 ``[B]`` positions in the dataset.
        seed: with the epoch it fixes the order, so a resumed epoch goes on where it stopped.
        shuffle: False visits them in the order given.
    """

    def __init__(self, rows: np.ndarray, seed: int, *, shuffle: bool = True) -> None:
        self._rows = np.asarray(rows, dtype=np.int64)
        self._seed = seed
        self._shuffle = shuffle
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._rows)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def choose(self, rows: np.ndarray) -> None:
        """Visit other rows from the next iteration on.

        Raises:
            ValueError: another number of rows; the run's number of steps was planned with the first.
        """
        if len(rows) != len(self._rows):
            raise ValueError(f"A new selection of {len(rows)} rows cannot take the place of {len(self._rows)} rows.")
        self._rows = np.asarray(rows, dtype=np.int64)

    def __iter__(self) -> Iterator[int]:
        if not self._shuffle:
            return iter(self._rows.tolist())
        seed = np.random.SeedSequence([self._seed, self._epoch]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed >> 1))
        return iter(self._rows[torch.randperm(len(self._rows), generator=generator).numpy()].tolist())


class Reselection(TrainerCallback):
    """Keep a trainer's sampler on the current Selection, and renew it at epochs that are multiples of ``every``.

    At such an epoch all examples are scored by the model as it is, one more point of *its* trajectories (the proxy's
    are another model's), and the method selects from those.

    Args:
        trainer: a SelectingSFTTrainer whose ``train_dataset`` holds all rows, tokenised, with ids.
        selection: to begin with, or of the checkpoint the run resumes from.

    Attributes:
        sampler: draws the rows of the current Selection.
    """

    def __init__(self, trainer: Trainer, selection: Selection) -> None:
        args = trainer.args
        self._trainer = trainer
        self._every = args.selection_every
        self._row_of = {int(example): row for row, example in enumerate(read_example_ids(trainer.train_dataset))}
        self._probe = Probe(trainer, trainer.train_dataset, args.selection_tokens_per_batch)
        self._trace_dir = Path(args.output_dir) / "_selection_stage" / "target_trace"
        self._trace: Trace | None = None
        self.sampler = SelectionSampler(
            self._rows(selection), args.seed, shuffle=args.train_sampling_strategy != "sequential"
        )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the trajectories of the model in training, or go on with those of a run that was killed."""
        if not self._trainer.is_world_process_zero() or not self._selector.reads_values:
            return
        if state.global_step > 0:
            self._trace = Trace.open(self._trace_dir)
            self._trace.drop_after(state.global_step)
            return
        self._trace_dir.parent.mkdir(parents=True, exist_ok=True)
        self._trace = Trace.create(
            self._trace_dir,
            self._probe.ids,
            fingerprint=stamped_fingerprint(self._trainer.train_dataset),
            info=describe_run(self._trainer),
            overwrite=(self._trace_dir / "manifest.json").exists(),
        )

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Renew the Selection where it is due: not again when a run resumes within the epoch it was renewed for."""
        epoch = int(state.epoch or 0)
        current = self._trainer.selection
        if epoch == 0 or epoch % self._every or current.provenance[-1].get("reselected_at_epoch") == epoch:
            return
        self._record(state)
        chosen = select_once(self._trainer.accelerator, lambda: self._select(epoch))
        self.sampler.choose(self._rows(chosen))
        self._trainer.selection = chosen
        self._trainer.log_selection(selection_metrics(chosen, current))

    @property
    def _selector(self) -> Any:
        return make_selector(self._trainer.args, budget=len(self.sampler))

    def _record(self, state: TrainerState) -> None:
        if not self._selector.reads_values:
            return
        values = self._probe.sweep("Probing losses to select again")
        if self._trace is not None:
            self._trace.drop_after(state.global_step - 1)
            learning_rate = float(self._trainer.optimizer.param_groups[0]["lr"])
            self._trace.write_column(
                values, step=state.global_step, epoch=float(state.epoch), learning_rate=learning_rate
            )

    def _select(self, epoch: int) -> Selection:
        args = self._trainer.args
        selector = dataclasses.replace(self._selector, seed=args.selection_seed + epoch)
        evidence = (
            Trace.load(self._trace_dir, partial=True) if selector.reads_values else rows(self._trainer.train_dataset)
        )
        column = args.selection_strata_column
        groups = None if column is None else strata(self._trainer.train_dataset, column)
        chosen = selector.select(evidence, strata=groups)
        *earlier, last = chosen.provenance
        return dataclasses.replace(chosen, provenance=(*earlier, {**last, "reselected_at_epoch": epoch}))

    def _rows(self, selection: Selection) -> np.ndarray:
        """Rows of the chosen examples; those the model's own tokenisation dropped are not there."""
        return np.array([self._row_of[i] for i in selection.ids.tolist() if i in self._row_of], dtype=np.int64)

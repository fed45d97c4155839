"""Confidence curriculum: train on the examples that a model is surest of first, on all of them later.

Varshney, Mishra, Baral, "Let the Model Decide its Curriculum for Multitask Learning", DeepLo 2022, arXiv 2205.09898,
whose instances are arranged by a model's own confidence; a baseline of S2L (Yang et al., NeurIPS 2024, arXiv
2403.07384). Here the confidence in an answer is exp(-l_i), l_i the mean NLL of its tokens, averaged over the
checkpoints of a Trace where there are several; high comes first. What is available when, `functional/curriculum.py`
says.

It chooses an order, not a subset: as many examples are visited as in plain training. Cost: a sweep before training, or
the Trace that is given.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import IterableDataset
from numpy.typing import NDArray
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_datasel.example_ids import locate, read_example_ids, stamped_fingerprint
from hf_datasel.functional.curriculum import curriculum_epoch
from hf_datasel.row_trace import write_row_trace
from hf_datasel.selection import Selection
from hf_datasel.trace import Trace
from hf_datasel.training.describe import describe_run
from hf_datasel.training.probe import Probe
from hf_datasel.training.refusals import refuse_unsweepable

TRACE_DIR = "_curriculum_trace"


class ConfidenceCurriculumSampler(Sampler[int]):
    """Visit rows easiest first, in a seeded order that depends on the epoch alone.

    Args:
        num_rows: N.
        seed: with the epoch it fixes the order, so a resumed epoch goes on where it stopped.
        start_share: of the rows that are available at first, in (0, 1].
        full_at: the part of training after which all are available, in (0, 1].
    """

    def __init__(self, num_rows: int, seed: int, start_share: float, full_at: float) -> None:
        self._num_rows = num_rows
        self._seed = seed
        self._pace = {"start_share": start_share, "full_at": full_at}
        self._epoch = 0
        self._easiest_first: NDArray[np.int64] | None = None
        self._num_epochs = 0.0

    def __len__(self) -> int:
        return self._num_rows

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def begin(self, difficulty: NDArray[np.floating], num_epochs: float) -> None:
        """Plan a training.

        Args:
            difficulty: finite numbers [N], by row; low is easy, and of equal ones the row that stands first.
            num_epochs: of the whole training.
        """
        self._easiest_first = np.argsort(difficulty, kind="stable")
        self._num_epochs = num_epochs

    def __iter__(self) -> Iterator[int]:
        return iter(self.visits(self._epoch).tolist())

    def visits(self, epoch: int) -> NDArray[np.int64]:
        """The rows that an epoch visits, int64 [N], in order; raises RuntimeError before the training is planned."""
        if self._easiest_first is None:
            raise RuntimeError(
                "The curriculum has not begun: add its callback before training, as in "
                "trainer.add_callback(ConfidenceCurriculumCallback(trainer))."
            )
        generator = np.random.default_rng([self._seed, epoch])
        return curriculum_epoch(self._easiest_first, epoch, self._num_epochs, **self._pace, generator=generator)


class ConfidenceCurriculumCallback(TrainerCallback):
    """Let a trainer visit its examples easiest first, the share of them that is available growing with training.

    Works with any ``transformers.Trainer`` of a causal language model, with ``trl.SFTTrainer``, and with
    :class:`~hf_datasel.SelectingSFTTrainer`, which visits what it has selected so, on one process or several. A run
    that resumes goes on exactly.

    Args:
        trainer: built, not yet training; its ``train_dataset`` carries ``example_id``
            (:func:`hf_datasel.add_example_ids`).
        difficulty: a Trace of losses (or of gradients, with its companion "loss"), or a Selection whose scores are low
            where an example is easy, as perplexities are; of every training example at least. Without it the trainer's
            model scores them before training, and the losses are kept in ``output_dir/_curriculum_trace``.
        start_share: of the examples that are available at first, in (0, 1].
        full_at: the part of training after which all are available, in (0, 1].
        tokens_per_batch: padded tokens of a sweep's batch on one process.

    Raises:
        ValueError: an option out of range, a dataset whose rows are no examples or have no ids, or a way of training
            that cannot follow the order; named, with the way out.

    Example::

        trainer = SFTTrainer(model=model, args=args, train_dataset=add_example_ids(dataset))
        trainer.add_callback(ConfidenceCurriculumCallback(trainer, start_share=0.2, full_at=0.5))
        trainer.train()
    """

    def __init__(
        self,
        trainer: Trainer,
        difficulty: Trace | Selection | None = None,
        *,
        start_share: float = 0.2,
        full_at: float = 0.5,
        tokens_per_batch: int = 8192,
    ) -> None:
        for option, value in (("start_share", start_share), ("full_at", full_at)):
            if not 0 < value <= 1:
                raise ValueError(f"{option}={value!r} of the confidence curriculum must lie in (0, 1].")
        _refuse(trainer)
        if difficulty is None:
            refuse_unsweepable(trainer, "The confidence curriculum cannot score the examples")
        self._trainer = trainer
        self._difficulty = difficulty
        self._pace = (start_share, full_at)
        self._tokens_per_batch = tokens_per_batch
        self._sampler: ConfidenceCurriculumSampler | None = None
        self._num_batches = 0  # of an epoch, on one process
        trainer._get_train_sampler = self._make_sampler

    def _make_sampler(self, train_dataset: Any = None) -> ConfidenceCurriculumSampler:
        """In place of the trainer's own; the dataset may have been replaced since the callback was made."""
        num_rows = len(self._trainer.train_dataset if train_dataset is None else train_dataset)
        self._sampler = ConfidenceCurriculumSampler(num_rows, self._trainer.args.seed, *self._pace)
        return self._sampler

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Score the examples, or find what the run that is resumed has scored, and plan the epochs."""
        assert self._sampler is not None  # the dataloader is there already
        self._num_batches = len(kwargs["train_dataloader"])
        self._sampler.begin(self._find_difficulty(state), state.max_steps / self._steps_per_epoch)

    def num_visited(self) -> int:
        """How many examples the training has visited by now, each once or more."""
        if self._sampler is None:
            return 0
        args, steps = self._trainer.args, self._trainer.state.global_step
        per_batch = args.train_batch_size * args.world_size
        visited = np.zeros(len(self._sampler), bool)
        for epoch in range(math.ceil(steps / self._steps_per_epoch) if steps else 0):
            own_steps = min(self._steps_per_epoch, steps - epoch * self._steps_per_epoch)
            num_batches = min(self._num_batches, own_steps * args.gradient_accumulation_steps)
            visited[self._sampler.visits(epoch)[: num_batches * per_batch]] = True
        return int(np.count_nonzero(visited))

    @property
    def _steps_per_epoch(self) -> int:
        return -(-self._num_batches // self._trainer.args.gradient_accumulation_steps)

    def _find_difficulty(self, state: TrainerState) -> NDArray[np.floating]:
        """Of every row of the training set."""
        ids = read_example_ids(self._trainer.train_dataset)
        if isinstance(self._difficulty, Selection):
            return _scores(self._difficulty, ids)
        trace = self._difficulty
        if trace is None:
            trace = self._resumed() if state.global_step else self._measured()
        if trace.metric != "loss":
            trace = trace.companion("loss")
        rows = locate(trace.ids, ids, "The confidence curriculum has no loss of example {id}.")
        trace.require_measured(rows)
        return -np.exp(-trace.take(rows).astype(np.float64)).mean(axis=1)

    @property
    def _trace_dir(self) -> Path:
        return Path(self._trainer.args.output_dir) / TRACE_DIR

    def _measured(self) -> Trace:
        """The losses under the model as it is, by a sweep, kept for a run that resumes."""
        trainer = self._trainer
        probe = Probe(trainer, trainer.train_dataset, self._tokens_per_batch)
        losses = probe.sweep("Losses for the curriculum")
        unlabelled = np.isnan(losses)
        if unlabelled.any():
            raise ValueError(
                f"Example {probe.ids[unlabelled.argmax()]} has no label, so the model has no confidence in it, nor "
                "can it be learned from: drop it from train_dataset."
            )
        place = self._trace_dir if trainer.is_world_process_zero() else None
        if place is not None:
            os.makedirs(place.parent, exist_ok=True)
        trace = write_row_trace(
            place,
            probe.ids,
            losses,
            metric="loss",
            unmeasurable={},
            fingerprint=stamped_fingerprint(trainer.train_dataset),
            info=describe_run(trainer),
            overwrite=True,
        )
        trainer.accelerator.wait_for_everyone()
        return trace

    def _resumed(self) -> Trace:
        if not (self._trace_dir / "manifest.json").exists():
            raise ValueError(
                f"The run resumes, but {self._trace_dir} holds no losses of the model that it began with: start "
                "training again, or pass difficulty=."
            )
        return Trace.load(self._trace_dir)


def _scores(selection: Selection, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    if selection.scores is None:
        raise ValueError(
            "The Selection passed as difficulty= has no scores: pass one of PerplexitySelector, or a Trace."
        )
    rows = locate(selection.candidate_ids, ids, "The Selection passed as difficulty= has no score of example {id}.")
    return selection.scores[rows]


def _refuse(trainer: Trainer) -> None:
    """Raise ValueError for what cannot be visited in another order."""
    args, dataset = trainer.args, trainer.train_dataset
    refused = (
        (dataset is None, "the trainer has no train_dataset."),
        (isinstance(dataset, IterableDataset), "a stream is read in its own order; load the dataset whole."),
        (
            bool(getattr(args, "packing", False)),
            "packing=True has merged the examples; use packing=False.",
        ),
        (
            getattr(args, "selection_every", None) is not None,
            "selection_every draws the rows of its selections itself; select once.",
        ),
        (
            args.train_sampling_strategy != "random",
            f"train_sampling_strategy={args.train_sampling_strategy!r} asks for another order; use 'random'.",
        ),
    )
    for wrong, message in refused:
        if wrong:
            raise ValueError(f"The confidence curriculum orders single examples, but {message}")
    read_example_ids(dataset)

"""Traces of a single sweep with the trainer's model as it is: what the baselines of CLUES read."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset
from torch import Tensor
from transformers import Trainer

from hf_datasel.functional.answer_fit import instruction_following_difficulty
from hf_datasel.functional.datainf import dampings, shrinkages
from hf_datasel.trace import Trace
from hf_datasel.training.influence.answers import probe_of_answers
from hf_datasel.training.influence.direction import Direction
from hf_datasel.training.influence.engine import Influence, InfluenceOptions
from hf_datasel.training.influence.frame import ALL
from hf_datasel.training.influence.parameters import Parameters
from hf_datasel.training.influence.refusals import refuse_ungradable
from hf_datasel.training.influence.rules import Measure
from hf_datasel.training.influence.weighted import weighted_gradients
from hf_datasel.training.probe import Probe
from hf_datasel.training.recording import UNLABELLED, Recording
from hf_datasel.training.refusals import refuse_unrecordable

ALONE = "fewer than two label tokens, so its answer alone has no loss"


def record_ifd(
    trainer: Trainer,
    output_dir: str | os.PathLike[str],
    *,
    dataset: Dataset | None = None,
    tokens_per_batch: int = 8192,
    overwrite: bool = False,
) -> Trace | None:
    """Instruction-following difficulty of every training example under the trainer's model as it is.

    ``IFD = NLL(answer | question) / NLL(answer)``, both means over the answer's tokens (Li et al., "From Quantity to
    Quality", NAACL 2024, Equation 4). The answer alone is its label tokens, behind the tokenizer's beginning-of-text
    token where rows have one; its first token is then predicted from that, or not at all.

    Args:
        trainer: built; its ``train_dataset`` carries ``example_id``.
        output_dir: directory of the Trace: metric "ifd", one checkpoint; companion "loss" is NLL(answer | question).
        dataset: what the trainer was built from; needed with packing.
        tokens_per_batch: padded tokens of a batch on one process.
        overwrite: replace a Trace at ``output_dir``.

    Returns:
        The Trace, on the main process; None on the others.

    Raises:
        ValueError: losses could not be read rightly; named. FileExistsError: ``output_dir`` is taken.
    """
    refuse_unrecordable(trainer, "probe", has_source=dataset is not None)
    recording = _recording(trainer, output_dir, dataset, overwrite, "ifd")
    with_question = Probe(trainer, recording.examples, tokens_per_batch)
    alone = probe_of_answers(trainer, recording.examples, tokens_per_batch)
    losses, base = with_question.sweep("Loss of answers"), alone.sweep("Loss of answers without their questions")
    if not trainer.is_world_process_zero():
        return None
    trace = recording.create(with_question.ids, "probe", 1, {})
    recording.mark(trace, with_question.ids[with_question.num_labels == 0], UNLABELLED)
    short = (alone.num_labels == 0) & (with_question.num_labels > 0)
    recording.mark(trace, with_question.ids[short], ALONE)
    beside = trace.create_companion("loss", metric="loss", num_checkpoints=1)
    recording.write(beside, with_question.ids, losses, **_column(trainer))
    recording.write(trace, with_question.ids, instruction_following_difficulty(losses, base), **_column(trainer))
    beside.finish()
    trace.finish()
    return trace


def record_datainf(
    trainer: Trainer,
    output_dir: str | os.PathLike[str],
    *,
    validation_dataset: Dataset,
    parameters: Parameters = "all",
    damping: float = 0.1,
    dataset: Dataset | IterableDataset | None = None,
    tokens_per_batch: int = 4096,
    overwrite: bool = False,
) -> Trace | None:
    """DataInf (see ``functional/datainf.py``) of every training example under the trainer's model as it is.

    Exact, and without one per-example gradient: four sweeps take the validation gradient, the inner products and
    norms, the weighted sum of gradients, and the products with the result.

    Args:
        trainer: built; its ``train_dataset`` carries ``example_id``.
        output_dir: directory of the Trace: metric "datainf", one checkpoint. Low is good.
        validation_dataset: trusted rows in the trainer's format.
        parameters: as in :class:`~hf_datasel.GradientTraceCallback`.
        damping: lambda over the mean squared gradient; 0.1 in the paper.
        dataset: what the trainer was built from; needed with packing.
        tokens_per_batch: padded tokens of a batch on one process.
        overwrite: replace a Trace at ``output_dir``.

    Returns:
        The Trace, on the main process; None on the others.

    Raises:
        ValueError: as :class:`~hf_datasel.GradientTraceCallback`, or ``damping`` is not positive.
    """
    if not (math.isfinite(damping) and damping > 0):
        raise ValueError(f"damping={damping} must be a positive number; the paper takes 0.1.")
    options = InfluenceOptions(parameters=parameters, norms=True)
    refuse_ungradable(trainer, "probe", options, has_source=dataset is not None, score_every=1)
    recording = _recording(trainer, output_dir, dataset, overwrite, "datainf")
    influence = Influence(trainer, recording.examples, validation_dataset, {}, None, options, tokens_per_batch)
    direction = influence.directions()[ALL]
    names = list(influence.parameters)
    measure = influence.make_measure(per_parameter=True)
    measure.directions = {ALL: direction}
    parts = influence.train.score(
        influence.sites,
        measure,
        lambda frame: {
            **{f"inner {name}": frame.inner(name) for name in names},
            **{f"squared {name}": frame.squared(name) for name in names},
        },
        "DataInf: inner products",
    )
    measured = parts.num_labels > 0
    inner = np.stack([parts.columns[f"inner {name}"][measured] for name in names], axis=1).astype(np.float64)
    squared = np.stack([parts.columns[f"squared {name}"][measured] for name in names], axis=1).astype(np.float64)
    sizes = np.array([direction.gradients[name].numel() for name in names], dtype=np.int64)
    damped = dampings(squared, sizes, damping)
    weights = np.zeros((len(measured), len(names)))
    weights[measured] = shrinkages(inner, squared, damped)
    sums = weighted_gradients(
        influence.train, influence.sites, influence.parameters, weights, "DataInf: weighted gradients"
    )
    num_examples = int(measured.sum())
    inverse: dict[str, Tensor] = {
        name: (direction.gradients[name] - sums[name] / num_examples) / float(damped[number])
        for number, name in enumerate(names)
    }
    norm = math.sqrt(sum(float(part.double().square().sum()) for part in inverse.values()))
    last = Measure(influence.sites)
    last.directions = {ALL: Direction(inverse, norm)}
    scored = influence.train.score(
        influence.sites, last, lambda frame: {"datainf": -frame.inner()}, "DataInf: influence"
    )
    if not trainer.is_world_process_zero():
        return None
    trace = recording.create(influence.train.ids, "probe", 1, influence.describe())
    recording.mark(trace, influence.train.ids[~measured], UNLABELLED)
    recording.write(trace, influence.train.ids, scored.columns["datainf"], **_column(trainer))
    trace.finish()
    return trace


def _recording(trainer: Trainer, output_dir: Any, dataset: Any, overwrite: bool, metric: str) -> Recording:
    recording = Recording(trainer, Path(output_dir), dataset, overwrite, metric)
    if recording.exists:
        raise FileExistsError(f"{output_dir} holds a Trace: choose another output_dir, or pass overwrite=True.")
    return recording


def _column(trainer: Trainer) -> dict[str, float]:
    epoch = trainer.state.epoch
    return {"step": trainer.state.global_step, "epoch": math.nan if epoch is None else float(epoch)}

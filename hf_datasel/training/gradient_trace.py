"""GradientTraceCallback: record, for every example, how its gradient lies to a trusted one while a Trainer trains."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import Dataset, IterableDataset
from transformers import Trainer

from hf_datasel.selectors import Selector
from hf_datasel.training.influence.direction import Precondition
from hf_datasel.training.influence.engine import Influence, InfluenceOptions
from hf_datasel.training.influence.in_run_recorder import GradientInRunRecorder
from hf_datasel.training.influence.parameters import Parameters
from hf_datasel.training.influence.recorder import GradientProbeRecorder
from hf_datasel.training.influence.refusals import refuse_ungradable
from hf_datasel.training.influence.wanted import require_reader, wanted_contrasts, wanted_options
from hf_datasel.training.recording import Recording
from hf_datasel.training.recording_callback import RecordingCallback, make_schedule
from hf_datasel.training.schedule import Mode

DEFAULT_CHECKPOINTS = 4


class GradientTraceCallback(RecordingCallback):
    """Record the inner product of every training example's gradient with a validation gradient, as a Trace.

    At a checkpoint theta_t the direction is the mean gradient of ``validation_dataset``; an example's value is
    ``s_it = <grad l_i(theta_t), direction_t>``, l_i its mean loss over label tokens. High means: a step on this
    example lowers the validation loss. This is the evidence of CLUES (Zhao et al., NeurIPS 2024, S(z) = sum_t eta_t
    s_t), of TracIn and of LESS; no per-example gradient is formed. Works with any ``transformers.Trainer`` of a causal
    language model and with ``trl.SFTTrainer``, on one process or several (DDP). Training itself is unchanged, bit for
    bit.

    The Trace's metric is "influence"; beside it stand the companions "loss" and "num_labels", with ``norms`` "cosine",
    with ``anchor_dataset`` "anchors" (a Trace of the anchors with the same companions), and "direction" (row 0: the
    direction's norm; row 1: the share of its energy that a low rank keeps).

    Args:
        trainer: built, not yet training; its ``train_dataset`` carries ``example_id``.
        output_dir: directory of the Trace. A run that was killed continues it when the trainer resumes.
        validation_dataset: trusted rows that make the direction, in the format the trainer was given; none of them may
            be a training row.
        contrast_datasets: rows that are bad on purpose, by name, such as ``{"mismatched":
            damaged(validation_dataset, "mismatched")}``: each gives another direction, the validation gradient less
            theirs, in which what good and bad rows share (the format, frequent words) does not count. Recorded beside
            the Trace as companion "contrast_<name>", a cosine if ``norms``, in the same sweep. Not in the paper.
        anchor_dataset: trusted rows that are scored as the examples are, to set a threshold from.
        group_column: a column of ``validation_dataset``, such as the language: the direction is the sum of the groups'
            mean gradients.
        group_weights: of the groups in that sum, 1 each by default.
        parameters: whose gradients count, of those that are trained: "all", "lora", "qv", "first_layer",
            "last_layer", a regular expression on names, or a list of these.
        precondition: "none"; "adam", the direction divided by ``sqrt(v) + eps`` with the optimizer's second moments as
            they are (with ``norms``, cosines are taken in that space); "official", the formula of CLUES' released
            code, ``<(0.9 m + 0.1 g_i) / sqrt(0.999 v + 0.001 g_i^2 + 1e-8), direction>``, slower and for parity.
        norms: also record cosines.
        low_rank: hold gradients against a low-rank approximation of each matrix of the direction: its rank, or the
            share of energy to keep in (0, 1). Nearly halves the cost; None is exact.
        ifd: also record instruction-following difficulty, ``NLL(answer | question) / NLL(answer)``, as companion
            "ifd": once, when training begins, by two sweeps of losses. Low where a question explains its answer.
        pairing: also record how much better an answer fits its own question than so many others, drawn from the
            training set, and none: companion "pairing", ``log((mean_k NLL(answer | question_k) + NLL(answer)) / 2) -
            log NLL(answer | question)``; once, as ``ifd``. High is good.
        for_selector: also record what this selector reads: norms, IFD, pairing (4 questions), and for each of its
            detectors "contrast_<kind>" that is not in ``contrast_datasets`` a direction against ``damaged(
            validation_dataset, kind, its seed)``. ``CLUESSelector()`` so needs rows of a question and an answer.
        num_checkpoints: checkpoints, evenly spaced to the end of training. 4 if nothing else is given.
        checkpoint_steps: instead: every so many optimiser steps, or a list of steps.
        checkpoint_epochs: instead: every so many epochs.
        checkpoint_fractions: instead: fractions of training in (0, 1].
        mode: ``"probe"`` scores all examples at each checkpoint, without dropout, as published. ``"in_run"`` reads
            training's own backward: one point a visit, each at its own step; the checkpoint options then say when the
            direction is renewed (it is first made when training begins).
        dataset: what the trainer was built from, with ids; needed with packing.
        tokens_per_batch: padded tokens of a sweep's batch on one process.
        score_every: ``in_run`` only: score every so many optimiser steps.
        overwrite: replace a finished Trace at ``output_dir``.

    Raises:
        TypeError: a held-out set that is no Dataset, or a ``for_selector`` that reads no gradients.
        ValueError: an empty or foreign held-out set, one that shares rows with the training set, parameters that match
            nothing or have no rule, a frozen model, no second moments for "adam", or a set-up in which per-example
            gradients could not be read rightly; named, with the way out.
        FileExistsError: at the start of training, when ``output_dir`` holds a finished Trace.

    Example::

        trainer = SFTTrainer(model=model, args=args, train_dataset=add_example_ids(dataset), peft_config=LoraConfig())
        selector = CLUESSelector()
        trainer.add_callback(
            GradientTraceCallback(
                trainer, "trace", validation_dataset=trusted, anchor_dataset=anchors, for_selector=selector
            )
        )
        trainer.train()
        selection = selector.select(Trace.load("trace"))
    """

    def __init__(
        self,
        trainer: Trainer,
        output_dir: str | os.PathLike[str],
        *,
        validation_dataset: Dataset,
        anchor_dataset: Dataset | None = None,
        contrast_datasets: Mapping[str, Dataset] | None = None,
        group_column: str | None = None,
        group_weights: Mapping[str, float] | None = None,
        parameters: Parameters = "all",
        precondition: Precondition = "none",
        norms: bool = False,
        low_rank: int | float | None = None,
        ifd: bool = False,
        pairing: int = 0,
        for_selector: Selector | None = None,
        num_checkpoints: int | None = None,
        checkpoint_steps: int | Sequence[int] | None = None,
        checkpoint_epochs: float | None = None,
        checkpoint_fractions: Sequence[float] | None = None,
        mode: Mode = "probe",
        dataset: Dataset | IterableDataset | None = None,
        tokens_per_batch: int = 4096,
        score_every: int = 1,
        overwrite: bool = False,
    ) -> None:
        contrasts = dict(contrast_datasets or {})
        if for_selector is not None:
            require_reader(for_selector)
            wanted = wanted_options(for_selector, precondition)
            norms, ifd = norms or "norms" in wanted, ifd or "ifd" in wanted
            pairing = pairing or wanted.get("pairing", 0)
            contrasts = wanted_contrasts(for_selector, validation_dataset, contrasts)
        options = InfluenceOptions(
            parameters, precondition, norms, low_rank, ifd, pairing, group_column, group_weights
        )
        refuse_ungradable(trainer, mode, options, has_source=dataset is not None, score_every=score_every)
        schedule = make_schedule(
            DEFAULT_CHECKPOINTS, num_checkpoints, checkpoint_steps, checkpoint_epochs, checkpoint_fractions
        )
        recording = Recording(trainer, Path(output_dir), dataset, overwrite, "influence")
        influence = Influence(
            trainer,
            recording.examples,
            validation_dataset,
            contrasts,
            anchor_dataset,
            options,
            tokens_per_batch,
        )
        recorder = (
            GradientProbeRecorder(recording, schedule, influence)
            if mode == "probe"
            else GradientInRunRecorder(recording, schedule, influence, score_every)
        )
        super().__init__(trainer, recorder, recording.output_dir, mode)

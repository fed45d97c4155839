"""What each selection method reads, made by a stage: recorded while its trainer trains, or without any training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from datasets import Dataset
from trl import SFTTrainer

from hf_datasel.bm25 import record_bm25
from hf_datasel.dsir import record_dsir
from hf_datasel.embeddings import Embeddings
from hf_datasel.lengths import record_lengths
from hf_datasel.selectors import HighLearnabilitySelector, Selector
from hf_datasel.selectors.pool import Evidence
from hf_datasel.texts import TextOf
from hf_datasel.trace import Trace
from hf_datasel.training.broadcast import decide_once
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.gradient_trace import GradientTraceCallback
from hf_datasel.training.influence.baselines import record_datainf, record_ifd
from hf_datasel.training.loss_trajectory import LossTrajectoryCallback
from hf_datasel.training.stage_proxy import Learner, StageProxy
from hf_datasel.training.valuing import embed_rows, keep, text_of, value_by_games, value_in_run
from hf_datasel.truth import record_truth
from hf_datasel.valuation import Valuation

# Read rows by number, which a stream does not allow.
BY_NUMBER = ("bm25", "clean", "dsir", "embeddings", "length", "valuation")


def metric_of(selector: Selector) -> str:
    """The metric of the Trace that ``selector`` reads, "none" for one that reads no values."""
    return selector.metrics[0] if selector.reads_values else "none"


def is_recordable(selector: Selector) -> bool:
    """Whether a stage can make what the selector reads."""
    metric = metric_of(selector)
    if metric == "clean" and getattr(selector, "column", None) is None:
        return False
    return metric == "none" or (metric in RECORDERS and selector.reads is EVIDENCE_KINDS.get(metric, Trace))


def is_trained_on_all(selector: Selector, args: SelectingSFTConfig) -> bool:
    """Whether the stage trains on all rows and records it."""
    metric = metric_of(selector)
    return args.valuation.in_run if metric == "valuation" else metric not in ("none", *BY_NUMBER)


def recording_of(selector: Selector) -> tuple[Any, ...]:
    """What a recording depends on beside the run's arguments: selectors of which it is the same can share one."""
    metric = metric_of(selector)
    if metric == "loss":
        return metric, isinstance(selector, HighLearnabilitySelector)  # which has checkpoints of its own
    if metric == "influence":
        return metric, tuple(sorted(getattr(selector, "evidence", ()))), selector.seed  # which damages rows
    if metric == "clean":
        return metric, *truth_of(selector)
    return (metric,)


def truth_of(selector: Selector) -> tuple[Any, Any]:
    """The column that says which rows are good, and what it says of them."""
    return getattr(selector, "column", None), getattr(selector, "good", True)


@dataclass(frozen=True, eq=False)
class EvidenceStage:
    """What a stage makes, and of what.

    Args:
        selector: who reads it.
        directory: of the stage; what is made lies in ``evidence_dir``.
        dataset: with example ids, not tokenised.
        args: of the run.
        validation, anchors: trusted rows, where the method needs them.
        proxy: what is trained.
        train: trains the stage's trainer, resuming where it stopped.
        accelerator: of the run.
    """

    selector: Selector
    directory: Path
    dataset: Any
    args: SelectingSFTConfig
    validation: Dataset | None
    anchors: Dataset | None
    proxy: StageProxy
    train: Callable[[SFTTrainer], None]
    accelerator: Accelerator

    @property
    def evidence_dir(self) -> Path:
        """Where the selector finds it."""
        return self.directory / EVIDENCE_DIRS.get(metric_of(self.selector), "trace")

    @property
    def trace_dir(self) -> Path:
        """Where the Trace of a training goes: the evidence, or what it is made of."""
        return self.directory / "trace"

    @property
    def proxy_dir(self) -> Path:
        """Where the trainer keeps its checkpoints."""
        return self.directory / "proxy"

    @property
    def is_recorded(self) -> bool:
        """Whether the Trace is whole."""
        return (self.trace_dir / "manifest.json").exists() and Trace.open(self.trace_dir).complete

    @property
    def is_made(self) -> bool:
        """Whether the evidence is whole."""
        is_trace = self.evidence_dir == self.trace_dir
        return self.is_recorded if is_trace else (self.evidence_dir / "manifest.json").exists()

    def make(self) -> SFTTrainer | None:
        """Leave what the selector reads at ``evidence_dir``; returns the trainer, if one was trained on all rows."""
        return RECORDERS[metric_of(self.selector)](self)

    def make_trainer(self) -> SFTTrainer:
        """To be trained on all rows."""
        return self.proxy.make_trainer(str(self.proxy_dir), self.dataset)

    def load(self) -> Any:
        """What the selector reads."""
        return self.selector.reads.load(self.evidence_dir)

    def learner(self) -> Learner:
        """What is fine-tuned on coalitions."""
        return self.proxy.learner(str(self.proxy_dir))

    def embeddings(self) -> Embeddings:
        """Of the dataset, made once."""
        place = self.directory / EVIDENCE_DIRS["embeddings"]
        return embed_rows(self.dataset, place, self.args.valuation.embedder, self.learner, self.text)

    @property
    def text(self) -> TextOf:
        """What the text of a row is."""
        return text_of(self.dataset, self.args.dataset_text_field, self.proxy.formatting_func)


# By metric; the others are a Trace.
EVIDENCE_DIRS = {"embeddings": "embeddings", "valuation": "valuation"}
EVIDENCE_KINDS: dict[str, type[Evidence]] = {"embeddings": Embeddings, "valuation": Valuation}


def _losses(stage: EvidenceStage) -> SFTTrainer:
    points: dict[str, Any] = {"num_checkpoints": stage.args.selection_num_checkpoints}
    if isinstance(stage.selector, HighLearnabilitySelector):
        points = {"checkpoint_fractions": (0.0, 1.0)}
    trainer = stage.make_trainer()
    trainer.add_callback(
        LossTrajectoryCallback(
            trainer,
            stage.trace_dir,
            **(points if stage.args.selection_mode == "probe" else {}),
            mode=stage.args.selection_mode,
            dataset=stage.dataset,
            tokens_per_batch=stage.args.selection_tokens_per_batch,
        )
    )
    stage.train(trainer)
    return trainer


def _influence(stage: EvidenceStage) -> SFTTrainer:
    return _gradients(stage, mode=stage.args.selection_mode, anchor_dataset=stage.anchors, for_selector=stage.selector)


def _gradients(stage: EvidenceStage, **options: Any) -> SFTTrainer:
    trainer = stage.make_trainer()
    trainer.add_callback(
        GradientTraceCallback(
            trainer,
            stage.trace_dir,
            validation_dataset=stage.validation,
            group_column=stage.args.selection_group_column,
            parameters=stage.args.selection_parameters,
            precondition=stage.args.selection_precondition,
            low_rank=stage.args.low_rank,
            num_checkpoints=stage.args.selection_num_checkpoints,
            dataset=stage.dataset,
            tokens_per_batch=stage.args.selection_tokens_per_batch,
            **options,
        )
    )
    stage.train(trainer)
    return trainer


def _ifd(stage: EvidenceStage) -> SFTTrainer:
    trainer = stage.make_trainer()
    stage.train(trainer)
    record_ifd(
        trainer,
        stage.trace_dir,
        dataset=stage.dataset,
        tokens_per_batch=stage.args.selection_tokens_per_batch,
        overwrite=stage.trace_dir.exists(),
    )
    return trainer


def _datainf(stage: EvidenceStage) -> SFTTrainer:
    trainer = stage.make_trainer()
    stage.train(trainer)
    record_datainf(
        trainer,
        stage.trace_dir,
        validation_dataset=stage.validation,
        parameters=stage.args.selection_parameters,
        dataset=stage.dataset,
        tokens_per_batch=stage.args.selection_tokens_per_batch,
        overwrite=stage.trace_dir.exists(),
    )
    return trainer


def _dsir(stage: EvidenceStage) -> None:
    _once(stage, partial(record_dsir, stage.dataset, stage.validation, text=stage.text), "Recording DSIR's weights")


def _bm25(stage: EvidenceStage) -> None:
    _once(stage, partial(record_bm25, stage.dataset, stage.validation, text=stage.text), "Recording BM25 scores")


def _lengths(stage: EvidenceStage) -> None:
    _once(stage, partial(record_lengths, stage.dataset, answer=stage.text), "Recording lengths")


def _truth(stage: EvidenceStage) -> None:
    column, good = truth_of(stage.selector)
    _once(stage, partial(record_truth, stage.dataset, column, good=good), "Reading which rows are good")


def _once(stage: EvidenceStage, record: Callable[..., Trace], what: str) -> None:
    """Write the Trace on the main process, the others waiting."""

    def write() -> bytes:
        record(output_dir=stage.trace_dir, overwrite=stage.trace_dir.exists())
        return b""

    decide_once(stage.accelerator, write, what)


def _embeddings(stage: EvidenceStage) -> None:
    stage.embeddings()


def _valuation(stage: EvidenceStage) -> SFTTrainer | None:
    options, seed = stage.args.valuation, stage.args.selection_seed
    if options.in_run:
        cosines = options.in_run_score == "cosine"
        trainer = None if stage.is_recorded else _gradients(stage, mode="in_run", norms=cosines)
        stage.accelerator.wait_for_everyone()  # the main process writes the Trace
        trace = Trace.load(stage.trace_dir)
        keep(value_in_run(trace, options, embeddings=stage.embeddings, seed=seed), stage.evidence_dir)
        return trainer
    assert stage.validation is not None  # require_recordable has seen to that
    valuation = value_by_games(
        stage.dataset,
        stage.validation,
        options,
        stage.learner(),
        embeddings=stage.embeddings,
        ledger_dir=stage.directory / "ledger",
        groups=stage.args.selection_group_column,
        seed=seed,
    )
    keep(valuation, stage.evidence_dir)
    return None


RECORDERS: dict[str, Callable[[EvidenceStage], SFTTrainer | None]] = {
    "loss": _losses,
    "influence": _influence,
    "ifd": _ifd,
    "datainf": _datainf,
    "dsir": _dsir,
    "bm25": _bm25,
    "length": _lengths,
    "clean": _truth,
    "embeddings": _embeddings,
    "valuation": _valuation,
}

"""What each selection method reads, recorded while a stage's trainer trains, or when it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTTrainer

from hf_datasel.selectors import Selector
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.gradient_trace import GradientTraceCallback
from hf_datasel.training.influence.baselines import record_datainf, record_ifd
from hf_datasel.training.loss_trajectory import LossTrajectoryCallback


def metric_of(selector: Selector) -> str:
    """The metric of the Trace that ``selector`` reads, "none" for one that reads no values."""
    if not selector.reads_values:
        return "none"
    metrics: tuple[str, ...] = getattr(selector, "metrics", ("loss",))
    return metrics[0]


def require_recordable(
    selector: Selector, validation: Dataset | None, anchors: Dataset | None, *, online: bool = False
) -> None:
    """Refuse a method that no training stage can record, or that lacks held-out rows.

    Args:
        selector: the method.
        validation, anchors: what is given.
        online: whether the training itself reads the validation rows.

    Raises:
        ValueError: named, with the way out.
    """
    metric = metric_of(selector)
    if metric not in ("none", *RECORDERS):
        raise ValueError(
            f"selection_method='{selector.name}' reads a Trace of '{metric}', which no training records: select with "
            f"{type(selector).__name__} yourself and pass selection=..."
        )
    if metric in ("influence", "datainf") and validation is None:
        raise ValueError(
            f"selection_method='{selector.name}' holds gradients against those of trusted rows: pass "
            "validation_dataset=..., a few dozen rows that are not in train_dataset."
        )
    if metric not in ("influence", "datainf") and validation is not None and not online:
        raise ValueError(f"selection_method='{selector.name}' does not read validation_dataset: leave it out.")
    if anchors is not None and metric != "influence":
        raise ValueError(f"selection_method='{selector.name}' does not read anchor_dataset: leave it out.")
    needs_anchors = getattr(selector, "needs_anchors", False)
    if needs_anchors:
        selector.check(0)  # a rule that is not known is no reason to ask for anchors
    if needs_anchors and metric != "influence":
        raise ValueError(
            f"selection_method='{selector.name}' is recorded without anchors, so it has no scores to take "
            f"threshold={getattr(selector, 'threshold', None)!r} from: set selection_threshold to a number, or "
            "selection_budget."
        )
    if needs_anchors and anchors is None:
        raise ValueError(
            f"{type(selector).__name__} takes its threshold from trusted rows: pass anchor_dataset=..., at least 50 "
            "rows that are neither in train_dataset nor in validation_dataset, or set selection_budget."
        )


@dataclass(frozen=True, eq=False)
class EvidenceStage:
    """A stage's trainer to be trained, and what is to be recorded of it.

    Args:
        selector: who reads it.
        trainer: of the stage.
        trace_dir: where the Trace goes.
        dataset: what the trainer was built from.
        args: of the run.
        validation, anchors: trusted rows, where the method needs them.
        train: trains the trainer, resuming where it stopped.
    """

    selector: Selector
    trainer: SFTTrainer
    trace_dir: Path
    dataset: Any
    args: SelectingSFTConfig
    validation: Dataset | None
    anchors: Dataset | None
    train: Callable[[SFTTrainer], None]

    def record(self) -> None:
        """Train the trainer and leave the Trace that the selector reads at ``trace_dir``."""
        RECORDERS[metric_of(self.selector)](self)


def _losses(stage: EvidenceStage) -> None:
    stage.trainer.add_callback(
        LossTrajectoryCallback(
            stage.trainer,
            stage.trace_dir,
            num_checkpoints=stage.args.selection_num_checkpoints if stage.args.selection_mode == "probe" else None,
            mode=stage.args.selection_mode,
            dataset=stage.dataset,
            tokens_per_batch=stage.args.selection_tokens_per_batch,
        )
    )
    stage.train(stage.trainer)


def _influence(stage: EvidenceStage) -> None:
    stage.trainer.add_callback(
        GradientTraceCallback(
            stage.trainer,
            stage.trace_dir,
            validation_dataset=stage.validation,
            anchor_dataset=stage.anchors,
            group_column=stage.args.selection_group_column,
            parameters=stage.args.selection_parameters,
            precondition=stage.args.selection_precondition,
            for_selector=stage.selector,
            low_rank=stage.args.low_rank,
            num_checkpoints=stage.args.selection_num_checkpoints,
            mode=stage.args.selection_mode,
            dataset=stage.dataset,
            tokens_per_batch=stage.args.selection_tokens_per_batch,
        )
    )
    stage.train(stage.trainer)


def _ifd(stage: EvidenceStage) -> None:
    stage.train(stage.trainer)
    record_ifd(
        stage.trainer,
        stage.trace_dir,
        dataset=stage.dataset,
        tokens_per_batch=stage.args.selection_tokens_per_batch,
        overwrite=stage.trace_dir.exists(),
    )


def _datainf(stage: EvidenceStage) -> None:
    stage.train(stage.trainer)
    record_datainf(
        stage.trainer,
        stage.trace_dir,
        validation_dataset=stage.validation,
        parameters=stage.args.selection_parameters,
        dataset=stage.dataset,
        tokens_per_batch=stage.args.selection_tokens_per_batch,
        overwrite=stage.trace_dir.exists(),
    )


RECORDERS: dict[str, Callable[[EvidenceStage], None]] = {
    "loss": _losses,
    "influence": _influence,
    "ifd": _ifd,
    "datainf": _datainf,
}

"""``selection/...`` metrics: what was selected, told to every tracker the Trainer reports to."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_datasel.selection import Selection


def selection_metrics(selection: Selection, before: Selection | None = None) -> dict[str, float]:
    """Numbers that describe a Selection.

    Args:
        selection: the one to describe.
        before: the one it takes the place of; adds ``selection/overlap``, the share of the new one's rows in both.
    """
    # The last of a chain chooses among what the first has left.
    first = selection.provenance[0] if selection.provenance else {}
    num_candidates = first.get("num_candidates", len(selection.candidate_ids))
    metrics: dict[str, float] = {
        "selection/num_candidates": num_candidates,
        "selection/num_selected": len(selection),
        "selection/share": len(selection) / num_candidates,
    }
    if selection.clusters is not None:
        metrics["selection/num_clusters"] = len(np.unique(selection.clusters[selection.clusters >= 0]))
    if selection.scores is not None:
        metrics["selection/mean_score"] = float(selection.scores[selection.kept].mean())
    if before is not None:
        metrics["selection/overlap"] = len(np.intersect1d(selection.ids, before.ids)) / max(1, len(selection))
    return metrics


class SelectionMetricsCallback(TrainerCallback):
    """Log the Selection's metrics when training begins.

    Args:
        trainer: a SelectingSFTTrainer.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Log; a run that resumes has logged already."""
        if self._trainer.selection is not None and state.global_step == 0:
            self._trainer.log_selection(selection_metrics(self._trainer.selection))

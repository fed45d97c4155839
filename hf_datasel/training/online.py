"""Online selection: of every batch, train on the rows whose gradients agree best with the validation gradient.

Wang et al., "GREATS: Online Selection of High-Quality Data for LLM Training in Every Iteration" (NeurIPS 2024), first-
order form: the value of a row for the step about to be taken is ``eta <grad l_i, v>``. The greedy correction for rows
that resemble each other is left out, and v is the mean gradient of a whole validation set, renewed whenever rows are
scored.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import Trainer

from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.training.influence.engine import Influence, InfluenceOptions
from hf_datasel.training.influence.parameters import Parameters
from hf_datasel.training.influence.probe import score_batch
from hf_datasel.training.influence.refusals import refuse_ungradable
from hf_datasel.training.influence.rules import Measure


class OnlineSelection:
    """Keep a share of every batch.

    Args:
        trainer: whose batches.
        validation: trusted rows.
        parameters: whose gradients count.
        share: of a batch's rows to keep, in (0, 1].
        every: optimizer steps from one whose batches are cut to the next.
        tokens_per_batch: padded tokens of a batch of validation rows.
    """

    def __init__(
        self,
        trainer: Trainer,
        validation: Dataset,
        parameters: Parameters,
        share: float,
        every: int,
        tokens_per_batch: int,
    ) -> None:
        self._trainer = trainer
        options = InfluenceOptions(parameters=parameters)
        refuse_ungradable(trainer, "probe", options, has_source=False, score_every=1)
        self._influence = Influence(trainer, trainer.train_dataset, validation, {}, None, options, tokens_per_batch)
        self._share = share
        self._every = every

    def is_due(self) -> bool:
        """Whether the step about to be taken is one."""
        return bool(self._trainer.state.global_step % self._every == 0)

    def cut(self, batches: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
        """The batches of one step with their best rows, and by how much those score above the rest.

        Args:
            batches: micro-batches, one example a row.

        Returns:
            Batches of ``share B`` rows (to the nearest, halves up, at least 1) in their order; and the mean score of
            what is kept less that of what is not over all processes, 0 where nothing is cut.

        Raises:
            ValueError: the gradient of a row, or of the validation rows, is not finite.
        """
        directions = self._influence.directions("Validation gradient for the next step")
        measure = Measure(self._influence.sites)
        measure.directions = directions
        kept, gaps = [], []
        for batch in batches:
            scores = self._score(batch, measure)
            number = max(1, math.floor(self._share * len(scores) + 0.5))
            best = torch.sort(scores.nan_to_num(-torch.inf), descending=True, stable=True).indices
            rows = best[:number].sort().values
            kept.append(pick_rows(batch, rows.cpu()))
            rest = scores[best[number:]]
            gaps.append(scores[rows].nanmean() - rest.nanmean() if len(rest) else scores.new_zeros(()))
        return kept, float(self._trainer.accelerator.gather(torch.stack(gaps).nanmean()[None]).nanmean())

    def _score(self, batch: dict[str, Any], measure: Measure) -> Tensor:
        trainer = self._trainer
        inputs = trainer._prepare_inputs({name: value for name, value in batch.items() if name != EXAMPLE_ID})
        frame = score_batch(trainer, self._influence.sites, measure, inputs, len(inputs["input_ids"]))
        scores, labelled = frame.inner(), frame.layout.num_labels > 0
        broken = labelled & ~scores.isfinite()
        if bool(broken.any()):
            row = int(broken.nonzero()[0])
            raise ValueError(
                f"selection_online_every: at step {trainer.state.global_step} the gradient of row {row} of a batch is "
                f"not finite (its tokens begin with {inputs['input_ids'][row, :8].tolist()}): training has diverged, "
                "or the row is broken. Lower the learning rate, or train in float32 or bfloat16 instead of float16."
            )
        return torch.where(labelled, scores, torch.nan)


def pick_rows(batch: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """Some rows of a batch; what has no row for each example stays as it is.

    Example:
        >>> pick_rows({"input_ids": torch.tensor([[1], [2], [3]])}, torch.tensor([0, 2]))["input_ids"].tolist()
        [[1], [3]]
    """
    size = len(batch["input_ids"])

    def pick(value: Any) -> Any:
        if isinstance(value, Tensor) and value.dim() and len(value) == size:
            return value[rows.to(value.device)]
        return value

    return {name: pick(value) for name, value in batch.items()}

"""The exact way to see a run: at a checkpoint, score every example by id.

S2L as published takes one such sweep a checkpoint. Nothing of the run changes: the model is scored without gradients
in eval mode and put back, the batches are cut by the probe itself (a DataLoader would draw its seed from the global
generator and so change training), and no random state is touched.
"""

from __future__ import annotations

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from transformers import Trainer
from trl import SFTTrainer

from hf_datasel.training.rows import Batch
from hf_datasel.training.scoring import example_losses, head_at_labels
from hf_datasel.training.sweep import sweep_batches, sweep_losses

MAX_LOGITS = 2**28  # elements; logits of one batch stay within 1 GiB of float32


class Probe:
    """Sweep all examples of a tokenised dataset with the trainer's current model.

    Args:
        trainer: whose model, collator and processes are used.
        dataset: tokenised rows with ``example_id``, one row an example (not packed).
        tokens_per_batch: padded tokens of a batch on one process.

    Attributes:
        ids: int64 ``[N]``, ascending.
        num_labels: int64 ``[N]`` after the first sweep: predicted label tokens of each example.
    """

    def __init__(self, trainer: Trainer, dataset: Dataset | IterableDataset, tokens_per_batch: int) -> None:
        self._trainer = trainer
        # TRL's fused head scores only labels, in tiles, with Triton; elsewhere it scores every position.
        self._fused = isinstance(trainer, SFTTrainer) and trainer.accelerator.device.type == "cuda"
        self._rows = sweep_batches(trainer, dataset, tokens_per_batch, None if self._fused else MAX_LOGITS)
        self.ids = self._rows.ids
        self.num_labels = np.zeros(len(self.ids), dtype=np.int64)

    def sweep(self, description: str = "Probing losses") -> np.ndarray:
        """Loss of every example under the model as it is now, float32 ``[N]`` in the order of :attr:`ids`.

        NaN where no token of an example carries a label. Every process returns the same array. Each batch is scored by
        one process; the batches do not depend on the number of processes.

        Raises:
            ValueError: a loss is not finite; names the example.
        """
        losses, self.num_labels = sweep_losses(self._trainer, self._rows, self._score, description)
        return losses

    def _score(self, positions: torch.Tensor, inputs: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        model = self._trainer.model
        if self._fused:
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        else:
            # Without labels the model computes no loss of its own, and Liger's fused loss has nothing to fuse.
            unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
            with head_at_labels(model, inputs["labels"]):
                outputs = model(**unlabelled, use_cache=False)
        return example_losses(outputs, inputs, len(positions))

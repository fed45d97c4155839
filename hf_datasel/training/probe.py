"""The exact way to see a run: at a checkpoint, score every example by id.

S2L as published takes one such sweep a checkpoint. Nothing of the run changes: the model is scored without gradients
in eval mode and put back, the batches are cut by the probe itself (a DataLoader would draw its seed from the global
generator and so change training), and no random state is touched.
"""

from __future__ import annotations

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from tqdm.auto import tqdm
from transformers import Trainer
from trl import SFTTrainer

from hf_datasel.training.rows import Batch, MapStyleRows, StreamRows
from hf_datasel.training.scoring import example_losses, head_at_labels, require_finite
from hf_datasel.training.state import preserved_rng, scoring_mode

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
        if not self._fused:
            vocabulary = trainer.model.get_input_embeddings().num_embeddings
            tokens_per_batch = max(1, min(tokens_per_batch, MAX_LOGITS // vocabulary))
        rows = StreamRows if isinstance(dataset, IterableDataset) else MapStyleRows
        self._rows = rows(trainer, dataset, tokens_per_batch)
        self.ids = self._rows.ids
        self.num_labels = np.zeros(len(self.ids), dtype=np.int64)

    def sweep(self, description: str = "Probing losses") -> np.ndarray:
        """Loss of every example under the model as it is now, float32 ``[N]`` in the order of :attr:`ids`.

        NaN where no token of an example carries a label. Every process returns the same array. Each batch is scored by
        one process; the batches do not depend on the number of processes.

        Raises:
            ValueError: a loss is not finite; names the example.
        """
        trainer = self._trainer
        accelerator, model = trainer.accelerator, trainer.model
        rank, world = accelerator.process_index, accelerator.num_processes
        values = torch.zeros(len(self.ids), dtype=torch.float32, device=accelerator.device)
        seen, num_labels = torch.zeros_like(values), torch.zeros_like(values)
        bar = tqdm(
            total=len(self.ids),
            desc=description,
            unit="example",
            leave=False,
            disable=trainer.args.disable_tqdm or not accelerator.is_local_main_process,
        )
        with bar, preserved_rng(accelerator.device), scoring_mode(model):
            for number, read in enumerate(self._rows):
                if number % world != rank:
                    continue
                positions, batch = read()
                index = torch.from_numpy(positions).to(values.device)
                values[index], counts = self._score(model, batch, len(positions))
                num_labels[index] = counts.float()
                seen[index] += 1
                bar.update(min(len(positions) * world, len(self.ids) - bar.n))
        # Every example was scored on exactly one process, so these sums add zeros only and keep every bit.
        values, seen, num_labels = (accelerator.reduce(part) for part in (values, seen, num_labels))
        if not bool((seen == 1).all()):
            wrong = int(self.ids[int((seen != 1).nonzero()[0])])
            raise RuntimeError(
                f"A sweep met example id {wrong} {int(seen[seen != 1][0])} times instead of once: the dataset changed "
                "since the recorder was built (a stream that yields other rows on each pass?)."
            )
        self.num_labels = num_labels.cpu().numpy().astype(np.int64)
        losses = values.cpu().numpy()
        require_finite(self.ids, losses, self.num_labels, "this checkpoint")
        return losses

    def _score(self, model: torch.nn.Module, batch: Batch, num_examples: int) -> tuple[torch.Tensor, torch.Tensor]:
        trainer = self._trainer
        inputs = trainer._prepare_inputs(batch)
        if self._fused:
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        else:
            # Without labels the model computes no loss of its own, and Liger's fused loss has nothing to fuse.
            unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
            with head_at_labels(model, inputs["labels"]):
                outputs = model(**unlabelled, use_cache=False)
        return example_losses(outputs, inputs, num_examples)

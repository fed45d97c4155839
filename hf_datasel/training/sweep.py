"""One pass over every example of a dataset, sharded over processes, that leaves the run as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from torch import Tensor
from tqdm.auto import tqdm
from transformers import Trainer

from hf_datasel.training.rows import Batch, MapStyleRows, StreamRows
from hf_datasel.training.scoring import require_finite
from hf_datasel.training.state import preserved_rng, scoring_mode

ScoreBatch = Callable[[Tensor, Batch], tuple[Tensor, Tensor]]


def sweep_batches(
    trainer: Trainer, dataset: Dataset | IterableDataset, tokens_per_batch: int, most_logits: int | None
) -> MapStyleRows | StreamRows:
    """The batches of a sweep.

    Args:
        trainer: whose collator is used.
        dataset: tokenised rows with ``example_id``, one row an example.
        tokens_per_batch: padded tokens of a batch on one process.
        most_logits: elements of a batch's logits, where the model materialises them.
    """
    if most_logits is not None:
        vocabulary = trainer.model.get_input_embeddings().num_embeddings
        tokens_per_batch = max(1, min(tokens_per_batch, most_logits // vocabulary))
    rows = StreamRows if isinstance(dataset, IterableDataset) else MapStyleRows
    return rows(trainer, dataset, tokens_per_batch)


def sweep_losses(
    trainer: Trainer, rows: MapStyleRows | StreamRows, score: ScoreBatch, description: str
) -> tuple[np.ndarray, np.ndarray]:
    """Score every example once, in eval mode and without gradients but those that ``score`` asks for.

    Each batch is scored by one process; the batches do not depend on the number of processes, and every process
    returns the same arrays.

    Args:
        trainer: whose model and processes are used.
        rows: the batches.
        score: from positions ``[D]`` in the order of ``rows.ids`` and a batch on the device to losses and numbers of
            labels ``[D]``.
        description: of the progress bar.

    Returns:
        Losses float32 ``[N]``, NaN where an example has no label, and numbers of labels int64 ``[N]``.

    Raises:
        ValueError: a loss is not finite; names the example. RuntimeError: the dataset changed.
    """
    accelerator = trainer.accelerator
    rank, world, num_examples = accelerator.process_index, accelerator.num_processes, len(rows.ids)
    losses = torch.zeros(num_examples, dtype=torch.float32, device=accelerator.device)
    seen, num_labels = torch.zeros_like(losses), torch.zeros_like(losses)
    bar = tqdm(
        total=num_examples,
        desc=description,
        unit="example",
        leave=False,
        disable=trainer.args.disable_tqdm or not accelerator.is_local_main_process,
    )
    with bar, preserved_rng(accelerator.device), scoring_mode(trainer.model):
        for number, read in enumerate(rows):
            if number % world != rank:
                continue
            where, batch = read()
            positions = torch.from_numpy(where).to(losses.device)
            part, counts = score(positions, trainer._prepare_inputs(batch))
            losses[positions] = part.detach().float()
            num_labels[positions] = counts.float()
            seen[positions] += 1
            bar.update(min(len(where) * world, num_examples - bar.n))
    # Every example was scored on exactly one process, so these sums add zeros only and keep every bit.
    losses, num_labels, seen = (accelerator.reduce(part) for part in (losses, num_labels, seen))
    if not bool((seen == 1).all()):
        wrong = int((seen != 1).nonzero()[0])
        raise RuntimeError(
            f"A sweep met example id {int(rows.ids[wrong])} {int(seen[wrong])} times instead of once: the dataset "
            "changed since the recorder was built (a stream that yields other rows on each pass?)."
        )
    measured, counted = losses.cpu().numpy(), num_labels.cpu().numpy().astype(np.int64)
    require_finite(rows.ids, measured, counted, "this checkpoint")
    return measured, counted

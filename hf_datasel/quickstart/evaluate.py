"""Exact match per skill, by greedy decoding.

Greedy decoding yields the reference exactly when, with the reference as its past, the most likely token at every
position of the completion, the end included, is the reference's. One forward pass therefore tells what generation
token by token would.
"""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from hf_datasel.quickstart.models import MASKED


def exact_match(model: PreTrainedModel, tokenized: Dataset, *, batch_size: int = 256) -> np.ndarray:
    """Whether greedy decoding answers each row exactly.

    Args:
        model: a causal language model; put in eval mode for the time of the call.
        tokenized: columns `input_ids` and `labels`, -100 on the prompt (`models.tokenize`).

    Returns:
        bool [N], in the order of the rows.
    """
    was_training = model.training
    model.eval()
    correct = np.zeros(len(tokenized), bool)
    input_ids, labels = tokenized["input_ids"][:], tokenized["labels"][:]
    by_length = sorted(range(len(tokenized)), key=lambda row: len(input_ids[row]))
    for start in range(0, len(by_length), batch_size):
        rows = by_length[start : start + batch_size]
        correct[rows] = _batch_is_right(model, [input_ids[row] for row in rows], [labels[row] for row in rows])
    model.train(was_training)
    return correct


@torch.no_grad()
def _batch_is_right(
    model: PreTrainedModel, input_ids: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]
) -> np.ndarray:
    ids = pad_sequence([torch.tensor(row) for row in input_ids], batch_first=True)
    expected = pad_sequence([torch.tensor(row) for row in labels], batch_first=True, padding_value=MASKED)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in input_ids], batch_first=True)
    logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits[:, :-1].cpu()
    expected = expected[:, 1:]
    right: torch.Tensor = ((logits.argmax(dim=-1) == expected) | (expected == MASKED)).all(dim=1)
    return right.numpy()


def per_skill(correct: np.ndarray, skills: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Share of right answers for each of `names`; raises ValueError where a skill has no row.

    Example:
        >>> per_skill(np.array([True, False, True]), ["sort", "sort", "copy"], ["copy", "sort"])
        {'copy': 1.0, 'sort': 0.5}
    """
    labels = np.asarray(skills)
    missing = [name for name in names if not (labels == name).any()]
    if missing:
        raise ValueError(f"No test row of skill {missing[0]!r}: its exact match is unknown. Make the test set larger.")
    return {name: float(correct[labels == name].mean()) for name in names}

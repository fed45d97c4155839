"""Answers that a model generates to the questions of tokenised rows, greedily and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.state import preserved_rng, scoring_mode


def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    *,
    max_new_tokens: int = 256,
    batch_size: int = 16,
) -> tuple[list[str], list[str]]:
    """What the model answers, and what it should.

    The question is everything before a row's last run of labels, the reference is that run.

    Args:
        model: a causal language model; left as it was.
        tokenizer: of the model.
        rows: with ``input_ids`` and ``labels``, as ``(model, rows)`` of a metric.
        max_new_tokens: longest answer.
        batch_size: rows generated at once.

    Returns:
        Answers and references, without special tokens and without blanks at their ends, in the order of the rows.

    Raises:
        ValueError: a row without a question or without a label; names it.
    """
    pairs = [_split(row) for row in rows.select_columns([EXAMPLE_ID, "input_ids", "labels"])]
    order = sorted(range(len(pairs)), key=lambda row: -len(pairs[row][0]))
    answers: list[list[int]] = [[] for _ in pairs]
    ends = getattr(model.generation_config, "eos_token_id", None)
    greedy = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id if ends is None else ends,
        pad_token_id=tokenizer.pad_token_id,
    )
    with preserved_rng(model.device), scoring_mode(model):
        for start in range(0, len(order), batch_size):
            picked = order[start : start + batch_size]
            generated = _generate(model, [pairs[row][0] for row in picked], greedy)
            for row, tokens in zip(picked, generated, strict=True):
                answers[row] = tokens
    return _texts(tokenizer, answers), _texts(tokenizer, [reference for _, reference in pairs])


def _split(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    tokens, labels = row["input_ids"], row["labels"]
    end = max((place + 1 for place, label in enumerate(labels) if label != IGNORE_INDEX), default=0)
    begin = end
    while begin and labels[begin - 1] != IGNORE_INDEX:
        begin -= 1
    if begin == 0:
        raise ValueError(
            f"Dev row {row[EXAMPLE_ID]} has no question before its answer, so none can be generated: give rows of "
            "prompt and completion, or messages with assistant_only_loss=True, or take metric='log_likelihood'."
        )
    return tokens[:begin], tokens[begin:end]


def _generate(model: PreTrainedModel, questions: Sequence[Sequence[int]], greedy: GenerationConfig) -> list[list[int]]:
    longest = max(map(len, questions))
    shape = (len(questions), longest)
    tokens = torch.full(shape, greedy.pad_token_id, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    for row, question in enumerate(questions):  # padded on the left, so that all go on from the last column
        tokens[row, longest - len(question) :] = torch.tensor(question)
        mask[row, longest - len(question) :] = 1
    inputs = {"input_ids": tokens.to(model.device), "attention_mask": mask.to(model.device)}
    generated: list[list[int]] = model.generate(**inputs, generation_config=greedy)[:, longest:].tolist()
    return generated


def _texts(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[Sequence[int]]) -> list[str]:
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]

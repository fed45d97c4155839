"""Answers without their questions: what IFD holds an answer's loss against."""

from __future__ import annotations

from typing import Any

from transformers import Trainer

from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.probe import Probe


def probe_of_answers(trainer: Trainer, examples: Any, tokens_per_batch: int) -> Probe:
    """Sweeps of ``NLL(answer)``: only the label tokens of each example, behind the beginning-of-text token it has.

    Args:
        trainer: whose model and tokenizer are used.
        examples: tokenised rows with ids, one row an example.
        tokens_per_batch: padded tokens of a batch on one process.
    """
    first = getattr(trainer.processing_class, "bos_token_id", None)
    alone = examples.map(_answer_alone, fn_kwargs={"first": first})
    return Probe(trainer, alone, tokens_per_batch)


def _answer_alone(row: dict[str, Any], first: int | None) -> dict[str, list[int]]:
    tokens = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORE_INDEX]
    if first is not None and row["input_ids"][0] == first and (not tokens or row["labels"][0] == IGNORE_INDEX):
        return {"input_ids": [first, *tokens], "labels": [IGNORE_INDEX, *tokens]}
    tokens = tokens or row["input_ids"][:1]
    return {"input_ids": tokens, "labels": [IGNORE_INDEX, *tokens[1:]]}

"""How well an answer fits its question, by losses alone: against no question (IFD), and against other questions.

Both are measured once, when training begins: a model that has not seen the rows cannot have learned their mistakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import Trainer

from hf_datasel.functional.answer_fit import instruction_following_difficulty, pairing
from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.probe import Probe
from hf_datasel.training.progress import watched

NUM_QUESTIONS = 4  # other questions that pairing asks, where nothing else is said
MAX_DRAWS = 20


class AnswerProbes:
    """Sweeps of ``NLL(answer | question)``, ``NLL(answer)`` and ``NLL(answer | another question)``.

    Args:
        trainer: whose model and tokenizer are used.
        examples: tokenised rows with ids, one row an example.
        questions: tokenised rows whose questions are asked instead; those of other rows than the example's own.
        num_questions: K of them for each example; 0 for IFD alone.
        seed: of the draw.
        tokens_per_batch: padded tokens of a batch on one process.

    Raises:
        ValueError: a row without a question, or not two questions that differ.
    """

    def __init__(
        self,
        trainer: Trainer,
        examples: Dataset,
        questions: Dataset,
        num_questions: int,
        seed: int,
        tokens_per_batch: int,
    ) -> None:
        limit = getattr(trainer.args, "max_length", None)
        self._own = Probe(trainer, examples, tokens_per_batch)
        self._alone = probe_of_answers(trainer, examples, tokens_per_batch)
        self._others = []
        if num_questions:
            asked = _questions(questions)
            own = asked if questions is examples else _questions(examples)
            if len({tuple(question) for question in asked}) < 2:
                raise ValueError("pairing asks other questions, but all rows have the same one: set pairing=0.")
            generator = np.random.default_rng(seed)
            for _ in range(num_questions):
                drawn = [_draw(asked, question, generator) for question in watched(own, "Drawing questions")]
                swapped = examples.map(
                    _asker(asked, drawn, limit), with_indices=True, new_fingerprint=_name(generator)
                )
                self._others.append(Probe(trainer, swapped, tokens_per_batch))

    def measure(self) -> dict[str, np.ndarray]:
        """``ifd``, low where the question explains the answer, and with other questions ``pairing``, high there.

        Both float32 ``[N]``, as ``functional/answer_fit.py`` has them. An answer of one token has no loss alone: its
        IFD is NaN, and its pairing is taken from the other questions.
        """
        own, alone = self._own.sweep("Answers to their questions"), self._alone.sweep("Answers alone")
        found = {"ifd": instruction_following_difficulty(own, alone)}
        if self._others:
            others = np.stack([probe.sweep("Answers to other questions") for probe in self._others])
            found["pairing"] = pairing(own, alone, others)
        return found


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


def _questions(rows: Dataset) -> list[list[int]]:
    return [_question(row, number) for number, row in enumerate(watched(rows, "Reading questions"))]


def _question(row: dict[str, Any], number: int) -> list[int]:
    """Tokens before the first label."""
    labels = row["labels"]
    length = next((place for place, label in enumerate(labels) if label != IGNORE_INDEX), len(labels))
    if length == 0:
        raise ValueError(
            f"Row {number} has a label on its first token, so it has no question that could be changed for another: "
            "pairing needs prompt and completion, or messages with assistant_only_loss; set pairing=0, and select by "
            "score='cosine' or 'dot'."
        )
    return list(row["input_ids"][:length])


def _draw(asked: list[list[int]], own: list[int], generator: np.random.Generator) -> int:
    for _ in range(MAX_DRAWS):
        number = int(generator.integers(len(asked)))
        if asked[number] != own:
            return number
    return next(number for number, question in enumerate(asked) if question != own)


def _asker(
    asked: list[list[int]], drawn: list[int], limit: int | None
) -> Callable[[dict[str, Any], int], dict[str, list[int]]]:
    def ask(row: dict[str, Any], index: int) -> dict[str, list[int]]:
        length = len(_question(row, index))
        answer, labels = row["input_ids"][length:], row["labels"][length:]
        question = asked[drawn[index]]
        if limit is not None:
            question = question[-max(1, limit - len(answer)) :]
        return {"input_ids": [*question, *answer], "labels": [IGNORE_INDEX] * len(question) + list(labels)}

    return ask


def _name(generator: np.random.Generator) -> str:
    """A fingerprint of its own for rows that are drawn, so that hashing does not walk through all questions."""
    return f"{int(generator.integers(2**63)):016x}"

"""Rows that are bad on purpose, made of good ones: what a contrasted direction is taken from.

Every function returns a dataset of as many rows, without example ids, and leaves the one it was given as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from hf_datasel.fingerprint import EXAMPLE_ID

WORD = re.compile(r"\S+")
SHORTEST, LONGEST = 0.1, 0.5  # share of an answer's words that a truncated one keeps


def damaged(dataset: Any, kind: str, seed: int = 0) -> Any:
    """The same questions with damaged answers.

    Args:
        dataset: rows with `prompt` and `completion`, or with `messages` that end in an answer.
        kind: "mismatched", each row gets another row's answer; "truncated", the answer breaks off after a tenth to a
            half of its words; "shuffled", its words in random order.
        seed: of all random choices.

    Returns:
        A dataset of as many rows, without example ids.

    Raises:
        ValueError: an unknown kind, another format, or answers that cannot be damaged so.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"prompt": ["2+2=", "sky?"], "completion": ["4", "blue"]})
        >>> damaged(rows, "mismatched")["completion"][:]
        ['blue', '4']
    """
    if kind not in DAMAGES:
        raise ValueError(f"damaged: kind={kind!r} must be one of {sorted(DAMAGES)}.")
    column = next((name for name in ("completion", "messages") if name in dataset.column_names), None)
    if column is None:
        raise ValueError(
            "damaged needs columns 'prompt' and 'completion', or 'messages': in one text the answer cannot be told "
            f"from the question; this dataset has {dataset.column_names}."
        )
    values = list(dataset[column])
    is_chat = column == "messages" or (bool(values) and not isinstance(values[0], str))
    answers = [value[-1]["content"] if is_chat else value for value in values]
    given: list[Any] = DAMAGES[kind](answers, np.random.default_rng(seed))
    if is_chat:
        given = [[*value[:-1], {**value[-1], "content": text}] for value, text in zip(values, given, strict=True)]
    # In this order: a dataset without its last column has no rows left to add one to.
    added = dataset.add_column(f"damaged {column}", given, feature=dataset.features[column])
    dropped = [name for name in (EXAMPLE_ID, column) if name in dataset.column_names]
    return added.remove_columns(dropped).rename_column(f"damaged {column}", column)


def _mismatched(answers: list[str], generator: np.random.Generator) -> list[str]:
    order = generator.permutation(len(answers))
    for shift in range(1, len(answers)):
        donors = np.empty_like(order)
        donors[order] = np.roll(order, shift)
        given = [answers[donor] for donor in donors.tolist()]
        if all(own != other for own, other in zip(answers, given, strict=True)):
            return given
    raise ValueError(
        f"damaged: {len(answers)} rows with so many equal answers cannot all get another one; give it more rows, or "
        "distinct ones."
    )


def _truncated(answers: list[str], generator: np.random.Generator) -> list[str]:
    cut = []
    for answer, share in zip(answers, generator.uniform(SHORTEST, LONGEST, len(answers)).tolist(), strict=True):
        ends = [word.end() for word in WORD.finditer(answer)]
        cut.append(answer[: ends[max(1, int(share * len(ends))) - 1]] if ends else answer)
    return cut


def _shuffled(answers: list[str], generator: np.random.Generator) -> list[str]:
    """The words change places, the blanks between them stay: an answer begins as answers begin."""
    return [_refilled(answer, generator.permutation(WORD.findall(answer)).tolist()) for answer in answers]


def _refilled(answer: str, words: list[str]) -> str:
    remaining = iter(words)
    return WORD.sub(lambda _: next(remaining), answer)


DAMAGES: dict[str, Callable[[list[str], np.random.Generator], list[str]]] = {
    "mismatched": _mismatched,
    "truncated": _truncated,
    "shuffled": _shuffled,
}

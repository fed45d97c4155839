"""Seeded corruption of answers, with the truth kept: which rows were damaged, and how.

- mismatched: the answers of the chosen rows go round among them, so each has the true answer to another of the
  client's questions;
- truncated: the first 20 to 60% of the words;
- shuffled: the same words in another order;
- foreign: an answer from another domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

CLEAN = "clean"
KINDS = ("mismatched", "truncated", "shuffled", "foreign")
SHORTEST, LONGEST = 0.2, 0.6  # share of the words that a truncated answer keeps


@dataclass(frozen=True)
class Row:
    """A question and its answer, of one party; `kind` is "clean" or how the answer was damaged."""

    prompt: str
    completion: str
    party: str
    kind: str = CLEAN


def corrupt(
    rows: Sequence[Row], share: float, kinds: Sequence[str], foreign: Sequence[str], rng: np.random.Generator
) -> list[Row]:
    """The rows in the same order, `round(share * n)` of them damaged, the kinds in turn.

    Args:
        rows: clean rows of one client with answers that all differ.
        share: in [0, 1].
        kinds: of `KINDS`.
        foreign: answers of another domain, for the kind "foreign".
        rng: says which rows, and how.

    Raises:
        ValueError: an unknown kind, or one row alone to be mismatched.

    Example:
        >>> rows = [Row("a ?", "one two", "x"), Row("b ?", "three four", "x")]
        >>> damaged = corrupt(rows, 1.0, ["mismatched"], [], np.random.default_rng(0))
        >>> [(row.prompt, row.completion) for row in damaged]
        [('a ?', 'three four'), ('b ?', 'one two')]
    """
    if unknown := set(kinds) - set(KINDS):
        raise ValueError(f"unknown kind of noise {sorted(unknown)[0]!r}; there are {KINDS}")
    chosen = rng.permutation(len(rows))[: round(share * len(rows))]
    by_kind = {kind: chosen[place :: len(kinds)] for place, kind in enumerate(kinds)}
    damaged = list(rows)
    for kind, places in by_kind.items():
        answers = _damage(kind, [rows[i].completion for i in places], foreign, rng)
        for i, answer in zip(places, answers, strict=True):
            damaged[i] = replace(rows[i], completion=answer, kind=kind)
    return damaged


def _damage(kind: str, answers: list[str], foreign: Sequence[str], rng: np.random.Generator) -> list[str]:
    if kind == "mismatched":
        if len(answers) == 1:
            raise ValueError("one row alone has no other row's answer to take: corrupt a larger share or more rows")
        return answers[1:] + answers[:1]  # the rows stand in random order already
    if kind == "foreign":
        return [foreign[i] for i in rng.integers(len(foreign), size=len(answers))]
    change = _truncated if kind == "truncated" else _shuffled
    return [change(answer.split(), rng) for answer in answers]


def _truncated(words: list[str], rng: np.random.Generator) -> str:
    kept = max(1, int(len(words) * rng.uniform(SHORTEST, LONGEST)))
    return " ".join(words[:kept])


def _shuffled(words: list[str], rng: np.random.Generator) -> str:
    shuffled = [words[i] for i in rng.permutation(len(words))]
    # Few words can fall back into their order, which would be no damage.
    return " ".join(shuffled if shuffled != words else words[1:] + words[:1])

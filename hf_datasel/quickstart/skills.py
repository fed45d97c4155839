"""The eight skills of the quickstart's corpus: how a question is drawn and what its true answer is.

A question and its answer are lists of tokens (letters, digits, signs). The shares are steep on purpose: the rarest
skill has a nineteenth of the rows of the most frequent one.
"""

import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LETTERS = tuple(string.ascii_lowercase[:16])
DIGITS = tuple(string.digits)

Tokens = list[str]
Question = tuple[Tokens, Tokens]  # what is asked, the true answer


@dataclass(frozen=True)
class Skill:
    """One skill.

    Args:
        name: the instruction word, as in `sort k d a =`.
        share: of the training rows.
        draw: a random question with its answer.
        pretraining_word: how pre-training text names the same relation, as in `sorted k d a ;`; None where
            pre-training text does not show it, so that fine-tuning has to teach it.
    """

    name: str
    share: float
    draw: Callable[[np.random.Generator], Question]
    pretraining_word: str | None


def _letters(rng: np.random.Generator, fewest: int, most: int) -> Tokens:
    return [LETTERS[i] for i in rng.integers(len(LETTERS), size=rng.integers(fewest, most + 1))]


def _copy(rng: np.random.Generator) -> Question:
    tokens = _letters(rng, 3, 6)
    return tokens, list(tokens)


def _reverse(rng: np.random.Generator) -> Question:
    tokens = _letters(rng, 3, 6)
    return tokens, tokens[::-1]


def _next(rng: np.random.Generator) -> Question:
    tokens = _letters(rng, 3, 5)
    return tokens, [LETTERS[(LETTERS.index(token) + 1) % len(LETTERS)] for token in tokens]


def _count(rng: np.random.Generator) -> Question:
    tokens = _letters(rng, 2, 7)
    return tokens, [str(len(tokens))]


def _alternate(rng: np.random.Generator) -> Question:
    tokens = _letters(rng, 4, 7)
    return tokens, tokens[::2]


def _sort(rng: np.random.Generator) -> Question:
    tokens = _letters(rng, 3, 5)
    return tokens, sorted(tokens)


def _add(rng: np.random.Generator) -> Question:
    first = [int(digit) for digit in rng.integers(1, 9, size=2)]
    second = [int(rng.integers(0, 10 - digit)) for digit in first]  # no digit carries
    answer = [str(a + b) for a, b in zip(first, second, strict=True)]
    return [*map(str, first), "+", *map(str, second)], answer


def _merge(rng: np.random.Generator) -> Question:
    size = int(rng.integers(2, 4))
    left, right = _letters(rng, size, size), _letters(rng, size, size)
    return [*left, "|", *right], [token for pair in zip(left, right, strict=True) for token in pair]


SKILLS = (
    Skill("copy", 0.38, _copy, "copied"),
    Skill("reverse", 0.24, _reverse, "reversed"),
    Skill("next", 0.14, _next, "following"),
    Skill("count", 0.09, _count, "counted"),
    Skill("alternate", 0.06, _alternate, None),
    Skill("sort", 0.04, _sort, "sorted"),
    Skill("add", 0.03, _add, "added"),
    Skill("merge", 0.02, _merge, None),
)
SKILL_NAMES = tuple(skill.name for skill in SKILLS)

"""A generated instruction corpus: eight skills, very uneven, redundant, and every truth known.

A row is a prompt such as `sort k d a =` and its completion ` a d k`. Tokens are separated by blanks, so that a
word-level tokenizer reads the corpus without loss. The corpus asks the question of S2L (arXiv 2403.07384) in small:
questions return several times, the skills follow a steep distribution, and the models have been pre-trained on other,
clean text, which shows six of the eight relations in other words and none of the instructions.

Disjoint: no question of the test set occurs in the training set or, in other words, in the pre-training text; no
trusted question in the test or the training set.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from hf_datasel.quickstart.skills import DIGITS, LETTERS, SKILLS, Skill, Tokens

DISTINCT_SHARE = 0.6  # of a skill's rows; each of the others repeats one of them
FEWEST_ROWS = 50  # below this the rarest skill would have no row
_TRIES = 50  # draws for one distinct question, before a skill is taken as exhausted

_Row = tuple[str, Tokens, Tokens]  # skill, question, true answer


@dataclass(frozen=True)
class Corpus:
    """What `make_corpus` returns.

    Args:
        train: columns `prompt`, `completion`, `skill`, `truth` (the right completion) and `corrupted` (bool).
        test: the same columns, never corrupted, as many rows of every skill.
        pretraining: columns `prompt` and `completion`; clean.
        trusted: the columns of `train`, never corrupted, as many rows of every skill.
    """

    train: Dataset
    test: Dataset
    pretraining: Dataset
    trusted: Dataset


def make_corpus(
    num_rows: int = 6000,
    *,
    seed: int = 42,
    corrupted: float = 0.0,
    num_test_rows: int = 480,
    num_pretraining_rows: int = 12_000,
    num_trusted_rows: int = 160,
) -> Corpus:
    """Generate the corpus. Equal arguments give equal rows; global generators are neither read nor moved.

    Args:
        num_rows: training rows, at least 50.
        corrupted: share of the training rows, in [0, 1), whose completion is wrong; `truth` keeps the right one.
        num_test_rows: rounded down to a multiple of the number of skills.
        num_trusted_rows: likewise.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> corpus = make_corpus(100, corrupted=0.2, num_test_rows=16, num_pretraining_rows=10)
        >>> corpus.train.column_names
        ['prompt', 'completion', 'skill', 'truth', 'corrupted']
        >>> len(corpus.train), sum(corpus.train["corrupted"]), len(corpus.test)
        (100, 20, 16)
    """
    if num_rows < FEWEST_ROWS:
        raise ValueError(f"num_rows={num_rows} leaves the rarest skill without a row; pass {FEWEST_ROWS} or more.")
    if not 0 <= corrupted < 1:
        raise ValueError(f"corrupted={corrupted} is no share of the rows: pass a number in [0, 1).")
    if num_test_rows < len(SKILLS):
        raise ValueError(f"num_test_rows={num_test_rows} leaves a skill untested; pass {len(SKILLS)} or more.")
    if num_trusted_rows < len(SKILLS):
        raise ValueError(f"num_trusted_rows={num_trusted_rows} leaves out a skill; pass {len(SKILLS)} or more.")
    test_rng, train_rng, corruption_rng, pretraining_rng, trusted_rng = (
        np.random.default_rng([seed, part]) for part in range(5)
    )
    test = _draw_balanced(test_rng, num_test_rows, set())
    taken = {_key(row) for row in test}
    train: list[_Row] = []
    for skill, size in zip(SKILLS, _apportion(num_rows), strict=True):
        train += _draw_redundant(train_rng, skill, size, taken)
    train = [train[i] for i in train_rng.permutation(num_rows)]
    trusted = _draw_balanced(trusted_rng, num_trusted_rows, taken | {_key(row) for row in train})
    wrong = np.zeros(num_rows, bool)
    wrong[corruption_rng.permutation(num_rows)[: round(corrupted * num_rows)]] = True
    return Corpus(
        train=_to_dataset(train, _given_answers(corruption_rng, train, wrong), wrong),
        test=_clean_dataset(test),
        pretraining=_pretraining_text(pretraining_rng, num_pretraining_rows, taken),
        trusted=_clean_dataset(trusted),
    )


def _apportion(num_rows: int) -> list[int]:
    """Rows of each skill, at least one, by largest remainders."""
    exact = [skill.share * num_rows for skill in SKILLS]
    sizes = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(SKILLS)), key=lambda k: exact[k] - sizes[k], reverse=True)
    for k in by_remainder[: num_rows - sum(sizes)]:
        sizes[k] += 1
    return sizes


def _key(row: _Row) -> tuple[str, ...]:
    return (row[0], *row[1])


def _draw_distinct(rng: np.random.Generator, skill: Skill, size: int, taken: set[tuple[str, ...]]) -> list[_Row]:
    """`size` questions that differ from one another and from those taken; fewer where the skill has no more."""
    rows: dict[tuple[str, ...], _Row] = {}
    for _ in range(_TRIES * size):
        if len(rows) == size:
            break
        row = (skill.name, *skill.draw(rng))
        if _key(row) not in taken:
            rows.setdefault(_key(row), row)
    return list(rows.values())


def _draw_balanced(rng: np.random.Generator, num_rows: int, taken: set[tuple[str, ...]]) -> list[_Row]:
    """As many distinct rows of every skill."""
    return [row for skill in SKILLS for row in _draw_distinct(rng, skill, num_rows // len(SKILLS), taken)]


def _draw_redundant(rng: np.random.Generator, skill: Skill, size: int, taken: set[tuple[str, ...]]) -> list[_Row]:
    """Every distinct question once, and repeats up to `size`; few repeat very often (weights 1, 1/2, 1/3, ...)."""
    distinct = _draw_distinct(rng, skill, max(1, round(DISTINCT_SHARE * size)), taken)
    weights = 1 / np.arange(1, len(distinct) + 1)
    repeats = rng.choice(len(distinct), size=size - len(distinct), p=weights / weights.sum())
    return distinct + [distinct[i] for i in repeats]


def _given_answers(rng: np.random.Generator, rows: list[_Row], wrong: np.ndarray) -> list[Tokens]:
    foreign: dict[str, list[Tokens]] = {}
    for skill, _, answer in rows:
        foreign.setdefault(skill, []).append(answer)
    return [
        corrupt(rng, answer, foreign[skill]) if is_wrong else answer
        for (skill, _, answer), is_wrong in zip(rows, wrong, strict=True)
    ]


def corrupt(rng: np.random.Generator, answer: Tokens, foreign: list[Tokens]) -> Tokens:
    """A wrong answer: two tokens swapped, one replaced, the last left out, or the answer to another question.

    Args:
        answer: the true answer.
        foreign: answers to questions of the same skill.

    Returns:
        A list of tokens that is never `answer` and never empty.
    """
    first, second = rng.integers(len(answer), size=2)
    swapped = list(answer)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    alphabet = DIGITS if answer[first] in DIGITS else LETTERS
    replaced = list(answer)
    replaced[first] = alphabet[(alphabet.index(answer[first]) + rng.integers(1, len(alphabet))) % len(alphabet)]
    other = list(foreign[rng.integers(len(foreign))])
    candidates = [kind for kind in (swapped, replaced, answer[:-1], other) if kind and kind != answer]
    return candidates[rng.integers(len(candidates))]


def _pretraining_text(rng: np.random.Generator, num_rows: int, taken: set[tuple[str, ...]]) -> Dataset:
    """A fifth runs of the alphabet and of digits, the rest relations in words that no instruction uses."""
    shown = [skill for skill in SKILLS if skill.pretraining_word is not None]
    prompts: list[str] = []
    completions: list[str] = []
    while len(prompts) < num_rows:
        if rng.random() < 0.2:
            series = LETTERS if rng.random() < 0.6 else DIGITS
            start, length = int(rng.integers(len(series) - 3)), int(rng.integers(3, 7))
            run = series[start : start + length]
            prompts.append(" ".join(run[:2]))
            completions.append(_completion(run[2:]))
            continue
        skill = shown[rng.integers(len(shown))]
        question, answer = skill.draw(rng)
        if (skill.name, *question) not in taken:
            prompts.append(" ".join([str(skill.pretraining_word), *question, ";"]))
            completions.append(_completion(answer))
    return Dataset.from_dict({"prompt": prompts, "completion": completions})


def _completion(tokens: Iterable[str]) -> str:
    return " " + " ".join(tokens)


def _to_dataset(rows: list[_Row], given: list[Tokens], wrong: np.ndarray) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt": [" ".join([skill, *question, "="]) for skill, question, _ in rows],
            "completion": [_completion(answer) for answer in given],
            "skill": [skill for skill, _, _ in rows],
            "truth": [_completion(answer) for _, _, answer in rows],
            "corrupted": wrong,
        }
    )


def _clean_dataset(rows: list[_Row]) -> Dataset:
    return _to_dataset(rows, [answer for _, _, answer in rows], np.zeros(len(rows), bool))

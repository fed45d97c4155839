"""Two worlds of five clients: medquad by source, and the quickstart's generated skills. Every part is disjoint.

A world's rows fall into a pool of each party and the rest, on which the base model is trained. There are two pools,
without a row in common: settings were chosen on the development pool, results are from the evaluation pool. Within a
pool each seed deals the roles anew: the client's rows, validation, anchors, test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_datasel.quickstart.corpus import make_corpus
from hf_datasel.quickstart.skills import DIGITS, LETTERS
from recipes.benchmarks.clues_noise.corrupt import Row

SOURCES = ("CancerGov", "GARD", "GHR", "NIDDK", "NINDS")
MEDQUAD, FOREIGN = "medquad.jsonl", "gsm8k_train.jsonl"
POOLS = ("development", "evaluation")
MOST_CHARACTERS, FEWEST_CHARACTERS = 320, 30
POOL_SIZE = 240  # rows of a party in each pool
ROLES = {"client": 80, "validation": 12, "anchors": 12, "test": 40}
SPLIT_SEED = 0
SKILL_ROWS, SKILL_PRETRAINING_ROWS = 14_000, 4000


@dataclass(frozen=True)
class World:
    """Rows to pre-train on, a pool of each party, and answers of another domain."""

    name: str
    pretraining: list[Row]
    pools: dict[str, list[Row]]
    foreign: list[str]


@dataclass(frozen=True)
class Roles:
    """One seed's use of the pools, by party."""

    client: dict[str, list[Row]]
    validation: dict[str, list[Row]]
    anchors: dict[str, list[Row]]
    test: dict[str, list[Row]]


def load_world(name: str, pool: str, data: Path) -> World:
    """The world "medquad" (read from the folder `data`) or "skills" (generated), with one of the `POOLS`."""
    if pool not in POOLS:
        raise ValueError(f"unknown pool {pool!r}; there are {POOLS}")
    if name == "medquad":
        rows = read_medquad(data / MEDQUAD)
        foreign = [_shortened(row["completion"]) for row in read_lines(data / FOREIGN)]
        return _split(name, pool, rows, [], [answer for answer in foreign if answer])
    if name == "skills":
        return _split(name, pool, *_skills())
    raise ValueError(f"unknown world {name!r}; there are 'medquad' and 'skills'")


def deal(world: World, seed: int) -> Roles:
    """Client, validation, anchor and test rows of every party, dealt from its pool by the seed."""
    dealt: dict[str, dict[str, list[Row]]] = {role: {} for role in ROLES}
    for place, (party, pool) in enumerate(world.pools.items()):
        order = iter(np.random.default_rng([seed, place]).permutation(len(pool)))
        for role, size in ROLES.items():
            dealt[role][party] = [pool[next(order)] for _ in range(size)]
    return Roles(**dealt)


def read_medquad(path: Path) -> list[Row]:
    """Rows whose leading sentences fit, each answer and each question once."""
    rows = []
    for line in read_lines(path):
        answer = _shortened(line["completion"])
        if answer and line["source"] in SOURCES:
            rows.append(Row(line["prompt"], answer, line["source"]))
    return distinct(rows)


def read_lines(path: Path) -> list[dict[str, str]]:
    """Objects of a JSON Lines file."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def distinct(rows: Sequence[Row]) -> list[Row]:
    """The first of the rows with the same question, or the same answer, up to case, blanks and punctuation.

    Example:
        >>> rows = [Row("a ?", "One two.", "x"), Row("b ?", "one, two.", "x"), Row("A?", "three", "x")]
        >>> [row.prompt for row in distinct(rows)]
        ['a ?']
    """
    questions: set[str] = set()
    answers: set[str] = set()
    kept = []
    for row in rows:
        question, answer = (re.sub(r"\W+", " ", text.lower()) for text in (row.prompt, row.completion))
        if question not in questions and answer not in answers:
            questions.add(question)
            answers.add(answer)
            kept.append(row)
    return kept


def _shortened(answer: str) -> str:
    """Whole sentences up to `MOST_CHARACTERS`; empty where not even the first fits, or no sentence ends."""
    first, *others = re.split(r"(?<=[.?!])\s+", " ".join(answer.split()))
    for sentence in others:
        if len(first) + 1 + len(sentence) > MOST_CHARACTERS:
            break
        first += " " + sentence
    return first if FEWEST_CHARACTERS <= len(first) <= MOST_CHARACTERS and first[-1] in ".?!" else ""


def _split(name: str, pool: str, rows: list[Row], pretraining: list[Row], foreign: list[str]) -> World:
    rng, pools, rest = np.random.default_rng(SPLIT_SEED), {}, list(pretraining)
    start = POOL_SIZE * POOLS.index(pool)
    for party in sorted({row.party for row in rows}):
        own = [row for row in rows if row.party == party]
        own = [own[i] for i in rng.permutation(len(own))]
        pools[party] = own[start : start + POOL_SIZE]
        rest += own[:start] + own[start + POOL_SIZE :]
    return World(name, rest, pools, foreign)


def _skills() -> tuple[list[Row], list[Row], list[str]]:
    """Rows of five parties with the same skills, text in other words to pre-train on, and runs of the alphabet."""
    corpus = make_corpus(SKILL_ROWS, num_pretraining_rows=SKILL_PRETRAINING_ROWS)
    rows = distinct([Row(row["prompt"], row["completion"].strip(), "") for row in corpus.train])
    # An answer of one word, or of one word repeated, cannot be shuffled.
    rows = [row for row in rows if len(set(row.completion.split())) > 1]
    parties = [Row(row.prompt, row.completion, f"client-{1 + i % 5}") for i, row in enumerate(rows)]
    pretraining = [Row(row["prompt"], row["completion"].strip(), "") for row in corpus.pretraining]
    runs = [series[i : i + 5] for series in (LETTERS, DIGITS) for i in range(len(series) - 4)]
    return parties, pretraining, [" ".join(run) for run in runs]

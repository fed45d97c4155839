"""Two worlds: twenty topics of generated skills, and ten of real math and medical rows.

A topic is what a cluster's value could tell apart: a skill at one length of the question, or a source and its type of
question. There are two pools without a row in common: settings were chosen on the development pool, results are from
the evaluation pool. Within a pool each seed deals the roles anew and damages 40% of the training rows:

- concentrated: whole topics, each with one kind of damage, as a source with one fault;
- scattered: the same share of every topic, the kinds in turn, so that a cluster's mean says nothing.

What the base model has read is clean. Of the skills it has seen the relations in other words, perhaps of the same
letters; of the real topics, questions and answers that are in no pool, each as a text of its own.

The kinds of damage were chosen on the development pool, so that it does harm. Short real answers that are truncated
or mismatched still teach a small model more of their topic than no row of it does; and a topic of the skills whose
answers are mismatched or shuffled cannot be told by one proxy of it (AUROC 0.57 with 200 fine-tunes), so that the
concentrated pattern has truncated and foreign answers alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_datasel.quickstart.corpus import make_corpus
from hf_datasel.quickstart.skills import DIGITS, LETTERS
from recipes.benchmarks.clues_noise import data as clues
from recipes.benchmarks.clues_noise.corrupt import KINDS, Row, corrupt

POOLS = ("development", "evaluation")
PATTERNS = ("concentrated", "scattered")
BAD_SHARE = 0.4
SPLIT_SEED = 0
SKILL_ROWS, SKILL_PRETRAINING_ROWS = 60_000, 6000
SKILL_TOPICS = (
    *(f"copy {n}" for n in (3, 4, 5, 6)),
    *(f"reverse {n}" for n in (3, 4, 5, 6)),
    *(f"next {n}" for n in (3, 4, 5)),
    *(f"alternate {n}" for n in (4, 5, 6, 7)),
    *(f"sort {n}" for n in (4, 5)),
    "add 5",
    "merge 5",
    "merge 7",
)
MATH_TOPICS = {"gsm8k": "gsm8k_train.jsonl", "mawps_asdiv": "mawps_asdiv.jsonl", "svamp": "svamp.jsonl"}
MEDICAL_TOPICS = (
    *(f"GARD {kind}" for kind in ("symptoms", "information", "treatment", "causes")),
    *(f"GHR {kind}" for kind in ("information", "frequency", "genetic changes")),
)
MEDICAL = "other medical"
MOST_CHARACTERS = 240  # question and answer of a real row

Loaded = tuple[list[Row], list[Row], dict[str, list[str]]]  # to pre-train on; of the topics; foreign answers


@dataclass(frozen=True)
class World:
    """Clean rows: to pre-train on, and a pool of each topic; foreign answers for each topic; rows of each role."""

    name: str
    pretraining: list[Row]
    pools: dict[str, list[Row]]
    foreign: dict[str, list[str]]
    sizes: Mapping[str, int]
    kinds: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Roles:
    """One seed's rows: `train` with its damage, in the order of the example ids; `dev` and `test` clean."""

    train: list[Row]
    dev: list[Row]
    test: list[Row]


def load_world(name: str, pool: str, data: Path) -> World:
    """The world "skills" (generated) or "real" (read from the folder `data`), with one of the `POOLS`."""
    if pool not in POOLS:
        raise ValueError(f"unknown pool {pool!r}; there are {POOLS}")
    if name not in WORLDS:
        raise ValueError(f"unknown world {name!r}; there are {tuple(WORLDS)}")
    load, sizes, kinds = WORLDS[name]
    pretraining, rows, foreign = load(data)
    rng, size, pools = np.random.default_rng(SPLIT_SEED), sum(sizes.values()), {}
    for topic in sorted({row.party for row in rows}):
        own = [row for row in rows if row.party == topic]
        own = [own[i] for i in rng.permutation(len(own))]
        if len(own) < len(POOLS) * size:
            raise ValueError(f"topic {topic!r} has {len(own)} rows, too few for {len(POOLS)} pools of {size}")
        start = size * POOLS.index(pool)
        pools[topic] = own[start : start + size]
        if name == "real":
            pretraining += documents(own[len(POOLS) * size :])
    return World(name, pretraining, pools, foreign, sizes, kinds)


def documents(rows: Sequence[Row]) -> list[Row]:
    """Questions and answers as texts of their own, which tell nothing of what belongs together."""
    return [Row("", text, row.party) for row in rows for text in (row.prompt, row.completion)]


def deal(world: World, pattern: str, seed: int) -> Roles:
    """Training rows damaged by the pattern, and clean rows to aim at and to test on, dealt by the seed."""
    if pattern not in PATTERNS:
        raise ValueError(f"unknown pattern {pattern!r}; there are {PATTERNS}")
    dealt: dict[str, list[Row]] = {role: [] for role in world.sizes}
    rng = np.random.default_rng([seed, 0])
    bad = set(rng.permutation(sorted(world.pools))[: round(BAD_SHARE * len(world.pools))].tolist())
    for place, (topic, pool) in enumerate(world.pools.items()):
        own = iter([pool[i] for i in np.random.default_rng([seed, place, 1]).permutation(len(pool))])
        for role, size in world.sizes.items():
            rows = [next(own) for _ in range(size)]
            if role == "train":
                share, kinds = BAD_SHARE, world.kinds[pattern]
                if pattern == "concentrated":
                    share, kinds = float(topic in bad), (kinds[place % len(kinds)],)
                rows = corrupt(rows, share, kinds, world.foreign[topic], np.random.default_rng([seed, place, 2]))
            dealt[role] += rows
    return Roles(**{role: [rows[i] for i in rng.permutation(len(rows))] for role, rows in dealt.items()})


def _skills(data: Path) -> Loaded:
    """Text in other words, rows of the topics, and runs of the alphabet."""
    corpus = make_corpus(SKILL_ROWS, num_pretraining_rows=SKILL_PRETRAINING_ROWS)
    rows = []
    for example in corpus.train:
        skill, *question, _ = example["prompt"].split()
        topic, answer = f"{skill} {len(question)}", example["completion"].strip()
        # An answer of one word repeated cannot be shuffled.
        if topic in SKILL_TOPICS and len(set(answer.split())) > 1:
            rows.append(Row(example["prompt"], answer, topic))
    unique = list({row.prompt: row for row in rows}.values())
    pretraining = [Row(row["prompt"], row["completion"].strip(), "") for row in corpus.pretraining]
    runs = [series[i : i + 5] for series in (LETTERS, DIGITS) for i in range(len(series) - 4)]
    foreign = [" ".join(run) for run in runs]
    return pretraining, unique, dict.fromkeys(SKILL_TOPICS, foreign)


def _real(data: Path) -> Loaded:
    """Rows of the topics, medical ones by their answer's first sentence; longer gsm8k is text to pre-train on."""
    rows, others = [], []
    for line in clues.read_lines(data / clues.MEDQUAD):
        topic, answer = f"{line['source']} {line['qtype']}", first_sentence(line["completion"])
        if topic in MEDICAL_TOPICS:
            rows.append(Row(line["prompt"], answer, topic))
        elif line["source"] not in ("GARD", "GHR"):
            others.append(Row(line["prompt"], answer, MEDICAL))
    for topic, name in MATH_TOPICS.items():
        for line in clues.read_lines(data / name):
            rows.append(Row(line["prompt"], " ".join(line["completion"].split()), topic))
    short = distinct_within([row for row in rows if is_short(row)])
    long = [
        row for row in rows if row.party == "gsm8k" and not is_short(row) and len(row.completion) <= MOST_CHARACTERS
    ]
    others = distinct_within([row for row in others if is_short(row)])
    answers = [[row.completion for row in some] for some in (long, others)]
    foreign = dict.fromkeys(MEDICAL_TOPICS, answers[0]) | dict.fromkeys(MATH_TOPICS, answers[1])
    return documents([*long, *others]), short, foreign


def is_short(row: Row) -> bool:
    """Whether question and answer fit, and there is an answer."""
    return bool(row.completion) and len(row.prompt) + len(row.completion) <= MOST_CHARACTERS


def first_sentence(text: str) -> str:
    """Up to the first full stop, question or exclamation mark before a blank; empty where there is none.

    Example:
        >>> first_sentence("It is rare. Nobody knows why.")
        'It is rare.'
    """
    found = re.match(r".*?[.?!](?=\s|$)", " ".join(text.split()))
    return found[0] if found else ""


def distinct_within(rows: Sequence[Row]) -> list[Row]:
    """Of each topic the first rows with the same question or answer; math answers may recur in another topic."""
    return [
        row
        for topic in dict.fromkeys(row.party for row in rows)
        for row in clues.distinct([r for r in rows if r.party == topic])
    ]


WORLDS: dict[str, tuple[Callable[[Path], Loaded], dict[str, int], dict[str, tuple[str, ...]]]] = {
    "skills": (
        _skills,
        {"train": 120, "dev": 6, "test": 24},
        {"concentrated": ("truncated", "foreign"), "scattered": KINDS},
    ),
    "real": (_real, {"train": 160, "dev": 10, "test": 40}, dict.fromkeys(PATTERNS, ("shuffled", "foreign"))),
}

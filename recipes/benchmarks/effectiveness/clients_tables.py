"""The tables of noisy clients: what training on each choice of rows gives, and what damage it let through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.clues_noise.corrupt import CLEAN, KINDS
from recipes.benchmarks.effectiveness.clients import ORACLE
from recipes.benchmarks.effectiveness.telling import (
    LOSS,
    METRIC,
    World,
    means_of,
    outcome_of,
    passes_of,
    told_of,
    with_spread,
)

CLUES, NOTHING = "clues", "nothing"
PASSES = "forwards / backwards of the copy, a row"
NAMES = {"skills": "Generated skills", "medquad": "Medquad"}


def tables(found: Mapping[str, World], *, verdicts: bool = True) -> str:
    """What `run` returned as Markdown: for each world what trainings gave, and what was kept for them.

    Args:
        verdicts: also say in words how CLUES stands to each other choice.
    """
    parts = [_what(next(iter(found.values())))]
    for world in (name for name in NAMES if name in map(_world, found)):
        levels = {_level(key): one for key, one in found.items() if _world(key) == world}
        parts += [f"*{NAMES[world]}.*", as_markdown(outcomes_table(levels)), as_markdown(kept_table(levels))]
        shares = ", ".join(f"{_percent(gained(one, CLUES))} ({level})" for level, one in levels.items())
        parts += [f"Of the loss that the oracle saves of training on everything, {CLUES} saves {shares}."]
        if verdicts:
            parts += [f"{level}, {LOSS}: {told_of(CLUES, one, LOSS)}" for level, one in levels.items()]
    return "\n\n".join(parts)


def outcomes_table(levels: Mapping[str, World]) -> list[list[str]]:
    """A line a method, a column a measure and level, and what choosing cost at the first level.

    Args:
        levels: by how it is called.
    """
    first = next(iter(levels.values()))
    metrics = [metric for metric in (LOSS, METRIC) if metric in first["metrics"]]
    header = [f"{metric.replace('_', ' ')}, {level}" for metric in metrics for level in levels]
    before = [with_spread(one["base_loss"]) for one in levels.values()]
    rows = [[NOTHING, *before, *[""] * (len(header) + 1 - len(before))]]
    for method in means_of(first, LOSS):
        row = [outcome_of(one, metric, method) for metric in metrics for one in levels.values()]
        rows.append([method, *row, "" if method == FULL else passes_of(first, method)])
    return [["trained on", *header, PASSES], *rows]


def kept_table(levels: Mapping[str, World]) -> list[list[str]]:
    """A line a method: how much of what it kept is damaged, and at the middle level how much of each kind it kept."""
    level, middle = list(levels.items())[len(levels) // 2]
    rows = []
    for method, kinds in middle["kinds_kept"].items():
        if method not in (RANDOM, ORACLE):
            damaged = [fmean(one["flagged_kept"][method]) for one in levels.values()]
            rows.append([method, *map(_percent, damaged + [fmean(kinds[kind]) for kind in (CLEAN, *KINDS)])])
    header = [f"damaged among the kept, {name}" for name in levels]
    return [["chosen by", *header, *(f"{kind} rows kept, {level}" for kind in (CLEAN, *KINDS))], *rows]


def gained(found: World, method: str) -> float:
    """The loss that a method saves of training on everything, as a share of what the oracle saves; of means."""
    means = {name: one["mean"] for name, one in means_of(found, LOSS).items()}
    possible = means[FULL] - means[ORACLE]
    return (means[FULL] - means[method]) / possible if possible > 0 else math.nan


def _world(key: str) -> str:
    return key.partition(", ")[0]


def _level(key: str) -> str:
    return key.partition(", ")[2]


def _percent(share: float) -> str:
    return "unknown" if math.isnan(share) else f"{share:.0%}"


def _what(found: World) -> str:
    return (
        f"Nats a token of clean test answers (less is better) and exact match, mean ± half of the 95% interval over "
        f"{len(found['seeds'])} deals of the rows (Student's t). ▲ did better than as many random rows, ▼ worse, "
        f"corrected for all {len(found['methods']) - 1} methods (Holm). {found['num_rows']} rows of "
        f"{len(found['groups']) - 1} clients; as large a share of each one's is kept as is clean. The oracle knows "
        "the damage."
    )

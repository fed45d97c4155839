"""The tables on generated skills: each choice in each world, what S2L's settings change, and other corpora."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.tables import CLEAR
from hf_datasel.functional.statistics import holm_levels, p_value, paired_difference
from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.effectiveness.setting import CLUSTERS, NUM_CLUSTERS, S2L
from recipes.benchmarks.effectiveness.telling import (
    LOSS,
    METRIC,
    PASSES,
    World,
    arms_of,
    costs_of,
    means_of,
    outcome_of,
    passes_of,
    told_of,
    verdict_of,
    with_spread,
)

_ABLATIONS = (
    "S2L with another K (24 above), number of checkpoints T (8), proxy (width x layers, 64x2; the target is 128x2), "
    "or with the losses that training computes anyway in place of sweeps (in_run), the rest as above. Here ▲ and ▼ "
    "mark what did better or worse than that setting, corrected for all lines."
)
_CORPORA = (
    "The same on other corpora (seeds {seeds}), each with a pre-trained target and a recorded proxy of its own, "
    "once: what a method reaches less what random rows and everything reach, with intervals over corpora, corrected "
    "for all of the table; ▲ and ▼ mark what is above or below."
)
VARIED, USUAL = "varied", "usual"
NOISY = "corrupted"
CHOOSING = "choosing, × a training"


def tables(result: Mapping[str, Any], *, verdicts: bool = True) -> str:
    """Everything that was run on generated skills as Markdown; what was not is left out.

    Args:
        verdicts: also say in words what the comparisons found.
    """
    parts: list[str] = []
    if worlds := result.get("worlds", {}):
        parts += [_what(result), as_markdown(methods_table(worlds))]
        if verdicts:
            parts += [
                f"*{world.capitalize()}.* {verdict_of(one)} {told_of(S2L, one)}" for world, one in worlds.items()
            ]
        if ablations := ablation_table(result):
            parts += [_ABLATIONS, as_markdown(ablations)]
    if corpora := result.get("corpora", {}):
        parts += [_CORPORA.format(seeds=", ".join(corpora)), as_markdown(corpora_table(corpora))]
    return "\n\n".join(parts)


def methods_table(worlds: Mapping[str, World]) -> list[list[str]]:
    """A line a method; for each world exact match and loss, where answers are wrong their share, and the cost."""
    costs = {method: cost for found in reversed(worlds.values()) for method, cost in costs_of(found).items()}
    header = ["trained on", *(f"{metric}, {world}" for world in worlds for metric in ("exact match", "loss"))]
    rows = []
    for method in arms_of(worlds):
        measured = [outcome_of(found, metric, method) for found in worlds.values() for metric in (METRIC, LOSS)]
        wrong = [_wrong(worlds[NOISY], method)] if NOISY in worlds else []
        rows.append([method, *measured, *wrong, f"{costs[method]:.1f}" if method in costs else ""])
    return [[*header, *(["wrong answers kept"] if NOISY in worlds else []), CHOOSING], *rows]


def ablation_table(result: Mapping[str, Any]) -> list[list[str]]:
    """A line a K, a T, a proxy and a way to record, exact match in a column a world. Empty where nothing was varied.

    Each is held against the setting of the comparison, all of them corrected together.
    """
    lines = _ablations(result)
    worlds = result["worlds"]
    usual = {world: means_of(found, METRIC)[S2L]["per_seed"] for world, found in worlds.items()}
    asked = [(values, usual[world]) for _, cells in lines.values() for world, values in cells.items()]
    levels = iter(holm_levels([p_value([x - y for x, y in zip(*one, strict=True)]) for one in asked]))
    rows = [
        ["as above", *(with_spread(usual[world]) for world in worlds), passes_of(next(iter(worlds.values())), S2L)]
    ]
    for name, (passes, cells) in lines.items():
        row = [name]
        for world in worlds:
            if world not in cells:
                row.append("")
                continue
            one = paired_difference(VARIED, USUAL, {VARIED: cells[world], USUAL: usual[world]}, next(levels))
            row.append(with_spread(cells[world]) + (CLEAR[one.mean > 0] if one.is_clear else ""))
        rows.append([*row, passes])
    return [["S2L", *(f"exact match, {world}" for world in worlds), PASSES], *rows] if lines else []


def _ablations(result: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, list[float]]]]:
    """By line the passes in the first world, and by world the seeds' exact match."""
    lines: dict[str, tuple[str, dict[str, list[float]]]] = {}

    def add(name: str, world: str, found: World, method: str = S2L) -> None:
        lines.setdefault(name, (passes_of(found, method), {}))[1][world] = means_of(found, METRIC)[method]["per_seed"]

    for world, found in result.get("clusters", {}).items():
        for number, method in CLUSTERS.items():
            if number != NUM_CLUSTERS:
                add(f"K = {number}", world, found, method.label)
    for part, name in (("checkpoints", "T = {}"), ("proxies", "proxy {}")):
        by_size = sorted(result.get(part, {}).items(), key=lambda item: int(item[0].partition("x")[0]))
        for varied, found in by_size:
            add(name.format(varied), "clean", found)
    for world, found in result.get("in_run", {}).items():
        add("in_run", world, found)
    return lines


def corpora_table(corpora: Mapping[str, Mapping[str, World]]) -> list[list[str]]:
    """A line a method: in each world how it stands to random rows and to everything, an interval over corpora.

    All lines and columns are corrected together.
    """
    first = next(iter(corpora.values()))
    methods = [name for name in next(iter(first.values()))["methods"] if name != RANDOM]
    columns = [(world, other) for world in first for other in (RANDOM, FULL)]
    values = {
        (world, name): [means_of(found[world], METRIC)[name]["mean"] for found in corpora.values()]
        for world in first
        for name in (*methods, RANDOM, FULL)
    }
    asked = {
        (name, world, other): {name: values[world, name], other: values[world, other]}
        for name in methods
        for world, other in columns
    }
    levels = holm_levels([p_value([x - y for x, y in zip(*one.values(), strict=True)]) for one in asked.values()])
    told = {}
    for (key, given), level in zip(asked.items(), levels, strict=True):
        one = paired_difference(key[0], key[2], given, level)
        interval = "" if math.isnan(one.low) else f" [{one.low:+.3f}, {one.high:+.3f}]"
        told[key] = f"{one.mean:+.3f}{interval}{CLEAR[one.mean > 0] if one.is_clear else ''}"
    header = [
        "exact match",
        *(f"less {'everything' if other == FULL else other}, {world}" for world, other in columns),
    ]
    return [header, *([name, *(told[name, world, other] for world, other in columns)] for name in methods)]


def _what(result: Mapping[str, Any]) -> str:
    first = next(iter(result["worlds"].values()))
    plan = result["settings"]["plan"]
    num_methods = max(len(one["methods"]) - 1 for one in result["worlds"].values())
    return (
        f"Mean ± half of the 95% interval over {len(first['seeds'])} seeds (Student's t). ▲ did better than as many "
        f"random rows, ▼ worse, corrected for all methods of a world (up to {num_methods}, Holm). "
        f"{first['shares'][0]:.0%} of {first['num_rows']:,} rows kept, {plan['target_training']['num_steps']} steps "
        f"each, corpus seed {plan['seed']}, K = {NUM_CLUSTERS}; wrong answers in the corrupted world: "
        f"{plan['corrupted'][NOISY]:.0%}. The oracle is told which are wrong; the curriculum trains on all rows."
    )


def _wrong(found: World, method: str) -> str:
    shares = found["flagged_kept"].get(method)
    return "" if shares is None else f"{sum(shares) / len(shares):.1%}"

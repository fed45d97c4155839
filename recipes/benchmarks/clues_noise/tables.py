"""The README's tables of a result: what tells clean rows from damaged ones, and what selecting by it gains."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.clues_noise.figures import ARMS, PATTERNS, SHOWN
from recipes.benchmarks.clues_noise.metrics import interval

RULES = ("conformal", "ratio")  # the first that a score has: without anchors there is no threshold, only a share
DEFAULT = "weakest link of three"  # of CLUESSelector
RIVALS = (
    "plain dot, learning-rate weights",
    "plain cosine",
    "weakest link of two",
    "IFD of the base, low is good",
    "perplexity",
)
ABLATED = ("dot", "cosine", "length-normalised", "cosine + loss")
RECORDED = {
    "plain": "all adapter parameters, two checkpoints",
    "five checkpoints": "five checkpoints",
    "adam": "Adam-preconditioned direction",
    "own_validation": "the client's own validation rows alone",
    "first_layer": "first layer",
    "last_layer": "last layer",
    "qv": "query and value projections",
}
WORLD_NAMES = {"medquad": "medquad, five sources", "skills": "generated skills, five clients"}


def tables(result: dict[str, Any]) -> str:
    """Detection and held-out losses of every world as Markdown."""
    parts = []
    for world, patterns in result["worlds"].items():
        parts.append(f"*{WORLD_NAMES[world]}.* {_what(patterns)}")
        parts += [as_markdown(detection(patterns)), differences(patterns)]
        if "ablation" in patterns:
            parts += ["AUROC of the gradients' own scores, 50% damaged in four ways, by what is recorded:"]
            parts += [as_markdown(ablation(patterns["ablation"]["detection"]))]
        parts += [
            as_markdown(held_out(patterns[name]["held_out"])) for name in patterns if "held_out" in patterns[name]
        ]
    return "\n\n".join(parts)


def detection(patterns: dict[str, Any]) -> list[list[str]]:
    """A line a score: AUROC where half of the rows are damaged in four ways, then the F1 of what is kept."""
    shown = [name for name in PATTERNS if name in patterns]
    header = ["score", "AUROC, 50% in four ways", *(f"F1, {PATTERNS[name].replace(chr(10), ' ')}" for name in shown)]
    rows = []
    mixed = patterns["mixed-50"]["detection"]
    for name, label in SHOWN.items():
        if name in mixed:
            rows.append([label, _with_spread(mixed[name]["auroc"]["all"]), *(_f1(patterns[p], name) for p in shown)])
    return [header, *rows]


def ablation(table: dict[str, Any]) -> list[list[str]]:
    """A line a recording, a column a score made of it."""
    rows = [
        [label, *(_with_spread(table[f"{name} {score}"]["auroc"]["all"]) for score in ABLATED)]
        for name, label in RECORDED.items()
    ]
    return [["recorded", *ABLATED], *rows]


def differences(patterns: dict[str, Any]) -> str:
    """What can be said of the default's lead in AUROC, seed by seed."""
    said = []
    for pattern in ("mixed-50", "mismatched-50"):
        table = patterns[pattern]["detection"]
        ours = np.array(table[DEFAULT]["auroc"]["all"]["per_seed"])
        parts = []
        for name in RIVALS:
            gap = interval((ours - np.array(table[name]["auroc"]["all"]["per_seed"])).tolist())
            low, high = gap["interval"]
            unclear = ", cannot be told apart" if low <= 0 <= high else ""
            parts.append(f"{SHOWN[name]} {gap['mean']:+.3f} [{low:+.3f}, {high:+.3f}{unclear}]")
        said.append(f"{PATTERNS[pattern].replace(chr(10), ' ')} damaged: {'; '.join(parts)}.")
    return f"AUROC of {SHOWN[DEFAULT]} (the default) less that of another, 95% intervals. " + " ".join(said)


def held_out(arms: dict[str, Any]) -> list[list[str]]:
    """A line an arm: test loss of the merged model less the oracle's, and the share of the oracle's gain."""
    names = [*ARMS, *sorted(set(arms) - set(ARMS))]
    header = [
        "merged model trained on",
        "rows",
        "loss less the oracle's, nats",
        "share of the oracle's gain over mixed",
    ]
    return [header, *([name, *_arm(arms[name])] for name in names)]


def _arm(arm: dict[str, Any]) -> list[str]:
    share = arm["share_of_gap"]["of_means"]
    gain = "" if share is None else f"{share:.0%}"
    return [f"{arm['num_kept']:,.0f}", _with_spread(arm["minus_oracle"], "+.4f", ".4f"), gain]


def _f1(pattern: dict[str, Any], name: str) -> str:
    found = pattern["detection"].get(name)
    if found is None:
        return ""
    rule = next(rule for rule in RULES if rule in found["f1"])
    return f"{found['f1'][rule]['mean']:.3f}" + ("" if rule == RULES[0] else " (60% kept)")


def _what(patterns: dict[str, Any]) -> str:
    counts = sorted({len(pattern["seeds"]) for pattern in patterns.values()})
    seeds = f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    return f"Means over five clients and {seeds}; ± is half of the 95% interval; the conformal rule with 60 anchors."


def _with_spread(measure: dict[str, Any], mean: str = ".3f", spread: str = ".3f") -> str:
    low_high = measure["interval"]
    text = f"{measure['mean']:{mean}}"
    return text if low_high is None else f"{text} ± {(low_high[1] - low_high[0]) / 2:{spread}}"

"""The README's tables of a result: each choice in each world, what can be said of it, and the ablations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.plan import ALL
from hf_datasel.compare.tables import CLEAR
from hf_datasel.compare.verdict import is_better, turned, with_interval
from hf_datasel.functional.statistics import holm_levels, p_value, paired_difference, spread, t_interval
from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.effectiveness.setting import CLUSTERS, NUM_CLUSTERS, S2L

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
METRIC, LOSS = "exact_match", "loss"
NOISY = "corrupted"
CHOOSING, PASSES = "choosing, × a training", "forwards / backwards of the proxy, a row"
World = Mapping[str, Any]


def tables(result: Mapping[str, Any]) -> str:
    """Everything that was run on generated skills as Markdown; what was not is left out."""
    parts: list[str] = []
    if worlds := result.get("worlds", {}):
        parts += [_what(result), as_markdown(methods_table(worlds))]
        parts += [
            f"*{world.capitalize()}.* {one['verdicts'][METRIC]} {told_of(S2L, one)}" for world, one in worlds.items()
        ]
        if ablations := ablation_table(result):
            parts += [_ABLATIONS, as_markdown(ablations)]
    if corpora := result.get("corpora", {}):
        parts += [_CORPORA.format(seeds=", ".join(corpora)), as_markdown(corpora_table(corpora))]
    return "\n\n".join(parts)


def methods_table(worlds: Mapping[str, World]) -> list[list[str]]:
    """A line a method; for each world exact match and loss, where answers are wrong their share, and the cost."""
    costs = {method: cost for found in reversed(worlds.values()) for method, cost in _costs(found).items()}
    header = ["trained on", *(f"{metric}, {world}" for world in worlds for metric in ("exact match", "loss"))]
    rows = []
    for method in arms_of(worlds):
        measured = [_measured(found, metric, method) for found in worlds.values() for metric in (METRIC, LOSS)]
        wrong = [_wrong(worlds[NOISY], method)] if NOISY in worlds else []
        rows.append([method, *measured, *wrong, f"{costs[method]:.1f}" if method in costs else ""])
    return [[*header, *(["wrong answers kept"] if NOISY in worlds else []), CHOOSING], *rows]


def arms_of(worlds: Mapping[str, World]) -> list[str]:
    """Names of all that was trained in any world: subsets, then what is trained on all rows."""
    everything = {one: None for found in worlds.values() for one in (*found["on_all"], FULL)}
    subsets = {one: None for found in worlds.values() for one in found["methods"]}
    return [*subsets, *sorted(everything, key=lambda name: name == FULL)]


def told_of(method: str, found: World, metric: str = METRIC) -> str:
    """How a method stands to each other choice of as many rows, and to everything."""
    measured = found["metrics"][metric]
    groups = measured["groups"][ALL]
    told: dict[str, list[str]] = {"better than": [], "worse than": [], "not to be told apart from": []}
    others = [one for one in groups["pairs"] if method in (one["method"], one["other"])]
    for one in (*others, *(one for one in groups[f"against_{FULL}"] if one["method"] == method)):
        is_first = one["method"] == method
        other = one["other" if is_first else "method"]
        if not one["is_clear"]:
            told["not to be told apart from"].append(other)
            continue
        said = with_interval(one if is_first else turned(one))
        is_good = is_better(one, measured["higher_is_better"]) == is_first
        told["better than" if is_good else "worse than"].append(f"{other} ({said})")
    pieces = "; ".join(f"{outcome} {', '.join(names)}" for outcome, names in told.items() if names)
    name = "S2L" if method == S2L else method
    return f"{name}, all pairs corrected together: {pieces}."


def ablation_table(result: Mapping[str, Any]) -> list[list[str]]:
    """A line a K, a T, a proxy and a way to record, exact match in a column a world. Empty where nothing was varied.

    Each is held against the setting of the comparison, all of them corrected together.
    """
    lines = _ablations(result)
    worlds = result["worlds"]
    usual = {world: _means(found, METRIC)[S2L]["per_seed"] for world, found in worlds.items()}
    asked = [(values, usual[world]) for _, cells in lines.values() for world, values in cells.items()]
    levels = iter(holm_levels([p_value([x - y for x, y in zip(*one, strict=True)]) for one in asked]))
    rows = [["as above", *(_spread(usual[world]) for world in worlds), _passes(next(iter(worlds.values())), S2L)]]
    for name, (passes, cells) in lines.items():
        row = [name]
        for world in worlds:
            if world not in cells:
                row.append("")
                continue
            one = paired_difference(VARIED, USUAL, {VARIED: cells[world], USUAL: usual[world]}, next(levels))
            row.append(_spread(cells[world]) + (CLEAR[one.mean > 0] if one.is_clear else ""))
        rows.append([*row, passes])
    return [["S2L", *(f"exact match, {world}" for world in worlds), PASSES], *rows] if lines else []


def _ablations(result: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, list[float]]]]:
    """By line the passes in the first world, and by world the seeds' exact match."""
    lines: dict[str, tuple[str, dict[str, list[float]]]] = {}

    def add(name: str, world: str, found: World, method: str = S2L) -> None:
        lines.setdefault(name, (_passes(found, method), {}))[1][world] = _means(found, METRIC)[method]["per_seed"]

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
        (world, name): [_means(found[world], METRIC)[name]["mean"] for found in corpora.values()]
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


def _costs(found: World) -> dict[str, float]:
    """Of choosing, in trainings on everything."""
    return {one["method"]: one["trainings"]["seconds"] for one in found["costs"]["methods"]}


def _passes(found: World, method: str) -> str:
    """Of the recorded model over all rows, forward and backward."""
    [cost] = [one for one in found["costs"]["methods"] if one["method"] == method]
    return f"{cost['forwards'] / found['num_rows']:.1f} / {cost['backwards'] / found['num_rows']:.1f}"


def _spread(values: Sequence[float]) -> str:
    return _with_half(spread(values).mean, t_interval(values))


def _means(found: World, metric: str) -> dict[str, Any]:
    return {one["method"]: one for one in found["metrics"][metric]["groups"][ALL]["means"]}


def _measured(found: World, metric: str, method: str) -> str:
    measured = found["metrics"][metric]
    one = _means(found, metric).get(method)
    if one is None:
        return ""
    against = {each["method"]: each for each in measured["groups"][ALL][f"against_{RANDOM}"]}
    mark = ""
    if method in against and against[method]["is_clear"]:
        mark = CLEAR[is_better(against[method], measured["higher_is_better"])]
    return _with_half(one["mean"], one["interval"]) + mark


def _with_half(mean: float, interval: Sequence[float] | None) -> str:
    """± half of the interval, where that is known."""
    if interval is None or math.isnan(interval[0]):
        return f"{mean:.3f}"
    return f"{mean:.3f} ± {(interval[1] - interval[0]) / 2:.3f}"


def _wrong(found: World, method: str) -> str:
    shares = found["flagged_kept"].get(method)
    return "" if shares is None else f"{sum(shares) / len(shares):.1%}"

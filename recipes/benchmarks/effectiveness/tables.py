"""The README's tables of a result: each choice in each world, what can be said of it, and the ablations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.plan import ALL
from hf_datasel.compare.tables import CLEAR
from hf_datasel.compare.verdict import is_better, with_interval
from hf_datasel.functional.statistics import holm_levels, p_value, paired_difference, spread, t_interval
from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.effectiveness.setting import CLUSTERS, NUM_CHECKPOINTS, NUM_CLUSTERS, S2L

_ABLATIONS = (
    "S2L with another K (24 above), number of checkpoints T (8) or proxy (width x layers, 64x2; the target is 128x2), "
    "the rest as above. Here ▲ and ▼ mark what did better or worse than that setting, corrected for all lines."
)
VARIED, USUAL = "varied", "usual"
METRIC, LOSS = "exact_match", "loss"
NOISY = "corrupted"
World = Mapping[str, Any]


def tables(result: Mapping[str, Any]) -> str:
    """Everything that was run as Markdown; what was not is left out."""
    parts: list[str] = []
    if worlds := result.get("worlds", {}):
        parts += [_what(result), as_markdown(methods_table(worlds))]
        parts += [
            f"*{world.capitalize()}.* {one['verdicts'][METRIC]} {s2l_told(one)}" for world, one in worlds.items()
        ]
    if ablations := ablation_table(result):
        parts += [_ABLATIONS, as_markdown(ablations)]
    return "\n\n".join(parts)


def methods_table(worlds: Mapping[str, World]) -> list[list[str]]:
    """A line a method; for each world exact match and loss, where answers are wrong their share, and the cost."""
    first = next(iter(worlds.values()))
    costs = {one["method"]: f"{one['trainings']['seconds']:.1f}" for one in first["costs"]["methods"]}
    header = ["trained on", *(f"{metric}, {world}" for world in worlds for metric in ("exact match", "loss"))]
    rows = []
    for method in _means(first, METRIC):
        measured = [_measured(found, metric, method) for found in worlds.values() for metric in (METRIC, LOSS)]
        wrong = [_wrong(worlds[NOISY], method)] if NOISY in worlds else []
        rows.append([method, *measured, *wrong, costs.get(method, "")])
    return [[*header, *(["wrong answers kept"] if NOISY in worlds else []), "choosing, × a training"], *rows]


def s2l_told(found: World) -> str:
    """How S2L stands to each other choice of as many rows, and to everything."""
    groups = found["metrics"][METRIC]["groups"][ALL]
    told: dict[str, list[str]] = {"better than": [], "worse than": [], "not to be told apart from": []}
    others = [one for one in groups["pairs"] if S2L in (one["method"], one["other"])]
    for one in (*others, *(one for one in groups[f"against_{FULL}"] if one["method"] == S2L)):
        is_first = one["method"] == S2L
        other = one["other" if is_first else "method"]
        if not one["is_clear"]:
            told["not to be told apart from"].append(other)
            continue
        said = with_interval(one if is_first else _turned(one))
        told["better than" if is_better(one, True) == is_first else "worse than"].append(f"{other} ({said})")
    pieces = "; ".join(f"{outcome} {', '.join(names)}" for outcome, names in told.items() if names)
    return f"S2L, all pairs corrected together: {pieces}."


def ablation_table(result: Mapping[str, Any]) -> list[list[str]]:
    """A line a K, a T and a proxy, a column a world; exact match. Empty where nothing was varied.

    Each is held against the setting of the comparison, all of them corrected together.
    """
    lines = _ablations(result)
    asked = [
        {VARIED: values, USUAL: usual}
        for cells in lines.values()
        for values, usual in cells.values()
        if values != usual
    ]
    levels = iter(holm_levels([p_value([x - y for x, y in zip(*one.values(), strict=True)]) for one in asked]))
    worlds = list(result.get("clusters", ["clean"]))
    rows = []
    for name, cells in lines.items():
        row = [name]
        for world in worlds:
            if world not in cells:
                row.append("")
                continue
            values, usual = cells[world]
            row.append(_with_half(spread(values).mean, t_interval(values)))
            if values != usual:
                one = paired_difference(VARIED, USUAL, {VARIED: values, USUAL: usual}, next(levels))
                row[-1] += CLEAR[one.mean > 0] if one.is_clear else ""
        rows.append(row)
    return [["S2L", *(f"exact match, {world}" for world in worlds)], *rows] if rows else []


def _ablations(result: Mapping[str, Any]) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """By line and world the seeds' exact match, and that of the comparison's own setting."""
    lines: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for world, found in result.get("clusters", {}).items():
        means = _means(found, METRIC)
        for number, method in CLUSTERS.items():
            own = means[method.label]["per_seed"], means[S2L]["per_seed"]
            lines.setdefault(f"K = {number}", {})[world] = own
    size = result["settings"]["plan"]["proxy_size"]
    usual = {"checkpoints": str(NUM_CHECKPOINTS), "proxies": f"{size['hidden_size']}x{size['num_layers']}"}
    for part, name in (("checkpoints", "T = {}"), ("proxies", "proxy {}")):
        values = {varied: _means(one, METRIC)[S2L]["per_seed"] for varied, one in result.get(part, {}).items()}
        lines |= {name.format(varied): {"clean": (own, values[usual[part]])} for varied, own in values.items()}
    return lines


def _what(result: Mapping[str, Any]) -> str:
    first = next(iter(result["worlds"].values()))
    plan, num_methods = result["settings"]["plan"], len(result["settings"]["methods"])
    return (
        f"Mean ± half of the 95% interval over {len(first['seeds'])} seeds (Student's t). ▲ did better than as many "
        f"random rows, ▼ worse, corrected for all {num_methods} methods (Holm). {first['shares'][0]:.0%} of "
        f"{first['num_rows']:,} rows kept, {plan['target_training']['num_steps']} steps each, corpus seed "
        f"{plan['seed']}, K = {NUM_CLUSTERS}; wrong answers in the corrupted world: {plan['corrupted'][NOISY]:.0%}."
    )


def _means(found: World, metric: str) -> dict[str, Any]:
    return {one["method"]: one for one in found["metrics"][metric]["groups"][ALL]["means"]}


def _measured(found: World, metric: str, method: str) -> str:
    measured = found["metrics"][metric]
    one = _means(found, metric)[method]
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
    shares = found["corrupted_kept"].get(method)
    return "" if shares is None else f"{sum(shares) / len(shares):.1%}"


def _turned(difference: Mapping[str, Any]) -> dict[str, Any]:
    """The other way round."""
    low, high = difference["corrected_interval"]
    return {**difference, "mean": -difference["mean"], "corrected_interval": [-high, -low]}

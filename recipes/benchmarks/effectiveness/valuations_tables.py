"""The tables of the comparisons of SHED: what each choice gives, and what its values tell and cost."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from hf_datasel.compare.grid import FULL
from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.effectiveness.telling import (
    LOSS,
    METRIC,
    PASSES,
    World,
    means_of,
    outcome_of,
    passes_of,
    told_of,
    verdict_of,
)
from recipes.benchmarks.effectiveness.valuations import DEAL, DECLARED, IN_RUN
from recipes.benchmarks.shed.data import BAD_SHARE

NAMES = {"skills": "generated skills", "real": "math and medical"}
NOTHING = "nothing"


def tables(found: Mapping[str, World], *, verdicts: bool = True) -> str:
    """What `run` returned as Markdown: for each world a line a choice and a line a valuation.

    Args:
        verdicts: also say in words what the comparisons found.
    """
    parts = [_what(next(iter(found.values())))]
    for name in (name for name in NAMES if name in map(_world, found)):
        patterns = {_pattern(key): one for key, one in found.items() if _world(key) == name}
        first = next(iter(patterns.values()))
        steps = round(first["costs"]["arms"][0]["steps"])
        parts += [f"*{NAMES[name].capitalize()}*, {first['num_rows']:,} rows, {steps} steps."]
        parts += [as_markdown(choices_table(patterns)), as_markdown(values_table(patterns))]
        if verdicts:
            parts += [
                f"{pattern.capitalize()}: {verdict_of(one, LOSS)} {told_of(DECLARED, one, LOSS)}"
                for pattern, one in patterns.items()
            ]
    return "\n\n".join(parts)


def choices_table(patterns: Mapping[str, World]) -> list[list[str]]:
    """A line a choice: what was trained on it and the share of damaged rows in it, a column each a pattern."""
    first = next(iter(patterns.values()))
    metrics = [metric for metric in (LOSS, METRIC) if metric in first["metrics"]]
    header = ["trained on"]
    header += [f"{metric.replace('_', ' ')}, {pattern}" for metric in metrics for pattern in patterns]
    header += [f"damaged kept, {pattern}" for pattern in patterns]
    before = [NOTHING, *(f"{one['base_loss']:.3f}" for one in patterns.values())]
    rows = [before + [""] * (len(header) - len(before))]
    for method in means_of(first, LOSS):
        measured = [outcome_of(one, metric, method) for metric in metrics for one in patterns.values()]
        rows.append([method, *measured, *(_damaged(one, method) for one in patterns.values())])
    return [header, *rows]


def values_table(patterns: Mapping[str, World]) -> list[list[str]]:
    """A line a valuation: how its values tell clean rows, the best that its clusters could, and its cost."""
    first = next(iter(patterns.values()))
    fine_tunes = {one["method"]: one["fine_tunes"] for one in first["costs"]["methods"]}
    rows = []
    for name in first["values"]:
        own = [one["values"][name] for one in patterns.values()]
        told = [f"{one['auroc']:.2f}" + ("" if name == IN_RUN else f" of {one['ceiling']:.2f}") for one in own]
        reader = DECLARED if name == IN_RUN else f"shed QWCS ({name})"
        rows.append([name, *told, str(fine_tunes[reader]), passes_of(first, reader)])
    return [["AUROC of values, of the best possible", *patterns, "fine-tunes", PASSES], *rows]


def _what(found: Mapping[str, Any]) -> str:
    return (
        f"Mean ± half of the 95% interval over {len(found['seeds'])} seeds of drawing and training on one deal of "
        f"rows (deal {DEAL}); loss in nats a token, less is better. ▲ did better than as many random rows, ▼ worse, "
        f"corrected for all lines (Holm). {BAD_SHARE:.0%} of the rows are damaged, {found['shares'][0]:.0%} are kept; "
        "equal steps. The oracle draws from the clean rows."
    )


def _damaged(found: World, method: str) -> str:
    shares = found["flagged_kept"].get(method)
    return f"{fmean(shares):.0%}" if method != FULL and shares is not None else ""


def _world(key: str) -> str:
    return key.partition(", ")[0]


def _pattern(key: str) -> str:
    return key.partition(", ")[2]

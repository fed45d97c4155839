"""A comparison as Markdown tables and pictures: quality against budget, costs, overlap."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_datasel.cards.text import NOTHING, count, escape, table
from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.plan import ALL
from hf_datasel.compare.verdict import Result, is_better, percent, write_verdict
from hf_datasel.report import Picture, plot_budgets

CLEAR = {True: " ▲", False: " ▼"}
_UNEVEN = 0.01  # a number of rows that differs by more from random's is told


def as_markdown(result: Result, pictures: Mapping[str, Picture]) -> str:
    """The whole report.

    Args:
        result: of `summarise`.
        pictures: by metric, in the folder where the report will be.
    """
    sections = ["# Which selection is worth its cost", escape(result["verdict"]), _what_was_done(result)]
    for number, metric in enumerate(result["metric_names"]):
        measured = result["metrics"][metric]
        good = "higher" if measured["higher_is_better"] else "lower"
        sections.append(f"## {escape(metric)} ({good} is better)")
        if number:  # the first metric's verdict opens the report
            sections.append(escape(write_verdict(result, metric)))
        if metric in pictures:
            sections.append(f"![{escape(pictures[metric].alt)}]({pictures[metric].path.name})")
        for group in result["groups"]:
            if group != ALL:
                sections.append(f"### {escape(group)}")
            sections.append(quality_table(result, metric, group))
    sections.append(_legend(result))
    sections += ["## Costs", *cost_tables(result), "## Overlap", *overlap_tables(result)]
    return "\n\n".join(sections) + "\n"


def quality_table(result: Result, metric: str, group: str = ALL) -> str:
    """Methods x budgets: mean ± half of the 95% interval over seeds; ▲ and ▼ beside what differs clearly from random.

    Example of a cell: `0.613 ± 0.021 ▲`.
    """
    measured = result["metrics"][metric]
    of_group = measured["groups"][group]
    means = {(one["method"], one["budget"]): one for one in of_group["means"]}
    marks = {
        (one["method"], one["budget"]): CLEAR[is_better(one, measured["higher_is_better"])]
        for one in of_group[f"against_{RANDOM}"]
        if one["is_clear"]
    }
    rows = [
        [
            escape(method),
            *(_mean(means[method, budget]) + marks.get((method, budget), "") for budget in result["budgets"]),
            NOTHING,
        ]
        for method in result["methods"]
    ]
    everything = {one["method"]: one for one in of_group["means"]}
    for method in (*result["on_all"], FULL):
        rows.append([escape(method), *[NOTHING] * len(result["budgets"]), _mean(everything[method])])
    return table(["method", *map(percent, result["shares"]), "100%"], rows, numbers=len(result["budgets"]) + 1)


def cost_tables(result: Result) -> list[str]:
    """What choosing costs, and what choosing and training cost together."""
    costs = result["costs"]
    training = costs["full_training"]
    rows = [
        [
            escape(one["method"]),
            _seconds(one["seconds"]),
            _times(one["trainings"]["seconds"]),
            *(_examples(one, name) for name in ("forwards", "backwards")),
            count(one["fine_tunes"]),
        ]
        for one in costs["methods"]
    ]
    header = ["method", "seconds of choosing", "× one training on everything", "forwards", "backwards", "fine-tunes"]
    arms = {(one["method"], one["budget"]): one for one in costs["arms"]}
    together = [
        [escape(method), *(_times(arms[method, budget]["trainings"]) for budget in result["budgets"]), NOTHING]
        for method in result["methods"]
    ]
    everything = {one["method"]: one for one in costs["arms"]}
    for method in (*result["on_all"], FULL):
        times = _times(everything[method]["trainings"])
        together.append([escape(method), *[NOTHING] * len(result["budgets"]), times])
    whole = costs["comparison"]
    took = {name: _seconds(whole[f"{name}_seconds"]) for name in ("evidence", "evidence_unshared", "select", "train")}
    return [
        f"One training on everything takes {_seconds(training['seconds'])} s"
        + (f" and {count(round(training['examples']))} examples forward and backward" if training["examples"] else "")
        + ". A method is charged with all evidence it reads, as if it had been alone.",
        table(header, rows, numbers=len(header) - 1),
        "Choosing and training together, as a multiple of one training on everything:",
        table(["method", *map(percent, result["shares"]), "100%"], together, numbers=len(result["budgets"]) + 1),
        f"The comparison recorded evidence for {took['evidence']} s (without sharing it between methods: "
        f"{took['evidence_unshared']} s), selected for {took['select']} s, and trained "
        f"{whole['num_trainings']:,} models for {took['train']} s.",
    ]


def overlap_tables(result: Result) -> list[str]:
    """For each budget the Jaccard index of what two methods kept, mean over seeds."""
    parts = [
        "Share of the rows kept by either of two methods that both kept (Jaccard), mean over seeds. Two random draws "
        "of a share b have about b / (2 − b)."
    ]
    for share, one in zip(result["shares"], result["overlap"], strict=True):
        names = [escape(method) for method in one["methods"]]
        rows = [
            [name, *(f"{value:.2f}" for value in values)] for name, values in zip(names, one["jaccard"], strict=True)
        ]
        chance = f"{share / (2 - share):.2f}"
        parts += [f"At {percent(share)} (by chance {chance}):", table(["", *names], rows, numbers=len(names))]
    return parts


def draw_pictures(result: Result, directory: Path) -> dict[str, Picture]:
    """`<metric>_by_budget.png` for each metric over all test rows, with its numbers as CSV; by metric."""
    shares = dict(zip(result["budgets"], result["shares"], strict=True))
    pictures = {}
    for metric in result["metric_names"]:
        measured = result["metrics"][metric]
        arms: dict[str, list[dict[str, Any]]] = {}
        for one in measured["groups"][ALL]["means"]:
            budget = 1.0 if one["method"] in (FULL, *result["on_all"]) else shares[one["budget"]]
            arms.setdefault(one["method"], []).append({"budget": budget, "values": one["per_seed"]})
        drawn = {"metric": metric, "higher_is_better": measured["higher_is_better"], "arms": arms}
        name = re.sub(r"[^\w.+]+", "_", metric)
        pictures[metric] = plot_budgets(drawn, directory / f"{name}_by_budget.png")
    return pictures


def _what_was_done(result: Result) -> str:
    steps = {round(one["steps"]) for one in result["costs"]["arms"]}
    trained = f"{min(steps):,}" if len(steps) == 1 else f"{min(steps):,} to {max(steps):,}"
    seeds = result["seeds"]
    said = (
        f"The target was trained {result['costs']['comparison']['num_trainings']:,} times, {trained} optimiser steps "
        f"each, with the seeds {', '.join(map(str, seeds))}; {result['num_rows']:,} rows to choose from. "
        "Intervals are over these seeds, of choosing and of training: they say nothing about other data or models."
    )
    notes = [said]
    if uneven := _uneven(result):
        notes.append(f"Not as many rows as random: {'; '.join(uneven)}.")
    arms = {one["method"]: one for one in result["costs"]["arms"]}
    notes += [
        f"{escape(method)} chooses an order in place of rows: trained on all {arms[method]['num_kept']:,.0f} of them "
        f"for as many steps, it came to {arms[method]['num_seen']:,.0f}."
        for method in result["on_all"]
    ]
    notes += [
        f"{escape(method)} is a yardstick and no method: it was told of every row whether it is good."
        for method in result["yardsticks"]
    ]
    return "\n\n".join(notes)


def _uneven(result: Result) -> list[str]:
    """Methods with a threshold of their own keep what they keep, which is no comparison at equal rows."""
    kept = {(one["method"], one["budget"]): one["num_kept"] for one in result["costs"]["arms"]}
    return [
        f"{escape(method)} at {percent(share)} kept {kept[method, budget]:,.0f} of {kept[RANDOM, budget]:,.0f}"
        for method in result["methods"]
        for budget, share in zip(result["budgets"], result["shares"], strict=True)
        if abs(kept[method, budget] - kept[RANDOM, budget]) > _UNEVEN * kept[RANDOM, budget]
    ]


def _legend(result: Result) -> str:
    if len(result["seeds"]) == 1:
        return "One seed: no intervals, and no claims."
    return (
        "± is half of the 95% interval over seeds (Student's t), without one where the seeds show no spread. ▲ did "
        "better than as many random rows, ▼ worse: the seeds' paired differences leave out 0, corrected for all "
        "methods and budgets (and groups) at once (Holm)."
    )


def _mean(one: Mapping[str, Any]) -> str:
    bounds: Sequence[float] | None = one["interval"]
    half = "" if bounds is None else f" ± {(bounds[1] - bounds[0]) / 2:#.2g}".rstrip(".")
    return f"{one['mean']:#.4g}".rstrip(".") + half


def _times(multiple: float | None) -> str:
    return NOTHING if multiple is None else f"{multiple:.2f}"


def _examples(one: Mapping[str, Any], name: str) -> str:
    multiple = one["trainings"][name]
    return count(one[name]) + (f" ({multiple:.2f}×)" if multiple else "")


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"

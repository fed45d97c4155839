"""The outcomes of all runs as one dictionary, as a table, and as a Markdown report."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hf_datasel.functional.statistics import paired_difference, spread
from hf_datasel.quickstart.compare import verdict
from hf_datasel.quickstart.jobs import ARMS, SUBSETS
from hf_datasel.quickstart.skills import SKILL_NAMES

MACRO = "macro average"
_COMPARED = (("S2L", "random"), ("S2L", "everything"), ("SHED", "random"), ("SHED", "everything"), ("S2L", "SHED"))
SCOPE = (
    "The repetitions differ in S2L's clustering, the draw of its rows and of the random ones, and the order of "
    "training. SHED's rows, the corpus, the proxy model and the pre-trained target are the same in all of them, so "
    "the interval says nothing about other data or models."
)


def summarise(outcomes: Sequence[dict[str, Any]], corpus: dict[str, Any]) -> dict[str, Any]:
    """What `results.json` holds beside plan and versions.

    Args:
        outcomes: of `jobs.train_arm`, for every arm and repetition.
        corpus: of `jobs.describe_rows`, for all training rows.
    """
    by_arm = {arm: [outcome for outcome in outcomes if outcome["arm"] == arm] for arm in ARMS}
    macro: dict[str, Sequence[float]] = {
        arm: [outcome["macro_exact_match"] for outcome in runs] for arm, runs in by_arm.items()
    }
    differences = [paired_difference(first, second, macro) for first, second in _COMPARED]
    return {
        "corpus": corpus,
        "arms": {arm: _summarise_arm(runs) for arm, runs in by_arm.items()},
        "differences": [_without_nan({**asdict(one), "verdict": verdict(one)}) for one in differences],
        "runs": list(outcomes),
    }


def _summarise_arm(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def over_runs(values: Sequence[float]) -> dict[str, Any]:
        return _without_nan(asdict(spread(values)))

    return {
        "num_runs": len(runs),
        "num_rows": runs[0]["num_rows"],
        "exact_match": {skill: over_runs([run["exact_match"][skill] for run in runs]) for skill in SKILL_NAMES},
        "macro_exact_match": over_runs([run["macro_exact_match"] for run in runs]),
        "share_per_skill": {
            skill: over_runs([run["rows_per_skill"][skill] / run["num_rows"] for run in runs]) for skill in SKILL_NAMES
        },
        "distinct": over_runs([run["num_distinct"] / run["num_rows"] for run in runs]),
        "corrupted": over_runs([run["corrupted"] for run in runs]),
    }


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


def score_table(results: dict[str, Any]) -> list[list[str]]:
    """Exact match: a row for each skill and the macro average, a column for each arm; the first row is the header."""
    arms = results["arms"]
    header = ["exact match", *(f"{arm} ({arms[arm]['num_rows']:,} rows)" for arm in ARMS)]
    rows = [[skill, *(_cell(arms[arm]["exact_match"][skill]) for arm in ARMS)] for skill in SKILL_NAMES]
    return [header, *rows, [MACRO, *(_cell(arms[arm]["macro_exact_match"]) for arm in ARMS)]]


def mix_table(results: dict[str, Any]) -> list[list[str]]:
    """Share of each skill in the whole corpus and in each subset, and what else the subsets are made of."""
    arms, corpus = results["arms"], results["corpus"]
    rows = [["share of rows", "corpus", *SUBSETS]]
    for skill in SKILL_NAMES:
        shares = [arms[arm]["share_per_skill"][skill]["mean"] for arm in SUBSETS]
        rows.append(
            [skill, *(f"{share:.1%}" for share in (corpus["rows_per_skill"][skill] / corpus["num_rows"], *shares))]
        )
    distinct = [
        corpus["num_distinct"] / corpus["num_rows"],
        *(arms[arm]["distinct"]["mean"] for arm in SUBSETS),
    ]
    corrupted = [corpus["corrupted"], *(arms[arm]["corrupted"]["mean"] for arm in SUBSETS)]
    return [
        *rows,
        ["different questions", *(f"{share:.1%}" for share in distinct)],
        ["corrupted answers", *(f"{share:.1%}" for share in corrupted)],
    ]


def verdicts(results: dict[str, Any]) -> list[str]:
    """A sentence for each comparison."""
    return [str(one["verdict"]) for one in results["differences"]]


def as_text(table: Sequence[Sequence[str]]) -> str:
    """A table for the terminal, the last row set apart.

    Example:
        >>> print(as_text([["skill", "S2L"], ["copy", "1.00"], ["all", "0.50"]]))
        skill   S2L
        copy   1.00
        -----------
        all    0.50
    """
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return "\n".join([*lines[:-1], "-" * len(lines[0]), lines[-1]])


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    header, *rows = table
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: dict[str, Any]) -> str:
    error = value["standard_error"]
    return f"{value['mean']:.3f}" + ("" if error is None else f" ± {error:.3f}")

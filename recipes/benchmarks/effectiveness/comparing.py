"""A comparison of the study: `compare_selections`, in a folder that one process at a time works in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from filelock import FileLock

from hf_datasel import SelectingSFTConfig, Selection, compare_selections
from hf_datasel.compare.jobs import SELECTIONS
from hf_datasel.compare.plan import ALL, Cell, Method
from hf_datasel.compare.verdict import write_verdict

LEFT_OUT = ("overlap", "verdict", "format", "version", "hf_datasel")


def compare(
    model: Path,
    args: SelectingSFTConfig,
    train: Dataset,
    test: Dataset,
    *,
    methods: Sequence[Method],
    budget: float,
    flag: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """A comparison at one budget in `args.output_dir`; what an earlier one there has done is taken from there.

    Args:
        model: folder of the target.
        flag: a column of `train`, true for rows that are better not kept; `flagged_kept` has the share of them that
            every method kept that keeps some, for each seed.
        options: of `compare_selections`.

    Returns:
        The comparison's result without the overlap of pairs and, in groups of test rows, without differences; a
        verdict for each metric.
    """
    folder = Path(args.output_dir)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        result = compare_selections(str(model), args, train, test, methods=methods, budgets=[budget], **options).result
    found = digest(result)
    if flag is None:
        return found
    flagged = np.asarray(train[flag])
    kept = {
        method.label: [_share(folder, Cell(method, budget, seed), flagged) for seed in result["seeds"]]
        for method in (Method("random"), *methods)
        if not method.is_on_all
    }
    return {**found, "flagged_kept": kept}


def digest(result: Mapping[str, Any]) -> dict[str, Any]:
    """What of a comparison's result is told."""
    metrics = {
        name: {
            **measured,
            "groups": {
                group: found if group == ALL else {"means": found["means"]}
                for group, found in measured["groups"].items()
            },
        }
        for name, measured in result["metrics"].items()
    }
    return {
        **{name: value for name, value in result.items() if name not in LEFT_OUT},
        "metrics": metrics,
        "verdicts": {name: write_verdict(result, name) for name in result["metric_names"]},
    }


def _share(folder: Path, cell: Cell, flagged: np.ndarray) -> float:
    return float(flagged[Selection.load(folder / SELECTIONS / cell.name).ids].mean())

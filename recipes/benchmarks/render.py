"""Render the documents' tables from the committed JSON: `make results`, or `python -m recipes.benchmarks.render`.

A section of a document stands between `<!-- results:NAME:start -->` and `<!-- results:NAME:end -->`. What is between
them is this script's; a result that has not been committed leaves its section empty.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hf_datasel.quickstart.jobs import SUBSETS
from hf_datasel.quickstart.summary import as_markdown, score_table, verdicts
from recipes.benchmarks.clues_noise.tables import tables as clues_noise_tables
from recipes.benchmarks.effectiveness import clients_tables, mathematics_tables, skills_tables, valuations_tables
from recipes.benchmarks.performance_table import section as performance_section
from recipes.benchmarks.shed.tables import tables as shed_tables

ROOT = Path(__file__).parents[2]
TREE = ("hf_datasel", "recipes")


def quickstart() -> str:
    """Exact match per skill and arm, and what can be said of the differences."""
    results = _read("recipes/quickstart/results.json")
    if results is None:
        return ""
    seeds = next(iter(results["arms"].values()))["num_runs"]
    notes = f"Mean ± standard error over {seeds} repetitions. " + " ".join(verdicts(results))
    return "\n\n".join([as_markdown(score_table(results)), notes, *_corrupted()])


def _corrupted() -> list[str]:
    """A paragraph on the same run with a share of wrong answers."""
    results = _read("recipes/quickstart/results_corrupted.json")
    if results is None:
        return []
    arms = results["arms"]
    scores = ", ".join(
        f"{name} {arm['macro_exact_match']['mean']:.3f} ± {arm['macro_exact_match']['standard_error']:.3f}"
        for name, arm in arms.items()
    )
    wrong = ", ".join(f"{name} {arms[name]['corrupted']['mean']:.1%}" for name in SUBSETS)
    return [
        f"With `--corrupted {results['plan']['corrupted']}` the macro average is: {scores}. Wrong answers among "
        f"the rows kept: {wrong}. {' '.join(verdicts(results))}"
    ]


def math_mixture() -> str:
    """Loss on gsm8k_test and rows kept of each source."""
    result = _read("recipes/s2l/math_mixture/result.json")
    if result is None:
        return ""
    sources = list(result["num_rows"])
    header = ["trained on", "loss on gsm8k_test", *(f"rows of {source}" for source in sources)]
    rows = []
    for method, loss in result["answer_loss_on_gsm8k_test"].items():
        kept = [f"{result['num_kept'][method][source]['mean']:,.0f}" for source in sources]
        rows.append([method, f"{loss['mean']:.3f} ± {loss['standard_error']:.3f}", *kept])
    difference = result["s2l_minus_random"]
    low, high = difference["interval"]
    clear = "" if difference["is_clear"] else ": they cannot be told apart"
    steps, num_seeds = result["settings"]["train"]["max_steps"], len(result["seeds"])
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in result["wall_time_shares"].items())
    notes = (
        f"Nats per answer token, mean ± standard error over {num_seeds} seeds, {steps} optimiser steps each. S2L - "
        f"random: {difference['mean']:+.3f}, 95% interval [{low:+.3f}, {high:+.3f}]{clear}. Wall time: {shares}."
    )
    return f"{as_markdown([header, *rows])}\n\n{notes}"


def effectiveness(part: str, *, verdicts: bool) -> str:
    """What is trained on each method's choice reaches: on generated skills, or in another part of the study."""
    result = _read("recipes/benchmarks/effectiveness/result.json")
    if result is None:
        return ""
    found = result if part == "skills" else result.get(part)
    return "" if found is None else EFFECTIVENESS[part](found, verdicts=verdicts)


EFFECTIVENESS: dict[str, Callable[..., str]] = {
    "skills": skills_tables.tables,
    "mathematics": mathematics_tables.tables,
    "clients": clients_tables.tables,
    "valuations": valuations_tables.tables,
}


def clues_noise() -> str:
    """What tells clean rows from damaged ones, and the held-out loss of what is trained on the rows kept."""
    result = _read("recipes/benchmarks/clues_noise/result.json")
    return "" if result is None else clues_noise_tables(result)


def shed() -> str:
    """Held-out loss of what is trained on the rows that SHED and others keep, a real game, and other families."""
    result = _read("recipes/benchmarks/shed/result.json")
    return "" if result is None else shed_tables(result)


def benchmarks() -> str:
    """The one table of speed and memory, and how costs grow."""
    return performance_section(ROOT / "recipes/benchmarks/results")


def tree() -> str:
    """A line for each Python file, taken from its module docstring."""
    lines = []
    for folder in TREE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            summary = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split("\n")[0]
            if summary:
                lines.append((str(path.relative_to(ROOT)), summary.removesuffix(".")))
    width = max(len(name) for name, _ in lines)
    return "```text\n" + "".join(f"{name:<{width}}  {summary}\n" for name, summary in lines) + "```"


SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "quickstart": quickstart,
        "s2l/math_mixture": math_mixture,
        **{f"effectiveness/{part}": partial(effectiveness, part, verdicts=False) for part in EFFECTIVENESS},
        "clues_noise": clues_noise,
        "shed": shed,
        "benchmarks": benchmarks,
    },
    "recipes/benchmarks/effectiveness/README.md": {
        part: partial(effectiveness, part, verdicts=True) for part in EFFECTIVENESS
    },
    "CONTRIBUTING.md": {"tree": tree},
}


def render(document: str) -> str:
    """The document of that name with every section filled in.

    Raises:
        ValueError: A section of `SECTIONS` has no pair of markers in it.
    """
    written = (ROOT / document).read_text()
    for name, section in SECTIONS[document].items():
        start, end = f"<!-- results:{name}:start -->", f"<!-- results:{name}:end -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if len(pattern.findall(written)) != 1:
            raise ValueError(f"{document} needs one pair of markers {start} ... {end}")
        text = section()
        filled = f"{start}\n{text}\n{end}" if text else f"{start}\n{end}"
        written = pattern.sub(lambda _, filled=filled: filled, written)
    return written


def _read(path: str) -> dict[str, Any] | None:
    file = ROOT / path
    return json.loads(file.read_text()) if file.exists() else None


if __name__ == "__main__":
    for document, sections in SECTIONS.items():
        (ROOT / document).write_text(render(document))
        print(f"rendered {', '.join(sections)} into {document}")

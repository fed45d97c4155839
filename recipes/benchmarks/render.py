"""Render the README's tables from the committed JSON: `make results`, or `python -m recipes.benchmarks.render`.

A section of the README stands between `<!-- results:NAME:start -->` and `<!-- results:NAME:end -->`. What is between
them is this script's; a result that has not been committed leaves its section empty.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_datasel.quickstart.summary import as_markdown, score_table, verdicts

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TREE = ("hf_datasel", "recipes")


def quickstart() -> str:
    """Exact match per skill and arm, and what can be said of the differences."""
    results = _read("recipes/quickstart/results.json")
    if results is None:
        return ""
    seeds = next(iter(results["arms"].values()))["num_runs"]
    notes = f"Mean ± standard error over {seeds} repetitions. " + " ".join(verdicts(results))
    return f"{as_markdown(score_table(results))}\n\n{notes}"


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


SECTIONS: dict[str, Callable[[], str]] = {
    "quickstart": quickstart,
    "s2l/math_mixture": math_mixture,
    "tree": tree,
}


def render(readme: str) -> str:
    """The README with every section filled in.

    Raises:
        ValueError: A section of `SECTIONS` has no pair of markers in the README.
    """
    for name, section in SECTIONS.items():
        start, end = f"<!-- results:{name}:start -->", f"<!-- results:{name}:end -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if len(pattern.findall(readme)) != 1:
            raise ValueError(f"README.md needs one pair of markers {start} ... {end}")
        text = section()
        filled = f"{start}\n{text}\n{end}" if text else f"{start}\n{end}"
        readme = pattern.sub(lambda _, filled=filled: filled, readme)
    return readme


def _read(path: str) -> dict[str, Any] | None:
    file = ROOT / path
    return json.loads(file.read_text()) if file.exists() else None


if __name__ == "__main__":
    README.write_text(render(README.read_text()))
    print(f"rendered {', '.join(SECTIONS)} into {README.name}")

"""Render the documents' tables from the committed JSON: `make results`, or `python -m recipes.benchmarks.render`.

A section of a document stands between `<!-- results:NAME:start -->` and `<!-- results:NAME:end -->`. What is between
them is this script's; a result that has not been committed leaves its section empty.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_datasel.quickstart.jobs import SUBSETS
from hf_datasel.quickstart.summary import as_markdown, score_table, verdicts
from recipes.benchmarks.clues_noise.tables import tables as clues_noise_tables
from recipes.benchmarks.effectiveness.tables import tables as effectiveness_tables
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


def effectiveness() -> str:
    """Exact match and loss of what is trained on each method's choice, and what S2L's settings change."""
    result = _read("recipes/benchmarks/effectiveness/result.json")
    return "" if result is None else effectiveness_tables(result)


def clues_noise() -> str:
    """What tells clean rows from damaged ones, and the held-out loss of what is trained on the rows kept."""
    result = _read("recipes/benchmarks/clues_noise/result.json")
    return "" if result is None else clues_noise_tables(result)


def shed() -> str:
    """Held-out loss of what is trained on the rows that SHED and others keep, a real game, and other families."""
    result = _read("recipes/benchmarks/shed/result.json")
    return "" if result is None else shed_tables(result)


def benchmarks() -> str:
    """A row for each paired ratio and each memory figure in `results/`."""
    rows = []
    for path in sorted((ROOT / "recipes/benchmarks/results").glob("*.json")):
        found = _benchmark_rows(json.loads(path.read_text()))
        if not found:
            raise ValueError(f"{path.name} holds no ratio with a median, and render.py has no rows for it: add them")
        rows += found
    if not rows:
        return ""
    return as_markdown([["measured", "on", "result", "against", "95% interval"], *rows])


SHOWN = {  # of benchmarks with more ratios than a reader wants
    "gradients": (
        "exact_full",
        "exact_lora_qv",
        "low_rank_full",
        "norms_full",
        "exact_full_61_percent_filled",
        "exact_lora_qv_61_percent_filled",
        "one_by_one_full",
        "one_by_one_lora_qv",
    ),
    "gradients_in_run": (
        "exact_full",
        "low_rank_full",
        "every_4_full",
        "exact_lora_qv",
        "exact_lora_linears",
        "null_full",
    ),
    "gradients_peers": (
        "train_low_rank_over_bergson_full",
        "train_exact_over_bergson_full",
        "train_exact_over_bergson_lora_qv",
        "sweep_exact_over_bergson_full",
        "sweep_same_over_bergson_full",
        "sweep_exact_over_bergson_lora_qv",
    ),
}


def _benchmark_rows(result: dict[str, Any]) -> list[list[str]]:
    name, rows = result["benchmark"], []
    shown = SHOWN.get(name)
    for key, value in result.items():
        if isinstance(value, dict) and "median" in value and (shown is None or key in shown):
            low, high = value["interval"]
            size = " x ".join(f"{side:,}" for side in value.get("shape", []))
            what = value.get("measured", f"{name}: {key}")
            rows.append([what, size, f"{value['median']:.3f}", value.get("reference", ""), f"{low:.3f} to {high:.3f}"])
    if name == "coalitions":
        rows += [row for case in result.values() if "ratios" in case for row in _coalition_rows(case["ratios"])]
    if name == "s2l_scale":
        size = " x ".join(f"{side:,}" for side in result["memory"]["shape"])
        peak, bare = (f"{result['memory'][which]['peak'] / 2**30:.2f} GiB" for which in ("select", "bare"))
        rows.append(["peak resident memory of S2LSelector.select", size, peak, f"bare faiss: {bare}", ""])
    if name == "trace_memory":
        size = " x ".join(f"{side:,}" for side in result["settings"]["shape"])
        trace, array = (f"{result['growth_bytes'][which] / 1e6:.0f} MB" for which in ("trace", "array"))
        rows.append(["growth of resident memory, Trace.write_column", size, trace, f"one array: {array}", ""])
    if name == "gradients_in_run":
        scores = result["scores_full"]
        what = f"Spearman's correlation of scores, direction of rank {scores['rank']}"
        rows.append([what, f"{scores['num_examples']:,} rows", f"{scores['spearman']:.4f}", "the exact direction", ""])
    if name == "gradients_memory":
        for row in result["peaks"]:
            if row["checkpointing"] == "non-reentrant checkpointing":
                extra, plain = row["extra_bytes"]["exact"] / 1e6, row["plain_peak_bytes"] / 1e6
                what = f"extra memory of an in-run scored step, {row['checkpointing']}"
                rows.append([what, row["parameters"], f"{extra:.2f} MB", f"the plain step's peak: {plain:.0f} MB", ""])
    if name == "in_run_agreement":
        summary, setting = result["summary"], result["setting"]
        rand, twice = (f"{summary[which]['mean']:.2f}" for which in ("rand_probe_in_run", "rand_probe_probe"))
        size = f"{setting['num_rows']:,} rows, K = {setting['num_clusters']}"
        ceiling = f"probe, k-means with another seed: {twice}"
        rows.append(["adjusted Rand index of in_run and probe clusters", size, rand, ceiling, ""])
    return rows


def _coalition_rows(ratios: dict[str, Any]) -> list[list[str]]:
    shown = (ratios[key] for key in ("at_once_4_over_sft", "at_once_16_over_sft"))
    return [
        [one["measured"], "", f"{one['median']:.2f}", one["reference"], "{:.2f} to {:.2f}".format(*one["interval"])]
        for one in shown
    ]


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
        "effectiveness": effectiveness,
        "clues_noise": clues_noise,
        "shed": shed,
        "benchmarks": benchmarks,
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

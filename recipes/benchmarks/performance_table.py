"""The one table of speed and memory, from the JSON of every benchmark: what, against what, ratio, target, met or not.

A target is named only where one was set. "Met" is computed: the whole interval lies at or below the target (above it
where more is better); "not met": all of it lies on the other side; "open": the target lies within.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hf_datasel.cards.text import table as markdown

HEADER = ["what", "against", "ratio", "target"]
TRAINING, SWEEPS, SELECTING = "While a model trains", "Sweeps over all rows", "Selecting, and importing"
PEERS, MORE = "Time beside other codes, in the same run", "Beside other codes, where more is better"
AGREEMENT = "How well the cheap way stands for the dear one"
GROUPS = (TRAINING, SWEEPS, SELECTING, PEERS, MORE, AGREEMENT)
GIB, MB = 2**30, 1e6

# Set before anything was measured. A ratio beside another code's is to be no slower.
RATIO_TARGETS = {
    **{("s2l_scale", name): 1.2 for name in ("in_memory", "on_disk", "on_disk_over_in_memory")},
    **{("recording", name): 1.02 for name in ("SFTTrainer_256_4096", "SFTTrainer_64_512")},
    **{("probe_sweep", f"over_bare_vocabulary_{size}"): 1.10 for size in (4096, 32768)},
    ("gradients", "exact_full"): 1.05,
    ("gradients", "exact_lora_qv"): 1.08,
    **{("gradients", f"exact_{which}_61_percent_filled"): 0.70 for which in ("full", "lora_qv")},
    **{("gradients", f"one_by_one_{which}"): 1.0 for which in ("full", "lora_qv")},
    ("gradients_in_run", "exact_full"): 1.28,
    ("gradients_in_run", "low_rank_full"): 1.08,
    **{("gradients_in_run", f"exact_lora_{which}"): 1.08 for which in ("qv", "linears")},
    **{("gradients_in_run", f"low_rank_lora_{which}"): 1.05 for which in ("qv", "linears")},
    **{("gradients_peers", f"train_{how}_over_bergson_full"): 1.0 for how in ("low_rank", "exact")},
    **{("gradients_peers", f"sweep_{how}_over_bergson_full"): 1.0 for how in ("same", "exact")},
    **{("gradients_peers", f"{how}_over_bergson_lora_qv"): 1.0 for how in ("train_exact", "sweep_exact")},
}
LEAST_SPEARMAN = 2.0  # of an estimator, in that of the released arithmetic
MOST_MEMORY_OF_S2L, MOST_GROWTH_OF_A_TRACE = GIB, 100 * MB
NOTE = (
    "Each ratio is the median of pairs timed in turns in one run, in CPU time of one thread (S2L beside bare faiss, "
    "imports: by the clock), with its 95% bootstrap interval. Less is better unless a group says otherwise. A target, "
    "where one was set beforehand, is met if the whole interval keeps it and open if it lies within. bergson projects "
    "to 16 x 16 and reads linear layers alone, where ours is exact or of rank 8 and reads all parameters. N^x is how "
    "time grows from the fewest rows measured to those named. `python -m recipes.benchmarks.performance` measures "
    "all of it."
)
PICTURE = (
    "![CPU time of every selector against the number of rows, and of recording and sweeps against the model's size]"
    "(recipes/benchmarks/results/growth.png)"
)


class Row(NamedTuple):
    """A line of the table."""

    group: str
    what: str
    against: str
    ratio: str
    target: str = ""


Result = dict[str, Any]


def verdict(low: float, high: float, limit: float) -> str:
    """Whether what lies between `low` and `high` keeps a limit.

    Example:
        >>> verdict(1.0, 1.2, 1.2), verdict(1.1, 1.3, 1.2), verdict(1.21, 1.3, 1.2)
        ('met', 'open', 'not met')
    """
    if high <= limit:
        return "met"
    return "not met" if low > limit else "open"


def number(value: float) -> str:
    """Three digits after the point, or three that count where it is small or large.

    Example:
        >>> number(1.0165), number(0.00312), number(57.23), number(1234.5)
        ('1.016', '0.0031', '57.2', '1,234')
    """
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}" if value >= 0.01 else f"{value:.4f}"


def with_interval(entry: Result) -> str:
    """A median and its 95% interval."""
    low, high = entry["interval"]
    return f"{number(entry['median'])} [{number(low)}, {number(high)}]"


def line(group: str, entry: Result, what: str | None = None, limit: float | None = None) -> Row:
    """A row for a ratio."""
    size = " x ".join(f"{side:,}" for side in entry.get("shape", []))
    told = (what or entry["measured"]) + (f", {size}" if size else "")
    target = "" if limit is None else f"≤ {limit:g}: {verdict(*entry['interval'], limit)}"
    return Row(group, told, entry["reference"], with_interval(entry), target)


def ratios(result: Result, group: str, names: tuple[str, ...] | None = None) -> Iterator[Row]:
    """A row for each ratio of a result, or for those of `names` that were measured."""
    for name in names or result:
        entry = result.get(name)
        if isinstance(entry, dict) and "median" in entry:
            yield line(group, entry, limit=RATIO_TARGETS.get((result["benchmark"], name)))


def recording(result: Result) -> Iterator[Row]:
    yield from ratios(result, TRAINING)


def gradients_in_run(result: Result) -> Iterator[Row]:
    full = ("exact_full", "low_rank_full", "every_4_full")
    lora = ("exact_lora_qv", "low_rank_lora_qv", "exact_lora_linears", "low_rank_lora_linears")
    yield from ratios(result, TRAINING, (*full, *lora, "null_full"))
    if "scores_full" in result:
        scores = result["scores_full"]
        what = f"scores by a direction of rank {scores['rank']}, {scores['num_examples']:,} rows: Spearman correlation"
        yield Row(AGREEMENT, what, "the exact direction", f"{scores['spearman']:.4f}")


def gradients_memory(result: Result) -> Iterator[Row]:
    for row in result["peaks"]:
        if row["checkpointing"] == "non-reentrant checkpointing":
            what = f"memory that in-run scoring adds to a step, {row['parameters']}, {row['checkpointing']}"
            extra, plain = row["extra_bytes"]["exact"], row["plain_peak_bytes"]
            yield Row(TRAINING, what, f"the plain step's peak, {plain / MB:.0f} MB", f"{extra / plain:.4%}")


def trace_memory(result: Result) -> Iterator[Row]:
    size = " x ".join(f"{side:,}" for side in result["settings"]["shape"])
    trace, array = (result["growth_bytes"][which] for which in ("trace", "array"))
    most = MOST_GROWTH_OF_A_TRACE
    target = f"< {most / MB:.0f} MB: {'met' if trace < most else 'not met'} ({trace / MB:.0f})"
    what = f"resident memory of writing a Trace, {size}"
    yield Row(TRAINING, what, f"one array, {array / MB:.0f} MB", number(trace / array), target)


def probe_sweep(result: Result) -> Iterator[Row]:
    yield from ratios(result, SWEEPS)


def gradients(result: Result) -> Iterator[Row]:
    full = ("exact_full", "low_rank_full", "norms_full", "exact_full_61_percent_filled")
    yield from ratios(result, SWEEPS, (*full, "exact_lora_qv", "exact_lora_qv_61_percent_filled"))
    yield from ratios(result, PEERS, ("one_by_one_full", "one_by_one_lora_qv"))


def gradients_peers(result: Result) -> Iterator[Row]:
    train = ("train_low_rank_over_bergson_full", "train_exact_over_bergson_full", "train_exact_over_bergson_lora_qv")
    sweep = ("sweep_exact_over_bergson_full", "sweep_same_over_bergson_full", "sweep_exact_over_bergson_lora_qv")
    yield from ratios(result, PEERS, (*train, *sweep))


def s2l_scale(result: Result) -> Iterator[Row]:
    yield from ratios(result, SELECTING)
    size = " x ".join(f"{side:,}" for side in result["memory"]["shape"])
    select, bare = (result["memory"][which]["peak"] for which in ("select", "bare"))
    most = MOST_MEMORY_OF_S2L
    target = f"≤ {most / GIB:.0f} GiB: {'met' if select <= most else 'not met'} ({select / GIB:.2f})"
    what = f"peak resident memory of S2LSelector.select, {size}"
    yield Row(SELECTING, what, f"bare faiss, {bare / GIB:.2f} GiB", number(select / bare), target)


def import_time(result: Result) -> Iterator[Row]:
    limit = result["settings"]["limit_seconds"]
    row = line(SELECTING, result["import"])
    yield row._replace(target=f"median < {limit:g} s: {'met' if result['median_below_limit'] else 'not met'}")


def coalitions(result: Result) -> Iterator[Row]:
    for case in result.values():
        if isinstance(case, dict) and "ratios" in case:
            for name in ("at_once_4_over_sft", "at_once_16_over_sft"):
                yield line(MORE, case["ratios"][name])


def shapley_games(result: Result) -> Iterator[Row]:
    for entry in result.values():
        if isinstance(entry, dict) and "median" in entry:
            row, (low, high) = line(MORE, entry), entry["interval"]
            target = f"≥ {LEAST_SPEARMAN:g}: {verdict(-high, -low, -LEAST_SPEARMAN)}"
            yield row._replace(what=f"{row.what} players", target=target)


def in_run_agreement(result: Result) -> Iterator[Row]:
    rand, twice = (result["summary"][which]["mean"] for which in ("rand_probe_in_run", "rand_probe_probe"))
    size = f"{result['setting']['num_rows']:,} rows, K = {result['setting']['num_clusters']}"
    what = f"clusters of in_run and of probe trajectories, {size}: adjusted Rand index"
    yield Row(AGREEMENT, what, f"probe, k-means with another seed, {twice:.2f}", f"{rand:.2f}")


def growth(result: Result) -> Iterator[Row]:
    """A row for each selector at its largest size, its loop at the largest there is, and each model."""
    for case in result["cases"].values():
        entry = case["grows"][str(case["sizes"][-1])]
        low, high = entry["exponent_interval"]
        row = line(SELECTING, entry)
        yield row._replace(ratio=f"{row.ratio}: N^{entry['exponent']:.2f} [{low:.2f}, {high:.2f}]")
        if "loop" in case:
            yield line(PEERS, list(case["loop"].values())[-1])
    for model in result["models"].values():
        size = f"{model['num_parameters'] / 1e6:.1f} million parameters"
        for group, name in ((TRAINING, "recording"), (SWEEPS, "sweep"), (PEERS, "one_by_one")):
            entry = model[name]
            yield line(group, entry, f"{entry['measured']}, {size} ({entry['num_pairs']} pairs)")


BENCHMARKS: dict[str, Callable[[Result], Iterator[Row]]] = {
    one.__name__: one
    for one in (
        recording,
        gradients_in_run,
        gradients_memory,
        trace_memory,
        probe_sweep,
        gradients,
        s2l_scale,
        growth,
        import_time,
        gradients_peers,
        coalitions,
        shapley_games,
        in_run_agreement,
    )
}


def rows(folder: Path) -> list[Row]:
    """The rows of every result in a folder, in the order of the groups.

    Raises:
        ValueError: a result that no function here knows.
    """
    results = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    unknown = sorted(results.keys() - BENCHMARKS.keys())
    if unknown:
        raise ValueError(f"{unknown[0]}.json: performance_table.py has no rows for it: add them")
    found = [row for name, benchmark in BENCHMARKS.items() if name in results for row in benchmark(results[name])]
    return sorted(found, key=lambda row: GROUPS.index(row.group))


def table(folder: Path) -> str:
    """The table as Markdown, its groups told apart by lines in bold; empty where nothing was measured."""
    found = rows(folder)
    lines = []
    for group in GROUPS:
        some = [list(row[1:]) for row in found if row.group == group]
        if some:
            lines += [[f"**{group}**", "", "", ""], *some]
    return markdown(HEADER, lines, numbers=2) if lines else ""


def section(folder: Path) -> str:
    """The README's: how to read the table, the table, and growth as far as it was measured."""
    shown = table(folder)
    if not shown:
        return ""
    parts = [NOTE, shown]
    path = folder / "growth.json"
    if path.exists():
        cases = json.loads(path.read_text())["cases"].values()
        ends = [f"{one['what']}, {one['sizes'][-1]:,} {one['unit']}: {one['ends']}" for one in cases if one["ends"]]
        parts += [PICTURE, f"Where growth was not followed to a million rows. {'. '.join(ends)}."]
    return "\n\n".join(parts)

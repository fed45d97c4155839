"""What the benchmarks share: paired ratios with an interval, memory, the machine's class, and one JSON file a result.

Only ratios of two things done in the same run are compared, in alternating order, because absolute times say more
about the machine and its neighbours than about the code.
"""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

COMMITTED = Path(__file__).parent / "results"
RESULTS = Path(os.environ.get("BENCHMARK_RESULTS", COMMITTED))  # elsewhere while trying things out
BOOTSTRAP_SAMPLES = 10_000


def machine_class() -> str:
    """The kind of machine, as in "2-core x86-64 CPU, no GPU"."""
    architecture = platform.machine().replace("_", "-").replace("AMD64", "x86-64")
    gpu = "with GPU" if Path("/dev/nvidia0").exists() else "no GPU"
    return f"{len(os.sched_getaffinity(0))}-core {architecture} CPU, {gpu}"


def versions(*packages: str) -> dict[str, str]:
    """Version of Python and of each package."""
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def common_arguments(folder: Path, **options: Any) -> dict[str, Any]:
    """Training arguments of a benchmark: float32 on the CPU, nothing saved or reported."""
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-4,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 10,
        "disable_tqdm": True,
        **options,
    }


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that `work` takes by `clock`; garbage is collected before, not during."""
    gc.collect()
    start = clock()
    work()
    return clock() - start


def interleaved(
    works: Mapping[str, Callable[[], object]],
    num_rounds: int,
    *,
    clock: Callable[[], float] = time.thread_time,
    least_seconds: float = 0.0,
) -> dict[str, list[float]]:
    """Seconds of each work in each round, after one round that is not counted; the order turns every round.

    A work that takes less than `least_seconds` is done several times in a row, and divided.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    times = {name: math.ceil(least_seconds / max(timed(work, clock), 1e-6)) or 1 for name, work in works.items()}

    def repeat(name: str) -> None:
        for _ in range(times[name]):
            works[name]()

    for number in range(num_rounds):
        for name in list(works)[:: 1 if number % 2 else -1]:
            seconds[name].append(timed(functools.partial(repeat, name), clock) / times[name])
    return seconds


def paired_ratios(
    measured: Callable[[], object],
    reference: Callable[[], object],
    *,
    num_pairs: int,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: bool = True,
) -> list[float]:
    """Time of `measured` over time of `reference`, once a pair; which of them goes first alternates."""
    if warm_up:
        reference()
        measured()
    ratios = []
    for pair in range(num_pairs):
        if pair % 2:
            below = timed(reference, clock)
            above = timed(measured, clock)
        else:
            above = timed(measured, clock)
            below = timed(reference, clock)
        ratios.append(above / below)
    return ratios


def summary(ratios: Sequence[float], *, seed: int = 0, confidence: float = 0.95) -> dict[str, Any]:
    """Median of the pairs with its percentile bootstrap interval, and the pairs themselves."""
    table = np.asarray(ratios, np.float64)
    drawn = np.random.default_rng(seed).choice(table, size=(BOOTSTRAP_SAMPLES, len(table)))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(np.median(drawn, axis=1), [tail, 100 - tail])
    return {
        "median": round(float(np.median(table)), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "confidence": confidence,
        "bootstrap_seed": seed,
        "num_pairs": len(table),
        "pairs": [round(float(ratio), 4) for ratio in table],
    }


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation, ties at their mean rank; 0 where one of the two has a single value.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 9.0])), spearman(np.zeros(3), np.arange(3.0))
    (1.0, 0.0)
    """
    ranks = []
    for values in (first, second):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[place])
    if not all(np.ptp(one) for one in ranks):
        return 0.0
    return round(float(np.corrcoef(ranks)[0, 1]), 12)


def resident_bytes(which: str = "VmRSS") -> int:
    """Resident memory of this process now (`VmRSS`) or at its peak (`VmHWM`), bytes; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {which}: this benchmark needs Linux.")


def reset_peak() -> None:
    """Forget the peak of resident memory so far; Linux only."""
    Path("/proc/self/clear_refs").write_text("5")


def write_result(name: str, result: dict[str, Any], *, packages: Sequence[str]) -> Path:
    """Write `results/<name>.json` with the machine's class and versions, and return its path."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"benchmark": name, "machine": machine_class(), "versions": versions(*packages), **result}
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def write_flat(path: Path, content: dict[str, Any]) -> None:
    """Write JSON in which what holds no object stands on one line."""
    text = json.dumps(content, indent=1)
    for flat in (r"\[[^\[\]{}]*\]", r"\{[^{}]*\}"):
        text = re.sub(flat, lambda found: " ".join(found[0].split()), text)
    path.write_text(text + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |")

"""S2L at scale: its time against bare faiss on a million trajectories, and its memory on ten million.

    python -m recipes.benchmarks.s2l_scale [--num-pairs 15]

Time: `S2LSelector.select` over `faiss.Kmeans.train` and `index.search` on the same values, paired: on a Trace in
memory, and on one on disk, where the reference reads the same columns into an array first. Memory: peak resident
memory of a process that loads a Trace and selects, beside one that does bare k-means on the same values as one array.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from hf_datasel import S2LSelector, Trace
from recipes.benchmarks.common import paired_ratios, print_table, resident_bytes, summary, write_result

NUM_CHECKPOINTS, NUM_CLUSTERS, NUM_ITERATIONS, BUDGET = 12, 100, 20, 0.11
CHUNK = 1 << 20
GIB = 1 << 30


def record(path: Path, num_examples: int, seed: int) -> Trace:
    """A Trace of falling losses around a few hundred levels and rates, written column by column."""
    trace = Trace.create(path, np.arange(num_examples), num_checkpoints=NUM_CHECKPOINTS)
    for t in range(NUM_CHECKPOINTS):
        column = np.empty(num_examples, np.float32)
        for start in range(0, num_examples, CHUNK):
            rows = slice(start, min(start + CHUNK, num_examples))
            per_row = np.random.default_rng([seed, start])  # the same level and rate in every column
            level = 1 + per_row.integers(0, 20, rows.stop - start) / 5
            rate = per_row.integers(1, 15, rows.stop - start) / 10
            noise = np.random.default_rng([seed, start, t]).normal(scale=0.05, size=rows.stop - start)
            column[rows] = level * np.exp(-rate * t / NUM_CHECKPOINTS) + np.abs(noise)
        trace.write_column(column, step=t + 1)
    trace.finish()
    return trace


def bare(values: np.ndarray, seed: int) -> np.ndarray:
    """What S2L cannot do without: k-means on the trajectories, and the nearest centroid of each."""
    kmeans = faiss.Kmeans(NUM_CHECKPOINTS, NUM_CLUSTERS, niter=NUM_ITERATIONS, seed=seed)
    kmeans.train(values)
    return kmeans.index.search(values, 1)[1].ravel()


def selector(seed: int) -> S2LSelector:
    return S2LSelector(budget=BUDGET, num_clusters=NUM_CLUSTERS, num_iterations=NUM_ITERATIONS, seed=seed)


def child(mode: str, path: Path, num_examples: int, seed: int) -> None:
    """One step in a process of its own; prints the peak of its resident memory."""
    at_start = resident_bytes()
    if mode == "record":
        record(path, num_examples, seed)
    elif mode == "select":
        assert len(selector(seed).select(Trace.load(path))) == round(BUDGET * num_examples)
    elif mode == "bare":
        trace = Trace.load(path)
        values = np.empty((num_examples, NUM_CHECKPOINTS), np.float32)
        for t in range(NUM_CHECKPOINTS):
            values[:, t] = trace.column(t)
        bare(values, seed)
    print(json.dumps({"at_start": at_start, "peak": resident_bytes("VmHWM")}))


def in_child(mode: str, path: Path, num_examples: int, seed: int) -> dict[str, int]:
    arguments = ["--child", mode, "--path", str(path), "--num-large", str(num_examples), "--seed", str(seed)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, __file__, *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


def time_ratios(num_examples: int, num_pairs: int, seed: int) -> dict[str, dict[str, Any]]:
    """S2L over bare faiss, from the same place and from the disk over from memory."""
    with tempfile.TemporaryDirectory() as directory:
        on_disk = record(Path(directory) / "trace", num_examples, seed)
        files = sorted((Path(directory) / "trace" / "columns").glob("*.npy"))
        values = on_disk.values
        in_memory = Trace.from_arrays(on_disk.ids, values)
        select = selector(seed).select
        for trace in (in_memory, on_disk):
            assert np.array_equal(select(trace).clusters, bare(values, seed))
        array, read_array = "bare faiss on the array", "bare faiss after np.load of the columns"
        pairs = {
            "in_memory": (array, in_memory, lambda: bare(values, seed)),
            "on_disk": (read_array, on_disk, lambda: bare(np.stack([np.load(file) for file in files], 1), seed)),
            "on_disk_over_in_memory": (array, on_disk, lambda: bare(values, seed)),
        }
        ratios = {}
        for name, (reference, trace, run_reference) in pairs.items():
            where = "on disk" if trace is on_disk else "in memory"
            found = summary(paired_ratios(partial(select, trace), run_reference, num_pairs=num_pairs))
            ratios[name] = {"measured": f"S2LSelector.select, Trace {where}", "reference": reference, **found}
        return ratios


def line(ratio: dict[str, Any]) -> list[object]:
    return [ratio["median"], ratio["interval"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-examples", type=int, default=1_000_000, help="trajectories for the time")
    parser.add_argument("--num-large", type=int, default=10_000_000, help="trajectories for the memory")
    parser.add_argument("--num-pairs", type=int, default=15, help="pairs of timings")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--child", choices=["record", "select", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.path, arguments.num_large, arguments.seed)
        return

    faiss.omp_set_num_threads(os.cpu_count() or 1)  # as a user's, whatever this process was given
    time = time_ratios(arguments.num_examples, arguments.num_pairs, arguments.seed)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "trace"
        memory = {
            mode: in_child(mode, path, arguments.num_large, arguments.seed) for mode in ("record", "select", "bare")
        }

    shape = [arguments.num_examples, NUM_CHECKPOINTS]
    large = [arguments.num_large, NUM_CHECKPOINTS]
    path = write_result(
        "s2l_scale",
        {
            "settings": {
                "num_clusters": NUM_CLUSTERS,
                "num_iterations": NUM_ITERATIONS,
                "budget": BUDGET,
                "seed": arguments.seed,
                "num_threads": faiss.omp_get_max_threads(),
            },
            **{name: {"shape": shape, **ratio} for name, ratio in time.items()},
            "memory": {"shape": large, "unit": "bytes resident", **memory},
        },
        packages=["numpy", "faiss-cpu"],
    )
    print_table(
        ["what", "shape", "value", "95% interval", "target"],
        [
            *([f"{one['measured']} / {one['reference']}", shape, *line(one), "<= 1.2"] for one in time.values()),
            ["peak memory, GiB", large, round(memory["select"]["peak"] / GIB, 3), "", "<= 1"],
            ["peak memory of bare faiss, GiB", large, round(memory["bare"]["peak"] / GIB, 3), "", ""],
        ],
    )
    print(f"written to {path}")


if __name__ == "__main__":
    main()

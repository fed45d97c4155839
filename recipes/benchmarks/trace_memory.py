"""Memory of recording: a Trace written column by column, beside one array that holds all of it.

    python -m recipes.benchmarks.trace_memory [--num-examples 1000000] [--num-checkpoints 64]

Each way runs in a process of its own. What counts is the peak of resident memory while recording, less what was
resident when the ids were known; the values of one checkpoint, which any recorder has to hold, are part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hf_datasel import Trace
from recipes.benchmarks.common import print_table, reset_peak, resident_bytes, write_result

MIB = 1 << 20


def child(mode: str, path: Path, num_examples: int, num_checkpoints: int, seed: int) -> None:
    """Record in this way and print the growth of resident memory."""
    rng = np.random.default_rng(seed)
    if mode == "trace":
        trace = Trace.create(path, np.arange(num_examples), num_checkpoints=num_checkpoints)
        reset_peak()
        before = resident_bytes()
        for step in range(num_checkpoints):
            trace.write_column(rng.random(num_examples, np.float32), step=step)
        trace.finish()
    else:
        reset_peak()
        before = resident_bytes()
        values = np.empty((num_examples, num_checkpoints), np.float32)
        for step in range(num_checkpoints):
            values[:, step] = rng.random(num_examples, np.float32)
        np.save(path, values)
    print(json.dumps({"growth": resident_bytes("VmHWM") - before, "before": before}))


def in_child(mode: str, arguments: argparse.Namespace) -> dict[str, int]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    options = [
        f"--{name}={getattr(arguments, name.replace('-', '_'))}"
        for name in ("num-examples", "num-checkpoints", "seed")
    ]
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, __file__, f"--child={mode}", f"--path={directory}/recorded", *options]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-examples", type=int, default=1_000_000)
    parser.add_argument("--num-checkpoints", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", choices=["trace", "array"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.path, arguments.num_examples, arguments.num_checkpoints, arguments.seed)
        return

    growth = {mode: in_child(mode, arguments)["growth"] for mode in ("trace", "array")}
    shape = [arguments.num_examples, arguments.num_checkpoints]
    path = write_result(
        "trace_memory",
        {
            "settings": {"shape": shape, "seed": arguments.seed},
            "growth_bytes": growth,
            "ratio": round(growth["array"] / growth["trace"], 1),
        },
        packages=["numpy"],
    )
    print_table(
        ["way to record", "shape", "growth of resident memory, MiB", "target"],
        [
            ["Trace.write_column", shape, round(growth["trace"] / MIB, 1), "< 95 (100 MB)"],
            ["one array", shape, round(growth["array"] / MIB, 1), ""],
        ],
    )
    print(f"written to {path}")


if __name__ == "__main__":
    main()

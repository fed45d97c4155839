"""What `import hf_datasel` costs: each import in a Python of its own, beside `import torch`.

python -m recipes.benchmarks.import_time [--num-pairs 15]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from recipes.benchmarks.common import print_table, summary, write_result

LIMIT_SECONDS = 0.3


def import_seconds(name: str) -> float:
    """Seconds that one import takes in a fresh Python, its start not counted."""
    code = f"import time; start = time.perf_counter(); import {name}; print(time.perf_counter() - start)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return float(
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, env=environment).stdout
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-pairs", type=int, default=15)
    arguments = parser.parse_args()
    import_seconds("hf_datasel"), import_seconds("torch")  # the first of each reads the disk
    ours, torch = zip(
        *((import_seconds("hf_datasel"), import_seconds("torch")) for _ in range(arguments.num_pairs)), strict=True
    )
    ratio = summary([mine / other for mine, other in zip(ours, torch, strict=True)])
    below = statistics.median(ours) < LIMIT_SECONDS
    path = write_result(
        "import_time",
        {
            "settings": {"limit_seconds": LIMIT_SECONDS},
            "import": {"measured": "import hf_datasel", "reference": "import torch", **ratio},
            "median_below_limit": below,
        },
        packages=["torch"],
    )
    print_table(
        ["what", "value", "95% interval", "target"],
        [
            ["import hf_datasel / import torch", ratio["median"], ratio["interval"], ""],
            [f"below {LIMIT_SECONDS} s", below, "", True],
        ],
    )
    print(f"written to {path}")


if __name__ == "__main__":
    main()

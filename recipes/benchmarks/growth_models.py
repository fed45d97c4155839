"""What recording and scoring cost by the size of the model: Llamas of 0.6 to 20 million parameters.

The harness is that of `recording.py` (steps of one training, recorded and not, on the same batches) and `gradients.py`
(a score-only sweep, a plain forward and backward of the same rows, and a loop over single examples).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from recipes.benchmarks.common import interleaved
from recipes.benchmarks.gradient_workload import LENGTH, VOCABULARY, make_model, ratio, steady
from recipes.benchmarks.gradients import SWEEPS, works
from recipes.benchmarks.recording import Case, measure
from recipes.benchmarks.workload import LAYERS

ROUNDS = {64: (100, 15), 128: (40, 11), 256: (14, 7), 448: (6, 3)}  # pairs of steps, rounds of sweeps; by width
SMOKE = (2, 1)
NUM_ROWS, BATCH_SIZE = 8, 8


def measure_model(hidden_size: int, *, smoke: bool = False) -> dict[str, Any]:
    """Ratios of one model: a recorded step, a sweep, a sweep over single examples."""
    num_pairs, num_rounds = SMOKE if smoke else ROUNDS[hidden_size]
    steady()
    size = f"Llama {hidden_size} x {LAYERS[hidden_size]}"
    with tempfile.TemporaryDirectory() as folder:
        recorded = measure(Case("SFTTrainer", hidden_size, VOCABULARY, BATCH_SIZE, num_pairs), Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        todo, checks = works(
            "full", 1.0, NUM_ROWS, NUM_ROWS * LENGTH, Path(folder), hidden_size=hidden_size, sweeps=("exact",)
        )
    seconds, (what, _) = interleaved(todo, num_rounds), SWEEPS["exact"]
    plain, alone = f"plain forward + backward, a batch of {NUM_ROWS}", "a forward and backward for each example"
    return {
        "num_parameters": sum(
            parameter.numel() for parameter in make_model("full", hidden_size=hidden_size).parameters()
        ),
        "largest_difference_from_one_by_one": checks["largest_difference_from_one_by_one"],
        "recording": recorded,
        "sweep": ratio(seconds, "exact", "plain", f"{what}, {size}", plain),
        "one_by_one": ratio(seconds, "exact", "one_by_one", f"{what}, {size}", alone),
    }

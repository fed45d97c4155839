"""How much more memory a training step needs when it is scored, by every allocation of the step.

The peak is that of the sum of all allocations less all releases of torch during one step (forward, backward,
optimizer, whatever callbacks do), as torch's profiler reports them: a number that does not depend on the machine. The
first steps, which allocate gradients and moments, are left out.

    python -m recipes.benchmarks.gradients_memory
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import PrinterCallback, TrainerCallback

from hf_datasel import GradientTraceCallback
from recipes.benchmarks.common import print_table, write_result
from recipes.benchmarks.gradient_workload import (
    BATCH,
    HIDDEN,
    LENGTH,
    NAMES,
    VOCABULARY,
    make_model,
    make_trainer,
    steady,
    token_rows,
)
from recipes.benchmarks.workload import PACKAGES

WARM_UP, STEPS = 2, 3
CHECKPOINTING: dict[str, dict[str, Any]] = {
    "no checkpointing": {},
    "non-reentrant checkpointing": {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    },
    "reentrant checkpointing": {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": True},
    },
}
SCORING: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "exact": {},
    "low_rank": {"low_rank": 8},
    "cosine": {"norms": True},
}


class Peaks(TrainerCallback):
    """Bytes that a step held at its peak, above what it began with."""

    def __init__(self) -> None:
        self.peaks: list[int] = []
        self._profile: Any = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= WARM_UP:
            self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
            self._profile.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._profile is None:
            return
        self._profile.__exit__(None, None, None)
        events = [event for event in self._profile.profiler.kineto_results.events() if event.name() == "[memory]"]
        changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        self.peaks.append(int(np.cumsum(changes).max()))
        self._profile = None


def peak(kind: str, checkpointing: str, scoring: str, folder: Path) -> int:
    """Peak of the steps of one training, bytes."""
    rows = token_rows((WARM_UP + STEPS) * BATCH)
    trainer = make_trainer(folder, make_model(kind), rows, num_train_epochs=1, **CHECKPOINTING[checkpointing])
    trainer.remove_callback(PrinterCallback)
    options = SCORING[scoring]
    if options is not None:
        trainer.add_callback(
            GradientTraceCallback(
                trainer,
                folder / "trace",
                mode="in_run",
                validation_dataset=token_rows(16, seed=1),
                num_checkpoints=1,
                **options,
            )
        )
    peaks = Peaks()
    trainer.add_callback(peaks)
    trainer.train()
    return max(peaks.peaks)


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Memory of a scored step above that of a plain one.")
    parser.add_argument("--kinds", nargs="*", default=["full", "lora_qv"])
    parser.add_argument("--checkpointing", nargs="*", default=list(CHECKPOINTING), choices=CHECKPOINTING)
    parser.add_argument("--scoring", nargs="*", default=list(SCORING), choices=SCORING, help="beside plain steps")
    args = parser.parse_args()
    ways = ["plain", *(name for name in args.scoring if name != "plain")]
    steady()
    table = []
    for kind in args.kinds:
        for checkpointing in args.checkpointing:
            found = {}
            for scoring in ways:
                with tempfile.TemporaryDirectory() as folder:
                    found[scoring] = peak(kind, checkpointing, scoring, Path(folder))
            extra = {name: found[name] - found["plain"] for name in found if name != "plain"}
            row = {"kind": kind, "parameters": NAMES[kind], "checkpointing": checkpointing}
            table.append({**row, "plain_peak_bytes": found["plain"], "extra_bytes": extra})
            print(table[-1], flush=True)
    print_table(
        ["training", "checkpointing", "plain peak, MB", *(f"extra {name}, MB" for name in ways[1:])],
        [
            [row["parameters"], row["checkpointing"], round(row["plain_peak_bytes"] / 1e6, 1)]
            + [round(extra / 1e6, 2) for extra in row["extra_bytes"].values()]
            for row in table
        ],
    )
    settings = {"hidden_size": HIDDEN, "num_layers": 6, "vocabulary": VOCABULARY, "length": LENGTH, "batch": BATCH}
    settings |= {"steps": STEPS, "seed": 0, "torch": str(torch.__version__)}
    print(write_result("gradients_memory", {"settings": settings, "peaks": table}, packages=(*PACKAGES, "peft")))


if __name__ == "__main__":
    main()

"""What in-run recording costs a training, in CPU time, and that no recording changes a training.

Two trainings of the same seed, one recorded and one not, run in two threads that take turns step by step, on the same
batches, in alternating order: the same work a moment apart, so that the machine's drift cancels. A ratio is that of a
block of steps, of which the last flushes the records (the Trainer logs, and so flushes, every 10 steps by default).

    python recipes/benchmarks/recording.py
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import print_table, summary, write_result
from transformers import PrinterCallback, Trainer, TrainerCallback
from workload import LAYERS, PACKAGES, plain_trainer, quiet, sft_trainer

from hf_datasel import LossTrajectoryCallback, Trace

MAKERS: dict[str, Callable[..., Trainer]] = {"SFTTrainer": sft_trainer, "Trainer": plain_trainer}


@dataclass(frozen=True)
class Case:
    """A training to be timed."""

    trainer: str
    hidden_size: int
    vocabulary: int
    batch_size: int
    steps: int  # of a block, and between two logs
    pairs: int  # of blocks

    @property
    def name(self) -> str:
        return f"{self.trainer}_{self.hidden_size}_{self.vocabulary}"

    def make(self, folder: Path, **options: Any) -> Trainer:
        """Its trainer; an epoch is the blocks that are timed and one before them to warm up."""
        num_rows = (self.pairs + 1) * self.steps * self.batch_size
        settings = {
            "per_device_train_batch_size": self.batch_size,
            "logging_steps": self.steps,
            "num_train_epochs": 1,
            **options,
        }
        return MAKERS[self.trainer](folder, self.hidden_size, self.vocabulary, num_rows, **settings)


CASES = [
    Case("SFTTrainer", 256, 4096, batch_size=8, steps=5, pairs=30),
    Case("SFTTrainer", 64, 512, batch_size=8, steps=10, pairs=60),
    Case("Trainer", 256, 512, batch_size=8, steps=5, pairs=30),
    Case("Trainer", 256, 8192, batch_size=8, steps=5, pairs=30),
    Case("Trainer", 256, 32768, batch_size=4, steps=5, pairs=30),
]


class Turns(TrainerCallback):
    """Let a trainer run one step at a time and note its CPU seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._mine, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._start = 0.0

    def run_step(self) -> None:
        """Called from outside: let one step run, and wait for its end."""
        self._mine.release()
        self._done.acquire()

    def finish(self) -> None:
        """Called from outside: let the rest of the training run."""
        self._mine.release()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._wait()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds.append(time.thread_time() - self._start)
        self._done.release()
        self._wait()

    def _wait(self) -> None:
        self._mine.acquire()
        self._start = time.thread_time()


class Lane(threading.Thread):
    """A training in a thread of its own.

    Args:
        trainer: built, with its recorder if it has one.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(daemon=True)
        self.trainer, self.turns, self.total = trainer, Turns(), 0.0
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(self.turns)  # last, so that a recorder's flush is inside the step

    def run(self) -> None:
        torch.set_num_threads(1)  # a setting of the thread
        start = time.thread_time()
        self.trainer.train()
        self.total = time.thread_time() - start

    def blocks(self, steps: int) -> np.ndarray:
        """CPU seconds of each block of steps; the first block warms up and is left out."""
        return np.array(self.turns.seconds).reshape(-1, steps).sum(1)[1:]


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Ratio of the recorded training's blocks to the other's, block by block."""
    recorded, plain = case.make(folder / "recorded"), case.make(folder / "plain")
    recorded.add_callback(LossTrajectoryCallback(recorded, folder / "trace", mode="in_run"))
    lanes = [Lane(recorded), Lane(plain)]
    for lane in lanes:
        lane.start()
    for number in range((case.pairs + 1) * case.steps):
        for lane in lanes if number % 2 else reversed(lanes):
            lane.turns.run_step()
    for lane in lanes:
        lane.turns.finish()
        lane.join()
    if not torch.equal(weights(recorded), weights(plain)):
        raise RuntimeError(f"{case.name}: recording changed the weights.")
    Trace.load(folder / "trace").require_measured()
    above, below = (lane.blocks(case.steps) for lane in lanes)
    return {
        "measured": f"in-run recording, {case.trainer}, Llama {case.hidden_size} x {LAYERS[case.hidden_size]}, "
        f"vocabulary {case.vocabulary:,}",
        "reference": "the same training, not recorded",
        **summary([ours / theirs for ours, theirs in zip(above, below, strict=True)]),
        "ratio_of_sums": round(sum(above) / sum(below), 4),
        "whole_train_call": round(lanes[0].total / lanes[1].total, 4),
        "case": asdict(case),
    }


def unchanged(kind: str, mode: str, folder: Path) -> bool:
    """Whether a training with attention dropout ends in the same bits with recording as without."""
    found = []
    for recording in (False, True):
        case = Case(kind, 64, 512, batch_size=4, steps=5, pairs=3)
        trainer = case.make(folder / f"{kind}_{mode}_{recording}", num_train_epochs=2)
        trainer.remove_callback(PrinterCallback)
        for layer in trainer.model.model.layers:
            layer.self_attn.attention_dropout = 0.1
        if recording:
            trainer.add_callback(LossTrajectoryCallback(trainer, folder / f"{kind}_{mode}_trace", mode=mode))
        trainer.train()
        found.append(weights(trainer))
    return torch.equal(*found)


def main() -> None:
    """Check, measure every case, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Cost of in-run recording as paired ratios of CPU time.")
    parser.add_argument("--pairs", type=int, help="of every case, instead of its own number")
    parser.add_argument("--only", nargs="*", help="names of cases; nothing is written then")
    args = parser.parse_args()
    quiet()
    settings = {"seed": 0, "threads": 1, "clock": "thread_time", "weights_equal_after_timed_runs": True}
    result: dict[str, Any] = {"settings": settings, "training_bitwise_unchanged": {}}
    with tempfile.TemporaryDirectory() as root:
        for kind in MAKERS:
            for mode in ("in_run", "probe"):
                same = unchanged(kind, mode, Path(root))
                if not same:
                    raise RuntimeError(f"{kind}: recording in {mode} mode changed the weights.")
                result["training_bitwise_unchanged"][f"{kind}, {mode}"] = same
        for case in CASES:
            if args.only and case.name not in args.only:
                continue
            chosen = case if args.pairs is None else Case(**{**asdict(case), "pairs": args.pairs})
            result[case.name] = measure(chosen, Path(root) / case.name)
            entry = result[case.name]
            print(case.name, entry["median"], entry["interval"], entry["ratio_of_sums"], entry["whole_train_call"])
    entries = [entry for entry in result.values() if "median" in entry]
    print_table(
        ["measured", "ratio", "95% interval", "ratio of sums", "whole train() call"],
        [[e["measured"], e["median"], e["interval"], e["ratio_of_sums"], e["whole_train_call"]] for e in entries],
    )
    if not args.only:
        print(write_result("recording", result, packages=PACKAGES))


if __name__ == "__main__":
    main()

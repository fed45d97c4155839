"""What in-run recording costs a training step, in CPU time, and that no recording changes a training.

One training whose steps are recorded and not recorded in turn, both on the same batch: every batch comes twice, and
which of the two steps is recorded is drawn by lot. A recorded step also writes its records, which a training does only
where it logs, every ten steps by default. The ids in the batches are there in both.

    python -m recipes.benchmarks.recording
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer

from hf_datasel import LossTrajectoryCallback, Trace
from hf_datasel.fingerprint import EXAMPLE_ID
from recipes.benchmarks.common import COMMITTED, RESULTS, print_table, write_result
from recipes.benchmarks.gradient_workload import Switchboard, nothing, ratio, steady
from recipes.benchmarks.workload import LAYERS, PACKAGES, plain_trainer, sft_trainer

MAKERS: dict[str, Callable[..., Trainer]] = {"SFTTrainer": sft_trainer, "Trainer": plain_trainer}


@dataclass(frozen=True)
class Case:
    """A training to be timed."""

    trainer: str
    hidden_size: int
    vocabulary: int
    batch_size: int
    pairs: int  # of steps

    @property
    def name(self) -> str:
        return f"{self.trainer}_{self.hidden_size}_{self.vocabulary}"

    def make(self, folder: Path, num_rows: int, **options: Any) -> Trainer:
        """Its trainer, for one epoch."""
        settings = {"per_device_train_batch_size": self.batch_size, "num_train_epochs": 1, **options}
        return MAKERS[self.trainer](folder, self.hidden_size, self.vocabulary, num_rows, **settings)


CASES = [
    Case("SFTTrainer", 256, 4096, batch_size=8, pairs=120),
    Case("SFTTrainer", 64, 512, batch_size=8, pairs=400),
    Case("Trainer", 256, 512, batch_size=8, pairs=120),
    Case("Trainer", 256, 8192, batch_size=8, pairs=120),
    Case("Trainer", 256, 32768, batch_size=4, pairs=120),
]


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def every_batch_twice(trainer: Trainer, batch_size: int) -> None:
    """A batch's rows and then the same again, under ids of their own; the trainer takes rows in order."""
    once = trainer.train_dataset
    num_batches = len(once) // batch_size
    order = [row for k in range(num_batches) for row in 2 * list(range(k * batch_size, (k + 1) * batch_size))]
    ids = np.arange(len(order))
    trainer.train_dataset = once.select(order).remove_columns(EXAMPLE_ID).add_column(EXAMPLE_ID, ids)


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Ratio of a recorded step to one that is not, on the same batch."""
    trainer = case.make(folder / "training", (case.pairs + 1) * case.batch_size, train_sampling_strategy="sequential")
    every_batch_twice(trainer, case.batch_size)
    bare = trainer.compute_loss

    @functools.wraps(bare)
    def without_ids(model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        inputs.pop(EXAMPLE_ID, None)
        return bare(model, inputs, *args, **kwargs)

    callback = LossTrajectoryCallback(trainer, folder / "trace", mode="in_run")
    tapped, recorder = trainer.compute_loss, callback.recorder

    def use(compute_loss: Callable[..., Any]) -> Callable[[], None]:
        return lambda: setattr(trainer, "compute_loss", compute_loss)

    variants = {"recorded": (use(tapped), recorder._flush), "plain": (use(without_ids), nothing)}
    switchboard = Switchboard(variants, case.pairs)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(switchboard)
    trainer.train()
    records = recorder._log.read_all(recorder.records_dir)
    if len(records) != (case.pairs + 1) * case.batch_size:
        raise RuntimeError(f"{case.name}: {len(records)} rows were recorded.")
    what = f"{case.trainer}, Llama {case.hidden_size} x {LAYERS[case.hidden_size]}, vocabulary {case.vocabulary:,}"
    seconds = switchboard.seconds()
    return {
        **ratio(seconds, "recorded", "plain", f"in-run recording, {what}", "the same step, not recorded"),
        "ratio_of_sums": round(sum(seconds["recorded"]) / sum(seconds["plain"]), 4),
        "case": asdict(case),
    }


def unchanged(kind: str, mode: str, folder: Path) -> bool:
    """Whether a training with attention dropout ends in the same bits with recording as without."""
    found = []
    for recording in (False, True):
        case = Case(kind, 64, 512, batch_size=4, pairs=0)
        trainer = case.make(folder / f"{kind}_{mode}_{recording}", 80, num_train_epochs=2)
        trainer.remove_callback(PrinterCallback)
        for layer in trainer.model.model.layers:
            layer.self_attn.attention_dropout = 0.1
        if recording:
            trainer.add_callback(LossTrajectoryCallback(trainer, folder / f"{kind}_{mode}_trace", mode=mode))
        trainer.train()
        if recording:
            Trace.load(folder / f"{kind}_{mode}_trace").require_measured()
        found.append(weights(trainer))
    return torch.equal(*found)


def main() -> None:
    """Check, measure every case, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Cost of in-run recording as paired ratios of CPU time.")
    parser.add_argument("--pairs", type=int, help="of every case, instead of its own number")
    parser.add_argument("--only", nargs="*", help="names of cases; the committed result is then not touched")
    args = parser.parse_args()
    steady()
    settings = {"seed": 0, "threads": 1, "clock": "thread_time"}
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
            chosen = case if args.pairs is None else replace(case, pairs=args.pairs)
            result[case.name] = measure(chosen, Path(root) / case.name)
            entry = result[case.name]
            print(case.name, entry["median"], entry["interval"], entry["ratio_of_sums"])
    entries = [entry for entry in result.values() if "median" in entry]
    print_table(
        ["measured", "ratio", "95% interval", "ratio of sums"],
        [[e["measured"], e["median"], e["interval"], e["ratio_of_sums"]] for e in entries],
    )
    if not args.only or RESULTS != COMMITTED:
        print(write_result("recording", result, packages=PACKAGES))


if __name__ == "__main__":
    main()

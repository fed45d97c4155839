"""What scoring from training's own backward costs a training, and how a direction of low rank ranks the examples.

Trainings of the same seed, one plain and the others recorded, run in threads that take turns step by step on the same
batches, in an order that turns: the same work a moment apart, so that the machine's drift cancels. A ratio is that of
a block of steps in CPU time. All trainings see the same batches and, since recording changes no bit of a training, the
same weights, so the scores of a low-rank direction and of an exact one are of the same gradients.

The rows are chunks of 128 tokens of a text; the model is trained on other chunks first, because the gradients of an
untrained model are no evidence. `--text` is a JSON Lines file with the columns `prompt` and `completion`.

    python recipes/benchmarks/gradients_in_run.py --text gsm8k_train.jsonl
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import print_table, summary, write_result
from gradient_workload import (
    BATCH,
    HIDDEN,
    LENGTH,
    NAMES,
    VOCABULARY,
    make_model,
    make_trainer,
    rank_correlation,
    steady,
)
from recording import Lane, weights
from text_rows import Chunks, pretrained
from workload import PACKAGES

from hf_datasel import GradientTraceCallback, Trace

LANES: dict[str, dict[str, Any]] = {
    "exact": {},
    "low_rank_8": {"low_rank": 8},
    "low_rank_16": {"low_rank": 16},
    "every_4": {"score_every": 4},
}
WHAT = {
    "exact": "in-run scoring, exact",
    "low_rank_8": "in-run scoring, direction of rank 8",
    "low_rank_16": "in-run scoring, direction of rank 16",
    "every_4": "in-run scoring of every 4th step, exact",
}
PLAIN = "the same training, not recorded"


def measure(kind: str, chunks: Chunks, base: dict[str, torch.Tensor], args: Any, folder: Path) -> dict[str, Any]:
    """Ratios of every recorded training's blocks to the plain one's, and the correlation of their scores."""
    first = make_model(kind, base)
    num_steps = (args.blocks + 1) * args.steps
    train = chunks.rows(num_steps * BATCH, "train")
    lanes = {}
    names = args.lanes or [*LANES, "plain"]
    for name in names:
        trainer = make_trainer(
            folder / name,
            copy.deepcopy(first),
            train,
            num_train_epochs=1,
            logging_steps=args.steps,
            learning_rate=args.learning_rate,
        )
        if name != "plain":
            trainer.add_callback(
                GradientTraceCallback(
                    trainer,
                    folder / name / "trace",
                    mode="in_run",
                    validation_dataset=chunks.rows(128, "validation"),
                    num_checkpoints=1,
                    **LANES[name],
                )
            )
        lanes[name] = Lane(trainer)
    for lane in lanes.values():
        lane.start()
    for step in range(num_steps):
        order = list(lanes.values())
        for lane in order[step % len(order) :] + order[: step % len(order)]:
            lane.turns.run_step()
    for lane in lanes.values():
        lane.turns.finish()
        lane.join()
    plain = lanes["plain"]
    for name, lane in lanes.items():
        if not torch.equal(weights(lane.trainer), weights(plain.trainer)):
            raise RuntimeError(f"{kind}: {name} changed the weights.")
    below = plain.blocks(args.steps)
    result: dict[str, Any] = {}
    for name, lane in lanes.items():
        if name != "plain":
            above = lane.blocks(args.steps)
            result[f"{name}_{kind}"] = {
                "measured": f"{WHAT[name]}, {NAMES[kind]}, Llama {HIDDEN} x 6",
                "reference": PLAIN,
                **summary([ours / theirs for ours, theirs in zip(above, below, strict=True)]),
                "ratio_of_sums": round(float(sum(above) / sum(below)), 4),
            }
    result[f"scores_{kind}"] = agreement(folder, [name for name in names if name.startswith("low_rank")])
    return result


def agreement(folder: Path, names: list[str]) -> dict[str, Any]:
    """Spearman's correlation of each low-rank score with the exact one, and the share of energy that is kept."""
    exact = Trace.load(folder / "exact" / "trace").column(0)
    found = {}
    for name in names:
        trace = Trace.load(folder / name / "trace")
        found[name] = {
            "spearman": round(rank_correlation(trace.column(0), exact), 5),
            "largest_error": float(np.abs(trace.column(0) - exact).max() / np.abs(exact).max()),
        }
    return {"num_examples": len(exact), **found}


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Cost of in-run scoring as paired ratios of CPU time.")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=12, help="that are timed; one more warms up")
    parser.add_argument("--steps", type=int, default=4, help="of a block")
    parser.add_argument("--pretraining", type=int, default=120, help="steps before")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--kinds", nargs="*", default=list(NAMES))
    parser.add_argument("--lanes", nargs="*")
    parser.add_argument("--cache", type=Path, help="of the pretrained weights, while trying things out")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    args = parser.parse_args()
    steady()
    chunks = Chunks(args.text, VOCABULARY, LENGTH)
    base = pretrained(make_model("full"), chunks, args.pretraining, BATCH, args.cache)
    settings = {"hidden_size": HIDDEN, "num_layers": 6, "vocabulary": VOCABULARY, "length": LENGTH, "batch": BATCH}
    settings |= {"text": args.text.stem, "pretraining_steps": args.pretraining, "num_validation": 128, "seed": 0}
    settings |= {"steps_of_a_block": args.steps, "threads": 1, "clock": "thread_time"}
    result: dict[str, Any] = {"settings": settings, "weights_equal_after_timed_runs": True}
    for kind in args.kinds:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(kind, chunks, base, args, Path(folder))
        print({name: entry.get("median", entry) for name, entry in found.items()}, flush=True)
        result |= found
    entries = [entry for entry in result.values() if isinstance(entry, dict) and "median" in entry]
    print_table(
        ["measured", "ratio", "95% interval", "ratio of sums"],
        [[entry["measured"], entry["median"], entry["interval"], entry["ratio_of_sums"]] for entry in entries],
    )
    if not args.dry:
        print(write_result("gradients_in_run", result, packages=(*PACKAGES, "peft")))


if __name__ == "__main__":
    main()

"""What scoring from training's own backward costs a training, and how a direction of low rank ranks the examples.

Several trainers, one plain and the others recorded, share one model and its optimizer (so that the weights lie at the
same place in memory, which alone can make a difference of some percent) and take turns step by step on the same
batches, in a random order: the same work a moment apart, so that the machine's drift cancels. The learning rate is 0,
which costs an optimizer the same and lets all of them score the same gradients. A ratio is that of a block of steps in
CPU time; "null" is a second plain trainer, which says what the method itself is worth.

The rows are chunks of 128 tokens of a text; the model is trained on other chunks first, because the gradients of an
untrained model are no evidence. `--text` is a JSON Lines file with the columns `prompt` and `completion`.

    python recipes/benchmarks/gradients_in_run.py --text gsm8k_train.jsonl
"""

from __future__ import annotations

import argparse
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
    in_turns,
    make_model,
    make_trainer,
    rank_correlation,
    steady,
)
from text_rows import Chunks, pretrained
from workload import PACKAGES

from hf_datasel import GradientTraceCallback, Trace

WHAT = {
    "exact": "in-run scoring",
    "low_rank": "in-run scoring, direction of rank {}",
    "every_4": "in-run scoring of every 4th step",
    "null": "a second plain trainer",
}
PLAIN = "the same training, not recorded"
RANK = 8


def measure(kind: str, chunks: Chunks, base: dict[str, torch.Tensor], args: Any, folder: Path) -> dict[str, Any]:
    """Ratios of every recorded training's blocks to the plain one's, and the correlation of their scores."""
    options: dict[str, dict[str, Any] | None] = {
        "exact": {},
        "low_rank": {"low_rank": RANK},  # of an adapter's matrices, which are skinny, nothing is cut
        "every_4": {"score_every": 4},
        "null": None,
        "plain": None,
    }
    num_steps = (args.blocks + 1) * args.steps
    settings = {"num_train_epochs": 1, "logging_steps": args.steps, "learning_rate": 0.0}
    rows, validation = chunks.rows(num_steps * BATCH, "train"), chunks.rows(args.validation, "validation")
    trainers: dict[str, Any] = {}
    model: Any = make_model(kind, base)
    for name in args.lanes or options:
        first = next(iter(trainers.values()), None)
        trainer = make_trainer(folder / name, model, rows, like=first, **settings)
        trainers[name] = trainer
        if options[name] is not None:
            trainer.add_callback(
                GradientTraceCallback(
                    trainer,
                    folder / name / "trace",
                    mode="in_run",
                    validation_dataset=validation,
                    num_checkpoints=1,
                    **options[name],
                )
            )
    seconds = in_turns(trainers, num_steps, args.steps)
    result: dict[str, Any] = {}
    for name in trainers:
        if name != "plain":
            pairs = [ours / theirs for ours, theirs in zip(seconds[name], seconds["plain"], strict=True)]
            result[f"{name}_{kind}"] = {
                "measured": f"{WHAT[name].format(RANK)}, {NAMES[kind]}, Llama {HIDDEN} x 6",
                "reference": PLAIN,
                **summary(pairs),
                "ratio_of_sums": round(float(sum(seconds[name]) / sum(seconds["plain"])), 4),
            }
    if "low_rank" in trainers and "exact" in trainers:
        exact, low = (Trace.load(folder / name / "trace").column(0) for name in ("exact", "low_rank"))
        result[f"scores_{kind}"] = {
            "rank": RANK,
            "num_examples": len(exact),
            "spearman": round(rank_correlation(low, exact), 6),
            "largest_error": float(np.abs(low - exact).max() / np.abs(exact).max()),
        }
    return result


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Cost of in-run scoring as paired ratios of CPU time.")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=10, help="that are timed; one more warms up")
    parser.add_argument("--steps", type=int, default=4, help="of a block")
    parser.add_argument("--pretraining", type=int, default=120, help="steps before")
    parser.add_argument("--validation", type=int, default=128, help="rows that make the direction")
    parser.add_argument("--kinds", nargs="*", default=list(NAMES))
    parser.add_argument("--lanes", nargs="*")
    parser.add_argument("--cache", type=Path, help="of the pretrained weights, while trying things out")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    args = parser.parse_args()
    steady()
    chunks = Chunks(args.text, VOCABULARY, LENGTH)
    base = pretrained(make_model("full"), chunks, args.pretraining, BATCH, args.cache)
    settings = {"hidden_size": HIDDEN, "num_layers": 6, "vocabulary": VOCABULARY, "length": LENGTH, "batch": BATCH}
    settings |= {"text": args.text.stem, "pretraining_steps": args.pretraining, "num_validation": args.validation}
    settings |= {"steps_of_a_block": args.steps, "seed": 0, "threads": 1, "clock": "thread_time"}
    result: dict[str, Any] = {"settings": settings}
    for kind in args.kinds:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(kind, chunks, base, args, Path(folder))
        print({name: entry.get("median", entry) for name, entry in found.items()}, flush=True)
        result |= found
    entries = [entry for entry in result.values() if "median" in entry]
    print_table(
        ["measured", "ratio", "95% interval", "ratio of sums"],
        [[entry["measured"], entry["median"], entry["interval"], entry["ratio_of_sums"]] for entry in entries],
    )
    if not args.dry:
        print(write_result("gradients_in_run", result, packages=(*PACKAGES, "peft")))


if __name__ == "__main__":
    main()

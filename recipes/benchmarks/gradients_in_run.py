"""What scoring from training's own backward costs a training, and how a direction of low rank ranks the examples.

One training, in one thread: its steps are plain, or scored by an exact direction, or by one of low rank, in a random
order within blocks that hold each once. A ratio compares a scored step with the plain one of its block, in CPU time;
"null" is a second plain step, which says what the method itself is worth, and "unscored" a step that `score_every`
leaves out. The last row puts them together as `score_every=4` does.

The rows are chunks of 128 tokens of a text; the model is trained on other chunks first, because the gradients of an
untrained model are no evidence. `--text` is a JSON Lines file with the columns `prompt` and `completion`.

    python -m recipes.benchmarks.gradients_in_run --text gsm8k_train.jsonl
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback

from hf_datasel import GradientTraceCallback
from hf_datasel.training.influence.engine import Influence, InfluenceOptions
from hf_datasel.training.influence.frame import ALL
from recipes.benchmarks.common import print_table, spearman, write_result
from recipes.benchmarks.gradient_workload import (
    BATCH,
    HIDDEN,
    LENGTH,
    NAMES,
    VOCABULARY,
    Scoring,
    Switchboard,
    make_model,
    make_trainer,
    nothing,
    ratio,
    steady,
)
from recipes.benchmarks.text_rows import Chunks, pretrained
from recipes.benchmarks.workload import PACKAGES

MODEL = f"Llama {HIDDEN} x 6"
RANK = 8
WHAT = {
    "exact": "in-run scoring",
    "low_rank": f"in-run scoring, direction of rank {RANK}",
    "unscored": "a step that score_every leaves out",
    "null": "a second plain step",
}
PLAIN = "a plain step of the same training"


def measure(kind: str, chunks: Chunks, base: dict[str, torch.Tensor], args: Any, folder: Path) -> dict[str, Any]:
    """Ratios of every variant of a step to the plain one, and the correlation of the scores."""
    num_steps = (args.blocks + 1) * (len(WHAT) + 1)
    rows, validation = chunks.rows(num_steps * BATCH, "train"), chunks.rows(args.validation, "validation")
    trainer = make_trainer(folder, make_model(kind, base), rows, num_train_epochs=1, logging_steps=1000)
    trainer.remove_callback(PrinterCallback)
    callback = GradientTraceCallback(
        trainer, folder / "trace", mode="in_run", validation_dataset=validation, num_checkpoints=1
    )
    trainer.add_callback(callback)
    scoring = Scoring(callback, {"exact": None, "low_rank": RANK})
    board = Switchboard(
        {
            "exact": (lambda: scoring.scored("exact"), scoring.flush),
            "low_rank": (lambda: scoring.scored("low_rank"), scoring.flush),
            "unscored": (scoring.unscored, nothing),
            "null": (scoring.plain, nothing),
            "plain": (scoring.plain, nothing),
        },
        args.blocks,
    )
    trainer.add_callback(board)
    trainer.train()
    seconds = board.seconds()
    result: dict[str, Any] = {}
    for name, what in WHAT.items():
        result[f"{name}_{kind}"] = ratio(seconds, name, "plain", f"{what}, {NAMES[kind]}, {MODEL}", PLAIN)
    every_4 = [(first + 3 * other) / 4 for first, other in zip(seconds["exact"], seconds["unscored"], strict=True)]
    what = f"in-run scoring of every 4th step, {NAMES[kind]}, {MODEL}"
    result[f"every_4_{kind}"] = ratio({**seconds, "every_4": every_4}, "every_4", "plain", what, PLAIN)
    return {**result, f"scores_{kind}": agreement(trainer, validation, args.scored)}


def agreement(trainer: Any, validation: Any, num_scored: int) -> dict[str, Any]:
    """How the scores of a low-rank direction and of the exact one agree, under the weights the training ended with."""
    found, kept = {}, 1.0
    for name, rank in (("exact", None), ("low_rank", RANK)):
        options = InfluenceOptions(low_rank=rank)
        rows = trainer.train_dataset.select(range(min(num_scored, len(trainer.train_dataset))))
        engine = Influence(trainer, rows, validation, {}, None, options, BATCH * LENGTH)
        directions = engine.directions()
        found[name] = engine.score(engine.train, directions, "").columns["influence"]
        kept = min([1.0, *directions[ALL].energy.values()])
    error = np.abs(found["low_rank"] - found["exact"]).max() / np.abs(found["exact"]).max()
    return {
        "rank": RANK,
        "num_examples": len(found["exact"]),
        "spearman": round(spearman(found["low_rank"], found["exact"]), 6),
        "largest_error": float(error),
        "least_energy_kept_of_a_matrix": round(kept, 4),
    }


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Cost of in-run scoring as paired ratios of CPU time.")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=30, help="of a step of each kind that are timed")
    parser.add_argument("--pretraining", type=int, default=120, help="steps before")
    parser.add_argument("--validation", type=int, default=128, help="rows that make the direction")
    parser.add_argument("--scored", type=int, default=512, help="rows at most whose scores are compared")
    parser.add_argument("--kinds", nargs="*", default=list(NAMES))
    parser.add_argument("--cache", type=Path, help="of the pretrained weights, while trying things out")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    args = parser.parse_args()
    steady()
    chunks = Chunks(args.text, VOCABULARY, LENGTH)
    base = pretrained(make_model("full"), chunks, args.pretraining, BATCH, args.cache)
    settings = {"hidden_size": HIDDEN, "num_layers": 6, "vocabulary": VOCABULARY, "length": LENGTH, "batch": BATCH}
    settings |= {"text": args.text.stem, "pretraining_steps": args.pretraining, "num_validation": args.validation}
    settings |= {"seed": 0, "threads": 1, "clock": "thread_time"}
    result: dict[str, Any] = {"settings": settings}
    for kind in args.kinds:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(kind, chunks, base, args, Path(folder))
        print({name: entry.get("median", entry) for name, entry in found.items()}, flush=True)
        result |= found
    entries = [entry for entry in result.values() if "median" in entry]
    print_table(
        ["measured", "ratio", "95% interval"],
        [[entry["measured"], entry["median"], entry["interval"]] for entry in entries],
    )
    if not args.dry:
        print(write_result("gradients_in_run", result, packages=(*PACKAGES, "peft")))


if __name__ == "__main__":
    main()

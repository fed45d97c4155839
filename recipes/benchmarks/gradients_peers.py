"""Per-example gradients beside bergson's, in one run: its Trainer callback in training, and its scorer in sweeps.

Run it with an interpreter that has bergson installed beside hf_datasel (`pip install bergson==2.5.1`): everything is
timed in one process, one thread and on one model, in CPU time. In training the steps of one run are plain, scored by
us, or collected by bergson's callback, in a random order within blocks that hold each once.

    python -m recipes.benchmarks.gradients_peers --text gsm8k_train.jsonl
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback

from hf_datasel import GradientTraceCallback
from hf_datasel.training.influence.engine import Influence, InfluenceOptions
from hf_datasel.training.influence.frame import ALL
from recipes.benchmarks import peers
from recipes.benchmarks.common import interleaved, print_table, write_result
from recipes.benchmarks.gradient_workload import (
    BATCH,
    HIDDEN,
    LENGTH,
    NAMES,
    VOCABULARY,
    Scoring,
    Switchboard,
    forward_backward,
    make_model,
    make_trainer,
    nothing,
    padded_batches,
    ratio,
    steady,
)
from recipes.benchmarks.gradients import one_by_one
from recipes.benchmarks.text_rows import Chunks, pretrained
from recipes.benchmarks.workload import PACKAGES

RANK = 8
CALLBACKS = {
    "exact": "hf_datasel in_run, all parameters, exact",
    "low_rank": f"hf_datasel in_run, all parameters, rank {RANK}",
    "bergson": "bergson callback, raw gradients",
    "bergson_adam": "bergson callback, its defaults (divided by Adam's moments)",
}
SWEEPS = {
    "exact": "hf_datasel sweep, all parameters, exact",
    "low_rank": f"hf_datasel sweep, all parameters, rank {RANK}",
    "same": "hf_datasel sweep of the parameters bergson covers, exact",
    "bergson": "bergson scorer of one query",
    "bergson_tokens": "bergson scorer of one query, token by token",
    "one_by_one": "a forward and backward for each example",
}
KINDS = ("full", "lora_qv", "lora_linears")
PLAIN_STEP, PLAIN_PASS = "a plain step of the same training", "plain forward + backward, batches of 16"


def train(kind: str, chunks: Chunks, base: dict[str, torch.Tensor], args: Any, folder: Path) -> dict[str, list[float]]:
    """CPU seconds of plain steps, of steps that we score, and of steps from which bergson collects."""
    num_steps = (args.blocks + 1) * (len(CALLBACKS) + 1)
    rows, validation = chunks.rows(num_steps * BATCH, "train"), chunks.rows(64, "validation")
    trainer = make_trainer(folder, make_model(kind, base), rows, num_train_epochs=1, logging_steps=1000)
    trainer.remove_callback(PrinterCallback)
    callback = GradientTraceCallback(
        trainer, folder / "trace", mode="in_run", validation_dataset=validation, num_checkpoints=1
    )
    trainer.add_callback(callback)
    collecting = peers.Collecting(trainer, folder / "gradients")  # after ours, which reads the collator: it changes it
    scoring = Scoring(callback, {"exact": None, "low_rank": RANK})

    def plain() -> None:
        scoring.plain()
        collecting.off()

    def score(name: str) -> None:
        scoring.scored(name)
        collecting.off()

    def collect(use_optimizer_state: bool) -> None:
        scoring.plain()
        collecting.on(use_optimizer_state)

    board = Switchboard(
        {
            "exact": (lambda: score("exact"), scoring.flush),
            "low_rank": (lambda: score("low_rank"), scoring.flush),
            "bergson": (lambda: collect(False), nothing),
            "bergson_adam": (lambda: collect(True), nothing),
            "plain": (plain, nothing),
        },
        args.blocks,
    )
    trainer.add_callback(board)
    trainer.train()
    return board.seconds()


@contextmanager
def needing(model: Any, wanted: Callable[[str], bool]) -> Any:
    """Only parameters whose name is wanted need gradients within the body."""
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    try:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted(name))
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])


def sweeps(kind: str, chunks: Chunks, base: dict[str, torch.Tensor], args: Any, folder: Path) -> tuple[Any, Any]:
    """CPU seconds of each kind of sweep over the same rows, and how far bergson's scores are from ours."""
    model, rows = make_model(kind, base), chunks.rows(args.rows, "train")
    trainer = make_trainer(folder, model, rows)
    model.eval()
    _, _, names = peers.covered(model)
    pattern = "^(" + "|".join(re.escape(name) for name in names.values()) + ")$"
    todo: dict[str, Callable[[], Any]] = {}
    directions = {}
    for name, options in (("exact", {}), ("low_rank", {"low_rank": RANK}), ("same", {"parameters": pattern})):
        validation = chunks.rows(64, "validation")
        engine = Influence(
            trainer, trainer.train_dataset, validation, {}, None, InfluenceOptions(**options), BATCH * LENGTH
        )
        directions[name] = engine.directions()
        todo[name] = lambda engine=engine, toward=directions[name]: engine.score(engine.train, toward, "")
    batches = [list(range(start, start + BATCH)) for start in range(0, len(rows), BATCH)]
    gradients = directions["exact"][ALL].gradients
    for name, by_token in (("bergson", False), ("bergson_tokens", True)):
        sweep = peers.scorer(model, rows, gradients, batches, by_token)

        def frozen(sweep: Callable[[], Any] = sweep) -> Any:
            with needing(model, lambda parameter: "embed_tokens" in parameter):
                return sweep()

        todo[name] = frozen
    todo["one_by_one"] = one_by_one(model, rows, gradients)
    todo["plain"] = forward_backward(model, padded_batches(rows))
    ours, theirs = todo["same"]().columns["influence"], todo["bergson"]().numpy()
    difference = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    return interleaved(todo, args.rounds), {"largest_difference_of_scores": difference}


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Per-example gradients beside bergson's, as paired ratios.")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=16, help="of a step of each kind that are timed")
    parser.add_argument("--rounds", type=int, default=10, help="of sweeps")
    parser.add_argument("--rows", type=int, default=32, help="of a sweep")
    parser.add_argument("--pretraining", type=int, default=120, help="steps before")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--cache", type=Path, help="of the pretrained weights, while trying things out")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    args = parser.parse_args()
    steady()
    peers.quiet()
    chunks = Chunks(args.text, VOCABULARY, LENGTH)
    base = pretrained(make_model("full"), chunks, args.pretraining, BATCH, args.cache)
    settings = {"hidden_size": HIDDEN, "num_layers": 6, "vocabulary": VOCABULARY, "length": LENGTH, "batch": BATCH}
    settings |= {"text": args.text.stem, "num_rows_of_a_sweep": args.rows, "seed": 0}
    settings |= {"threads": 1, "clock": "thread_time"}
    result: dict[str, Any] = {"settings": settings}
    for kind in args.kinds:
        size = f"{NAMES[kind]}, Llama {HIDDEN} x 6"
        with tempfile.TemporaryDirectory() as folder:
            steps = train(kind, chunks, base, args, Path(folder))
        for name, what in CALLBACKS.items():
            result[f"train_{name}_{kind}"] = ratio(steps, name, "plain", f"{what}; {size}", PLAIN_STEP)
        for ours, theirs in (("low_rank", "bergson"), ("exact", "bergson"), ("exact", "bergson_adam")):
            result[f"train_{ours}_over_{theirs}_{kind}"] = ratio(
                steps, ours, theirs, f"{CALLBACKS[ours]}; {size}", CALLBACKS[theirs]
            )
        with tempfile.TemporaryDirectory() as folder:
            seconds, checks = sweeps(kind, chunks, base, args, Path(folder))
        result[f"checks_{kind}"] = checks
        for name, what in SWEEPS.items():
            result[f"sweep_{name}_{kind}"] = ratio(seconds, name, "plain", f"{what}; {size}", PLAIN_PASS)
        for ours, theirs in (("exact", "bergson"), ("same", "bergson"), ("exact", "bergson_tokens")):
            result[f"sweep_{ours}_over_{theirs}_{kind}"] = ratio(
                seconds, ours, theirs, f"{SWEEPS[ours]}; {size}", SWEEPS[theirs]
            )
        print(kind, {name: e["median"] for name, e in result.items() if name.endswith(kind) and "median" in e}, checks)
    entries = [entry for entry in result.values() if "median" in entry]
    print_table(
        ["measured", "against", "ratio", "95% interval"],
        [[entry["measured"], entry["reference"], entry["median"], entry["interval"]] for entry in entries],
    )
    if not args.dry:
        print(write_result("gradients_peers", result, packages=(*PACKAGES, "peft", peers.PACKAGE)))


if __name__ == "__main__":
    main()

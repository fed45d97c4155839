"""Per-example gradients beside bergson's, in one run: its Trainer callback in training, and its scorer in sweeps.

Run it with an interpreter that has bergson installed beside hf_datasel (`pip install bergson==2.5.1`): everything is
timed in one process and one thread, in CPU time, in turns. In training, three fresh copies of every model are timed,
because where a model lies in memory can make some percent. In sweeps all share one model.

    python recipes/benchmarks/gradients_peers.py --text gsm8k_train.jsonl
"""

from __future__ import annotations

import argparse
import copy
import re
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from common import print_table, summary, write_result
from gradient_workload import (
    BATCH,
    HIDDEN,
    LENGTH,
    NAMES,
    VOCABULARY,
    forward_backward,
    in_turns,
    interleaved,
    make_model,
    make_trainer,
    padded_batches,
    ratio,
    steady,
)
from gradients import one_by_one
from text_rows import Chunks, pretrained
from workload import PACKAGES

from hf_datasel import GradientTraceCallback
from hf_datasel.training.influence.engine import Influence, InfluenceOptions
from hf_datasel.training.influence.frame import ALL

CALLBACKS = {
    "exact": "hf_datasel in_run, all parameters, exact",
    "low_rank": "hf_datasel in_run, all parameters, rank {}",
    "bergson": "bergson callback, raw gradients",
    "bergson_adam": "bergson callback, its defaults (divided by Adam's moments)",
}
SWEEPS = {
    "exact": "hf_datasel sweep, all parameters, exact",
    "low_rank": "hf_datasel sweep, all parameters, rank {}",
    "same": "hf_datasel sweep of the parameters bergson covers, exact",
    "bergson": "bergson scorer of one query",
    "bergson_tokens": "bergson scorer of one query, token by token",
    "one_by_one": "a forward and backward for each example",
}
RANK = 8
KINDS = ("full", "lora_qv", "lora_linears")
PLAIN_STEP, PLAIN_PASS = "the same training, nothing recorded", "plain forward + backward, batches of 16"


def train(kind: str, chunks: Chunks, base: dict[str, torch.Tensor], args: Any, folder: Path) -> dict[str, np.ndarray]:
    """CPU seconds of blocks of steps, of each callback and of a plain trainer, each on a model of its own."""
    first, num_steps = make_model(kind, base), (args.blocks + 1) * args.steps
    rows, validation = chunks.rows(num_steps * BATCH, "train"), chunks.rows(64, "validation")
    trainers = {}
    for name in [*CALLBACKS, "plain"]:
        settings = {"num_train_epochs": 1, "logging_steps": args.steps, "learning_rate": 1e-5}
        trainer = make_trainer(folder / name, copy.deepcopy(first), rows, **settings)
        if name.startswith("bergson"):
            peers.add_callback(trainer, folder / name / "gradients", use_optimizer_state=name == "bergson_adam")
        elif name != "plain":
            rank = RANK if name == "low_rank" else None
            trainer.add_callback(
                GradientTraceCallback(
                    trainer,
                    folder / name / "trace",
                    mode="in_run",
                    validation_dataset=validation,
                    num_checkpoints=1,
                    low_rank=rank,
                )
            )
        trainers[name] = trainer
    return in_turns(trainers, num_steps, args.steps)


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
    parser.add_argument("--blocks", type=int, default=4, help="of a copy that are timed; one more warms up")
    parser.add_argument("--steps", type=int, default=2, help="of a block")
    parser.add_argument("--copies", type=int, default=3, help="of every model in training")
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
    settings |= {"text": args.text.stem, "num_copies": args.copies, "num_rows_of_a_sweep": args.rows, "seed": 0}
    settings |= {"threads": 1, "clock": "thread_time"}
    result: dict[str, Any] = {"settings": settings}
    for kind in args.kinds:
        size = f"{NAMES[kind]}, Llama {HIDDEN} x 6"
        pairs: dict[str, list[float]] = {name: [] for name in CALLBACKS}
        for number in range(args.copies):
            with tempfile.TemporaryDirectory() as folder:
                found = train(kind, chunks, base, args, Path(folder) / str(number))
            for name in CALLBACKS:
                pairs[name] += (found[name] / found["plain"]).tolist()
        for name, what in CALLBACKS.items():
            measured = f"{what.format(RANK)}; {size}"
            result[f"train_{name}_{kind}"] = {"measured": measured, "reference": PLAIN_STEP, **summary(pairs[name])}
        for ours, theirs in (("low_rank", "bergson"), ("exact", "bergson_adam"), ("exact", "bergson")):
            beside = [first / second for first, second in zip(pairs[ours], pairs[theirs], strict=True)]
            entry = {"measured": f"{CALLBACKS[ours].format(RANK)}; {size}", "reference": CALLBACKS[theirs]}
            result[f"train_{ours}_over_{theirs}_{kind}"] = {**entry, **summary(beside)}
        with tempfile.TemporaryDirectory() as folder:
            seconds, checks = sweeps(kind, chunks, base, args, Path(folder))
        result[f"checks_{kind}"] = checks
        for name, what in SWEEPS.items():
            result[f"sweep_{name}_{kind}"] = ratio(seconds, name, "plain", f"{what.format(RANK)}; {size}", PLAIN_PASS)
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

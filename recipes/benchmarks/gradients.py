"""What a score-only sweep costs beside a plain batched forward and backward, and beside scoring one by one.

Everything is timed in one run and one thread, in CPU time, round by round in alternating order. The plain forward and
backward takes the same rows in batches of 16, in the order they have, padded to the longest of each; the sweep takes
them as it does in a training, sorted by length. The loop over single examples is what the published code of CLUES,
LESS and DataInf runs: a forward, a backward and an inner product for each.

    python -m recipes.benchmarks.gradients
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_datasel.training.influence.engine import Influence, InfluenceOptions
from hf_datasel.training.influence.frame import ALL
from recipes.benchmarks.common import interleaved, print_table, write_result
from recipes.benchmarks.gradient_workload import (
    BATCH,
    HIDDEN,
    LENGTH,
    NAMES,
    VOCABULARY,
    forward_backward,
    make_model,
    make_trainer,
    padded_batches,
    ratio,
    steady,
    token_rows,
)
from recipes.benchmarks.workload import PACKAGES

RANK = 8
SWEEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "exact": ("score-only sweep", {}),
    "low_rank": (f"score-only sweep, direction of rank {RANK}", {"low_rank": RANK}),
    "norms": ("score-only sweep with norms (cosine)", {"norms": True}),
}
PLAIN = "plain forward + backward, batches of 16"
# Mean over the greatest length, rows over those asked for, and tokens of a sweep's batch: from a pool of thousands a
# batch of any size holds rows of one length; from these few only a small one does.
FILLS = {"": (1.0, 1, BATCH * LENGTH), "_61_percent_filled": (0.56, 2, 4 * LENGTH)}


def one_by_one(model: Any, rows: Any, direction: dict[str, torch.Tensor]) -> Callable[[], list[float]]:
    """The loop of the published code, without its pickling."""
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    examples = [torch.tensor([tokens]) for tokens in rows["input_ids"]]

    def work() -> list[float]:
        scores = []
        for ids in examples:
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
            scores.append(sum(float((parameter.grad * direction[name]).sum()) for name, parameter in named.items()))
            model.zero_grad(set_to_none=True)
        return scores

    return work


def works(
    kind: str,
    fill: float,
    num_rows: int,
    tokens_per_batch: int,
    folder: Path,
    *,
    hidden_size: int = HIDDEN,
    sweeps: Sequence[str] = tuple(SWEEPS),
) -> tuple[dict[str, Callable[[], object]], dict]:
    """Sweeps, "exact" first, and their references on one model and set of rows, and how far scores are apart."""
    model = make_model(kind, hidden_size=hidden_size)
    rows = token_rows(num_rows, fill)
    trainer = make_trainer(folder, model, rows)
    model.eval()
    found: dict[str, np.ndarray] = {}
    todo: dict[str, Callable[[], object]] = {}
    exact = None
    for name in sweeps:
        _, options = SWEEPS[name]
        validation = token_rows(32, seed=1)
        engine = Influence(
            trainer, trainer.train_dataset, validation, {}, None, InfluenceOptions(**options), tokens_per_batch
        )
        directions = engine.directions()
        exact = directions[ALL] if exact is None else exact
        todo[name] = lambda engine=engine, directions=directions: engine.score(engine.train, directions, "")
        found[name] = todo[name]().columns["influence"]
    todo["one_by_one"] = one_by_one(model, rows, exact.gradients)
    todo["plain"] = forward_backward(model, padded_batches(rows))
    loop = np.array(todo["one_by_one"]())
    padded = sum(batch["input_ids"].numel() for batch in padded_batches(rows))
    checks = {
        "largest_difference_from_one_by_one": float(np.abs(found["exact"] - loop).max() / np.abs(loop).max()),
        "fill": sum(map(len, rows["input_ids"])) / padded,
    }
    return todo, checks


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Cost of a score-only sweep as paired ratios of CPU time.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=32, help="that fill a batch; twice as many where they do not")
    parser.add_argument("--kinds", nargs="*", default=["full", "lora_qv"])
    parser.add_argument("--fills", nargs="*", default=list(FILLS))
    parser.add_argument("--dry", action="store_true", help="write nothing")
    args = parser.parse_args()
    steady()
    settings = {"hidden_size": HIDDEN, "num_layers": 6, "vocabulary": VOCABULARY, "length": LENGTH, "batch": BATCH}
    settings |= {"num_rows": args.rows, "rank": RANK, "seed": 0, "threads": 1, "clock": "thread_time"}
    settings |= {"tokens_per_batch": {suffix: FILLS[suffix][2] for suffix in args.fills}}
    result: dict[str, Any] = {"settings": settings, "checks": {}}
    for kind in args.kinds:
        for suffix in args.fills:
            fill, times, tokens_per_batch = FILLS[suffix]
            with tempfile.TemporaryDirectory() as folder:
                todo, checks = works(kind, fill, times * args.rows, tokens_per_batch, Path(folder))
            result["checks"][kind + suffix] = checks
            seconds = interleaved(todo, args.rounds)
            size = f"{NAMES[kind]}, Llama {HIDDEN} x 6, {checks['fill']:.0%} filled"
            for name, (what, _) in SWEEPS.items():
                result[f"{name}_{kind}{suffix}"] = ratio(seconds, name, "plain", f"{what}, {size}", PLAIN)
            result[f"one_by_one_{kind}{suffix}"] = ratio(
                seconds, "exact", "one_by_one", f"score-only sweep, {size}", "a forward and backward for each example"
            )
            print(kind + suffix, {k: v["median"] for k, v in result.items() if k.endswith(kind + suffix)}, flush=True)
    entries = [entry for entry in result.values() if "median" in entry]
    print_table(
        ["measured", "against", "ratio", "95% interval"],
        [[entry["measured"], entry["reference"], entry["median"], entry["interval"]] for entry in entries],
    )
    print(result["checks"])
    if not args.dry:
        print(write_result("gradients", result, packages=(*PACKAGES, "peft")))


if __name__ == "__main__":
    main()

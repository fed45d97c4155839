"""What a probe sweep costs beside a bare no-grad forward, and beside scoring one example at a time.

Everything is timed in one run, one thread, in CPU time, round by round in alternating order; the ratio of a round
compares neighbours in time. The bare forwards get the sweep's own batches (length-sorted, at most TOKENS padded
tokens), built beforehand, and throw their outputs away.

    python -m recipes.benchmarks.probe_sweep
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trl import SFTTrainer

from hf_datasel.training.probe import Probe
from hf_datasel.training.rows import MapStyleRows
from recipes.benchmarks.common import print_table, summary, timed, write_result
from recipes.benchmarks.workload import PACKAGES, quiet, sft_trainer

HIDDEN = 256
REFERENCES = {
    "bare": "model(input_ids, attention_mask) over the same batches",
    "fused": "model(..., labels, fused_lm_head=True) over the same batches",
    "one_by_one": "model(input_ids, labels).loss, one example at a time",
}


def works(trainer: SFTTrainer, tokens_per_batch: int) -> dict[str, Callable[[], object]]:
    """The sweep and its references on one trainer's model and rows."""
    model = trainer.model
    probe = Probe(trainer, trainer.train_dataset, tokens_per_batch)
    batches = [read()[1] for read in MapStyleRows(trainer, trainer.train_dataset, tokens_per_batch)]
    examples = [(torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])) for row in trainer.train_dataset]

    @torch.no_grad()
    def bare() -> None:
        for batch in batches:
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)

    @torch.no_grad()
    def fused() -> None:
        for batch in batches:
            model(**batch, use_cache=False, fused_lm_head=True)

    @torch.no_grad()
    def one_by_one() -> list[float]:
        return [float(model(input_ids=ids, labels=labels, use_cache=False).loss) for ids, labels in examples]

    model.eval()
    found, expected = probe.sweep(), np.array(one_by_one())
    ids = np.array(trainer.train_dataset["example_id"])
    np.testing.assert_allclose(found[np.searchsorted(probe.ids, ids)], expected, rtol=1e-5)
    return {"sweep": probe.sweep, "bare": bare, "fused": fused, "one_by_one": one_by_one}


def measure(trainer: SFTTrainer, tokens_per_batch: int, num_rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each work in each round; every other round runs in the opposite order."""
    todo = works(trainer, tokens_per_batch)
    seconds: dict[str, list[float]] = {name: [] for name in todo}
    for number in range(num_rounds):
        for name in list(todo)[:: 1 if number % 2 else -1]:
            seconds[name].append(timed(todo[name], time.process_time))
    return seconds


def shape(trainer: SFTTrainer, tokens_per_batch: int) -> dict[str, Any]:
    """How many tokens of which kind the batches hold."""
    batches = [read()[1] for read in MapStyleRows(trainer, trainer.train_dataset, tokens_per_batch)]
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    return {
        "num_batches": len(batches),
        "num_padded_tokens": sum(batch["input_ids"].numel() for batch in batches),
        "num_tokens": sum(lengths),
        "num_labels": sum(int((batch["labels"] != -100).sum()) for batch in batches),
        "shortest_row": min(lengths),
        "longest_row": max(lengths),
    }


def main() -> None:
    """Measure both vocabularies, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Cost of a probe sweep as paired ratios of CPU time.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--rows", type=int, nargs=2, default=[240, 120], help="of vocabulary 4096 and of 32768")
    args = parser.parse_args()
    quiet()
    result: dict[str, Any] = {
        "settings": {
            "hidden_size": HIDDEN,
            "num_layers": 6,
            "tokens_per_batch": args.tokens_per_batch,
            "seed": 0,
            "threads": torch.get_num_threads(),
            "clock": "process_time",
            "batches": {},
        }
    }
    for vocabulary, num_rows in zip((4096, 32768), args.rows, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            trainer = sft_trainer(Path(folder), HIDDEN, vocabulary, num_rows)
        result["settings"]["batches"][str(vocabulary)] = shape(trainer, args.tokens_per_batch)
        seconds = measure(trainer, args.tokens_per_batch, args.rounds)
        for name, reference in REFERENCES.items():
            ratios = [ours / theirs for ours, theirs in zip(seconds["sweep"], seconds[name], strict=True)]
            result[f"over_{name}_vocabulary_{vocabulary}"] = {
                "measured": f"probe sweep, Llama {HIDDEN} x 6, vocabulary {vocabulary:,}",
                "reference": reference,
                **summary(ratios),
            }
    ratios = {name: entry for name, entry in result.items() if "median" in entry}
    print_table(
        ["measured", "against", "ratio", "95% interval"],
        [[entry["measured"], entry["reference"], entry["median"], entry["interval"]] for entry in ratios.values()],
    )
    print(write_result("probe_sweep", result, packages=PACKAGES))


if __name__ == "__main__":
    main()

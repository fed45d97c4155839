"""Examples per second of training K coalitions at once, against training the same coalitions one by one.

Sixteen coalitions of equal size, tiny batches, LoRA on every linear layer of a small Llama, one thread. In every round
each way trains all of them once, in a random order of the ways, and a ratio compares the ways within a round. One by
one is `SFTTrainer.train()` (what it takes to build the trainers is told apart), or our own training of one coalition
at a time. A Trainer collects garbage when it starts; what the imports left behind is kept from that. On a CPU the
clock is CPU time; where there is a GPU the same runs there, by the wall clock.

The last numbers say that all ways end at the same place: how far the mean log-probabilities that the adapters give to
other rows are from those that SFTTrainer's give.

    python -m recipes.benchmarks.coalitions
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from hf_datasel.training.lending import lend
from hf_datasel.training.utility.stacked_memory import step_bytes
from hf_datasel.training.utility.stacked_scoring import score_stacked
from hf_datasel.training.utility.stacked_sites import lora_sites
from hf_datasel.training.utility.stacked_training import train_stacked
from recipes.benchmarks.common import common_arguments, print_table, summary, write_result
from recipes.benchmarks.gradient_workload import steady
from recipes.benchmarks.workload import LAYERS, PACKAGES, llama, tokenizer

AT_ONCE = (1, 2, 4, 8, 16)
COALITIONS = max(AT_ONCE)
GPU = torch.cuda.is_available()
COLLATOR = DataCollatorForLanguageModeling(pad_token_id=0)
Adapter = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A model, and what a coalition's training is like."""

    hidden_size: int
    vocabulary: int
    batch_size: int
    tokens: tuple[int, int]  # of a row, at least and at most
    num_steps: int  # of each coalition
    rounds: int

    @property
    def name(self) -> str:
        return f"{self.hidden_size}_b{self.batch_size}"

    @property
    def what(self) -> str:
        return (
            f"Llama {self.hidden_size} x {LAYERS[self.hidden_size]}, batches of {self.batch_size} rows of "
            f"{self.tokens[0]} to {self.tokens[1]} tokens"
        )


CASES = [
    Case(64, 512, batch_size=4, tokens=(32, 64), num_steps=4, rounds=6),
    Case(64, 512, batch_size=8, tokens=(32, 64), num_steps=4, rounds=4),
    Case(256, 2048, batch_size=4, tokens=(32, 64), num_steps=2, rounds=3),
]


class Bench:
    """The coalitions of a case, and the ways to train them.

    Args:
        case: which.
        folder: for the Trainer.
        seed: of rows and weights.
    """

    def __init__(self, case: Case, folder: Path, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        size = case.batch_size * case.num_steps
        self.case, self.size = case, size
        self.rows = [_row(rng, case) for _ in range(COALITIONS * size)]
        self.dev_rows = [_row(rng, case) for _ in range(8)]
        order = rng.permutation(len(self.rows))
        self.coalitions = [order[start : start + size].tolist() for start in range(0, len(order), size)]
        self.model = llama(case.hidden_size, case.vocabulary, seed)
        if GPU:
            self.model.cuda()
        self.config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            adapted = get_peft_model(lend(self.model), self.config)
            self.start = get_peft_model_state_dict(adapted, save_embedding_layers=False)
        options = {"learning_rate": 1e-3, "num_train_epochs": 1, "logging_strategy": "no", "max_length": None}
        options |= {"per_device_train_batch_size": case.batch_size, "use_cpu": not GPU}
        options |= {"dataset_kwargs": {"skip_prepare_dataset": True}}
        self.args = SFTConfig(**common_arguments(folder, **options))
        self.tokenizer = tokenizer(case.vocabulary)

    def at_once(self, num_stacked: int) -> list[Adapter]:
        """All coalitions, so many at a time."""
        groups = [self.coalitions[start : start + num_stacked] for start in range(0, COALITIONS, num_stacked)]
        found: list[Adapter] = []
        for group in groups:
            found += train_stacked(self.model, self.config, self.args, self.rows, group, COLLATOR, start=self.start)
        return found

    def one_by_one(self, clock: Callable[[], float]) -> tuple[list[Adapter], float, float]:
        """All coalitions by SFTTrainer; seconds of training, and of building the trainers."""
        found, training, building = [], 0.0, 0.0
        for coalition in self.coalitions:
            begun = clock()
            trainer = SFTTrainer(
                model=lend(self.model),
                args=self.args,
                train_dataset=Dataset.from_list([self.rows[row] for row in coalition]),
                processing_class=self.tokenizer,
                peft_config=self.config,
            )
            trainer.remove_callback(PrinterCallback)
            set_peft_model_state_dict(trainer.model, self.start)
            built = clock()
            trainer.train()
            training, building = training + clock() - built, building + built - begun
            found.append(get_peft_model_state_dict(trainer.model, save_embedding_layers=False))
        return found, training, building

    def scores(self, adapters: list[Adapter]) -> np.ndarray:
        """Mean log-probability of the other rows under each adapter, `[16]`."""
        return score_stacked(self.model, self.config, adapters, self.dev_rows, COLLATOR, batch_size=8).mean(axis=1)


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Seconds of each way in each round, as examples per second and their ratios."""
    bench, clock = Bench(case, folder), _wall if GPU else time.thread_time
    rng = np.random.default_rng(1)
    gc.freeze()
    seconds: dict[str, list[float]] = {}
    adapters: dict[str, list[Adapter]] = {}
    ways = ["sft", *(f"at_once_{num_stacked}" for num_stacked in AT_ONCE)]
    for round_number in range(case.rounds + 1):
        for way in rng.permutation(ways).tolist():
            gc.collect()
            if way == "sft":
                adapters[way], training, building = bench.one_by_one(clock)
                taken = {"sft": training, "sft_built": training + building}
            else:
                begun = clock()
                adapters[way] = bench.at_once(int(way.rsplit("_", 1)[1]))
                taken = {way: clock() - begun}
            if round_number:  # the first warms up
                for name, value in taken.items():
                    seconds.setdefault(name, []).append(value)
        print(case.name, round_number, {name: round(values[-1], 2) for name, values in seconds.items()}, flush=True)
    return _result(bench, seconds, adapters)


def _result(bench: Bench, seconds: dict[str, list[float]], adapters: dict[str, list[Adapter]]) -> dict[str, Any]:
    num_examples = COALITIONS * bench.size
    references = {
        "sft": "SFTTrainer.train(), one by one",
        "at_once_1": "the same with one coalition at a time",
    }
    rows = {}
    for num_stacked in AT_ONCE:
        for reference, words in references.items():
            way = f"at_once_{num_stacked}"
            if way != reference:
                pairs = [slow / fast for slow, fast in zip(seconds[reference], seconds[way], strict=True)]
                what = f"examples per second, {num_stacked} at once, {bench.case.what}"
                rows[f"{way}_over_{reference}"] = {"measured": what, "reference": words, **summary(pairs)}
    wanted = bench.scores(adapters["sft"])
    moved = float(np.abs(wanted - bench.scores([bench.start])).min())
    apart = {way: float(np.abs(bench.scores(found) - wanted).max()) for way, found in adapters.items() if way != "sft"}
    sites = lora_sites(bench.model, bench.config)
    return {
        "case": asdict(bench.case),
        "rows_of_a_coalition": bench.size,
        "examples_per_second": {
            way: round(num_examples / float(np.median(values)), 1) for way, values in seconds.items()
        },
        "ratios": rows,
        "largest_difference_of_a_score_from_sft": apart,
        "least_change_of_a_score_by_training": moved,
        "bytes_of_a_step": {
            str(num_stacked): step_bytes(bench.model, sites, bench.args, num_stacked, bench.case.tokens[1])
            for num_stacked in AT_ONCE
        },
    }


def _row(rng: np.random.Generator, case: Case) -> dict[str, list[int]]:
    tokens = rng.integers(3, case.vocabulary, rng.integers(case.tokens[0], case.tokens[1] + 1)).tolist()
    prompt = len(tokens) // 2
    return {"input_ids": tokens, "labels": [-100] * prompt + tokens[prompt:]}


def _wall() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Coalitions trained at once against one by one.")
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, help="of every case, instead of its own number")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    args = parser.parse_args()
    steady()
    settings = {"num_coalitions": COALITIONS, "rank": 8, "adapted": "all linear layers", "threads": 1, "seed": 0}
    result: dict[str, Any] = {"settings": settings | {"clock": "perf_counter" if GPU else "thread_time"}}
    for case in CASES:
        if case.name in args.cases:
            chosen = case if args.rounds is None else replace(case, rounds=args.rounds)
            with tempfile.TemporaryDirectory() as folder:
                result[case.name] = measure(chosen, Path(folder))
    entries = [entry for name in result if name != "settings" for entry in result[name]["ratios"].values()]
    print_table(
        ["measured", "over", "ratio", "95% interval"],
        [[entry["measured"], entry["reference"], entry["median"], entry["interval"]] for entry in entries],
    )
    if not args.dry:
        print(write_result("coalitions", result, packages=(*PACKAGES, "peft", "accelerate")))


if __name__ == "__main__":
    main()

"""What the benchmarks of per-example gradients share: a small Llama, adapters, rows of a given fill, and a clock.

A Llama of width 256 and 6 layers with 4,096 words; rows of up to 128 tokens, every token a label. A LoRA adapter has
rank 8 on the query and value projections, which CLUES scores, or on all linear layers.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

import ctypes
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import summary, timed
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from recording import Lane
from transformers import Trainer
from trl import SFTConfig, SFTTrainer
from workload import SPECIAL, common_arguments, llama, quiet, tokenizer

from hf_datasel import add_example_ids

HIDDEN, VOCABULARY, LENGTH, BATCH = 256, 4096, 128, 16
TARGETS = {
    "full": None,
    "lora_qv": ["q_proj", "v_proj"],
    "lora_linears": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}
NAMES = {
    "full": "all parameters",
    "lora_qv": "LoRA r=8 on q and v",
    "lora_linears": "LoRA r=8 on all linears",
}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def steady() -> None:
    """One thread, no output, and memory that is kept: page faults strike at random and cost what is measured."""
    quiet()
    libc = ctypes.CDLL("libc.so.6")
    for option, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, 2**31 - 1)):
        if libc.mallopt(option, value) != 1:
            raise RuntimeError(f"mallopt({option}, {value}) failed: this benchmark needs glibc.")


def make_model(kind: str, weights: Mapping[str, torch.Tensor] | None = None, seed: int = 0) -> Any:
    """The Llama, whole or with an adapter whose B is not zero (at zero, A would have no gradient)."""
    model = llama(HIDDEN, VOCABULARY, seed)
    if weights is not None:
        model.load_state_dict(weights)
    if TARGETS[kind] is None:
        return model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(
            model, LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS[kind], task_type="CAUSAL_LM")
        )
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0.0, 0.02)
    return adapted


def token_rows(num_rows: int, fill: float = 1.0, seed: int = 0, vocabulary: int = VOCABULARY) -> Dataset:
    """Tokenised rows with ids; lengths are uniform up to 128 with a mean of ``fill`` times that."""
    rng = np.random.default_rng(seed)
    shortest = round((2 * fill - 1) * LENGTH)
    lengths = rng.integers(max(2, shortest), LENGTH + 1, num_rows)
    tokens = [rng.integers(len(SPECIAL), vocabulary, length).tolist() for length in lengths]
    return add_example_ids(Dataset.from_dict({"input_ids": tokens, "labels": tokens}))


def make_trainer(
    folder: Path, model: Any, rows: Dataset, *, like: Trainer | None = None, **options: Any
) -> SFTTrainer:
    """An SFTTrainer of those rows; it shares the optimizer of the trainer `like`, whose model it is given."""
    settings = {"per_device_train_batch_size": BATCH, "max_length": LENGTH, **options}
    return SFTTrainer(
        model,
        optimizers=(None if like is None else like.create_optimizer(), None),
        args=SFTConfig(**common_arguments(folder, **settings)),
        train_dataset=rows,
        processing_class=tokenizer(VOCABULARY),
    )


def padded_batches(rows: Dataset, batch_size: int = BATCH) -> list[dict[str, torch.Tensor]]:
    """The rows in their order, right-padded in batches, as a Trainer's collator makes them."""
    batches = []
    for start in range(0, len(rows), batch_size):
        taken = rows[start : start + batch_size]["input_ids"]
        longest = max(map(len, taken))
        ids = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens in taken])
        filled = torch.tensor([[1] * len(tokens) + [0] * (longest - len(tokens)) for tokens in taken])
        batches.append({"input_ids": ids, "attention_mask": filled, "labels": ids.masked_fill(filled == 0, -100)})
    return batches


def forward_backward(model: Any, batches: list[dict[str, torch.Tensor]]) -> Callable[[], None]:
    """What training does to its batches: forward, backward, gradients of the parameters that are trained."""

    def work() -> None:
        for batch in batches:
            model(**batch, use_cache=False).loss.backward()
            model.zero_grad(set_to_none=True)

    return work


def in_turns(trainers: Mapping[str, Trainer], num_steps: int, steps_of_a_block: int) -> dict[str, np.ndarray]:
    """Train all, one step each in turns, and return the CPU seconds of each one's blocks; the first is left out.

    The order is drawn anew for every step, because who went before leaves the caches in a state of its own. A step
    lasts from the end of the trainer's last one, so what its callbacks do is counted.
    """
    rng = np.random.default_rng(0)
    lanes = {name: Lane(trainer) for name, trainer in trainers.items()}
    for lane in lanes.values():
        lane.start()
    names = list(lanes)
    for _ in range(num_steps):
        for number in rng.permutation(len(names)):
            lanes[names[number]].turns.run_step()
    for lane in lanes.values():
        lane.turns.finish()
        lane.join()
    return {name: lane.blocks(steps_of_a_block) for name, lane in lanes.items()}


def interleaved(works: Mapping[str, Callable[[], object]], num_rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each work in each round, after one round that is not counted; the order turns every round."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for number in range(num_rounds):
        for name in list(works)[:: 1 if number % 2 else -1]:
            seconds[name].append(timed(works[name], time.thread_time))
    return seconds


def ratio(seconds: Mapping[str, list[float]], above: str, below: str, measured: str, reference: str) -> dict[str, Any]:
    """A row of a result: the paired ratio of two works, round by round."""
    pairs = [ours / theirs for ours, theirs in zip(seconds[above], seconds[below], strict=True)]
    return {"measured": measured, "reference": reference, **summary(pairs)}


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, of values without ties.

    >>> round(rank_correlation(np.array([1.0, 5.0, 2.0]), np.array([0.1, 0.3, 0.2])), 6)
    1.0
    """
    ranks = [np.argsort(np.argsort(values)) for values in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])

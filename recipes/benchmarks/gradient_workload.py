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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from hf_datasel import GradientTraceCallback, add_example_ids
from recipes.benchmarks.common import common_arguments, summary
from recipes.benchmarks.workload import SPECIAL, llama, quiet, tokenizer

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


def make_model(
    kind: str, weights: Mapping[str, torch.Tensor] | None = None, seed: int = 0, hidden_size: int = HIDDEN
) -> Any:
    """The Llama, whole or with an adapter whose B is not zero (at zero, A would have no gradient)."""
    model = llama(hidden_size, VOCABULARY, seed)
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


def make_trainer(folder: Path, model: Any, rows: Dataset, **options: Any) -> SFTTrainer:
    """An SFTTrainer of those rows."""
    settings = {"per_device_train_batch_size": BATCH, "max_length": LENGTH, **options}
    return SFTTrainer(
        model,
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


class Switchboard(TrainerCallback):
    """Time the steps of one training, each in one of several variants that are switched on and off around it.

    One trainer, one thread and one model: two trainers that do the same, in threads of their own, differ by up to
    15% for as long as they live (where their buffers lie in memory), and far more than what is measured here. The
    variants come once in every block, in a random order, so that a ratio compares neighbours in time.

    Args:
        variants: what puts each into place, and what is to be done at its step's end, inside the time.
        num_blocks: that are timed; one more warms up.
    """

    def __init__(self, variants: Mapping[str, tuple[Callable[[], None], Callable[[], None]]], num_blocks: int) -> None:
        rng = np.random.default_rng(0)
        self._variants = variants
        names = list(variants)
        self._plan = [names[k] for _ in range(num_blocks + 1) for k in rng.permutation(len(names))]
        self._seconds: list[float] = []
        self._start = 0.0

    @property
    def num_steps(self) -> int:
        """Of the training."""
        return len(self._plan)

    def seconds(self) -> dict[str, list[float]]:
        """CPU seconds of each variant, a block after another."""
        kept = list(zip(self._plan, self._seconds, strict=True))[len(self._variants) :]
        return {name: [seconds for which, seconds in kept if which == name] for name in self._variants}

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._variants[self._plan[state.global_step]][0]()
        self._start = time.thread_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._variants[self._plan[state.global_step - 1]][1]()
        self._seconds.append(time.thread_time() - self._start)


class Scoring:
    """An in-run recording whose parts can be switched: nothing, hooks without a direction, and directions.

    Args:
        callback: added to the trainer, in `in_run` mode.
        ranks: of the directions, by name; None for exact.
    """

    def __init__(self, callback: GradientTraceCallback, ranks: Mapping[str, int | None]) -> None:
        self._recorder: Any = callback.recorder
        self._ranks = ranks
        self._directions: dict[str, Any] = {}
        self._when = self._recorder._tap._when

    def plain(self) -> None:
        """No hook on the model."""
        self._recorder._tap.capture.detach()
        self._recorder._tap._when = lambda: None

    def unscored(self) -> None:
        """Hooks on the model, and a step that is not to be scored."""
        self._attach()
        self._recorder._tap._when = lambda: None

    def scored(self, name: str) -> None:
        """Hooks on the model, and a direction."""
        self._attach()
        if not self._directions:
            means = {key: part.gradients for key, part in self._recorder._measure.directions.items()}
            influence = self._recorder._influence
            for which, rank in self._ranks.items():
                influence.options = replace(influence.options, low_rank=rank)
                self._directions[which] = influence.make_directions(means)
        self._recorder._measure.directions = self._directions[name]
        self._recorder._tap._when = self._when

    def flush(self) -> None:
        """Write the records: a training does it where it logs, every ten steps by default; here every step does."""
        self._recorder._flush()

    def _attach(self) -> None:
        self._recorder._tap.capture.detach()
        self._recorder._tap.capture.attach()


def nothing() -> None:
    """Of a plain step's end."""


def ratio(seconds: Mapping[str, list[float]], above: str, below: str, measured: str, reference: str) -> dict[str, Any]:
    """A row of a result: the paired ratio of two works, round by round."""
    pairs = [ours / theirs for ours, theirs in zip(seconds[above], seconds[below], strict=True)]
    return {"measured": measured, "reference": reference, **summary(pairs)}

"""Train with a recorder and an oracle that scores every row one by one before and after each step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from transformers import Trainer, TrainerCallback
from trl import SFTTrainer

from hf_datasel import LossTrajectoryCallback, Trace
from tests.training.reference import reference_losses
from tests.training.tiny import sft_args, tiny_model, word_tokenizer

# A loss is the end of some sixty roundings in a row (two layers of matmul, norm, softmax), each relative to numbers of
# the loss's size; batching changes their order and nothing else.
TOLERANCE = 64 * torch.finfo(torch.float32).eps


class Oracle(TrainerCallback):
    """Score every row one by one before each step and after each step."""

    def __init__(self, trainer: Trainer, score: Callable[[torch.nn.Module], list[float]]) -> None:
        self.trainer, self.score = trainer, score
        self.before: dict[int, list[float]] = {}
        self.after: dict[int, list[float]] = {}
        self.visits: list[tuple[int, int, int]] = []  # epoch, step, id
        inner = trainer.compute_loss

        def spy(model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            if "example_id" in inputs:
                step, epoch = trainer.state.global_step, int(trainer.state.epoch or 0)
                self.visits += [(epoch, step, int(example)) for example in inputs["example_id"]]
            return inner(model, inputs, *args, **kwargs)

        trainer.compute_loss = spy

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.before[state.global_step] = self.score(self.trainer.model)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.after[state.global_step] = self.score(self.trainer.model)


def record(
    tmp_path: Path,
    mode: str,
    dataset: Any,
    architecture: str = "llama",
    assistant_only: bool = False,
    lora: bool = False,
    **options: Any,
) -> tuple[Trace, Oracle]:
    """Train with a recorder and an oracle."""
    tokenizer = word_tokenizer()
    args = sft_args(tmp_path / "out", assistant_only_loss=assistant_only, **options)
    trainer = SFTTrainer(
        model=tiny_model(architecture),
        args=args,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=LoraConfig(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM") if lora else None,
    )
    points = {"num_checkpoints": 3} if mode == "probe" else {}
    recorder = LossTrajectoryCallback(trainer, tmp_path / "trace", mode=mode, dataset=dataset, **points)
    trainer.add_callback(recorder)
    rows = list(dataset)
    oracle = Oracle(trainer, lambda model: reference_losses(model, rows, tokenizer, args.max_length, assistant_only))
    trainer.add_callback(oracle)
    trainer.train()
    return Trace.load(tmp_path / "trace"), oracle


def check(mode: str, trace: Trace, oracle: Oracle, tolerance: float = TOLERANCE) -> None:
    """Every cell of the Trace equals what the oracle saw at that moment."""
    values = trace.values
    if mode == "probe":
        wanted = np.array([oracle.after[step] for step in trace.steps.tolist()]).T
        assert trace.num_checkpoints == 3
    else:
        wanted = np.full(values.shape, np.nan)
        count = dict.fromkeys(trace.ids.tolist(), 0)
        for _, step, example in oracle.visits:
            wanted[example, count[example]] = oracle.before[step][example]
            count[example] += 1
        assert set(count.values()) == {values.shape[1]}
    measured = ~np.isnan(wanted)
    assert (np.isnan(values) == ~measured).all()
    error = np.abs(values - wanted)[measured]
    assert (error <= tolerance * np.maximum(1, wanted[measured])).all(), error.max()

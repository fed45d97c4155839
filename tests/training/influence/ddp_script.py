"""What the two-process test runs in every process: both ways of recording, on one training that does not move.

Launched as ``accelerate launch ddp_script.py FOLDER``; every format writes into a folder of its name. At a learning
rate of 0 each value is one of the weights it began with, whatever the processes do with the rows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import Trainer

from hf_datasel import GradientTraceCallback
from tests.training.influence.measuring import plain_trainer, rows, tokenised
from tests.training.influence.runs import held_out, sft_trainer
from tests.training.influence.zoo import build

NUM_ROWS = 13  # two processes repeat a row to even out their last batches
STILL = {"learning_rate": 0.0, "per_device_train_batch_size": 2}
FORMATS: dict[str, dict[str, Any]] = {
    "padded": {},
    "accumulated": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
    "packed": {"packing": True, "max_length": 40, "per_device_train_batch_size": 1},
    "padding_free": {"padding_free": True, "max_length": None},
    "checkpointing": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    "plain": {},
}
ADAPTERS = {"padded": "linears", "checkpointing": "qv"}


def model_of(name: str) -> Any:
    return build("llama_untied", adapter=ADAPTERS.get(name))


def trainer_of(name: str, folder: Path) -> tuple[Trainer, dict[str, Any]]:
    """The trainer of a format, and its callbacks' held-out rows."""
    raw, examples = rows("prompt_completion", NUM_ROWS, 0)
    if name != "plain":
        return sft_trainer(model_of(name), folder, raw, **{**STILL, **FORMATS[name]}), held_out()
    sets = {
        "validation_dataset": tokenised(rows("prompt_completion", 5, 100)[1]),
        "anchor_dataset": tokenised(rows("prompt_completion", 3, 200)[1]),
    }
    return plain_trainer(model_of(name), folder, tokenised(examples), **STILL), sets


def record(name: str, folder: Path) -> None:
    """Train with both callbacks; the sweeps run between the steps that the other one listens to."""
    trainer, sets = trainer_of(name, folder)
    for mode in ("probe", "in_run"):
        trainer.add_callback(
            GradientTraceCallback(
                trainer,
                folder / mode,
                mode=mode,
                norms=True,
                checkpoint_steps=(1, 3),
                tokens_per_batch=48,
                dataset=rows("prompt_completion", NUM_ROWS, 0)[0] if name == "packed" else None,
                **sets,
            )
        )
    trainer.train()


def main() -> None:
    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    for name in FORMATS:
        (Path(sys.argv[1]) / name).mkdir(parents=True, exist_ok=True)
        record(name, Path(sys.argv[1]) / name)
    state.destroy_process_group()


if __name__ == "__main__":
    main()

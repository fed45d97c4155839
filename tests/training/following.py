"""A training that follows the confidence curriculum, and what each of its processes visits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import Trainer
from trl import SFTTrainer

from hf_datasel import ConfidenceCurriculumCallback
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer

NUM_ROWS, GLOBAL_BATCH = 40, 4


def watch(trainer: Trainer) -> list[list[tuple[int, ...]]]:
    """The tokens of the rows of every micro-batch that is trained on, in order."""
    seen: list[list[tuple[int, ...]]] = []
    step = trainer.training_step

    def training_step(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        pairs = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        seen.append([tuple(row[mask.bool()].tolist()) for row, mask in pairs])
        return step(model, inputs, *args, **kwargs)

    trainer.training_step = training_step
    return seen


def follow_a_curriculum(folder: Path, world_size: int) -> None:
    """Two epochs of forty rows, four a step; each process writes which rows it visited at each."""
    trainer = SFTTrainer(
        tiny_model(),
        args=sft_args(folder, per_device_train_batch_size=GLOBAL_BATCH // world_size),
        train_dataset=make_dataset(num_rows=NUM_ROWS),
        processing_class=word_tokenizer(),
    )
    trainer.add_callback(ConfidenceCurriculumCallback(trainer, tokens_per_batch=60))
    seen = watch(trainer)
    trainer.train()
    (folder / f"rank{PartialState().process_index}.json").write_text(json.dumps(seen))

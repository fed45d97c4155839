"""A SelectingSFTTrainer in one line, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig

from hf_datasel import SelectingSFTConfig, SelectingSFTTrainer
from tests.training.tiny import base_options, make_dataset, tiny_model, word_tokenizer

SMALL = {"selection_budget": 0.5, "selection_num_clusters": 4, "selection_num_checkpoints": 3}


NUM_VALIDATION, NUM_ANCHORS = 5, 50


def validation_rows() -> Dataset:
    """Trusted rows without ids, which are none of the training rows."""
    return bare_rows(NUM_VALIDATION, seed=100)


def anchor_rows() -> Dataset:
    """As many as a threshold asks for."""
    return bare_rows(NUM_ANCHORS, seed=200)


def bare_rows(num_rows: int, seed: int) -> Dataset:
    """Rows as a user's file gives them: nothing numbered, no stamp."""
    return Dataset.from_list(
        [{k: v for k, v in row.items() if k != "example_id"} for row in make_dataset(num_rows=num_rows, seed=seed)]
    )


def lora(**options: Any) -> LoraConfig:
    return LoraConfig(**{"target_modules": ["q_proj", "v_proj"], "r": 4, "task_type": "CAUSAL_LM", **options})


def clues(output_dir: Path, **options: Any) -> SelectingSFTTrainer:
    """A SelectingSFTTrainer that selects by CLUES: half of the rows, unless told otherwise."""
    return selecting(output_dir, **{"selection_method": "clues", "validation_dataset": validation_rows(), **options})


SHED: dict[str, Any] = {
    "selection_method": "shed",
    "selection_embedder": "bag",
    "selection_num_clusters": 3,
    "selection_seed": 5,
    "num_train_epochs": 1,
}


def shed(output_dir: Path, **options: Any) -> SelectingSFTTrainer:
    """A SelectingSFTTrainer that selects by the values of three clusters."""
    return selecting(output_dir, **{"validation_dataset": validation_rows(), **SHED, **options})


def weights(trainer: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def config(output_dir: Path, **options: Any) -> SelectingSFTConfig:
    return SelectingSFTConfig(**{**base_options(output_dir), **SMALL, **options})


def selecting(output_dir: Path, dataset: Any = None, model: Any = None, **options: Any) -> SelectingSFTTrainer:
    names = (
        "proxy_peft_config",
        "peft_config",
        "proxy_processing_class",
        "selection",
        "eval_dataset",
        "processing_class",
        "validation_dataset",
        "anchor_dataset",
    )
    extra = {name: options.pop(name) for name in names if name in options}
    proxy = options.pop("proxy", None)
    return SelectingSFTTrainer(
        model=tiny_model() if model is None else model,
        args=config(output_dir, **options),
        train_dataset=make_dataset() if dataset is None else dataset,
        proxy_model=proxy,
        **{"processing_class": word_tokenizer(), **extra},
    )
